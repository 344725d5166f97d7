//! Tests refusals: their status, their stable code, and a text that says what to do.

use crate::api::shared;
use crate::cluster::Cluster;
use crate::support::request::Request;

/// Each line is `METHOD path form status code`, the form as in curl's `-d`. A replica and the proxy must
/// both refuse it.
fn all_are_refused(cluster: &Cluster, cases: &str) {
    let cases = cases.lines().map(str::trim).filter(|line| !line.is_empty());
    for case in cases {
        let words: Vec<_> = case.split_whitespace().collect();
        let [method, path, form, status, code] = words[..] else {
            panic!("five words: {case}");
        };
        let form = form.trim_matches('"').to_owned();
        let request = Request::new(method, path).body("application/x-www-form-urlencoded", form);
        for node in [0, 4] {
            let status = status.parse().expect("a number");
            cluster.send(node, request.clone()).refused(status, code);
        }
    }
}

#[test]
fn requests_that_are_wrong_are_refused_with_a_code() {
    let cluster = shared();
    all_are_refused(
        &cluster,
        r#"
        PUT    /kv-store/e   ""                          400  missing_val
        PUT    /kv-store/e   value=v                     400  missing_val
        PUT    /kv-store/e   val=v&causal_payload=bogus  400  bad_payload
        GET    /kv-store/e   causal_payload=bogus        400  bad_payload
        DELETE /kv-store/e   causal_payload=bogus        400  bad_payload
        DELETE /kv-store/e   ""                          404  key_not_found
        PUT    /kv-store/    val=v                       400  bad_key
        PUT    /kv-store/a/b val=v                       400  bad_key
        GET    /no-such-path ""                          404  not_found
        GET    /kv-store/get_partition_members ""               400  bad_partition_id
        GET    /kv-store/get_partition_members partition_id=x   400  bad_partition_id
        GET    /kv-store/get_partition_members partition_id=7   404  no_partition
        PATCH  /kv-store/e   val=v                       405  bad_method
        POST   /kv-store/get_partition_id ""             405  bad_method
        "#,
    );
    let wrong = cluster.send(0, Request::new("PATCH", "/kv-store/e")).expect(405);
    let allowed = wrong.header("allow").unwrap_or_default().to_owned();
    let taken = |method: &str| allowed.split(", ").any(|word| word == method);
    assert!(["GET", "PUT", "DELETE"].into_iter().all(taken), "{allowed}");
    // None of these requests stored anything.
    cluster.get(0, "e", "").refused(404, "key_not_found");
}

#[test]
fn view_changes_that_are_wrong_are_refused_and_change_nothing() {
    let cluster = shared();
    let known = &cluster.nodes[0].address;
    all_are_refused(
        &cluster,
        &format!(
            r#"
            PUT /kv-store/update_view              ""                     400  bad_view_change
            PUT /kv-store/update_view?type=add     ""                     400  bad_view_change
            PUT /kv-store/update_view?type=swap    ip_port={known}        400  bad_view_change
            PUT /kv-store/update_view?type=add     ip_port=10.0.0.300:80  400  bad_view_change
            PUT /kv-store/update_view?type=add     ip_port={known}        409  already_member
            PUT /kv-store/update_view?type=remove  ip_port=stranger:80    404  not_member
            "#
        ),
    );
    assert_eq!(
        cluster.info(0, "get_all_replicas").json()["replicas"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
}

#[test]
fn a_payload_of_another_cluster_is_refused_and_nothing_is_stored() {
    let cluster = shared();
    let other = Cluster::start_new(1, 1);
    let foreign = other.put(0, "errors-foreign", "v", "").expect(201).payload();
    cluster
        .put(0, "errors-foreign", "v", &foreign)
        .refused(400, "bad_payload");
    cluster
        .put(4, "errors-foreign", "v", &foreign)
        .refused(400, "bad_payload");
    cluster.get(1, "errors-foreign", "").refused(404, "key_not_found");
}

#[test]
fn a_payload_that_was_tampered_with_is_refused() {
    let cluster = shared();
    let payload = cluster.put(0, "errors-tampered", "v", "").expect(201).payload();
    for place in 0..payload.len() {
        let mut bytes = payload.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).expect("still text");
        cluster
            .get(0, "errors-tampered", &tampered)
            .refused(400, "bad_payload");
    }
}
