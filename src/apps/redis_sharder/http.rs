//! The HTTP interface of the sharder over Redis: its four operations and its status. Parameters come in
//! the query, in a form or in JSON.

use std::sync::LazyLock;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use serde::Serialize;

use super::bodies::{BroughtUp, NodeFailed, PairRead, PairStored, Success};
use super::{Found, Sharder, SharderError};
use crate::api::{
    ApiError, Asked, Endpoints, Parameters, Verdict, alive, json, lasting, normalise, only, options, passing,
};

/// The purpose of a path.
#[derive(Debug, Clone, Copy)]
enum Route {
    BringUp,
    FailNode,
    Put,
    Get,
    Status,
    Alive,
    Home,
}

static ENDPOINTS: LazyLock<Endpoints<Route>> = LazyLock::new(|| {
    Endpoints::new(&[
        (
            "POST, PUT /bringUp?n=<servers>&capacity=<pairs on each>&level=<copies of each key>",
            Route::BringUp,
        ),
        ("POST, PUT /failNode?port=<port>", Route::FailNode),
        ("POST, PUT /put?key=<integer>&value=<integer>", Route::Put),
        // POST for clients that send no body with GET.
        ("GET, POST /get?key=<integer>", Route::Get),
        ("GET /status", Route::Status),
        ("GET /livez", Route::Alive),
        ("GET /", Route::Home),
    ])
});

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    BringUp { servers: i64, capacity: i64, level: i64 },
    FailNode { port: i64 },
    Put { key: i64, value: i64 },
    Get { key: i64 },
    Status,
    Alive,
    Home,
    Options(&'static str),
}

/// Why a request was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Http(#[from] ApiError),
    #[error(transparent)]
    Sharder(#[from] SharderError),
    #[error("Key does not exist")]
    NoSuchKey,
    #[error("every server that had a copy of this key has died")]
    Lost,
}

impl Refused {
    fn into_reply(self) -> Response<Bytes> {
        match self {
            Self::Http(error) => error.into_reply(),
            Self::Sharder(error) => verdict(&error).tell(&error.to_string()),
            Self::NoSuchKey => lasting(StatusCode::NOT_FOUND, "key_not_found").tell(&self.to_string()),
            Self::Lost => lasting(StatusCode::GONE, "lost").tell(&self.to_string()),
        }
    }
}

/// The status and code of each error, as in the contract.
fn verdict(error: &SharderError) -> Verdict {
    use StatusCode as S;
    match error {
        SharderError::BadArgument(_) => lasting(S::BAD_REQUEST, "bad_argument"),
        SharderError::NotUp => lasting(S::CONFLICT, "not_up"),
        SharderError::AlreadyUp => lasting(S::CONFLICT, "already_up"),
        SharderError::PortInUse(_) => lasting(S::CONFLICT, "port_in_use"),
        SharderError::NotInstalled { .. } => lasting(S::INTERNAL_SERVER_ERROR, "not_installed"),
        SharderError::CannotRun { .. } | SharderError::CannotStart { .. } => {
            lasting(S::INTERNAL_SERVER_ERROR, "cannot_start")
        }
        // No Retry-After: a dead server does not come back.
        SharderError::TooFewServers { .. } => lasting(S::SERVICE_UNAVAILABLE, "too_few_servers"),
        SharderError::CapacityExceeded => lasting(S::INSUFFICIENT_STORAGE, "capacity_exceeded"),
        SharderError::Unavailable => passing("unavailable"),
    }
}

/// Answers one request to a sharder.
pub(super) async fn respond(sharder: &Sharder, request: Request<Bytes>) -> Response<Bytes> {
    let (parts, body) = request.into_parts();
    let outcome = match parse(&parts, &body) {
        Ok(operation) => act(sharder, operation).await,
        Err(refused) => Err(refused),
    };
    outcome.unwrap_or_else(Refused::into_reply)
}

fn parse(parts: &Parts, body: &Bytes) -> Result<Operation, Refused> {
    let path = normalise(parts.uri.path());
    let route = match ENDPOINTS.find(&parts.method, &path)? {
        Asked::For(route, _) => route,
        Asked::Options(allow) => return Ok(Operation::Options(allow)),
    };
    let parameters = Parameters::read(parts, body)?;
    parameters.require_read()?;
    let only = |known: &[&str]| {
        let bad = |text| Refused::Sharder(SharderError::BadArgument(text));
        only(&parameters, known, bad)
    };
    let number = |names: &[&str]| number(&parameters, names);
    Ok(match route {
        Route::BringUp => {
            only(&["n", "N", "capacity", "level", "reliabilityLevel"])?;
            Operation::BringUp {
                servers: number(&["n", "N"])?,
                capacity: number(&["capacity"])?,
                level: number(&["level", "reliabilityLevel"])?,
            }
        }
        Route::FailNode => {
            only(&["port"])?;
            let port = number(&["port"])?;
            Operation::FailNode { port }
        }
        Route::Put => {
            only(&["key", "value"])?;
            let (key, value) = (number(&["key"])?, number(&["value"])?);
            Operation::Put { key, value }
        }
        Route::Get => {
            only(&["key"])?;
            let key = number(&["key"])?;
            Operation::Get { key }
        }
        Route::Status => Operation::Status,
        Route::Alive => Operation::Alive,
        Route::Home => Operation::Home,
    })
}

