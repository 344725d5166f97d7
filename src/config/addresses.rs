//! Parses lists of addresses: every entry on its own, and no address twice, however it is spelt.
//!
//! Separate from the settings that are such lists, so that all of them are read alike.

use crate::names::NodeId;
use crate::text;

/// Parses any address.
pub fn address(text: &str) -> Result<NodeId, String> {
    text.parse::<NodeId>().map_err(|error| error.to_string())
}

/// The addresses of a list, in its order, and the mistakes in the rest. Commas or blanks separate
/// entries; `read` parses one.
pub fn addresses(list: &str, read: impl Fn(&str) -> Result<NodeId, String>) -> (Vec<NodeId>, Vec<String>) {
    let entries = list.split(|c: char| c == ',' || c.is_whitespace());
    let entries = entries.filter_map(text::setting);
    let (mut listed, mut mistakes) = (Vec::<(&str, NodeId)>::new(), Vec::new());
    for entry in entries {
        match read(entry) {
            Err(mistake) => mistakes.push(mistake),
            Ok(node) => match listed.iter().find(|(_, before)| *before == node) {
                None => listed.push((entry, node)),
                Some((before, _)) => mistakes.push(twice(before, entry, &node)),
            },
        }
    }
    (listed.into_iter().map(|(_, node)| node).collect(), mistakes)
}

fn twice(before: &str, entry: &str, node: &NodeId) -> String {
    if before == entry {
        format!("{node} is listed more than once; list each address once")
    } else {
        format!("{before} and {entry} are one address, {node}; list each address once")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_that_is_no_address_or_a_second_spelling_is_named() {
        let (nodes, mistakes) = addresses(" b:1,\u{feff}A:01,, [::1]:1\n a:1 b:1,c [0::1]:1 ", address);
        let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
        assert_eq!(names, ["b:1", "a:1", "[::1]:1"]);
        assert_eq!(
            mistakes,
            [
                "A:01 and a:1 are one address, a:1; list each address once",
                "b:1 is listed more than once; list each address once",
                "\"c\" has no port; write host:port, such as 10.0.0.21:8080",
                "[::1]:1 and [0::1]:1 are one address, [::1]:1; list each address once",
            ]
        );
        assert_eq!(addresses(" , \n", address), (vec![], vec![]));
    }
}
