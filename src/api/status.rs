//! Every status code and every `code` word, in one table; no other file knows a number.

use http::StatusCode;

use super::error::{ApiError, HeadFault};
use crate::node::{Refusal, ViewRefusal};

/// An answered read is 200, the default of every reply.
pub(super) const CREATED: StatusCode = StatusCode::CREATED;
pub(super) const REPLACED: StatusCode = StatusCode::OK;
/// Some of several operations were not done.
pub(super) const MIXED: StatusCode = StatusCode::MULTI_STATUS;
pub(super) const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

/// True if an operation with this status was done, or is known to find nothing.
pub(super) fn is_definite(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_FOUND
}

/// The part of an error that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub status: StatusCode,
    pub code: &'static str,
    /// Seconds after which another try may succeed.
    pub retry_after: Option<&'static str>,
}

/// The table of the contract.
pub(super) fn verdict(error: &ApiError) -> Verdict {
    use StatusCode as S;
    match error {
        ApiError::Refused(refusal) => refusal_verdict(refusal),
        ApiError::KeyNotFound { .. } => lasting(S::NOT_FOUND, "key_not_found"),
        ApiError::BadKey(_) => lasting(S::BAD_REQUEST, "bad_key"),
        ApiError::MissingVal(_) => lasting(S::BAD_REQUEST, "missing_val"),
        ApiError::ValueTooLarge { .. } => lasting(S::PAYLOAD_TOO_LARGE, "value_too_large"),
        ApiError::TooLarge(_) => lasting(S::PAYLOAD_TOO_LARGE, "too_large"),
        ApiError::BadRequest(_) => lasting(S::BAD_REQUEST, "bad_request"),
        ApiError::NotOffered(_) => lasting(S::BAD_REQUEST, "not_offered"),
        ApiError::BadEncoding(_) => lasting(S::UNSUPPORTED_MEDIA_TYPE, "bad_encoding"),
        ApiError::BadHead(HeadFault::NoRequest) => lasting(S::BAD_REQUEST, "bad_request"),
        ApiError::BadHead(HeadFault::HeadersTooLarge) => {
            lasting(S::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        }
        ApiError::BadHead(HeadFault::PathTooLong) => lasting(S::URI_TOO_LONG, "head_too_large"),
        ApiError::BadPartitionId(_) => lasting(S::BAD_REQUEST, "bad_partition_id"),
        ApiError::NoPartition { .. } => lasting(S::NOT_FOUND, "no_partition"),
        ApiError::NotFound(_) => lasting(S::NOT_FOUND, "not_found"),
        ApiError::BadMethod { .. } => lasting(S::METHOD_NOT_ALLOWED, "bad_method"),
        ApiError::BadViewChange(_) => lasting(S::BAD_REQUEST, "bad_view_change"),
        ApiError::View(refusal) => view_verdict(refusal),
        ApiError::NotReady { .. } => passing("not_ready"),
        ApiError::BodyTooSlow => lasting(S::REQUEST_TIMEOUT, "body_too_slow"),
    }
}

fn refusal_verdict(refusal: &Refusal) -> Verdict {
    use StatusCode as S;
    match refusal {
        Refusal::KeyNotFound { .. } => lasting(S::NOT_FOUND, "key_not_found"),
        Refusal::BadPayload(_) => lasting(S::BAD_REQUEST, "bad_payload"),
        Refusal::Unavailable { .. } => passing("unavailable"),
        Refusal::Behind { .. } => passing("behind"),
        // No Retry-After: repeating a write whose outcome is unknown is the client's decision.
        Refusal::UnknownOutcome { .. } => lasting(S::GATEWAY_TIMEOUT, "unknown_outcome"),
        Refusal::NotInView { .. } | Refusal::RemovedLongAgo => passing("not_in_view"),
        Refusal::OtherCluster(_) => passing("other_cluster"),
        Refusal::Starting { .. } => passing("starting"),
        Refusal::StorageFailed(_) => lasting(S::INSUFFICIENT_STORAGE, "storage_failed"),
        Refusal::Overloaded => passing("overloaded"),
        Refusal::AnswerTooLarge => lasting(S::PAYLOAD_TOO_LARGE, "answer_too_large"),
    }
}

fn view_verdict(refusal: &ViewRefusal) -> Verdict {
    use StatusCode as S;
    match refusal {
        ViewRefusal::NotHere(refusal) => refusal_verdict(refusal),
        ViewRefusal::AlreadyMember { .. } => lasting(S::CONFLICT, "already_member"),
        ViewRefusal::NotMember { .. } => lasting(S::NOT_FOUND, "not_member"),
        ViewRefusal::Impossible(_) => lasting(S::BAD_REQUEST, "bad_view_change"),
        ViewRefusal::Unreachable { .. } => passing("unreachable_node"),
        ViewRefusal::OtherCluster { .. } => lasting(S::CONFLICT, "other_cluster"),
        ViewRefusal::NoMajority { .. } => passing("no_majority"),
        ViewRefusal::WouldLoseData { .. } => lasting(S::CONFLICT, "would_lose_data"),
        // No Retry-After: the change goes on by itself, and a retry would find it done.
        ViewRefusal::Unfinished { .. } => lasting(S::GATEWAY_TIMEOUT, "unfinished"),
    }
}

/// The code of a refusal, for a status report.
pub(super) fn word(refusal: &Refusal) -> &'static str {
    refusal_verdict(refusal).code
}

/// The verdict on an error that another try will not change.
pub fn lasting(status: StatusCode, code: &'static str) -> Verdict {
    Verdict {
        status,
        code,
        retry_after: None,
    }
}

/// 503, and worth another try: most of these pass within a second.
pub fn passing(code: &'static str) -> Verdict {
    Verdict {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code,
        retry_after: Some("1"),
    }
}
