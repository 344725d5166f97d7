//! Tests the contract's requests and replies on real containers: two partitions of two, and a proxy.

use std::sync::{Arc, Mutex, Weak};

use crate::ask::{get, put};
use crate::cluster::Cluster;
use crate::patience::PROMPT;
use crate::support::request::Request;

/// One cluster for all concurrent tests of this file and of `errors`; the last one to finish removes it.
/// They use different keys and change nothing else.
pub(crate) fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::start_new(5, 2));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

/// The node of the shared cluster that is not a replica: the last in sorted order.
const PROXY: usize = 4;

#[test]
fn put_creates_then_replaces_and_get_returns_it() {
    let cluster = shared();
    let created = cluster.put(0, "api-put", "one", "").expect(201);
    let replaced = cluster.put(1, "api-put", "two", &created.payload()).expect(200);
    for reply in [&created, &replaced] {
        assert_eq!(reply.json()["result"], "success", "{reply}");
        assert_eq!(reply.json()["msg"], "success", "{reply}");
        assert!((0..2).contains(&reply.number("partition_id")), "{reply}");
        assert_eq!(reply.number("replicas"), 2, "{reply}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{reply}");
    }
    let read = cluster
        .get(2, "api-put", &replaced.payload())
        .expect(200)
        .within(PROMPT);
    assert_eq!(read.text("value"), "two");
    assert_eq!(read.json()["msg"], "success");
    assert_eq!(read.number("partition_id"), created.number("partition_id"));
    // The timestamp is the write's, and comes with the value.
    assert_eq!(read.text("timestamp"), replaced.text("timestamp"));
    let (seconds, fraction) = (replaced.text("timestamp"), created.text("timestamp"));
    for timestamp in [seconds, fraction] {
        let (whole, part) = timestamp.split_once('.').expect("a fraction");
        assert!(
            whole.parse::<u64>().is_ok_and(|seconds| seconds > 1_700_000_000),
            "{timestamp}"
        );
        assert!(part.parse::<u64>().is_ok(), "{timestamp}");
    }
}

#[test]
fn a_payload_survives_an_unquoted_curl_and_stays_short() {
    let cluster = shared();
    let mut payload = String::new();
    for number in 0..40 {
        let key = format!("api-short-{number}");
        payload = cluster.put(number % 5, &key, "v", &payload).expect(201).payload();
        payload = cluster
            .get((number + 1) % 5, &key, &payload)
            .expect(200)
            .payload();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(payload.chars().all(plain), "{payload}");
        assert!(payload.len() < 100, "{} bytes: {payload}", payload.len());
    }
}

