//! Chooses the form of a value from `Accept` and its weights (RFC 9110, 12.5.1).
//!
//! Everything else gets JSON: a client that accepts neither form is better served by an answer than by a
//! refusal.

use http::HeaderMap;
use http::header::ACCEPT;

use super::operation::Form;

/// Weights are thousandths.
const WHOLE: u16 = 1000;

/// The form that the client prefers.
pub(super) fn wanted_form(headers: &HeaderMap) -> Form {
    let mut lists = headers.get_all(ACCEPT).into_iter();
    let Some(first) = lists.next() else {
        return Form::Json;
    };
    // The value that nearly every client sends.
    if matches!(first.as_bytes(), b"*/*" | b"application/json") && lists.next().is_none() {
        return Form::Json;
    }
    let lists = headers.get_all(ACCEPT).into_iter();
    let lists: Vec<&str> = lists.filter_map(|value| value.to_str().ok()).collect();
    let (json, bytes) = (Wish::of("json", &lists), Wish::of("octet-stream", &lists));
    let wants_bytes = match (bytes.weight, json.weight) {
        (0, _) => false,
        (bytes, json) if bytes != json => bytes > json,
        // On equal weights the named type wins; if both are named, the first one.
        _ => bytes.is_named && (!json.is_named || bytes.place < json.place),
    };
    if wants_bytes { Form::Bytes } else { Form::Json }
}

/// How much a type is wanted, by the most exact range that covers it.
#[derive(Default)]
struct Wish {
    weight: u16,
    is_named: bool,
    place: usize,
}

impl Wish {
    /// The wish for `application/<subtype>`.
    fn of(subtype: &str, lists: &[&str]) -> Self {
        let mut exactness_so_far = 0;
        let mut wish = Self::default();
        let ranges = lists.iter().flat_map(|list| list.split(','));
        for (place, range) in ranges.enumerate() {
            let mut parts = range.split(';').map(str::trim);
            let exactness = exactness(parts.next().unwrap_or_default(), subtype);
            if exactness > exactness_so_far {
                exactness_so_far = exactness;
                wish = Self {
                    weight: parts.find_map(weight).unwrap_or(WHOLE),
                    is_named: exactness == 3,
                    place,
                };
            }
        }
        wish
    }
}

/// 3 for the type itself, 2 for all of `application`, 1 for everything, 0 for other types.
fn exactness(range: &str, subtype: &str) -> u8 {
    let Some((kind, sub)) = range.split_once('/') else {
        return 0;
    };
    match (kind, sub) {
        ("*", "*") => 1,
        (kind, _) if !kind.eq_ignore_ascii_case("application") => 0,
        (_, "*") => 2,
        (_, sub) if sub.eq_ignore_ascii_case(subtype) => 3,
        _ => 0,
    }
}

/// `q=0.5`; a weight that cannot be read is ignored.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok()?;
    Some((value.clamp(0.0, 1.0) * f32::from(WHOLE)) as u16)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_with_the_larger_weight_is_given() {
        for (accept, form) in [
            ("application/octet-stream", Form::Bytes),
            ("Application/Octet-Stream", Form::Bytes),
            ("text/html, application/octet-stream;q=0.9", Form::Bytes),
            ("application/octet-stream, */*;q=0.1", Form::Bytes),
            ("application/octet-stream, */*", Form::Bytes),
            (
                "application/octet-stream;q=0.9, application/json;q=0.1",
                Form::Bytes,
            ),
            ("application/octet-stream, application/json", Form::Bytes),
            ("application/json;q=0, */*", Form::Bytes),
            ("application/*, application/json;q=0.5", Form::Bytes),
            ("application/json, application/octet-stream", Form::Json),
            ("application/octet-stream;q=0.1, application/json", Form::Json),
            (
                "application/octet-stream;q=0.1, application/json;q=0.9",
                Form::Json,
            ),
            ("application/octet-stream;q=0", Form::Json),
            ("application/octet-stream; Q = 0 , */*", Form::Json),
            ("application/octet-stream;q=0.5, */*", Form::Json),
            ("*/*;q=0.1", Form::Json),
            ("application/*", Form::Json),
            ("application/json", Form::Json),
            ("text/html", Form::Json),
            ("", Form::Json),
            (",;,q=1", Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wanted_form(&headers), form, "{accept}");
        }
        assert_eq!(wanted_form(&HeaderMap::new()), Form::Json);
    }

    #[test]
    fn several_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("*/*"));
        headers.append(ACCEPT, HeaderValue::from_static("application/octet-stream"));
        assert_eq!(wanted_form(&headers), Form::Bytes);
    }
}
