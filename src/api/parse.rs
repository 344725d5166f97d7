//! Parses a request into an operation: pure, and tested by tables.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use http::request::Parts;

use super::accept::wanted_form;
use super::endpoints::Asked;
use super::error::ApiError;
use super::operation::{Operation, Question};
use super::parameters::{BYTES, Parameters};
use super::path::{decode_key, normalise};
use super::routes::{ENDPOINTS, Route};
use super::{batch, list, meant, plain, view};
use crate::names::Key;

/// The operation that the request asks for; values of more than `value_bytes_max` are refused.
pub(super) fn parse(parts: &Parts, body: &Bytes, value_bytes_max: usize) -> Result<Operation, ApiError> {
    let path = normalise(parts.uri.path());
    let path = match &*path {
        // The question is about the whole store, which is there for its keys.
        "*" if parts.method == Method::OPTIONS => "/kv-store/<key>",
        "/kv-store/" if is_about_all_keys(parts, body) => "/kv-store",
        path => path,
    };
    let (route, segment) = match ENDPOINTS.find(&parts.method, path)? {
        Asked::For(route, segment) => (route, segment),
        Asked::Options(allow) => return Ok(Operation::Options { allow }),
    };
    Ok(match route {
        Route::Key => return parse_key_operation(decode_key(segment)?, parts, body, value_bytes_max),
        Route::PlainGet => Operation::PlainGet {
            key: parse_plain_key(segment, "/get/", parts)?,
        },
        Route::PlainSet => Operation::PlainSet {
            key: parse_plain_key(segment, "/set/", parts)?,
            value: bounded(body.clone(), value_bytes_max)?,
        },
        Route::List => {
            let (listing, payload) = list::parse(&Parameters::read(parts, body)?)?;
            Operation::List { listing, payload }
        }
        Route::Batch => {
            // The body is not read as a form: it is JSON, whatever its declared type.
            let parameters = in_query(parts)?;
            meant::only(&parameters, &["causal_payload"], ApiError::BadRequest)?;
            let (operations, payload) = batch::parse(&parameters, body, value_bytes_max)?;
            Operation::Batch { operations, payload }
        }
        Route::UpdateView => Operation::UpdateView(view::parse(&Parameters::read(parts, body)?)?),
        Route::PartitionId => Operation::Ask(Question::PartitionId),
        Route::AllPartitionIds => Operation::Ask(Question::AllPartitionIds),
        Route::PartitionMembers => {
            let parameters = Parameters::read(parts, body)?;
            Operation::Ask(Question::PartitionMembers(partition_id(&parameters)?))
        }
        Route::NodeDetails => Operation::Ask(Question::NodeDetails),
        Route::AllReplicas => Operation::Ask(Question::AllReplicas),
        Route::Home => Operation::Home,
        Route::Status => Operation::Status,
        Route::Alive => Operation::Alive,
        Route::Ready => Operation::Ready {
            verbose: is_asked_for(Parameters::read(parts, body)?.one("verbose")?),
        },
    })
}

static NOTHING: Bytes = Bytes::new();

/// The parameters of a request whose body has none.
fn in_query(parts: &Parts) -> Result<Parameters<'_>, ApiError> {
    Parameters::read(parts, &NOTHING)
}

/// True if a request to `/kv-store/` means `/kv-store`, and not a missing key.
fn is_about_all_keys(parts: &Parts, body: &Bytes) -> bool {
    let lists = || {
        let parameters = Parameters::read(parts, body).ok();
        parameters.is_some_and(|parameters| parameters.names().next().is_some())
    };
    match parts.method {
        Method::POST => true,
        Method::GET | Method::HEAD => lists(),
        _ => false,
    }
}

fn parse_plain_key(segment: &str, path: &str, parts: &Parts) -> Result<Key, ApiError> {
    meant::on_plain_key(&in_query(parts)?)?;
    plain::key(segment, path)
}

fn parse_key_operation(
    key: Key,
    parts: &Parts,
    body: &Bytes,
    value_bytes_max: usize,
) -> Result<Operation, ApiError> {
    let parameters = Parameters::read(parts, body)?;
    let takes_val = parts.method == Method::PUT && !parameters.has_bytes();
    meant::on_key(&parameters, takes_val)?;
    let payload = parameters.payload();
    match parts.method {
        Method::PUT => {
            let value = bounded(value(body, &parameters)?, value_bytes_max)?;
            Ok(Operation::Put { key, value, payload })
        }
        Method::DELETE => parameters
            .require_read()
            .map(|()| Operation::Delete { key, payload }),
        _ => {
            parameters.require_read()?;
            Ok(Operation::Get {
                key,
                payload,
                form: wanted_form(&parts.headers),
            })
        }
    }
}

/// The value to store: the body as it is, or the parameter `val`, which may be empty, or `val_base64`.
fn value(body: &Bytes, parameters: &Parameters<'_>) -> Result<Bytes, ApiError> {
    let coded = parameters.one("val_base64")?;
    if parameters.has_bytes() {
        return match parameters.has("val") || coded.is_some() {
            true => Err(ApiError::BadRequest(format!(
                "val was given, and a body of type {BYTES}, which is a value too; send one of them"
            ))),
            false => Ok(body.clone()),
        };
    }
    if let Some(coded) = coded {
        parameters.require_read()?;
        return match parameters.has("val") {
            true => Err(batch::two_values()),
            false => batch::from_base64(coded).map(Bytes::from),
        };
    }
    let Some(value) = parameters.one("val")? else {
        let hint = parameters
            .misread()
            .unwrap_or("send it as a form (--data-urlencode 'val=...') or as JSON");
        return Err(ApiError::MissingVal(format!("val is missing; {hint}")));
    };
    parameters.require_read()?;
    Ok(match value {
        // Most values need no decoding and are slices of the body.
        Cow::Borrowed(text) if body.as_ptr_range().contains(&text.as_ptr()) => {
            body.slice_ref(text.as_bytes())
        }
        text => Bytes::copy_from_slice(text.as_bytes()),
    })
}

fn bounded(value: Bytes, bytes_max: usize) -> Result<Bytes, ApiError> {
    if value.len() > bytes_max {
        return Err(ApiError::ValueTooLarge { bytes_max });
    }
    Ok(value)
}

/// True for `?verbose` and `?verbose=true`, not for `?verbose=false`.
fn is_asked_for(given: Option<&Cow<'_, str>>) -> bool {
    given.is_some_and(|text| !["false", "0"].iter().any(|no| text.eq_ignore_ascii_case(no)))
}

fn partition_id(parameters: &Parameters<'_>) -> Result<i64, ApiError> {
    let text = parameters.one("partition_id")?;
    let Some(text) = text else {
        parameters.require_read()?;
        let text = match meant::slip(parameters, "partition_id") {
            Some(slip) => format!("is missing, and {slip} is no parameter here; did you mean partition_id?"),
            None => "is missing".into(),
        };
        return Err(ApiError::BadPartitionId(text));
    };
    text.trim()
        .parse()
        .map_err(|_| ApiError::BadPartitionId(format!("{text:?} is not a number")))
}

#[cfg(test)]
mod any_request;
#[cfg(test)]
mod tests;
