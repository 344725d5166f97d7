//! The name of a node: `host:port`, in one spelling however people write it.
//!
//! Two spellings of one address would become two members of a view, or two owners of a key. So every
//! address that people write is normalized here. Names from a disk or a peer keep their spelling,
//! because the ids of members are hashes of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::text::is_quote;

/// The longest name that the domain name system knows.
const HOST_BYTES_MAX: usize = 253;

/// A node as the view lists it: `host:port`. The host is an address or a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// Why a text is not the address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    #[error("{0:?} has no port; write host:port, such as 10.0.0.21:8080")]
    NoPort(String),
    #[error("{0:?} has a port that is not a number from 1 to 65535; write host:port, such as 10.0.0.21:8080")]
    BadPort(String),
    #[error("{0:?} has no host that could be an address or a name; write host:port, such as 10.0.0.21:8080")]
    BadHost(String),
    #[error("{0:?} is an IPv6 address without brackets; write [address]:port, such as [fd00::21]:8080")]
    NoBrackets(String),
    /// Programs differ: some read such a number as octal.
    #[error(
        "{0:?} has an address with leading zeros; write its numbers without them, such as 10.0.0.21:8080"
    )]
    LeadingZeros(String),
    #[error("{0} has quotes in it, which belong to no address; write {1}")]
    Quotes(String, String),
    #[error("{0:?} is a URL; write the address alone: {1}")]
    Url(String, String),
}

impl NodeId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn host(&self) -> &str {
        self.split().0
    }

    pub fn port(&self) -> u16 {
        self.split().1
    }

    fn split(&self) -> (&str, u16) {
        let (host, port) = self.0.rsplit_once(':').expect("parsed with a port");
        (host, port.parse().expect("parsed with a numeric port"))
    }

    /// A name from a disk or a peer. Its spelling need not be the canonical one.
    pub fn as_stored(text: &str) -> Result<Self, NodeIdError> {
        let (host, port) = host_and_port(text)?;
        if ipv6(host).is_none() && !is_name(host) {
            return Err(NodeIdError::BadHost(text.into()));
        }
        Ok(Self(format!("{}:{port}", host.to_ascii_lowercase()).into()))
    }

    /// The canonical spelling of this address.
    #[must_use]
    pub fn canonical(&self) -> Self {
        self.0.parse().unwrap_or_else(|_| self.clone())
    }

    /// True if both are spellings of one address.
    pub fn is_same_address(&self, other: &Self) -> bool {
        self == other || self.canonical() == other.canonical()
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let text = text.trim();
        if text.contains(is_quote) {
            return Err(NodeIdError::Quotes(text.into(), text.replace(is_quote, "")));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let address = rest.split('/').next().unwrap_or_default();
            return Err(NodeIdError::Url(text.into(), address.into()));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(NodeIdError::NoBrackets(text.into()));
        }
        if text.starts_with('[') && text.ends_with(']') {
            return Err(NodeIdError::NoPort(text.into()));
        }
        let (host, port) = host_and_port(text)?;
        let host = canonical_host(host).map_err(|error| error(text.into()))?;
        Ok(Self(format!("{host}:{port}").into()))
    }
}

fn host_and_port(text: &str) -> Result<(&str, u16), NodeIdError> {
    let (host, digits) = text
        .rsplit_once(':')
        .ok_or_else(|| NodeIdError::NoPort(text.into()))?;
    let port = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let port = port.and_then(|digits| digits.parse().ok());
    let port = port.filter(|port| *port != 0);
    let port = port.ok_or_else(|| NodeIdError::BadPort(text.into()))?;
    Ok((host, port))
}

