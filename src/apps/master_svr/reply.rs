//! The replies of `master-svr` and `svr`: all status codes, which no other file has.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::apps::master_svr::decisions::Refusal;

pub(super) const DONE: StatusCode = StatusCode::OK;
/// The owner of the key has no such key.
pub(super) const NO_SUCH_KEY: StatusCode = StatusCode::NOT_FOUND;
/// Another server owns the key.
pub(super) const ELSEWHERE: StatusCode = StatusCode::MISDIRECTED_REQUEST;
/// Ask again in a moment.
pub(super) const NOT_YET: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
pub(super) const TOO_LARGE: StatusCode = StatusCode::PAYLOAD_TOO_LARGE;
pub(super) const NONSENSE: StatusCode = StatusCode::BAD_REQUEST;

pub(super) fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = status;
    reply
}

pub(super) fn refuse(refusal: Refusal) -> Response<Bytes> {
    match refusal {
        Refusal::Elsewhere => reply(ELSEWHERE, "another server owns this key\n"),
        Refusal::Unsettled => reply(NOT_YET, "the owner of this key is changing; try again\n"),
    }
}

pub(super) fn bad_request() -> Response<Bytes> {
    reply(
        NONSENSE,
        "no such request: servers and master take different requests, and keys are 64-bit integers\n",
    )
}
