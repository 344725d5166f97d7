//! A node's answer, read as far as callers need it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ClientError;
use crate::names::NodeId;

/// An answer, of any status.
#[derive(Debug, Clone)]
pub struct Reply {
    pub node: NodeId,
    pub status: StatusCode,
    /// The body; null if it is no JSON.
    pub body: Value,
}

impl Reply {
    pub(super) fn new(node: NodeId, response: Response<Bytes>) -> Self {
        Self {
            node,
            status: response.status(),
            body: serde_json::from_slice(response.body()).unwrap_or(Value::Null),
        }
    }

    /// The body as one of the types that the server writes.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        T::deserialize(&self.body).map_err(|error| self.garbled(error))
    }

    /// A text in the body.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field)?.as_str()
    }

    /// A number in the body.
    pub fn number(&self, field: &str) -> Option<i64> {
        self.body.get(field)?.as_i64()
    }

    /// The stable code of an error.
    pub fn code(&self) -> Option<&str> {
        self.text("code")
    }

    pub(super) fn payload(&self) -> Option<&str> {
        self.text("causal_payload")
    }

    /// The error, for people.
    pub fn refusal(&self) -> String {
        match self.text("error") {
            Some(error) => format!("{error} ({} from {})", self.status.as_u16(), self.node),
            None => format!("{} answers {}", self.node, self.status),
        }
    }

    pub(super) fn garbled(&self, reason: impl ToString) -> ClientError {
        ClientError::Garbled {
            node: self.node.clone(),
            reason: reason.to_string(),
        }
    }
}

/// A value that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub value: Vec<u8>,
    pub reply: Reply,
}

impl Found {
    pub(super) fn from_reply(reply: Reply) -> Result<Self, ClientError> {
        let value = decoded_value(reply.text("value"), reply.text("value_base64"));
        let value = value.map_err(|reason| reply.garbled(reason))?;
        Ok(Self { value, reply })
    }
}

/// The value, from whichever of the two fields is present.
pub(super) fn decoded_value(text: Option<&str>, base64: Option<&str>) -> Result<Vec<u8>, String> {
    match (text, base64) {
        (Some(text), _) => Ok(text.as_bytes().to_vec()),
        (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|error| error.to_string()),
        (None, None) => Err("no value in its reply".into()),
    }
}

/// A write that was stored.
#[derive(Debug, Clone)]
pub struct Written {
    /// True if the key did not exist before.
    pub created: bool,
    pub partition_id: i64,
    /// How many replicas have it, if the node says so.
    pub replicas: Option<i64>,
    pub reply: Reply,
}

impl Written {
    pub(super) fn from_reply(reply: Reply) -> Result<Self, ClientError> {
        let partition_id = reply.number("partition_id");
        Ok(Self {
            created: reply.status == StatusCode::CREATED,
            partition_id: partition_id.ok_or_else(|| reply.garbled("no partition_id in its reply"))?,
            replicas: reply.number("replicas"),
            reply,
        })
    }
}
