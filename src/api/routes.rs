//! The store's endpoints. A key with the name of a command is reached through `/kv-store/key/<key>`.

use std::sync::LazyLock;

use super::endpoints::Endpoints;

/// The purpose of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Key,
    List,
    /// Several operations at once.
    Batch,
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

pub(super) static ENDPOINTS: LazyLock<Endpoints<Route>> = LazyLock::new(|| {
    Endpoints::new(&[
        ("GET /kv-store/<key>", Route::Key),
        ("PUT /kv-store/<key>", Route::Key),
        ("DELETE /kv-store/<key>", Route::Key),
        ("GET, PUT, DELETE /kv-store/key/<key>", Route::Key),
        ("GET /kv-store?prefix=&after=&limit=&keys_only=", Route::List),
        ("POST /kv-store", Route::Batch),
        (
            "PUT /kv-store/update_view?type=add|remove&ip_port=<ip:port>",
            Route::UpdateView,
        ),
        ("GET /kv-store/get_partition_id", Route::PartitionId),
        ("GET /kv-store/get_all_partition_ids", Route::AllPartitionIds),
        (
            "GET /kv-store/get_partition_members?partition_id=<id>",
            Route::PartitionMembers,
        ),
        ("GET /kv-store/get_node_details", Route::NodeDetails),
        ("GET /kv-store/get_all_replicas", Route::AllReplicas),
        ("GET /get/<key>", Route::PlainGet),
        ("PUT, POST /set/<key>", Route::PlainSet),
        ("GET /status", Route::Status),
        ("GET /livez", Route::Alive),
        ("GET /readyz", Route::Ready),
        ("GET /", Route::Home),
    ])
});

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::api::ApiError;
    use crate::api::endpoints::Asked;

    #[test]
    fn commands_win_over_keys() {
        for line in ENDPOINTS.lines().filter(|line| !line.contains("/<")) {
            let (method, path) = line.split_once(' ').expect("has two parts");
            let path = path.split('?').next().unwrap_or_default();
            let found = ENDPOINTS.find(&method.parse().expect("is a method"), path);
            assert!(
                matches!(found, Ok(Asked::For(route, "")) if route != Route::Key),
                "{line}"
            );
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
            let found = ENDPOINTS.find(&Method::GET, path);
            assert_eq!(found, Ok(Asked::For(Route::Key, key)), "{path}");
        }
        for (path, key) in [
            ("/get/x", "x"),
            ("/get/a/b", "a/b"),
            ("/get/", ""),
            ("/get", ""),
            ("/get/key/x", "key/x"),
        ] {
            let found = ENDPOINTS.find(&Method::GET, path);
            assert_eq!(found, Ok(Asked::For(Route::PlainGet, key)), "{path}");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in ["", "*", "/kv-stores", "/kv-stores/x", "/livez/", "/got/x"] {
            let found = ENDPOINTS.find(&Method::GET, path);
            assert_eq!(found, Err(ApiError::NotFound(path.into())), "{path}");
        }
    }

    #[test]
    fn each_path_has_the_methods_of_the_contract() {
        for (path, allow) in [
            ("/kv-store/x", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("/kv-store/key/x", "GET, HEAD, PUT, DELETE, OPTIONS"),
            ("/kv-store", "GET, HEAD, POST, OPTIONS"),
            ("/kv-store/update_view", "PUT, OPTIONS"),
            ("/set/x", "PUT, POST, OPTIONS"),
            ("/get/x", "GET, HEAD, OPTIONS"),
            ("/kv-store/get_partition_id", "GET, HEAD, OPTIONS"),
            ("/", "GET, HEAD, OPTIONS"),
        ] {
            let found = ENDPOINTS.find(&Method::OPTIONS, path);
            assert_eq!(found, Ok(Asked::Options(allow)), "{path}");
        }
    }
}
