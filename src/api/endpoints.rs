//! A table of endpoints. One row says everything about a path: the methods that it takes (so `Allow`, HEAD
//! and OPTIONS), what a request for it means, and its line in the list at `GET /`. Separate from the store's
//! own table, because each annex has a table too.
//!
//! A row is the line that people see, and its meaning:
//!
//! ```text
//! ("GET /kv-store?prefix=&after=", Route::List)
//! ("GET, PUT, DELETE /kv-store/<key>", Route::Key)
//! ```
//!
//! A path that ends in `<…>` takes any rest, even one with slashes or none. Other paths win over it, and
//! longer ones over shorter ones. GET takes HEAD as well, and every path takes OPTIONS.

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Response};

use super::error::ApiError;
use super::json::Object;
use super::reply::json_text;
use super::status::NO_CONTENT;

/// The rows of a table, prepared for look-ups.
#[derive(Debug)]
pub struct Endpoints<R: 'static> {
    rows: &'static [(&'static str, R)],
    /// In the order in which they are tried.
    paths: Vec<Path<R>>,
}

/// The meaning of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'p, R> {
    /// The meaning of the row, and the rest of the path.
    For(R, &'p str),
    /// The methods of the path, as the `Allow` header lists them: see [`options`].
    Options(&'static str),
}

/// The rows of one path.
#[derive(Debug)]
struct Path<R> {
    /// The path as far as it is fixed.
    fixed: &'static str,
    has_rest: bool,
    takes: Vec<(Method, R)>,
    allow: String,
}

impl<R: Copy> Endpoints<R> {
    /// Prepares the table. Panics if a row is malformed.
    pub fn new(rows: &'static [(&'static str, R)]) -> Self {
        let mut paths: Vec<Path<R>> = Vec::new();
        for (line, meaning) in rows {
            let path_at = line.find(" /").expect("a row is methods and a path");
            let (methods, path) = line.split_at(path_at);
            let path = path.trim_start();
            let path = path.split_once('?').map_or(path, |(path, _)| path);
            let (fixed, has_rest) = path
                .split_once('<')
                .map_or((path, false), |(fixed, _)| (fixed, true));
            let is_same = |known: &&mut Path<R>| (known.fixed, known.has_rest) == (fixed, has_rest);
            match paths.iter_mut().find(is_same) {
                Some(known) => known.takes.extend(each(methods, *meaning)),
                None => paths.push(Path {
                    fixed,
                    has_rest,
                    takes: each(methods, *meaning).collect(),
                    allow: String::new(),
                }),
            }
        }
        for path in &mut paths {
            let methods = path.takes.iter().map(|(method, _)| method.as_str());
            path.allow = methods.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ");
        }
        paths.sort_by_key(|path| (path.has_rest, usize::MAX - path.fixed.len()));
        Self { rows, paths }
    }

    /// Finds the meaning of a request. The path is taken as it is.
    pub fn find<'p>(&'static self, method: &Method, path: &'p str) -> Result<Asked<'p, R>, ApiError> {
        let (found, rest) = self
            .path(path)
            .ok_or_else(|| ApiError::NotFound(path.to_owned()))?;
        match found.takes.iter().find(|(taken, _)| taken == method) {
            Some((_, meaning)) => Ok(Asked::For(*meaning, rest)),
            None if method == Method::OPTIONS => Ok(Asked::Options(&found.allow)),
            None => Err(ApiError::BadMethod {
                method: method.to_string(),
                path: path.to_owned(),
                allow: &found.allow,
            }),
        }
    }

    fn path<'p>(&self, path: &'p str) -> Option<(&Path<R>, &'p str)> {
        let mut paths = self.paths.iter();
        let found = paths.find_map(|known| Some((known, known.rest_of(path)?)));
        // The rest may be missing with its slash.
        let is_bare = |known: &&Path<R>| known.has_rest && known.fixed.strip_suffix('/') == Some(path);
        found.or_else(|| Some((self.paths.iter().find(is_bare)?, "")))
    }

    /// The rows as people see them.
    pub fn lines(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|(line, _)| *line)
    }

    /// The reply to `GET /`: the rows and nothing else.
    pub fn home(&self) -> Response<Bytes> {
        let body = Object::with_room_for(0)
            .text("result", "success")
            .texts("endpoints", self.lines());
        json_text(body.finish())
    }
}

