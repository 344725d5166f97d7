//! Calls to data servers, by a proxy or by another data server: one HTTP request each, within a limit.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use crate::apps::data_servers::messages::{Answer, Call};
use crate::names::NodeId;
use crate::net::http_client::{HttpClient, SendError};

/// The path of calls to a data server; not for clients.
pub(super) const CALL_PATH: &str = "/pairs-call";

/// The response header that tells which life of a data server answered.
pub(super) const LIFE_HEADER: &str = "causeway-data-server";

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nothing was done.
    #[error("{0}")]
    NotAsked(String),
    /// The call may have been carried out.
    #[error("{0}")]
    NoReply(String),
}

#[derive(Default)]
pub(super) struct Link {
    client: HttpClient,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    pub(super) async fn call(&self, call: &Call, limit: Duration) -> Result<Answer, NoAnswer> {
        Ok(self.call_known(call, limit).await?.0)
    }

    /// Like `call`, and tells which life of a server answered, if the server names it.
    pub(super) async fn call_known(
        &self,
        call: &Call,
        limit: Duration,
    ) -> Result<(Answer, Option<String>), NoAnswer> {
        let node = NodeId::as_stored(&call.to).map_err(not_asked)?;
        let body = serde_json::to_vec(call).expect("these types have names and texts only");
        let request = Request::post(CALL_PATH).body(Bytes::from(body));
        let request = request.expect("this is a request");
        let sent = self.client.send(&node, request, limit).await;
        let reply = sent.map_err(|error| match error {
            SendError::NotSent { .. } => not_asked(error),
            SendError::NoReply { .. } => NoAnswer::NoReply(error.to_string()),
        })?;
        let answer = serde_json::from_slice(reply.body())
            .map_err(|_| not_asked(format!("{node} is not a data server, or is overloaded")))?;
        let life = reply.headers().get(LIFE_HEADER);
        let life = life.and_then(|life| life.to_str().ok()).map(str::to_owned);
        Ok((answer, life))
    }
}

fn not_asked(reason: impl fmt::Display) -> NoAnswer {
    NoAnswer::NotAsked(reason.to_string())
}
