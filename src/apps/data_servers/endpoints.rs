//! The public HTTP interface of pairs, the same for proxies and data servers: turns requests into calls
//! of [`Pairs`], and their results into replies.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{Method, Request, Response};
use percent_encoding::percent_decode_str;

use super::body::{self, AskedKey};
use super::reply;
use super::service::{Pairs, ReadResult, Trouble};
use crate::api::{ApiError, Asked, Endpoints, alive, options};
use crate::apps::data_servers::messages::{Datum, KeyOutcome, Pair};
use crate::names::NodeId;
use crate::text;

/// Answers one request.
pub(super) async fn respond(pairs: &impl Pairs, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    match parse(
        &parts.method,
        parts.uri.path(),
        parts.uri.query().unwrap_or(""),
        &body,
    ) {
        Ok(operation) => act(pairs, operation).await,
        Err(error) => error.into_reply(),
    }
}

/// The purpose of a path.
#[derive(Debug, Clone, Copy)]
enum Route {
    Set,
    FetchAll,
    Fetch,
    Query,
    Delete,
    Servers,
    AddServer,
    RemoveServer,
    Alive,
    Home,
}

static ENDPOINTS: LazyLock<Endpoints<Route>> = LazyLock::new(|| {
    Endpoints::new(&[
        ("PUT, POST /set?atomic=", Route::Set),
        ("GET /fetch", Route::FetchAll),
        ("POST /fetch", Route::Fetch),
        ("POST /query", Route::Query),
        ("POST /delete", Route::Delete),
        ("GET /servers", Route::Servers),
        ("POST /servers", Route::AddServer),
        ("DELETE /servers/<host:port>?force=", Route::RemoveServer),
        ("GET /livez", Route::Alive),
        ("GET /", Route::Home),
    ])
});

/// The meaning of a request.
#[derive(Debug, PartialEq)]
enum Operation {
    Set {
        pairs: Vec<body::AskedPair>,
        atomic: bool,
    },
    FetchAll,
    Fetch(Vec<AskedKey>),
    Query(Vec<AskedKey>),
    Delete(Vec<AskedKey>),
    Servers,
    AddServer(String),
    RemoveServer {
        server: String,
        force: bool,
    },
    Alive,
    Home,
    Options(&'static str),
}

fn parse(method: &Method, path: &str, query: &str, body: &[u8]) -> Result<Operation, ApiError> {
    let bad_body = ApiError::BadRequest;
    let path = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    };
    let (route, rest) = match ENDPOINTS.find(method, path)? {
        Asked::For(route, rest) => (route, rest),
        Asked::Options(allow) => return Ok(Operation::Options(allow)),
    };
    if !matches!(
        route,
        Route::Set | Route::RemoveServer | Route::Alive | Route::Home
    ) {
        only(query, &[])?;
    }
    Ok(match route {
        Route::Set => {
            let pairs = body::pairs(body).map_err(bad_body)?;
            let atomic = flag(query, "atomic")?;
            Operation::Set { pairs, atomic }
        }
        Route::FetchAll => Operation::FetchAll,
        Route::Fetch => Operation::Fetch(body::keys(body).map_err(bad_body)?),
        Route::Query => Operation::Query(body::keys(body).map_err(bad_body)?),
        Route::Delete => Operation::Delete(body::keys(body).map_err(bad_body)?),
        Route::Servers => Operation::Servers,
        Route::AddServer => Operation::AddServer(address(&body::server(body).map_err(bad_body)?)?),
        Route::RemoveServer => {
            body::require_nothing(body).map_err(bad_body)?;
            let server = percent_decode_str(rest).decode_utf8_lossy();
            let (server, force) = (address(&server)?, flag(query, "force")?);
            Operation::RemoveServer { server, force }
        }
        Route::Alive => Operation::Alive,
        Route::Home => Operation::Home,
    })
}

