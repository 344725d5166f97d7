//! Tests every call and status of the interface, the same at a proxy and at a data server alone.

use serde_json::{Value, json};

use super::stage::{Process, Stage};
use crate::support::pairs::{binary, pair, string};

/// A data server alone, and a proxy of three.
fn both(check: impl Fn(&Process)) {
    let stage = Stage::new();
    check(&stage.data_server(9000));
    let _servers = stage.data_servers::<3>();
    check(&stage.proxy(8080, &[0, 1, 2]));
}

#[track_caller]
fn assert_reply(process: &Process, call: (&str, &str, Value), status: u16, body: &Value) {
    let reply = process.ask(call.0, call.1, &call.2);
    assert_eq!((reply.status, &reply.json()), (status, body), "{call:?}");
}

#[test]
fn pairs_are_set_fetched_queried_and_deleted() {
    both(|process| {
        let empty = json!([]);
        assert_reply(process, ("GET", "/fetch", empty.clone()), 200, &empty);
        let set = json!([pair("a", "1"), pair("b", "2"), pair("c", "3")]);
        for method in ["PUT", "POST"] {
            let done = json!({"keys_added": 3, "keys_failed": []});
            assert_reply(process, (method, "/set", set.clone()), 200, &done);
        }
        assert_reply(process, ("GET", "/fetch", empty.clone()), 200, &set);
        let asked = json!([string("c"), {"key": string("a")}, string("c")]);
        let found = json!([pair("c", "3"), pair("a", "1"), pair("c", "3")]);
        assert_reply(process, ("POST", "/fetch", asked), 200, &found);
        let asked = json!([string("b"), string("x")]);
        let known = json!([{"key": string("b"), "value": true}, {"key": string("x"), "value": false}]);
        assert_reply(process, ("POST", "/query", asked.clone()), 200, &known);
        let partly = json!([pair("b", "2"), {"key": string("x"), "value": null}]);
        assert_reply(process, ("POST", "/fetch", asked.clone()), 206, &partly);
        let deleted = |count: u8| json!({"keys_deleted": count, "keys_failed": []});
        assert_reply(process, ("POST", "/delete", asked.clone()), 200, &deleted(1));
        assert_reply(process, ("POST", "/delete", asked), 200, &deleted(0));
        assert_reply(
            process,
            ("GET", "/fetch", empty),
            200,
            &json!([pair("a", "1"), pair("c", "3")]),
        );
    });
}

#[test]
fn empty_lists_are_answered_with_empty_lists() {
    both(|process| {
        let done = json!({"keys_added": 0, "keys_failed": []});
        assert_reply(process, ("PUT", "/set", json!([])), 200, &done);
        assert_reply(process, ("PUT", "/set?atomic=true", json!([])), 200, &done);
        assert_reply(process, ("POST", "/fetch", json!([])), 200, &json!([]));
        assert_reply(process, ("POST", "/query", json!([])), 200, &json!([]));
        let done = json!({"keys_deleted": 0, "keys_failed": []});
        assert_reply(process, ("POST", "/delete", json!([])), 200, &done);
    });
}

#[test]
fn keys_that_cannot_be_kept_fail_alone_and_come_back_as_they_were_given() {
    both(|process| {
        let odd = json!({"encoding": "utf-7", "data": "odd", "more": [1]});
        let number = json!({"encoding": "string", "data": 7});
        let set = json!([
            {"key": odd, "value": string("1")},
            pair("good", "1"),
            {"key": string("bad value"), "value": number},
        ]);
        let failed = json!({"keys_added": 1, "keys_failed": [odd, string("bad value")]});
        assert_reply(process, ("PUT", "/set", set), 206, &failed);
        let set = json!([{"key": odd, "value": string("1")}]);
        let failed = json!({"keys_added": 0, "keys_failed": [odd]});
        assert_reply(process, ("PUT", "/set", set), 400, &failed);
        let found = json!([{"key": odd, "value": null}, pair("good", "1")]);
        assert_reply(
            process,
            ("POST", "/fetch", json!([odd, string("good")])),
            206,
            &found,
        );
        let known = json!([{"key": odd, "value": false}]);
        assert_reply(process, ("POST", "/query", json!([odd])), 200, &known);
        let deleted = json!({"keys_deleted": 1, "keys_failed": [odd]});
        assert_reply(
            process,
            ("POST", "/delete", json!([odd, string("good")])),
            206,
            &deleted,
        );
    });
}

#[test]
fn bodies_of_the_wrong_shape_change_nothing() {
    both(|process| {
        let wrong = [
            "",
            "{",
            "7",
            "{}",
            "[1]",
            "[null]",
            "[[]]",
            r#"[{"key":"a","value":"b"}]"#,
            "[{\"key\":{}}",
        ];
        for (method, path) in [
            ("PUT", "/set"),
            ("POST", "/fetch"),
            ("POST", "/query"),
            ("POST", "/delete"),
        ] {
            for body in wrong {
                let reply = process.try_ask(method, path, body).expect("is answered");
                assert_eq!(
                    (reply.status, &reply.json()["result"]),
                    (400, &json!("error")),
                    "{path} {body}"
                );
                assert!(reply.json()["error"].is_string() && reply.json()["code"] == "bad_request");
            }
        }
        let half = json!([pair("a", "1"), {"key": string("b")}]);
        assert_eq!(process.ask("PUT", "/set", &half).status, 400);
        let unsure = process.ask("PUT", "/set?atomic=perhaps", &json!([pair("a", "1")]));
        assert_eq!(unsure.status, 400);
        assert_eq!(process.len(), 0);
    });
}

