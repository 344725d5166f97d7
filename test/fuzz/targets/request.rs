//! Fuzzes whole requests to a node that is a cluster of its own: `METHOD target`, headers, a blank line,
//! a body. Each gets a well-formed answer; a refused request changes nothing.
//!
//! The node runs under simulated time, so that waiting requests take no real time.
#![no_main]

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway::api::respond;
use causeway::config::{Settings, understand};
use causeway::names::NodeId;
use causeway::net::{DialError, Dialer, Pipe};
use causeway::node::{Machine, Node, Parts, Tasks};
use causeway::store::MemoryEngine;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

/// The only node has no peers.
#[derive(Debug)]
struct Nobody;

impl Dialer for Nobody {
    fn dial(&self, node: NodeId) -> BoxFuture<'static, Result<Pipe, DialError>> {
        Box::pin(async move { Err(DialError::Failed(format!("{node} is not there"))) })
    }
}

struct Scene {
    runtime: Runtime,
    node: Arc<Node>,
}

thread_local! {
    static SCENE: OnceCell<Scene> = const { OnceCell::new() };
}

fn scene() -> Scene {
    let settings = Settings {
        ipport: Some("127.0.0.1:1".into()),
        view: Some("127.0.0.1:1".into()),
        k: Some("1".into()),
        causal_wait: Some("0".into()),
        view_change_timeout: Some("1s".into()),
        max_value: Some("1kB".into()),
        ..Settings::default()
    };
    let config = understand(&settings, &|_| true).expect("is sound");
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime starts");
    let node = runtime.block_on(async {
        let parts = Parts {
            world: Arc::new(Machine),
            dialer: Arc::new(Nobody),
            engine: Arc::new(MemoryEngine),
            tasks: Tasks::on_this_runtime(),
        };
        let (node, committer) = Node::start(&config, parts).await.expect("starts");
        tokio::spawn(committer.run());
        while !node.status().ready {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let put = Request::put("/kv-store/kept?val=here").body(Bytes::new());
        let reply = respond(&node, put.expect("is a request")).await;
        assert!(reply.status().is_success(), "{reply:?}");
        node
    });
    Scene { runtime, node }
}

fn request(bytes: &[u8]) -> Option<Request<Bytes>> {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .unwrap_or(bytes.len());
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let body = bytes.get(end + 2..).unwrap_or_default();
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        request = request.header(name.trim(), value.trim());
    }
    request.body(Bytes::copy_from_slice(body)).ok()
}

fn kept(scene: &Scene) -> Bytes {
    let get = Request::get("/kv-store/kept").header("accept", "application/octet-stream");
    let get = get.body(Bytes::new()).expect("is a request");
    let reply = scene.runtime.block_on(respond(&scene.node, get));
    match reply.status().is_success() {
        true => reply.into_body(),
        false => Bytes::from_static(b"deleted"),
    }
}

fn check(reply: &Response<Bytes>) {
    let is_json = reply
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind == "application/json");
    if is_json {
        let body: serde_json::Value = serde_json::from_slice(reply.body()).expect("is JSON");
        assert_eq!(body["result"] == "success", reply.status().is_success(), "{body}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else { return };
    SCENE.with(|cell| {
        let scene = cell.get_or_init(scene);
        let before = kept(scene);
        let reply = scene.runtime.block_on(respond(&scene.node, request));
        check(&reply);
        if !reply.status().is_success() {
            assert_eq!(kept(scene), before);
        }
    });
});
