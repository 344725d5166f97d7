//! Parses `IPPORT`, `VIEW` and `K`: this node and its first view. They only make sense together.
//!
//! The usual slips come from copying one node's command to start the next: another node's IPPORT stays,
//! a port loses a digit. So each setting is judged against the others, and a mistake says which address
//! was probably meant. A setting that may be right in some network only gets a warning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::addresses::{address, addresses};
use super::{Config, ConfigError, Settings};
use crate::names::NodeId;

pub(super) struct Place {
    pub(super) node: NodeId,
    pub(super) replicas: Option<u32>,
    pub(super) view: Option<Vec<NodeId>>,
}

/// The nodes in `VIEW` that parse, sorted, and the mistakes in the rest.
#[derive(Default)]
struct Listed {
    nodes: Vec<NodeId>,
    mistakes: Vec<ConfigError>,
}

type IsOwn<'a> = &'a dyn Fn(IpAddr) -> bool;

pub(super) fn understand(
    settings: &Settings,
    listen: Option<SocketAddr>,
    is_own: IsOwn<'_>,
) -> Result<Place, Vec<ConfigError>> {
    let listed = settings.view.as_deref().map(listed);
    let members = listed.as_ref().map_or(&[][..], |listed| &listed.nodes);
    let here = listen.and_then(|listen| member_here(members, listen, is_own));
    let replicas = replicas(settings.k.as_deref(), listed.is_some());
    let node = own_address(settings.ipport.as_deref(), here);

    let mut mistakes = Vec::new();
    if let (Some(listed), Ok(node)) = (&listed, &node) {
        mistakes.extend(not_listed(node, listed, settings.view.as_deref()));
        mistakes.extend(another_nodes_address(node, here, is_own));
    }
    let listed = listed.unwrap_or_default();
    match (replicas, node, listed.mistakes.is_empty() && mistakes.is_empty()) {
        (Ok(replicas), Ok(node), true) => Ok(Place {
            node,
            replicas,
            view: settings.view.is_some().then_some(listed.nodes),
        }),
        (replicas, node, _) => {
            // A port that no other node has may be right; next to another mistake it probably is not.
            let own = node.as_ref().ok();
            let odd = odd_port(&listed.nodes).filter(|odd| own.is_none_or(|own| own.host() != odd.host()));
            let odd = odd.map(|odd| ConfigError::new("VIEW", odd_port_text(&listed.nodes, odd)));
            let mut all: Vec<ConfigError> = replicas.err().into_iter().collect();
            all.extend(odd);
            all.extend(listed.mistakes);
            all.extend(node.err());
            all.extend(mistakes);
            Err(all)
        }
    }
}

fn replicas(text: Option<&str>, view_given: bool) -> Result<Option<u32>, ConfigError> {
    match text.map(|text| (text, text.trim().parse::<u32>())) {
        None if view_given => Err(ConfigError::new(
            "K",
            "it is missing, and VIEW is given; set the number of replicas in a partition, such as K=2",
        )),
        None => Ok(None),
        Some((_, Ok(replicas))) if replicas > 0 => Ok(Some(replicas)),
        Some((text, _)) => Err(ConfigError::new(
            "K",
            format!("{text:?} is not a number of replicas; write a whole number from 1, such as K=2"),
        )),
    }
}

fn own_address(text: Option<&str>, here: Option<&NodeId>) -> Result<NodeId, ConfigError> {
    let example = here.map_or("10.0.0.21:8080", NodeId::as_str);
    let Some(text) = text else {
        let problem = format!(
            "it is missing; set this node's own address, as the other nodes reach it, such as IPPORT={example}"
        );
        return Err(ConfigError::new("IPPORT", problem));
    };
    parse_node(text).map_err(|problem| ConfigError::new("IPPORT", problem))
}

fn parse_node(text: &str) -> Result<NodeId, String> {
    let node = address(text)?;
    match ip(&node) {
        Some(ip) if ip.is_unspecified() => Err(format!(
            "{text:?} means every address, so no other node could reach it; write the node's own, such as 10.0.0.21:8080"
        )),
        _ => Ok(node),
    }
}

fn listed(text: &str) -> Listed {
    let (nodes, mistakes) = addresses(text, parse_node);
    let mistakes = mistakes
        .into_iter()
        .map(|problem| ConfigError::new("VIEW", problem));
    let mut listed = Listed {
        nodes,
        mistakes: mistakes.collect(),
    };
    if listed.nodes.is_empty() && listed.mistakes.is_empty() {
        let problem = format!("{text:?} names no node; write host:port,host:port, or leave VIEW out to wait");
        listed.mistakes.push(ConfigError::new("VIEW", problem));
    }
    listed.mistakes.extend(same_machine(&listed.nodes));
    listed.nodes.sort();
    listed
}