/// The address of a server, in the spelling that all proxies use.
fn address(text: &str) -> Result<String, ApiError> {
    let node: Result<NodeId, _> = text.trim().parse();
    node.map(|node| node.as_str().to_owned())
        .map_err(|error| ApiError::BadRequest(error.to_string()))
}

/// A switch that is on, off or absent. It is the only parameter: a misspelled name must not be ignored.
fn flag(query: &str, name: &str) -> Result<bool, ApiError> {
    let values = only(query, &[name])?;
    let bad = |text: String| Err(ApiError::BadRequest(text));
    let mut meanings = values.iter().map(|value| meaning(value));
    let first = meanings.next().unwrap_or(Some(false));
    match first {
        Some(_) if meanings.any(|meaning| meaning != first) => bad(format!(
            "{name} was given more than once with different values; give it once"
        )),
        Some(is_on) => Ok(is_on),
        None => bad(format!("{name}={}: write true or false", values[0])),
    }
}

fn meaning(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "false" | "0" => Some(false),
        "true" | "1" | "" => Some(true),
        _ => None,
    }
}

/// The values of the parameters; names other than these are refused.
fn only(query: &str, known: &[&str]) -> Result<Vec<String>, ApiError> {
    let parameters: Vec<(String, String)> = serde_urlencoded::from_str(query)
        .map_err(|error| ApiError::BadRequest(format!("the query cannot be read: {error}")))?;
    let unknown = parameters
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        let advice = match text::nearest(name, known) {
            Some(meant) => format!("did you mean {meant}?"),
            None if known.is_empty() => "this path takes none".to_owned(),
            None => format!("there is {}", known.join(", ")),
        };
        let text = format!("{name} is no parameter here; {advice}");
        return Err(ApiError::BadRequest(text));
    }
    Ok(parameters.into_iter().map(|(_, value)| value).collect())
}

async fn act(pairs: &impl Pairs, operation: Operation) -> Response<Bytes> {
    match operation {
        Operation::Set { pairs: asked, atomic } if atomic => set_all(pairs, &asked).await,
        Operation::Set { pairs: asked, .. } => {
            let wanted = asked.iter().map(body::AskedPair::pair);
            let outcomes = for_those(wanted, KeyOutcome::Refused, |wanted| pairs.write(wanted)).await;
            reply::set(&asked, &outcomes)
        }
        Operation::FetchAll => match pairs.read_everything().await {
            Ok(everything) => reply::everything(&everything),
            Err(trouble) => reply::trouble(&trouble),
        },
        Operation::Fetch(asked) => {
            let results = for_those(keys(&asked), ReadResult::Missing, |keys| pairs.read(keys)).await;
            reply::fetched(&asked, &results)
        }
        Operation::Query(asked) => {
            let results = for_those(keys(&asked), ReadResult::Missing, |keys| pairs.read(keys)).await;
            reply::queried(&asked, &results)
        }
        Operation::Delete(asked) => {
            let outcomes = for_those(keys(&asked), KeyOutcome::Refused, |keys| pairs.delete(keys)).await;
            reply::deleted(&asked, &outcomes)
        }
        Operation::Servers => match pairs.servers().await {
            Ok(servers) => reply::servers(&servers),
            Err(trouble) => reply::trouble(&trouble),
        },
        Operation::AddServer(server) => changed(pairs, pairs.add_server(server).await).await,
        Operation::RemoveServer { server, force } => {
            changed(pairs, pairs.remove_server(server, force).await).await
        }
        Operation::Alive => alive(),
        Operation::Home => ENDPOINTS.home(),
        Operation::Options(allow) => options(allow),
    }
}