#[test]
fn parameters_come_by_form_query_json_and_header() {
    let cluster = shared();
    let path = "/kv-store/api-ways";
    let at = |request| cluster.send(0, request);
    let payload = at(Request::new("PUT", path).form(&[("val", "a b+c&d=e%")]))
        .expect(201)
        .payload();
    let reads = [
        Request::new("GET", path).form(&[("causal_payload", &payload)]),
        Request::new("GET", &format!("{path}?causal_payload={payload}")),
        Request::new("GET", path).body("application/json", format!(r#"{{"causal_payload":"{payload}"}}"#)),
        Request::new("GET", path).header("Causal-Payload", &payload),
        // A payload in both field and header is joined, and so are several payloads in one of them.
        Request::new("GET", &format!("{path}?causal_payload={payload},{payload}"))
            .header("causal-payload", &payload),
        Request::new("GET", path),
    ];
    for request in reads {
        let reply = at(request).expect(200);
        assert_eq!(reply.text("value"), "a b+c&d=e%");
        assert_eq!(
            reply.header("causal-payload"),
            Some(reply.payload().as_str()),
            "{reply}"
        );
    }
    at(Request::new("PUT", &format!("{path}?val=query"))).expect(200);
    assert_eq!(cluster.get(3, "api-ways", "").expect(200).text("value"), "query");
    at(Request::new("PUT", path).body("application/json", r#"{"val":"json ✓","causal_payload":""}"#))
        .expect(200);
    assert_eq!(cluster.get(3, "api-ways", "").expect(200).text("value"), "json ✓");
    at(Request::new("PUT", &format!("{path}?val=one")).form(&[("val", "two")])).expect(400);
    assert_eq!(cluster.get(3, "api-ways", "").expect(200).text("value"), "json ✓");
}

#[test]
fn bytes_go_in_and_come_out_as_they_are() {
    let cluster = shared();
    let path = "/kv-store/api-bytes";
    let bytes = [0_u8, 255, 10, 13, 0x80, b'x'];
    let binary = "application/octet-stream";
    cluster
        .send(0, Request::new("PUT", path).body(binary, bytes))
        .expect(201);
    for node in 0..5 {
        let raw = cluster
            .send(node, Request::new("GET", path).header("accept", binary))
            .expect(200);
        assert_eq!(raw.body, bytes);
        let json = cluster.send(node, Request::new("GET", path)).expect(200);
        assert_eq!(json.json()["value_base64"], "AP8KDYB4", "{json}");
    }
    // An empty value is a value.
    cluster.put(0, "api-bytes", "", "").expect(200);
    assert_eq!(cluster.get(4, "api-bytes", "").expect(200).text("value"), "");
}

#[test]
fn a_value_may_have_a_mebibyte() {
    let cluster = shared();
    let path = "/kv-store/api-large";
    let value = |length| vec![b'x'; length];
    let store = |length| {
        let request = Request::new("PUT", path).body("application/octet-stream", value(length));
        cluster.send(PROXY, request)
    };
    store(1 << 20).expect(201);
    let raw = Request::new("GET", path).header("accept", "application/octet-stream");
    assert_eq!(cluster.send(0, raw).expect(200).body.len(), 1 << 20);
    store((1 << 20) + 1).refused(413, "value_too_large");
}

#[test]
fn keys_are_percent_decoded_text_of_up_to_200_characters() {
    let cluster = shared();
    let long = "%C3%A9".repeat(200);
    for (node, key) in ["caf%C3%A9%20au%20lait", "a%2Fb", "~dot.._-", &long]
        .iter()
        .enumerate()
    {
        cluster.put(node, key, key, "").expect(201);
        assert_eq!(cluster.get(PROXY, key, "").expect(200).text("value"), *key);
    }
    // The same key in two spellings is one key.
    cluster.put(0, "%61pi-spelling", "1", "").expect(201);
    assert_eq!(cluster.get(1, "api-spelling", "").expect(200).text("value"), "1");
    for bad in ["x".repeat(201), "%C3%A9".repeat(201), "%ff".into(), "a%2".into()] {
        cluster.put(0, &bad, "v", "").refused(400, "bad_key");
    }
}

#[test]
fn a_deleted_key_is_gone_everywhere() {
    let cluster = shared();
    let payload = cluster.put(0, "api-delete", "v", "").expect(201).payload();
    let deleted = cluster.delete(1, "api-delete", &payload).expect(200);
    assert_eq!(deleted.json()["result"], "success", "{deleted}");
    for field in ["timestamp", "causal_payload"] {
        assert!(!deleted.text(field).is_empty(), "{deleted}");
    }
    for node in 0..5 {
        let missing = cluster
            .get(node, "api-delete", &deleted.payload())
            .refused(404, "key_not_found");
        assert_eq!(missing.text("error"), "Key does not exist");
        assert_eq!(missing.text("msg"), "Key does not exist");
        assert_eq!(missing.number("partition_id"), deleted.number("partition_id"));
        assert!(!missing.payload().is_empty(), "{missing}");
    }
    cluster
        .delete(2, "api-delete", &deleted.payload())
        .refused(404, "key_not_found");
    cluster
        .put(3, "api-delete", "again", &deleted.payload())
        .expect(201);
    assert_eq!(
        cluster.get(0, "api-delete", "").expect(200).text("value"),
        "again"
    );
}

#[test]
fn every_node_serves_every_key() {
    let cluster = shared();
    for number in 0..20 {
        let key = format!("api-any-{number}");
        let put = cluster.put(number % 5, &key, &key, "").expect(201).within(PROMPT);
        for node in 0..5 {
            let read = cluster.get(node, &key, &put.payload()).expect(200).within(PROMPT);
            assert_eq!(read.text("value"), key);
            assert_eq!(read.number("partition_id"), put.number("partition_id"));
        }
    }
}

#[test]
fn the_information_endpoints_say_the_same_everywhere() {
    let cluster = shared();
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address.as_str()).collect();
    for asked in 0..5 {
        let ids = cluster.info(asked, "get_all_partition_ids").expect(200);
        assert_eq!(
            ids.json()["partition_id_list"],
            serde_json::json!([0, 1]),
            "{ids}"
        );
        let replicas = cluster.info(asked, "get_all_replicas").expect(200).json();
        let mut listed: Vec<_> = replicas["replicas"].as_array().expect("a list").iter().collect();
        listed.sort_by_key(|address| address.to_string());
        assert_eq!(listed, addresses[..4], "the first four, and not the proxy");
        let members: Vec<_> = (0..2).flat_map(|id| cluster.members(asked, id)).collect();
        assert_eq!(members.len(), 4);
        for member in &members {
            let id = cluster.info(*member, "get_partition_id").expect(200);
            assert!(cluster.members(asked, id.number("partition_id")).contains(member));
            assert_eq!(id.json()["role"], "replica", "{id}");
            assert_eq!(cluster.info(*member, "get_node_details").text("replica"), "Yes");
        }
    }
    let id = cluster.info(PROXY, "get_partition_id").expect(200);
    assert_eq!((id.number("partition_id"), id.text("role")), (-1, "proxy".into()));
    let details = cluster.info(PROXY, "get_node_details").expect(200);
    assert_eq!(details.json()["result"], "success");
    assert_eq!(details.text("replica"), "No");
}

#[test]
fn commands_win_over_keys_and_the_escape_reaches_any_key() {
    let cluster = shared();
    for name in ["update_view", "get_partition_id", "get_node_details"] {
        let path = format!("/kv-store/key/{name}");
        cluster
            .send(0, Request::new("PUT", &path).form(&[("val", name)]))
            .expect(201);
        let read = cluster.send(PROXY, Request::new("GET", &path)).expect(200);
        assert_eq!(read.text("value"), name);
    }
    let command = cluster.info(1, "get_partition_id").expect(200);
    assert!(command.json().get("value").is_none(), "{command}");
    // The escape is another spelling, not another key.
    cluster.put(0, "api-escape", "v", "").expect(201);
    let escaped = Request::new("GET", "/kv-store/key/api-escape");
    assert_eq!(cluster.send(2, escaped).expect(200).text("value"), "v");
}

#[test]
fn the_process_tells_how_it_is() {
    let cluster = shared();
    for node in [0, PROXY] {
        for path in ["/livez", "/readyz", "/readyz?verbose", "/status", "/"] {
            cluster
                .send(node, Request::new("GET", path))
                .expect(200)
                .within(PROMPT);
        }
        let ready = cluster.send(node, Request::new("GET", "/readyz?verbose"));
        assert!(
            ready.json()["checks"]
                .as_array()
                .is_some_and(|checks| !checks.is_empty()),
            "{ready}"
        );
    }
}

#[test]
fn a_later_write_that_saw_the_earlier_one_wins_everywhere() {
    let cluster = shared();
    let mut payload = String::new();
    for turn in 0..30 {
        // Each writer has just read, at another node, what the writer before wrote.
        let value = turn.to_string();
        cluster.send(turn % 5, put("api-turns", &value, &payload));
        let read = cluster
            .send((turn + 1) % 5, get("api-turns", &payload))
            .expect(200);
        payload = read.payload();
    }
    for node in 0..5 {
        assert_eq!(
            cluster.get(node, "api-turns", &payload).expect(200).text("value"),
            "29"
        );
    }
}