/// Finds `localhost` next to an address that it means, with the same port: two names of one process, so
/// one of them would be a member that never comes up.
fn same_machine(nodes: &[NodeId]) -> Option<ConfigError> {
    let named = nodes.iter().filter(|node| node.host() == "localhost");
    let twins = named.flat_map(|node| {
        let twins = nodes.iter().filter(|twin| twin.port() == node.port());
        twins.map(move |twin| (node, twin))
    });
    let meant = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let mut twins = twins.filter(|(_, twin)| ip(twin).is_some_and(|ip| meant.contains(&ip)));
    let (named, twin) = twins.next()?;
    let problem = format!("{named} and {twin} lead to one process; list each node once, by its IPPORT");
    Some(ConfigError::new("VIEW", problem))
}

/// The mistake of a `VIEW` that does not list this node, with the address that was probably meant.
fn not_listed(node: &NodeId, listed: &Listed, view: Option<&str>) -> Option<ConfigError> {
    // An entry of this host that does not parse is reported already, and is probably this node.
    let garbled = !listed.mistakes.is_empty() && view.is_some_and(|view| view.contains(node.host()));
    let same_host = listed.nodes.iter().find(|other| other.host() == node.host());
    if listed.nodes.contains(node) || (garbled && same_host.is_none()) {
        return None;
    }
    let problem = match same_host {
        Some(other) => format!(
            "{node} is not in VIEW, which lists {other}: did you mean {node} there, or IPPORT={other}? \
             The two must be the same; if this is another node, set IPPORT to its own address"
        ),
        None => format!(
            "{node} is not in VIEW; set it to this node's own address as VIEW lists it, add {node} to the VIEW \
             of every node, or leave VIEW out if this node is to be added to a running cluster"
        ),
    };
    Some(ConfigError::new("IPPORT", problem))
}

/// The member of `VIEW` that is this process, if an address of this machine shows it.
///
/// Loopback shows nothing: every machine has it.
fn member_here<'a>(members: &'a [NodeId], listen: SocketAddr, is_own: IsOwn<'_>) -> Option<&'a NodeId> {
    members.iter().find(|member| {
        let listens = |ip: IpAddr| listen.ip().is_unspecified() || listen.ip() == ip;
        member.port() == listen.port()
            && ip(member).is_some_and(|ip| !ip.is_loopback() && listens(ip) && is_own(ip))
    })
}

/// An `IPPORT` that is certainly another node's: its address is not this machine's, while `VIEW` lists
/// an address that is, with the port on which this process listens.
///
/// The first half alone proves nothing (a published port, a load balancer); with the second, no other
/// process can be the member that `VIEW` lists at that address.
fn another_nodes_address(node: &NodeId, here: Option<&NodeId>, is_own: IsOwn<'_>) -> Option<ConfigError> {
    let here = here.filter(|here| *here != node)?;
    let foreign = ip(node).is_some_and(|ip| !ip.is_loopback() && !is_own(ip));
    let problem = format!(
        "{node} is not an address of this machine, but VIEW lists {here}, which is: did you mean IPPORT={here}?"
    );
    foreign.then(|| ConfigError::new("IPPORT", problem))
}

/// The one member whose port differs from all others', of at least three on hosts of their own.
fn odd_port(members: &[NodeId]) -> Option<&NodeId> {
    let shared_host = members
        .iter()
        .any(|a| members.iter().any(|b| a != b && a.host() == b.host()));
    if members.len() < 3 || shared_host {
        return None;
    }
    members.iter().find(|odd| {
        let others: Vec<u16> = members
            .iter()
            .filter(|other| other != odd)
            .map(NodeId::port)
            .collect();
        others
            .iter()
            .all(|port| *port == others[0] && *port != odd.port())
    })
}

fn odd_port_text(members: &[NodeId], odd: &NodeId) -> String {
    let usual = members
        .iter()
        .map(NodeId::port)
        .find(|port| *port != odd.port())
        .unwrap_or_default();
    format!(
        "{odd} has a different port from all others: did you mean {}:{usual}?",
        odd.host()
    )
}

fn ip(node: &NodeId) -> Option<IpAddr> {
    node.host().trim_matches(['[', ']']).parse().ok()
}

/// Warnings about settings that are allowed but rarely meant. To be logged once, at the start.
pub fn warnings(config: &Config, is_own: &dyn Fn(IpAddr) -> bool) -> Vec<String> {
    let view = config.view.as_deref().unwrap_or_default();
    let mut warnings = Vec::new();
    if let Some(odd) = odd_port(view) {
        warnings.push(format!("VIEW: {}", odd_port_text(view, odd)));
    }
    if let (Some(replicas), nodes @ 1..) = (config.replicas, view.len())
        && nodes < replicas as usize
    {
        warnings.push(format!(
            "VIEW has fewer nodes ({nodes}) than K ({replicas}): all of them form one degraded partition"
        ));
    }
    let node = &config.node;
    match ip(node) {
        Some(ip) if is_own(ip) && node.port() != config.listen.port() => warnings.push(format!(
            "LISTEN is {}, but the other nodes connect to this node at IPPORT {node}: did you mean LISTEN=0.0.0.0:{}?",
            config.listen,
            node.port()
        )),
        Some(ip) if !is_own(ip) => warnings.push(format!(
            "IPPORT: {node} is not an address of this machine; that is right behind published ports or \
             address translation; otherwise it is another node's address"
        )),
        _ => {}
    }
    warnings
}
