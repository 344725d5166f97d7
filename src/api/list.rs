//! `GET /kv-store`: keys in order, a page at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;

use super::error::ApiError;
use super::keys::{read_payload, refused};
use super::meant;
use super::parameters::Parameters;
use super::reply::with_payload;
use crate::node::{Listed, Node, PAGE_KEYS_MAX, Refusal};
use crate::wire::cursor::Cursor;
use crate::wire::peer::{Item, Listing};
use crate::wire::public::{KeyItem, KeyPage};

/// Keys on a page by default.
const PAGE_KEYS: u32 = 100;

/// The parameters of a listing, besides the payload.
pub(super) const PARAMETERS: [&str; 4] = ["prefix", "after", "limit", "keys_only"];

/// The requested page, and the client's payload.
pub(super) fn parse(parameters: &Parameters<'_>) -> Result<(Listing, String), ApiError> {
    parameters.require_read()?;
    let known = [&PARAMETERS[..], &["causal_payload"]].concat();
    meant::only(parameters, &known, ApiError::BadRequest)?;
    let mut payload = parameters.payload();
    let cursor = parameters.one("after")?.filter(|text| !text.is_empty());
    let cursor = cursor.map(|text| Cursor::parse(text)).transpose();
    let cursor = cursor.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let after = cursor.map(|cursor| {
        if !payload.is_empty() && !cursor.payload.is_empty() {
            payload.push(',');
        }
        payload.push_str(&cursor.payload);
        cursor.after
    });
    let prefix = parameters.one("prefix")?.map_or("", |prefix| prefix).to_owned();
    if after.as_ref().is_some_and(|after| !after.starts_with(&prefix)) {
        let text = "after comes from a listing with another prefix; begin this one without it";
        return Err(ApiError::BadRequest(text.into()));
    }
    let keys_only = parameters
        .flag("keys_only", ApiError::BadRequest)?
        .unwrap_or_default();
    let limit = limit(parameters)?;
    Ok((
        Listing {
            prefix,
            after,
            limit,
            keys_only,
        },
        payload,
    ))
}

fn limit(parameters: &Parameters<'_>) -> Result<u32, ApiError> {
    let Some(text) = parameters.one("limit")?.filter(|text| !text.is_empty()) else {
        return Ok(PAGE_KEYS);
    };
    let limit = text.trim().parse().ok();
    limit
        .filter(|limit| (1..=PAGE_KEYS_MAX).contains(limit))
        .ok_or_else(|| {
            ApiError::BadRequest(format!(
                "limit is {text:?}; write a number from 1 to {PAGE_KEYS_MAX}"
            ))
        })
}

pub(super) async fn list(node: &Node, listing: &Listing, payload: &str) -> Result<Response<Bytes>, ApiError> {
    let payload = read_payload(node, payload)?;
    let listed = node.requests.list(listing, &payload).await;
    let listed = listed.map_err(|refusal| refused(node, refusal))?;
    let payload = node.requests.payload_text(&listed.payload);
    let Listed {
        items,
        next,
        mut room,
        ..
    } = listed;
    let body = page(items, next, listing.keys_only, &payload);
    // As text, values may be several times as long.
    if !room.resize(body.len()) {
        return Err(ApiError::Refused(Refusal::Overloaded));
    }
    Ok(with_payload(room.hold(body), "application/json", &payload))
}

fn page(items: Vec<Item>, next: Option<String>, keys_only: bool, payload: &str) -> Bytes {
    let next = next.map(|after| {
        let payload = payload.to_owned();
        Cursor { after, payload }.to_text()
    });
    let (keys, items) = if keys_only {
        let keys = items.into_iter().map(|item| item.key.as_str().to_owned());
        (Some(keys.collect()), None)
    } else {
        (None, Some(items.into_iter().map(shown).collect()))
    };
    let page = KeyPage {
        result: "success".into(),
        msg: "success".into(),
        items,
        keys,
        next,
        causal_payload: payload.to_owned(),
    };
    serde_json::to_vec(&page)
        .expect("plain fields always encode")
        .into()
}

fn shown(item: Item) -> KeyItem {
    let (value, value_base64) = match String::from_utf8(item.value.unwrap_or_default()) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
    };
    KeyItem {
        key: item.key.as_str().to_owned(),
        value,
        value_base64,
        timestamp: item.timestamp.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Key;
    use crate::protocol::causality::Timestamp;

    fn parse_query(query: &str) -> Result<(Listing, String), ApiError> {
        let request = http::Request::get(format!("/kv-store?{query}"))
            .body(())
            .expect("is a request");
        let (parts, ()) = request.into_parts();
        let body = Bytes::new();
        parse(&Parameters::read(&parts, &body)?)
    }

    fn items() -> Vec<Item> {
        let item = |key: &str, value: &[u8]| Item {
            key: Key::new(key).expect("is a key"),
            value: Some(value.to_vec()),
            timestamp: Timestamp::from_wall_ms(1_256_953_732_123),
        };
        vec![item("a", b"1"), item("b", &[0xFF])]
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let (listing, payload) = parse_query("").expect("is a listing");
        let expected = Listing {
            prefix: String::new(),
            after: None,
            limit: 100,
            keys_only: false,
        };
        assert_eq!((listing, payload.as_str()), (expected, ""));
    }

    #[test]
    fn a_cursor_says_where_to_go_on_and_what_is_depended_upon() {
        let cursor = Cursor {
            after: "user:é".into(),
            payload: "AQ_1".into(),
        };
        let query = format!(
            "prefix=user%3A&limit=7&keys_only=true&causal_payload=x&after={}",
            cursor.to_text()
        );
        let (listing, payload) = parse_query(&query).expect("is a listing");
        let expected = Listing {
            prefix: "user:".into(),
            after: Some("user:é".into()),
            limit: 7,
            keys_only: true,
        };
        assert_eq!((listing, payload.as_str()), (expected, "x,AQ_1"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_advice() {
        for (query, advice) in [
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("limit=-1", "1 to 1000"),
            ("limit=ten", "1 to 1000"),
            ("keys_only=yes", "keys_only=true"),
            ("after=somekey", "the page before"),
            ("after=Yg.P&prefix=c", "another prefix"),
            ("prefix=a&prefix=b", "once"),
            ("prefx=a", "did you mean prefix?"),
            ("keysonly=true", "did you mean keys_only?"),
            ("cursor=x", "did you mean after?"),
            ("recursive=true", "there are prefix, after"),
        ] {
            let error = parse_query(query).expect_err(query);
            assert!(matches!(error, ApiError::BadRequest(_)), "{query}: {error:?}");
            assert!(error.to_string().contains(advice), "{query}: {error}");
        }
    }

    #[test]
    fn a_page_has_items_or_keys_and_says_how_to_go_on() {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("is text");
        assert_eq!(
            text(page(items(), None, false, "P")),
            r#"{"result":"success","msg":"success","items":[{"key":"a","value":"1","timestamp":"1256953732.12300000"},{"key":"b","value_base64":"/w==","timestamp":"1256953732.12300000"}],"next":null,"causal_payload":"P"}"#
        );
        assert_eq!(
            text(page(items(), Some("b".into()), true, "P")),
            r#"{"result":"success","msg":"success","keys":["a","b"],"next":"Yg.P","causal_payload":"P"}"#
        );
    }
}
