//! The meaning of requests, in tables.

use http::Request;

use super::*;
use crate::api::operation::Form;
use crate::api::status::verdict;
use crate::node::{RequestKind, ViewRequest};

const VALUE_BYTES_MAX: usize = 10;

/// A request as it is written in a table: `METHOD target | type of the body | body`.
fn ask(line: &str) -> Result<Operation, ApiError> {
    let mut columns = line.split(" | ").map(str::trim);
    let (method, target) = columns
        .next()
        .and_then(|c| c.split_once(' '))
        .expect("is a request line");
    let content_type = match columns.next() {
        None | Some("form") => "application/x-www-form-urlencoded",
        Some("json") => "application/json",
        Some("bytes") => "application/octet-stream",
        Some(other) => other,
    };
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("content-type", content_type);
    parse_built(request, columns.next().unwrap_or_default())
}

fn parse_built(request: http::request::Builder, body: &str) -> Result<Operation, ApiError> {
    let (parts, ()) = request.body(()).expect("is a request").into_parts();
    parse(&parts, &Bytes::copy_from_slice(body.as_bytes()), VALUE_BYTES_MAX)
}

/// The lines of a table, cut at `=>`.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| {
        line.split_once("=>")
            .map(|(l, r)| (l.trim(), r.trim()))
            .expect("has two sides")
    })
}