#[test]
fn wrong_methods_and_paths_are_told_apart() {
    both(|process| {
        for (method, path, allow) in [
            ("GET", "/set", "PUT, POST, OPTIONS"),
            ("PUT", "/fetch", "GET, HEAD, POST, OPTIONS"),
            ("GET", "/query", "POST, OPTIONS"),
            ("DELETE", "/delete/", "POST, OPTIONS"),
            ("PUT", "/servers", "GET, HEAD, POST, OPTIONS"),
            ("GET", "/servers/a:1", "DELETE, OPTIONS"),
        ] {
            let refused = process.ask(method, path, &json!([]));
            assert_eq!(refused.status, 405, "{method} {path}");
            assert_eq!(refused.json()["code"], "bad_method");
            assert_eq!(refused.header("allow"), Some(allow), "{method} {path}");
            let options = process.ask("OPTIONS", path, &json!([]));
            assert_eq!(
                (options.status, options.header("allow")),
                (204, Some(allow)),
                "{path}"
            );
        }
        for path in ["/sets", "/set/a", "/kv-store/a"] {
            let reply = process.get(path);
            assert_eq!(
                (reply.status, &reply.json()["code"]),
                (404, &json!("not_found")),
                "{path}"
            );
        }
        let home = process.get("/").json();
        let lines = home["endpoints"].as_array().expect("is a list");
        assert!(
            lines.contains(&json!("GET /fetch")) && lines.contains(&json!("POST /fetch")),
            "{home}"
        );
    });
}

#[test]
fn one_text_in_two_encodings_is_two_keys_and_values_keep_theirs() {
    both(|process| {
        let set = json!([
            {"key": string("k"), "value": binary("AAEC")},
            {"key": binary("k"), "value": string("text")},
        ]);
        process.set(&set);
        let asked = json!([string("k"), binary("k")]);
        assert_reply(process, ("POST", "/fetch", asked), 200, &set);
        process.ask("POST", "/delete", &json!([binary("k")]));
        let left = json!([{"key": string("k"), "value": true}, {"key": binary("k"), "value": false}]);
        assert_reply(
            process,
            ("POST", "/query", json!([string("k"), binary("k")])),
            200,
            &left,
        );
    });
}

#[test]
fn of_one_key_twice_in_a_set_the_last_wins() {
    both(|process| {
        let set = json!([pair("k", "first"), pair("other", "1"), pair("k", "last")]);
        let done = json!({"keys_added": 2, "keys_failed": []});
        assert_reply(process, ("PUT", "/set", set), 200, &done);
        assert_eq!(process.values(&["k".to_owned()]), [Some("last".to_owned())]);
    });
}

#[test]
fn keys_and_values_come_back_as_they_were_given() {
    both(|process| {
        let large = "0123456789abcdef".repeat(16 * 1024);
        let texts = [
            "",
            " ",
            "\u{0}\u{1}\n\r\t\"\\/",
            "é 漢字 \u{1F980} \u{202e}",
            "a/b?c=d&e#f%20",
            &"long ".repeat(1000),
            &large,
        ];
        let set: Vec<Value> = texts
            .iter()
            .flat_map(|text| [string(text), binary(text)])
            .map(|datum| json!({"key": datum, "value": datum}))
            .collect();
        process.set(&json!(set));
        let asked: Vec<&Value> = set.iter().map(|pair| &pair["key"]).collect();
        let found = process.ask("POST", "/fetch", &json!(asked));
        assert_eq!(found.status, 200);
        assert!(found.json() == json!(set), "something is not as it was");
        assert_eq!(process.len(), set.len());
    });
}

#[test]
fn a_pair_that_is_too_large_fails_alone() {
    both(|process| {
        let large = "x".repeat(4 * 1024 * 1024);
        let reply = process.ask("PUT", "/set", &json!([pair("large", &large), pair("small", "1")]));
        assert_eq!(reply.status, 206);
        assert_eq!(
            reply.json(),
            json!({"keys_added": 1, "keys_failed": [string("large")]})
        );
    });
}

#[test]
fn an_atomic_set_with_a_bad_key_stores_nothing() {
    both(|process| {
        let bad = json!({"encoding": "x", "data": "bad"});
        let set = json!([pair("a", "1"), {"key": bad, "value": string("1")}, pair("b", "1")]);
        let failed = json!({"keys_added": 0, "keys_failed": [string("a"), bad, string("b")]});
        assert_reply(process, ("PUT", "/set?atomic=true", set), 400, &failed);
        assert_eq!(process.len(), 0);
        let set = json!([pair("a", "1"), pair("b", "1"), pair("c", "1"), pair("d", "1")]);
        let done = json!({"keys_added": 4, "keys_failed": []});
        assert_reply(process, ("PUT", "/set?atomic=true", set.clone()), 200, &done);
        assert_reply(process, ("GET", "/fetch", json!([])), 200, &set);
    });
}