/// The parameter that has one of these names.
fn number(parameters: &Parameters<'_>, names: &[&str]) -> Result<i64, Refused> {
    let bad = |text: String| Refused::Sharder(SharderError::BadArgument(text));
    for name in names {
        if let Some(text) = parameters.one(name)? {
            let number = text.trim().parse();
            return number.map_err(|_| bad(format!("{name} is {text:?}; it must be a 64-bit integer")));
        }
    }
    Err(bad(format!("{} is missing; GET / lists the endpoints", names[0])))
}

async fn act(sharder: &Sharder, operation: Operation) -> Result<Response<Bytes>, Refused> {
    Ok(match operation {
        Operation::BringUp {
            servers,
            capacity,
            level,
        } => {
            let ports = sharder.bring_up(servers, capacity, level).await?;
            success(BroughtUp { ports })
        }
        Operation::FailNode { port } => {
            let repaired = sharder.fail_node(port).await?;
            success(NodeFailed {
                copied: repaired.copied,
                under_replicated: repaired.under_replicated,
                lost: repaired.lost,
            })
        }
        Operation::Put { key, value } => {
            let stored = sharder.put(key, value).await?;
            success(PairStored {
                replicas: stored.replicas,
                target: stored.target,
                degraded: stored.is_degraded(),
            })
        }
        Operation::Get { key } => match sharder.get(key).await? {
            Found::Value(value) => success(PairRead { key, value }),
            Found::NotFound => return Err(Refused::NoSuchKey),
            Found::Lost => return Err(Refused::Lost),
        },
        Operation::Status => success(sharder.status().await?),
        Operation::Alive => alive(),
        Operation::Home => ENDPOINTS.home(),
        Operation::Options(allow) => options(allow),
    })
}

fn success(reply: impl Serialize) -> Response<Bytes> {
    json(&Success::new(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: &str, target: &str, body: &str) -> Result<Operation, Refused> {
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", kind);
        let (parts, body) = request
            .body(Bytes::from(body.to_owned()))
            .expect("is a request")
            .into_parts();
        parse(&parts, &body)
    }

    #[test]
    fn parameters_may_stand_anywhere() {
        let bring_up = Operation::BringUp {
            servers: 5,
            capacity: 3,
            level: 2,
        };
        let put = Operation::Put {
            key: i64::MIN,
            value: i64::MAX,
        };
        for (method, target, body, expected) in [
            ("POST", "/bringUp?n=5&capacity=3&level=2", "", bring_up),
            (
                "POST",
                "/bringUp",
                r#"{"n":5,"capacity":3,"reliabilityLevel":2}"#,
                bring_up,
            ),
            ("PUT", "/bringUp?N=5", "capacity=3&level=2", bring_up),
            (
                "PUT",
                "/put?key=-9223372036854775808&value=9223372036854775807",
                "",
                put,
            ),
            (
                "POST",
                "/put",
                r#"{"key":-9223372036854775808,"value":"9223372036854775807"}"#,
                put,
            ),
            ("GET", "/get?key=7", "", Operation::Get { key: 7 }),
            ("POST", "/get", r#"{"key":7}"#, Operation::Get { key: 7 }),
            (
                "POST",
                "/failNode?port=9001",
                "",
                Operation::FailNode { port: 9001 },
            ),
            ("GET", "/status", "", Operation::Status),
            ("GET", "/livez", "", Operation::Alive),
            ("GET", "/", "", Operation::Home),
            (
                "OPTIONS",
                "/get",
                "",
                Operation::Options("GET, HEAD, POST, OPTIONS"),
            ),
        ] {
            assert_eq!(
                parsed(method, target, body),
                Ok(expected),
                "{method} {target} {body}"
            );
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (method, target, part) in [
            ("PUT", "/put?key=1", "value is missing"),
            ("PUT", "/put?key=1&value=2.5", "value is \"2.5\""),
            ("PUT", "/put?key=1&key=2&value=2", "key was given more than once"),
            ("GET", "/get?key=9223372036854775808", "64-bit"),
            ("GET", "/put?key=1&value=2", "does not take GET"),
            ("DELETE", "/get?key=1", "does not take DELETE"),
            ("GET", "/bringup", "nothing at /bringup"),
            ("POST", "/failNode", "port is missing"),
            ("PUT", "/put?key=1&value=2&ttl=3", "ttl is no parameter here"),
            ("POST", "/failNode?prot=9000", "did you mean port?"),
        ] {
            let error = parsed(method, target, "").expect_err("is a mistake").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