async fn set_all(pairs: &impl Pairs, asked: &[body::AskedPair]) -> Response<Bytes> {
    let wanted: Option<Vec<Pair>> = asked.iter().map(body::AskedPair::pair).collect();
    let stored = match wanted {
        Some(wanted) if !wanted.is_empty() => pairs.write_all(wanted).await,
        Some(_) => Ok(()),
        None => Err(Trouble::NotStored),
    };
    let all = |outcome| vec![outcome; asked.len()];
    match stored {
        Ok(()) => reply::set(asked, &all(KeyOutcome::Done)),
        Err(Trouble::NotStored) => reply::set(asked, &all(KeyOutcome::Refused)),
        Err(trouble) => reply::trouble(&trouble),
    }
}

fn keys(asked: &[AskedKey]) -> impl Iterator<Item = Option<Datum>> {
    asked.iter().map(|asked| asked.key.clone())
}

/// Asks for the valid ones; the others get `otherwise`.
async fn for_those<T, A, F>(
    wanted: impl Iterator<Item = Option<T>>,
    otherwise: A,
    ask: impl FnOnce(Vec<T>) -> F,
) -> Vec<A>
where
    A: Clone,
    F: Future<Output = Vec<A>>,
{
    let wanted: Vec<Option<T>> = wanted.collect();
    let known: Vec<bool> = wanted.iter().map(Option::is_some).collect();
    let wanted: Vec<T> = wanted.into_iter().flatten().collect();
    let answers = if wanted.is_empty() {
        Vec::new()
    } else {
        ask(wanted).await
    };
    let mut answers = answers.into_iter();
    let each = known
        .into_iter()
        .map(|known| if known { answers.next() } else { None });
    each.map(|answer| answer.unwrap_or_else(|| otherwise.clone()))
        .collect()
}

async fn changed(pairs: &impl Pairs, outcome: Result<u64, Trouble>) -> Response<Bytes> {
    match (outcome, pairs.servers().await) {
        (Ok(keys_moved), Ok(servers)) => reply::changed(&servers, keys_moved),
        (Err(trouble), _) | (_, Err(trouble)) => reply::trouble(&trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(method: &str, target: &str) -> Result<Operation, String> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = method.parse().expect("is a method");
        let body: &[u8] = if method == Method::DELETE { b"" } else { b"[]" };
        parse(&method, path, query, body).map_err(|why| format!("{why:?}"))
    }

    #[test]
    fn a_body_that_would_not_be_read_is_refused() {
        for nothing in ["", "null", "{}", "[]"] {
            let asked = parse(&Method::DELETE, "/servers/a:1", "", nothing.as_bytes());
            assert!(asked.is_ok(), "{nothing}");
        }
        let asked = parse(&Method::DELETE, "/servers/a:1", "", br#"{"dry_run":true}"#);
        assert!(matches!(asked, Err(ApiError::BadRequest(why)) if why.contains("after the path")));
    }

    #[test]
    fn a_slip_in_a_parameter_is_not_passed_over() {
        for (method, target, part) in [
            ("PUT", "/set?atmoic=true", "did you mean atomic?"),
            ("PUT", "/set?Atomic=true", "did you mean atomic?"),
            (
                "PUT",
                "/set?dry_run=true",
                "dry_run is no parameter here; there is atomic",
            ),
            ("PUT", "/set?atomic=perhaps", "write true or false"),
            ("PUT", "/set?atomic=true&atomic=false", "more than once"),
            ("POST", "/delete?dry_run=true", "this path takes none"),
            ("POST", "/servers?dryrun=1", "this path takes none"),
            ("POST", "/query?limit=3", "this path takes none"),
            ("GET", "/fetch?prefix=a", "this path takes none"),
            ("DELETE", "/servers/a:1?forced=true", "did you mean force?"),
        ] {
            let why = refusal(method, target).expect_err(target);
            assert!(why.contains(part), "{target}: {why}");
        }
        let atomic = Ok(Operation::Set {
            pairs: Vec::new(),
            atomic: true,
        });
        for query in ["atomic", "atomic=true", "atomic=TRUE", "atomic=1&atomic=true"] {
            assert_eq!(refusal("PUT", &format!("/set?{query}")), atomic, "{query}");
        }
    }
}
