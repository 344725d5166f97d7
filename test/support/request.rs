//! Sends one HTTP/1.1 request to a real process over a socket of its own, as curl would.
//!
//! Written by hand, so that nothing between the test and the wire retries, pools or corrects.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

use super::waiting::{Stopwatch, wait_for};

/// Longer than any answer that the contract allows; a request that takes this long has failed.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How long the sender waits for bytes.
    deadline: Duration,
}

/// A request that was sent, and whose reply is still unread.
#[derive(Debug)]
pub(crate) struct Sent {
    of: String,
    stream: TcpStream,
    result: io::Result<()>,
    watch: Stopwatch,
}

#[derive(Debug)]
pub(crate) struct Reply {
    /// The request line and the node, for messages.
    of: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            deadline: DEADLINE,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// A body without a content type.
    pub(crate) fn untyped(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    pub(crate) fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Parameters as curl's `-d` and `--data-urlencode` send them.
    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = serde_urlencoded::to_string(fields).expect("pairs of text can be encoded");
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sends it and reads the whole reply.
    pub(crate) fn send(self, address: impl ToSocketAddrs) -> io::Result<Reply> {
        self.begin(address)?.reply()
    }

    /// Sends it. A frozen process finds it when it thaws.
    pub(crate) fn begin(self, address: impl ToSocketAddrs) -> io::Result<Sent> {
        let watch = Stopwatch::start();
        let address = address.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("the name leads nowhere"))?;
        let mut stream = TcpStream::connect_timeout(&address, self.deadline)?;
        stream.set_read_timeout(Some(self.deadline))?;
        stream.set_nodelay(true)?;
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!(
            "content-length: {}\r\nconnection: close\r\n\r\n",
            self.body.len()
        ));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        let result = stream.write_all(&bytes);
        Ok(Sent {
            of: format!("{} {}", self.method, self.path),
            stream,
            result,
            watch,
        })
    }
}

impl Sent {
    pub(crate) fn reply(mut self) -> io::Result<Reply> {
        let mut reply = Vec::new();
        let read = self.stream.read_to_end(&mut reply);
        // A server that refuses a large body may close before it has read all of it: its answer counts.
        if reply.is_empty() {
            self.result.and(read)?;
        }
        Reply::parse(&reply, self.of, self.watch.elapsed())
            .ok_or_else(|| io::Error::other(format!("no whole reply: {:?}", String::from_utf8_lossy(&reply))))
    }
}

/// Waits until a process answers 200 on this path: `/livez` when it listens, `/readyz` when it serves keys.
#[track_caller]
pub(crate) fn until_ok(address: impl ToSocketAddrs + Copy, path: &str) {
    wait_for("a process that answers", || {
        let reply = Request::new("GET", path).send(address).ok()?;
        (reply.status == 200).then_some(())
    });
}

impl Reply {
    fn parse(bytes: &[u8], of: String, took: Duration) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = bytes[end + 4..].to_vec();
        let reply = Self {
            of,
            status,
            headers,
            body,
            took,
        };
        // A truncated reply is no reply: the connection may have broken in the middle.
        let whole = reply
            .header("content-length")
            .is_none_or(|length| length.parse() == Ok(reply.body.len()));
        whole.then_some(reply)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Fails with the whole reply unless the status is this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Fails unless this is the error with that status and code, in the shape that all errors have.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let body = self.json();
        assert_eq!(
            (self.status, body["code"].as_str()),
            (status, Some(code)),
            "{self}"
        );
        assert_eq!(body["result"], "error", "{self}");
        assert!(
            body["error"].as_str().is_some_and(|text| !text.is_empty()),
            "{self}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(self.took <= limit, "took {:?}: {self}", self.took);
        self
    }

    /// The body as text, valid UTF-8 or not.
    pub(crate) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let list = self.json();
        list.as_array()
            .unwrap_or_else(|| panic!("no list: {self}"))
            .clone()
    }

    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        let value = &self.json()[field];
        let text = value
            .as_str()
            .unwrap_or_else(|| panic!("no text {field:?}: {self}"));
        text.to_owned()
    }

    #[track_caller]
    pub(crate) fn number(&self, field: &str) -> i64 {
        let value = &self.json()[field];
        value
            .as_i64()
            .unwrap_or_else(|| panic!("no number {field:?}: {self}"))
    }

    #[track_caller]
    pub(crate) fn payload(&self) -> String {
        self.text("causal_payload")
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} -> {} {:.600}",
            self.of,
            self.status,
            self.lossy().trim_end()
        )
    }
}