impl<R> Path<R> {
    fn rest_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.has_rest {
            true => path.strip_prefix(self.fixed),
            false => (path == self.fixed).then_some(""),
        }
    }
}

fn each<R: Copy>(methods: &str, meaning: R) -> impl Iterator<Item = (Method, R)> {
    methods.split(", ").flat_map(move |method| {
        let method: Method = method.parse().expect("a row names methods");
        // The reply to HEAD is that to GET; the connection leaves out its body.
        let head = (method == Method::GET).then_some((Method::HEAD, meaning));
        [(method, meaning)].into_iter().chain(head)
    })
}

/// The reply to OPTIONS.
pub fn options(allow: &'static str) -> Response<Bytes> {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = NO_CONTENT;
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static ENDPOINTS: LazyLock<Endpoints<u8>> = LazyLock::new(|| {
        Endpoints::new(&[
            ("GET /a/<rest>", 1),
            ("DELETE /a/<rest>?force=<true>", 2),
            ("PUT, POST /a/b/<rest>", 3),
            ("GET /a/b/c?x=<a number>", 4),
            ("POST /a/b/c", 5),
        ])
    });

    fn find<'p>(method: &str, path: &'p str) -> Result<Asked<'p, u8>, ApiError> {
        ENDPOINTS.find(&method.parse().expect("is a method"), path)
    }

    #[test]
    fn the_most_exact_path_wins() {
        for (method, path, meaning, rest) in [
            ("GET", "/a/x", 1, "x"),
            ("HEAD", "/a/x/y", 1, "x/y"),
            ("DELETE", "/a/", 2, ""),
            ("GET", "/a", 1, ""),
            ("GET", "/a/b", 1, "b"),
            ("PUT", "/a/b/", 3, ""),
            ("POST", "/a/b/cc", 3, "cc"),
            ("GET", "/a/b/c", 4, ""),
            ("HEAD", "/a/b/c", 4, ""),
            ("POST", "/a/b/c", 5, ""),
            ("POST", "/a/b/c/", 3, "c/"),
        ] {
            assert_eq!(
                find(method, path),
                Ok(Asked::For(meaning, rest)),
                "{method} {path}"
            );
        }
        for path in ["", "/", "*", "a/x", "/ab", "/A/x"] {
            assert_eq!(find("GET", path), Err(ApiError::NotFound(path.into())), "{path}");
        }
    }

    #[test]
    fn all_rows_of_a_path_say_which_methods_it_takes() {
        for (path, allow) in [
            ("/a/x", "GET, HEAD, DELETE, OPTIONS"),
            ("/a/b/x", "PUT, POST, OPTIONS"),
            ("/a/b/c", "GET, HEAD, POST, OPTIONS"),
        ] {
            assert_eq!(find("OPTIONS", path), Ok(Asked::Options(allow)), "{path}");
            let refused = find("PATCH", path).expect_err("is not taken").into_reply();
            assert_eq!(refused.headers()[ALLOW], allow, "{path}");
        }
        assert_eq!(options("GET, OPTIONS").headers()[ALLOW], "GET, OPTIONS");
    }

    #[test]
    fn the_rows_are_listed_as_they_are_written() {
        let body = r#"{"result":"success","endpoints":["GET /a/<rest>","DELETE /a/<rest>?force=<true>",
            "PUT, POST /a/b/<rest>","GET /a/b/c?x=<a number>","POST /a/b/c"]}"#;
        let body = body.replace("\n            ", "");
        assert_eq!(ENDPOINTS.home().body(), body.as_bytes());
    }
}
