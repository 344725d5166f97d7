//! The table of paths, and the methods that they take.
//!
//! Static paths win over `/kv-store/{key}`, so a command can never be taken for a key; a key with the name
//! of a command is reached through `/kv-store/key/<key>`.

use std::sync::LazyLock;

use http::Method;
use matchit::Router;

use super::error::ApiError;

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Key,
    /// All keys: a listing, or several operations at once.
    Keys,
    /// A value as it is, without a payload.
    PlainGet,
    PlainSet,
    UpdateView,
    PartitionId,
    AllPartitionIds,
    PartitionMembers,
    NodeDetails,
    AllReplicas,
    Home,
    Status,
    Alive,
    Ready,
}

const ROUTES: [(&str, Route); 19] = [
    ("/get/{*key}", Route::PlainGet),
    ("/get", Route::PlainGet),
    ("/get/", Route::PlainGet),
    ("/set/{*key}", Route::PlainSet),
    ("/set", Route::PlainSet),
    ("/set/", Route::PlainSet),
    ("/kv-store", Route::Keys),
    ("/kv-store/{key}", Route::Key),
    ("/kv-store/key/{key}", Route::Key),
    ("/kv-store/update_view", Route::UpdateView),
    ("/kv-store/get_partition_id", Route::PartitionId),
    ("/kv-store/get_all_partition_ids", Route::AllPartitionIds),
    ("/kv-store/get_partition_members", Route::PartitionMembers),
    ("/kv-store/get_node_details", Route::NodeDetails),
    ("/kv-store/get_all_replicas", Route::AllReplicas),
    ("/", Route::Home),
    ("/status", Route::Status),
    ("/livez", Route::Alive),
    ("/readyz", Route::Ready),
];

/// The same for people: `GET /` lists it.
pub(super) const ENDPOINTS: [&str; 18] = [
    "GET /kv-store/<key>",
    "PUT /kv-store/<key>",
    "DELETE /kv-store/<key>",
    "GET, PUT, DELETE /kv-store/key/<key>",
    "GET /kv-store?prefix=&after=&limit=&keys_only=",
    "POST /kv-store",
    "PUT /kv-store/update_view?type=add|remove&ip_port=<ip:port>",
    "GET /kv-store/get_partition_id",
    "GET /kv-store/get_all_partition_ids",
    "GET /kv-store/get_partition_members?partition_id=<id>",
    "GET /kv-store/get_node_details",
    "GET /kv-store/get_all_replicas",
    "GET /get/<key>",
    "PUT, POST /set/<key>",
    "GET /status",
    "GET /livez",
    "GET /readyz",
    "GET /",
];

static ROUTER: LazyLock<Router<Route>> = LazyLock::new(|| {
    let mut router = Router::new();
    for (path, route) in ROUTES {
        router.insert(path, route).expect("no two routes conflict");
    }
    router
});

/// The route of a normalised path, and the key's segment if the route has one.
pub(super) fn find(path: &str) -> Result<(Route, &str), ApiError> {
    if let Ok(found) = ROUTER.at(path) {
        return Ok((*found.value, found.params.get("key").unwrap_or_default()));
    }
    // No segment, or more than one: a misspelt key, and the error says so.
    match path.strip_prefix("/kv-store/") {
        Some(rest) => Ok((Route::Key, rest.strip_prefix("key/").unwrap_or(rest))),
        None => Err(ApiError::NotFound(path.into())),
    }
}

impl Route {
    /// The methods that this route takes, as the `Allow` header lists them.
    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Key => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Keys => "GET, HEAD, POST, OPTIONS",
            Self::PlainSet => "PUT, POST, OPTIONS",
            Self::UpdateView => "PUT, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_paths_win_over_keys() {
        for (path, route) in ROUTES.into_iter().filter(|(path, _)| !path.contains('{')) {
            assert_eq!(find(path), Ok((route, "")), "{path}");
        }
        for (path, key) in [
            ("/kv-store/x", "x"),
            ("/kv-store/update_views", "update_views"),
            ("/kv-store/update", "update"),
            ("/kv-store/key", "key"),
            ("/kv-store/key/key", "key"),
            ("/kv-store/key/update_view", "update_view"),
            ("/kv-store/", ""),
            ("/kv-store/key/", ""),
            ("/kv-store/a/b", "a/b"),
            ("/kv-store/key/a/b", "a/b"),
        ] {
            assert_eq!(find(path), Ok((Route::Key, key)), "{path}");
        }
        for (path, key) in [
            ("/get/x", "x"),
            ("/get/a/b", "a/b"),
            ("/get/", ""),
            ("/get/key/x", "key/x"),
        ] {
            assert_eq!(find(path), Ok((Route::PlainGet, key)), "{path}");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in ["", "*", "/kv-stores", "/kv-stores/x", "/livez/", "/got/x"] {
            assert_eq!(find(path), Err(ApiError::NotFound(path.into())), "{path}");
        }
    }

    #[test]
    fn every_path_takes_options_and_refuses_what_it_does_not_know() {
        for (_, route) in ROUTES {
            assert!(route.takes(&Method::OPTIONS) && !route.takes(&Method::PATCH));
        }
        assert!(Route::Key.takes(&Method::DELETE) && !Route::Status.takes(&Method::PUT));
        assert!(Route::UpdateView.takes(&Method::PUT) && !Route::UpdateView.takes(&Method::GET));
    }
}
