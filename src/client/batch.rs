//! Many keys at once: listings, page by page, and several operations in one request.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use percent_encoding::utf8_percent_encode;

use super::reply::decoded_value;
use super::{Client, ClientError, ESCAPED, Found, Reply, Session, Written, go_on, session};
use crate::names::NodeId;
use crate::wire::public::{KeyPage, OperationAsked, OperationsDone};

/// A page of a listing.
#[derive(Debug, Clone)]
pub struct Page {
    /// Keys in order, with their values if they were asked for.
    pub items: Vec<(String, Option<Vec<u8>>)>,
    /// The cursor of the next page; none after the last.
    pub next: Option<String>,
    pub reply: Reply,
}

/// A request for a page of keys.
#[derive(Debug, Clone, Default)]
pub struct PageAsked {
    pub prefix: String,
    /// The cursor from the previous page.
    pub after: Option<String>,
    /// The most keys on the page.
    pub limit: u32,
    pub keys_only: bool,
}

/// The outcome of one of several operations.
#[derive(Debug)]
pub enum OperationDone {
    Found(Found),
    Written(Written),
    NoSuchKey,
    /// Refused, or of unknown outcome; the reply says which.
    Refused(Reply),
}

impl Client {
    /// A page of keys in order.
    pub async fn list(&self, asked: &PageAsked, session: &mut Session) -> Result<Page, ClientError> {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let path = format!(
            "/kv-store?prefix={}&limit={}&keys_only={}&after={}",
            escape(&asked.prefix),
            asked.limit,
            asked.keys_only,
            asked.after.as_deref().map(escape).unwrap_or_default(),
        );
        let request = request(Method::GET, &path, session, Bytes::new());
        let reply = go_on(self.read(&request).await?, session)?;
        let page: KeyPage = reply.read()?;
        let mut items = Vec::new();
        for key in page.keys.unwrap_or_default() {
            items.push((key, None));
        }
        for item in page.items.unwrap_or_default() {
            let value = decoded_value(item.value.as_deref(), item.value_base64.as_deref());
            let value = value.map_err(|reason| reply.garbled(reason))?;
            items.push((item.key, Some(value)));
        }
        Ok(Page {
            items,
            next: page.next,
            reply,
        })
    }

    /// Carries out several operations in order. Returns one outcome for each, and the reply to all of
    /// them. Values for which the answer had no room are read in further requests and added to the reply.
    pub async fn batch(
        &self,
        operations: &[OperationAsked],
        session: &mut Session,
    ) -> Result<(Vec<OperationDone>, Reply), ClientError> {
        let (mut done, mut reply) = self.batch_at_once(operations, session).await?;
        loop {
            let left: Vec<usize> = (0..operations.len())
                .filter(|at| has_no_room(&done.results[*at]))
                .collect();
            let rest: Vec<_> = left.iter().map(|at| operations[*at].clone()).collect();
            if rest.is_empty() {
                break;
            }
            // Report what was done before in any case.
            let Ok((later, _)) = self.batch_at_once(&rest, session).await else {
                break;
            };
            let gets_on = !later.results.iter().all(has_no_room);
            for (at, result) in left.into_iter().zip(later.results) {
                done.results[at] = result;
            }
            session.payload().clone_into(&mut done.causal_payload);
            if !gets_on {
                break;
            }
        }
        reply.body = serde_json::to_value(&done).expect("plain fields always encode");
        let outcomes = operations.iter().zip(done.results);
        let outcomes = outcomes.map(|(asked, result)| outcome(&reply.node, asked, result));
        Ok((outcomes.collect::<Result<_, _>>()?, reply))
    }

    /// One request for several operations: the result of each, and the reply without its body.
    async fn batch_at_once(
        &self,
        operations: &[OperationAsked],
        session: &mut Session,
    ) -> Result<(OperationsDone, Reply), ClientError> {
        let body = serde_json::to_vec(operations).expect("plain fields always encode");
        let request = request(Method::POST, "/kv-store", session, body.into());
        let mut reply = go_on(self.write(&request, self.timeout).await?, session)?;
        let body = reply.body.take();
        let done: OperationsDone = serde_json::from_value(body).map_err(|error| reply.garbled(error))?;
        if done.results.len() != operations.len() {
            return Err(reply.garbled("another number of results than operations"));
        }
        Ok((done, reply))
    }
}

/// True if the answer had no room for the value of this read.
fn has_no_room(result: &serde_json::Value) -> bool {
    let code = result.get("code").and_then(serde_json::Value::as_str);
    code == Some("answer_too_large")
}

/// Each result is the reply that the operation would have had alone.
fn outcome(
    node: &NodeId,
    asked: &OperationAsked,
    body: serde_json::Value,
) -> Result<OperationDone, ClientError> {
    let status = body.get("status").and_then(serde_json::Value::as_u64);
    let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let reply = Reply {
        node: node.clone(),
        status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body,
    };
    Ok(match reply.status {
        StatusCode::NOT_FOUND => OperationDone::NoSuchKey,
        status if !status.is_success() => OperationDone::Refused(reply),
        _ if asked.op == "get" => OperationDone::Found(Found::from_reply(reply)?),
        _ => OperationDone::Written(Written::from_reply(reply)?),
    })
}

fn request(method: Method, path: &str, session: &Session, body: Bytes) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    if !session.is_fresh() {
        request = request.header(session::PAYLOAD_HEADER, session.payload());
    }
    let request = request
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json");
    request
        .body(body)
        .expect("an escaped query and a checked payload fit into a request")
}