/// An operation as it is written in a table.
fn show(operation: Operation) -> String {
    match operation {
        Operation::Get {
            key,
            payload,
            form: Form::Json,
        } => format!("get {key} {payload:?}"),
        Operation::Get {
            key,
            payload,
            form: Form::Bytes,
        } => format!("get bytes {key} {payload:?}"),
        Operation::Put { key, value, payload } => {
            format!(
                "put {key} {payload:?} {:?}",
                std::str::from_utf8(&value).expect("is text")
            )
        }
        Operation::Delete { key, payload } => format!("delete {key} {payload:?}"),
        Operation::UpdateView(ViewRequest { node, kind, dry_run }) => {
            let (verb, how) = match kind {
                RequestKind::Add => ("add", ""),
                RequestKind::Remove { force: false } => ("remove", ""),
                RequestKind::Remove { force: true } => ("remove", " by force"),
            };
            format!("{}{verb} {node}{how}", if dry_run { "dry " } else { "" })
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn every_request_of_the_contract_is_understood() {
    let table = r#"
        GET /kv-store/x                                      => get x ""
        GET /kv-store/x | form | causal_payload=p            => get x "p"
        HEAD /kv-store/x?causal_payload=p                    => get x "p"
        PUT /kv-store/x | form | val=a&causal_payload=p      => put x "p" "a"
        DELETE /kv-store/x | form | causal_payload=p         => delete x "p"
        PUT /kv-store/update_view?type=add | form | ip_port=a:1 => add a:1
        PUT /kv-store/update_view?type=add&ip_port=A:01      => add a:1
        PUT /kv-store/update_view?dry_run=true | form | type=add&ip_port=a%3A1 => dry add a:1
        PUT /kv-store/update_view?type=remove | form | ip_port=a:1 => remove a:1
        PUT /kv-store/update_view?type=remove&force=true | form | ip_port=a:1 => remove a:1 by force
        PUT /kv-store/update_view?type=remove&force=false&dry_run=false&ip_port=a:1 => remove a:1
        PUT /kv-store/update_view | json | {"type":"remove","ip_port":"a:1","force":true,"dry_run":true} => dry remove a:1 by force
        GET /kv-store/get_partition_id                       => Ask(PartitionId)
        GET /kv-store/get_all_partition_ids                  => Ask(AllPartitionIds)
        GET /kv-store/get_partition_members | form | partition_id=1 => Ask(PartitionMembers(1))
        GET /kv-store/get_partition_members | json | {"partition_id":1} => Ask(PartitionMembers(1))
        GET /kv-store/get_partition_members?partition_id=-1  => Ask(PartitionMembers(-1))
        GET /kv-store/get_node_details                       => Ask(NodeDetails)
        GET /kv-store/get_all_replicas                       => Ask(AllReplicas)
        GET /                                                => Home
        HEAD /status                                         => Status
        GET /livez                                           => Alive
        GET /readyz                                          => Ready { verbose: false }
        GET /readyz?verbose                                  => Ready { verbose: true }
        GET /readyz?verbose=false                            => Ready { verbose: false }
        PUT /kv-store/update_view?type=ADD&dry_run=True | form | ip_port=a:1&causal_payload=p => dry add a:1
        GET /kv-store/x?causal_payload=p%0D%0A               => get x "p"
        GET /kv-store/x?_=17&pretty                          => get x ""
        DELETE /kv-store/x?value=1                           => delete x ""
        PUT /kv-store/x | form | <BOM>val=a                  => put x "" "a"
        PUT /kv-store/x | json | <BOM>{"val":"a"}            => put x "" "a"
        OPTIONS /livez                                       => Options { allow: "GET, HEAD, OPTIONS" }
        OPTIONS *                => Options { allow: "GET, HEAD, PUT, DELETE, OPTIONS" }
        PUT /kv-store/update%5Fview?type=add | form | ip_port=a:1 => add a:1
        PUT /kv-store/key/update_view | form | val=a         => put update_view "" "a"
        GET /kv-store/%C3%A9%2F                              => get é/ ""
    "#;
    for (request, operation) in rows(table) {
        let request = request.replace("<BOM>", "\u{feff}");
        assert_eq!(ask(&request).map(show), Ok(operation.into()), "{request}");
    }
}

#[test]
fn a_slash_behind_kv_store_lists_keys_if_a_listing_is_asked_for() {
    for (short, long) in [
        ("GET /kv-store?prefix=", "GET /kv-store/?prefix="),
        ("GET /kv-store?limit=5", "GET /kv-store/ | form | limit=5"),
        ("POST /kv-store | json | []", "POST /kv-store/ | json | []"),
    ] {
        assert_eq!(ask(long), ask(short), "{long}");
        assert!(ask(long).is_ok(), "{long}");
    }
}

#[test]
fn values_come_in_any_of_the_bodies() {
    let table = r#"
        PUT /kv-store/x | form | val=a+b%2B                  => "a b+"
        PUT /kv-store/x | form | val=                        => ""
        PUT /kv-store/x | form | val                         => ""
        PUT /kv-store/x | form | val=100%                    => "100%"
        PUT /kv-store/x | form | val=a=b                     => "a=b"
        PUT /kv-store/x | form | val=é                       => "é"
        PUT /kv-store/x?val=q                                => "q"
        PUT /kv-store/x?val=q | form | val=q                 => "q"
        PUT /kv-store/x | Application/X-WWW-Form-URLencoded; charset=utf-8 | val=a => "a"
        PUT /kv-store/x | json | {"val":"a\n"}               => "a\n"
        PUT /kv-store/x | json | {"val":""}                  => ""
        PUT /kv-store/x | json | {"val_base64":"YQo="}       => "a\n"
        PUT /kv-store/x | json | {"val_base64":""}           => ""
        PUT /kv-store/x?val_base64=YQo=                      => "a\n"
        PUT /kv-store/x | json | {"val":7,"other":null}      => "7"
        PUT /kv-store/x | application/json; charset=utf-8 | {"val":true} => "true"
        PUT /kv-store/x | bytes | val=a                      => "val=a"
        PUT /kv-store/x | bytes                              => ""
    "#;
    for (request, value) in rows(table) {
        assert_eq!(
            ask(request).map(show),
            Ok(format!("put x \"\" {value}")),
            "{request}"
        );
    }
}

#[test]
fn payloads_from_everywhere_are_joined() {
    let headed = |method| {
        let request = Request::builder()
            .method(method)
            .uri("/kv-store/x?causal_payload=q");
        request
            .header("causal-payload", "h")
            .header("Causal-Payload", "i")
    };
    let form = parse_built(headed("GET"), "causal_payload=b&causal_payload=c&causal_payload=");
    assert_eq!(form.map(show), Ok(r#"get x "h,i,q,b,c""#.into()));
    let bytes = headed("PUT").header("content-type", BYTES);
    assert_eq!(
        parse_built(bytes, "a").map(show),
        Ok(r#"put x "h,i,q" "a""#.into())
    );
    let json = ask(r#"DELETE /kv-store/x | json | {"causal_payload":"j"}"#);
    assert_eq!(json.map(show), Ok(r#"delete x "j""#.into()));
}

#[test]
fn a_header_called_like_the_parameter_is_no_payload_that_is_lost() {
    let request = Request::get("/kv-store/x").header("causal_payload", "p");
    let error = parse_built(request, "").expect_err("is misnamed");
    assert_eq!(verdict(&error).code, "bad_request");
    assert!(error.to_string().contains("is called Causal-Payload"), "{error}");
}

#[test]
fn bytes_are_given_to_clients_that_ask_for_them() {
    for (accept, operation) in [
        ("application/octet-stream", r#"get bytes x """#),
        ("text/html, Application/Octet-Stream;q=0.9", r#"get bytes x """#),
        ("*/*", r#"get x """#),
        ("application/json", r#"get x """#),
    ] {
        let request = Request::get("/kv-store/x").header("accept", accept);
        assert_eq!(
            parse_built(request, "").map(show),
            Ok(operation.into()),
            "{accept}"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    let table = r#"
        PUT /kv-store/x                                      => missing_val: val is missing
        PUT /kv-store/x | form | value=a                     => missing_val: did you mean val?
        PUT /kv-store/x | json | {"Val":"a"}                 => missing_val: did you mean val?
        PUT /kv-store/x | form | {"val":"a"}                 => missing_val: Content-Type: application/json
        PUT /kv-store/x?val=a | form | {"val":"a"}           => bad_request: Content-Type: application/json
        GET /kv-store/x | form | {"causal_payload":"p"}      => bad_request: Content-Type: application/json
        PUT /kv-store/x | text/plain | val=a                 => missing_val: text/plain
        DELETE /kv-store/x | text/plain | a                  => bad_request: text/plain
        PUT /kv-store/x | json | {"val":                     => bad_request: JSON
        PUT /kv-store/x | json | ["val"]                     => bad_request: an object
        PUT /kv-store/x | json | {"val":{}}                  => bad_request: val must be a JSON string
        PUT /kv-store/x | json | {"val":1.10}                => bad_request: val must be a JSON string
        PUT /kv-store/x | json | {"val":null}                => missing_val: val is missing
        PUT /kv-store/x | json | {"val":"a","val_base64":""} => bad_request: not both
        PUT /kv-store/x | json | {"val_base64":"*"}          => bad_request: is not base64
        PUT /kv-store/x | json | {"val":"a","value_base64":"YQ=="} => bad_request: did you mean val_base64?
        PUT /kv-store/x | json | {"value_base64":"YQ=="}     => bad_request: did you mean val_base64?
        PUT /kv-store/x | json | {"val":"a","val":"b"}       => bad_request: more than once
        PUT /kv-store/x?val=b | form | val=a                 => bad_request: more than once
        PUT /kv-store/x | form | val=%FF                     => bad_request: octet-stream
        PUT /kv-store/x | form | val=12345678901             => value_too_large: larger than 10 bytes
        PUT /kv-store/x | bytes | 12345678901                => value_too_large: larger than 10 bytes
        GET /kv-store/                                       => bad_key: empty
        GET /kv-store/key/                                   => bad_key: empty
        GET /kv-store/a/b                                    => bad_key: percent-encoded
        GET /kv-store/a+b                                    => bad_key: percent-encoded
        GET /kv-store/get_partition_members                  => bad_partition_id: missing
        GET /kv-store/get_partition_members?partition_id=x   => bad_partition_id: not a number
        PUT /kv-store/update_view                            => bad_view_change: type is missing; write update_view?type=add or
        PUT /kv-store/update_view | form | val=a             => bad_view_change: val is no parameter here; there are type, ip_port
        PUT /kv-store/update_view?type=add&dryrun=true | form | ip_port=a:1 => bad_view_change: dryrun is no parameter here; did you mean dry_run?
        PUT /kv-store/update_view?type=add&dry-run=true&ip_port=a:1 => bad_view_change: did you mean dry_run?
        PUT /kv-store/update_view?type=remove&ip_port=a:1&DRY_RUN=true => bad_view_change: did you mean dry_run?
        PUT /kv-store/update_view?type=remove&ip_port=a:1 | json | {"dryRun":true} => bad_view_change: did you mean dry_run?
        PUT /kv-store/update_view?type=remove&ip_port=a:1 | json | {"dry_run":null} => bad_view_change: dry_run is null; write dry_run=true or
        PUT /kv-store/update_view?type=remove&ip_port=a:1 | json | {"dryrun":null} => bad_view_change: did you mean dry_run?
        PUT /kv-store/update_view?type=remove&ip_port=a:1 | json | {"force":null} => bad_view_change: force is null
        PUT /kv-store/update_view?type=remove | form | ip_port="a:1" => bad_view_change: has quotes in it, which belong to no address; write a:1
        PUT /kv-store/update_view?type=remove&ip_port=a:1&preview=1 => bad_view_change: did you mean dry_run?
        PUT /kv-store/update_view?type=remove&ip_port=a:1&forced=true => bad_view_change: did you mean force?
        PUT /kv-store/update_view?type=remove&address=a:1    => bad_view_change: did you mean ip_port?
        PUT /kv-store/update_view?type=remove&ip_port=a:1&timeout=5 => bad_view_change: timeout is no parameter here
        PUT /kv-store/x?cas=0 | form | val=a                 => not_offered: cas is not offered: writes are never conditional
        PUT /kv-store/x | form | val=a&ttl=5                 => not_offered: ttl is not offered: keys do not expire
        PUT /kv-store/x?prevValue=b | form | val=a           => not_offered: prevValue is not offered
        PUT /kv-store/x | json | {"val":"a","NX":true}       => not_offered: NX is not offered
        GET /kv-store/x?wait=true                            => not_offered: wait is not offered: changes of a key
        GET /kv-store/x?index=7                              => not_offered: index is not offered
        GET /kv-store/x?watch                                => not_offered: watch is not offered
        DELETE /kv-store/x?dry_run=true                      => not_offered: only update_view can be tried
        DELETE /kv-store/x?cas=5                             => not_offered: cas is not offered
        PUT /set/x?ttl=5                                     => not_offered: ttl is not offered
        PUT /kv-store/x | json | {"val":"a","ttl":null}      => not_offered: ttl is not offered
        PUT /kv-store/x?if_not_exists | form | val=a         => not_offered: writes are never conditional
        PUT /set/x?val=a                                     => bad_request: stores the body as it is
        PUT /set/x?value=a                                   => bad_request: use /kv-store/<key>
        GET /get/x?causal_payload=p                          => bad_request: carries a payload
        GET /kv-store/x?payload=p                            => bad_request: payload is no parameter here; did you mean causal_payload?
        GET /kv-store/x | form | causal-payload=p            => bad_request: did you mean causal_payload?
        PUT /kv-store/x | form | val=a&value=b               => bad_request: did you mean val?
        PUT /kv-store/x?val=a | bytes | b                    => bad_request: send one of them
        PUT /kv-store/x?val=a | bytes                        => bad_request: send one of them
        GET /kv-store?prefx=a                                => bad_request: did you mean prefix?
        GET /kv-store/?prefx=a                               => bad_request: did you mean prefix?
        POST /kv-store?dry_run=true | json | []              => bad_request: dry_run is no parameter here
        GET /kv-store/get_partition_members?partitionId=1    => bad_partition_id: did you mean partition_id?
        PUT /kv-store/update_view?type=swap | form | ip_port=a:1 => bad_view_change: type is "swap"; write update_view?type=add or
        PUT /kv-store/update_view?type=add                   => bad_view_change: ip_port is missing; name the node
        PUT /kv-store/update_view?type=add | form | ip_port= => bad_view_change: has no port; write host:port
        PUT /kv-store/update_view?type=add | form | ip_port=a => bad_view_change: ip_port: "a" has no port; write host:port
        PUT /kv-store/update_view?type=add | form | ip_port=10.0.0.300:80 => bad_view_change: no host that could be
        PUT /kv-store/update_view?type=add&dry_run | form | ip_port=a:1 => bad_view_change: write dry_run=true or dry_run=false
        PUT /kv-store/update_view?type=add&dry_run=yes | form | ip_port=a:1 => bad_view_change: dry_run is "yes"; write
        PUT /kv-store/update_view?type=remove&force=1 | form | ip_port=a:1 => bad_view_change: write force=true or force=false
        PUT /kv-store/update_view?type=add&force=true | form | ip_port=a:1 => bad_view_change: force is for removing only
        PUT /kv-store/update_view?type=add | form | type=remove&ip_port=a:1 => bad_request: type was given more than once
        PUT /kv-store/update_view?type=add | form | {"ip_port":"a:1"} => bad_request: Content-Type: application/json
        PUT /kv-store/update_view?type=add&ip_port=a:1 | text/plain | dry_run=true => bad_request: text/plain
        GET /nowhere                                         => not_found: /nowhere
        POST /kv-store/x                                     => bad_method: GET, HEAD, PUT, DELETE, OPTIONS
        GET /kv-store/update_view                            => bad_method: PUT, OPTIONS
        PUT /livez                                           => bad_method: GET, HEAD, OPTIONS
    "#;
    for (request, expected) in rows(table) {
        let (code, text) = expected.split_once(": ").expect("has a word and a text");
        let error = ask(request).expect_err(request);
        assert_eq!(verdict(&error).code, code, "{request}: {error}");
        assert!(error.to_string().contains(text), "{request}: {error}");
    }
}

#[test]
fn a_value_is_taken_from_the_body_where_it_lies() {
    let (parts, ()) = Request::put("/kv-store/x")
        .body(())
        .expect("is a request")
        .into_parts();
    let body = Bytes::from_static(b"causal_payload=p&val=abc");
    let Ok(Operation::Put { value, .. }) = parse(&parts, &body, VALUE_BYTES_MAX) else {
        panic!("is a write");
    };
    assert!(body.as_ptr_range().contains(&value.as_ptr()));
}