/// The canonical spelling of a host: addresses as their standard writes them, an IPv4 address in an IPv6
/// one as IPv4, names in lower case and without the root dot.
fn canonical_host(host: &str) -> Result<String, fn(String) -> NodeIdError> {
    if let Some(ip) = ipv6(host) {
        return Ok(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Err(NodeIdError::NoBrackets);
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if !is_name(host) || host.split('.').any(str::is_empty) {
        return Err(NodeIdError::BadHost);
    }
    // A host of numbers only is an address, perhaps mistyped, never a name.
    if !host.split('.').all(is_number) {
        return Ok(host.to_ascii_lowercase());
    }
    let without_zeros: Vec<&str> = host.split('.').map(without_zeros).collect();
    match (
        host.parse::<Ipv4Addr>(),
        without_zeros.join(".").parse::<Ipv4Addr>(),
    ) {
        (Ok(ip), _) => Ok(ip.to_string()),
        (Err(_), Ok(_)) => Err(NodeIdError::LeadingZeros),
        (Err(_), Err(_)) => Err(NodeIdError::BadHost),
    }
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn is_name(host: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(is_allowed)
}

/// True if decimal, or hexadecimal, which the system's resolver reads too.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn without_zeros(number: &str) -> &str {
    let rest = number.trim_start_matches('0');
    if rest.is_empty() { "0" } else { rest }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_name_however_it_is_spelt() {
        for (name, spellings) in [
            (
                "10.0.0.21:8080",
                &[" 10.0.0.21:8080\t", "10.0.0.21:08080", "[::ffff:10.0.0.21]:8080"][..],
            ),
            (
                "127.0.0.1:80",
                &[
                    "[::ffff:7f00:1]:80",
                    "[0:0:0:0:0:FFFF:127.0.0.1]:0080",
                    "127.0.0.1.:80",
                ],
            ),
            (
                "[::1]:80",
                &["[0:0:0:0:0:0:0:1]:80", "[0::0001]:080", "[::0.0.0.1]:80"],
            ),
            (
                "[fd00::2a]:1",
                &[
                    "[FD00:0:0::002A]:1",
                    "[fd00:0000:0000:0000:0000:0000:0000:002a]:1",
                ],
            ),
            ("localhost:80", &["LocalHost:080", "localhost.:80"]),
            ("node-1.example:65535", &["NODE-1.Example.:65535"]),
            ("a_b:9", &[" a_b:9 "]),
            ("1a:9", &["1A.:9"]),
        ] {
            let node: NodeId = name.parse().expect("is a name");
            assert_eq!(node.as_str(), name);
            for spelling in spellings {
                assert_eq!(spelling.parse().as_ref(), Ok(&node), "{spelling}");
            }
        }
    }

    #[test]
    fn the_address_in_a_url_is_named() {
        for text in ["http://a:8080", "https://a:8080/", "tcp://a:8080/kv-store/x"] {
            let expected = NodeIdError::Url(text.into(), "a:8080".into());
            assert_eq!(text.parse::<NodeId>(), Err(expected));
        }
    }

    #[test]
    fn slips_are_named() {
        type Slip = fn(String) -> NodeIdError;
        for (slip, texts) in [
            (NodeIdError::NoPort as Slip, &["10.0.0.21", "a", "[::1]"][..]),
            (
                NodeIdError::BadPort,
                &["10.0.0.21:", "a:0", "a:000", "a:70000", "a:+80", "a:8o", "a:80/"],
            ),
            (
                NodeIdError::BadHost,
                &[
                    ":8080",
                    ".:8080",
                    "a..b:8080",
                    ".a:8080",
                    "a b:8080",
                    "10.0.0:8080",
                    "10.0.0.256:8080",
                    "0x7f.0.0.1:8080",
                    "0x7f000001:8080",
                    "2130706433:8080",
                    "[::1:8080",
                    "[a]:8080",
                    "[127.0.0.1]:8080",
                    "[::1%eth0]:8080",
                    "é:8080",
                ],
            ),
            (
                NodeIdError::NoBrackets,
                &[
                    "::1",
                    "::1:8080",
                    "fd00:0:0:0:0:0:0:1:8080",
                    "::1:2:3:4:5:6:7:8080",
                ],
            ),
            (
                NodeIdError::LeadingZeros,
                &["127.0.0.01:8080", "010.000.0.1:8080"],
            ),
        ] {
            for text in texts {
                assert_eq!(text.parse::<NodeId>(), Err(slip((*text).to_owned())));
            }
        }
    }

    #[test]
    fn a_stored_name_keeps_its_spelling_and_is_the_same_address() {
        for (stored, name) in [
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[::ffff:10.0.0.21]:80", "10.0.0.21:80"),
            ("node-1.:80", "node-1:80"),
            ("node-1:80", "node-1:80"),
        ] {
            let node = NodeId::as_stored(stored).expect("was a name once");
            let name: NodeId = name.parse().expect("is a name");
            assert_eq!(node.as_str(), stored);
            assert!(node.is_same_address(&name) && node.canonical() == name);
        }
        let [one, other] = ["[::1]:80", "[::2]:80"].map(|text| NodeId::as_stored(text).expect("is a name"));
        assert!(!one.is_same_address(&other));
        // Refused as input, but kept where it is stored.
        let odd = NodeId::as_stored("0x7f.1:80").expect("was a name once");
        assert_eq!(odd.canonical(), odd);
        assert!(NodeId::as_stored("a b:80").is_err() && NodeId::as_stored("a:0").is_err());
    }
}
