//! Refuses parameters that would be ignored although the client means something by them: slips in a name,
//! and what other stores offer and this one does not.
//!
//! Where a slip would do something else than was asked (`dryrun=true` would change the view), every unknown
//! name is refused. On keys, where clients may send fields of their own, only these two kinds are refused.

use super::error::ApiError;
use super::parameters::Parameters;
use crate::text;

/// The parameters of a key's routes. Routes that store no value take the last one only.
const KEY_PARAMETERS: [&str; 3] = ["val", "val_base64", "causal_payload"];

/// Other names that people use for a parameter.
const SYNONYMS: [(&str, &[&str]); 9] = [
    ("val", &["value", "values"]),
    ("val_base64", &["value_base64", "base64"]),
    (
        "causal_payload",
        &["payload", "causal", "causal_context", "context"],
    ),
    (
        "ip_port",
        &[
            "ip", "port", "node", "address", "addr", "host", "member", "server",
        ],
    ),
    ("dry_run", &["preview", "simulate", "what_if", "no_op", "plan"]),
    ("force", &["forced"]),
    ("type", &["action", "op", "operation", "kind"]),
    (
        "after",
        &["cursor", "next", "from", "start", "start_after", "marker"],
    ),
    ("limit", &["count", "max", "size", "page_size", "max_keys"]),
];

/// Parameters that other stores take with a key, and the advice for each.
const NOT_OFFERED: [(&str, &[&str]); 4] = [
    (
        "writes are never conditional here; read the key, and hand the causal_payload of the answer to the write",
        &[
            "cas",
            "if_match",
            "if_none_match",
            "prev_value",
            "prev_index",
            "prev_exist",
            "prev_kv",
            "nx",
            "xx",
            "version",
            "revision",
            "lock",
            "acquire",
            "release",
            "expected",
            "old_value",
            "prev_revision",
            "mod_revision",
            "create_revision",
            "if_not_exists",
            "if_absent",
            "create_only",
            "etag",
        ],
    ),
    (
        "keys do not expire here; delete them",
        &[
            "ttl",
            "ttl_seconds",
            "expire",
            "expires",
            "expire_at",
            "expires_at",
            "expires_in",
            "expiration",
            "expiry",
            "ex",
            "px",
            "exat",
            "pxat",
            "keepttl",
            "max_age",
            "lease",
        ],
    ),
    (
        "changes of a key cannot be waited for here; read it again",
        &[
            "index",
            "wait",
            "wait_index",
            "wait_for",
            "watch",
            "stream",
            "recursive",
            "recurse",
        ],
    ),
    (
        "only update_view can be tried without effect",
        &["dry_run", "preview", "simulate", "what_if"],
    ),
];

/// Refuses every parameter except `known`. `wrong` makes the error from its text.
pub fn only<E>(parameters: &Parameters<'_>, known: &[&str], wrong: impl Fn(String) -> E) -> Result<(), E> {
    let Some(name) = parameters.names().find(|name| !known.contains(name)) else {
        return Ok(());
    };
    Err(wrong(match nearest(name, known) {
        Some(meant) => format!("{name} is no parameter here; did you mean {meant}?"),
        None => format!("{name} is no parameter here; there are {}", known.join(", ")),
    }))
}

/// Refuses parameters that must not be ignored on a key: a payload under another name, a condition, a time
/// to live; if `takes_val`, also a value under another name.
pub(super) fn on_key(parameters: &Parameters<'_>, takes_val: bool) -> Result<(), ApiError> {
    let payload = &KEY_PARAMETERS[KEY_PARAMETERS.len() - 1..];
    let meant = if takes_val { &KEY_PARAMETERS[..] } else { payload };
    let mut others = parameters.names().filter(|name| !KEY_PARAMETERS.contains(name));
    others.try_for_each(|name| unknown_on_key(name, parameters, meant))
}

/// Refuses parameters that must not be ignored on `/get/…` and `/set/…`, where the body is the value and
/// neither side sends a payload.
pub(super) fn on_plain_key(parameters: &Parameters<'_>) -> Result<(), ApiError> {
    on_key(parameters, false)?;
    let of_other_route = |name: &&str| nearest(name, &KEY_PARAMETERS).is_some();
    match parameters.names().find(of_other_route) {
        None => Ok(()),
        Some(name) => Err(ApiError::BadRequest(format!(
            "{name} is no parameter here: /set/<key> stores the body as it is, and neither it nor /get/<key> \
             carries a payload; use /kv-store/<key>"
        ))),
    }
}

fn unknown_on_key(name: &str, parameters: &Parameters<'_>, meant: &[&str]) -> Result<(), ApiError> {
    if let Some(instead) = not_offered(name) {
        return Err(ApiError::NotOffered(format!("{name} is not offered: {instead}")));
    }
    match nearest(name, meant) {
        Some("val") if !parameters.has("val") => Err(ApiError::MissingVal(format!(
            "val is missing, and {name} is no parameter here; did you mean val?"
        ))),
        Some(meant) => Err(ApiError::BadRequest(format!(
            "{name} is no parameter here; did you mean {meant}?"
        ))),
        None => Ok(()),
    }
}

/// The given name that was meant for `known`, if there is one.
pub(super) fn slip<'a>(parameters: &'a Parameters<'_>, known: &'static str) -> Option<&'a str> {
    parameters.names().find(|name| nearest(name, &[known]).is_some())
}

fn not_offered(name: &str) -> Option<&'static str> {
    let names_it = |names: &[&str]| names.iter().any(|known| is_same(name, known));
    let row = NOT_OFFERED.iter().find(|(_, names)| names_it(names));
    row.map(|(instead, _)| *instead)
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let is_synonym = |names: &[&str]| names.iter().any(|synonym| is_same(name, synonym));
    let meant = SYNONYMS.iter().find(|(_, names)| is_synonym(names));
    let synonym = meant.and_then(|(meant, _)| known.iter().copied().find(|known| known == meant));
    synonym.or_else(|| text::nearest(name, known))
}

/// True if both are one word, whatever separates its parts: `prevValue`, `prev-value`.
fn is_same(a: &str, b: &str) -> bool {
    let letters = |word: &str| {
        let letters = word.chars().filter(|c| c.is_alphanumeric());
        letters.map(|c| c.to_ascii_lowercase()).collect::<String>()
    };
    letters(a) == letters(b)
}
