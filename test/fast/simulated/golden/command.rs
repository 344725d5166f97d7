//! Parses the commands of a script, one a line; `golden.rs` lists them all.

use std::time::Duration;

/// One command. Nodes are numbered from 0 here and from 1 in scripts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Cluster(Layout),
    Start {
        nodes: Vec<usize>,
        replicas: Option<u32>,
        view: View,
        /// The node whose name they are given.
        name: Option<usize>,
    },
    Kill(Vec<usize>),
    Wipe(Vec<usize>),
    Cut(usize, usize),
    CutOneWay(usize, usize),
    Isolate(usize),
    Slow(usize, usize, Duration),
    /// The address of the first leads to the second.
    Lead(usize, usize),
    Heal,
    HealLink(usize, usize),
    /// The node's clock, milliseconds ahead of the true time.
    Clock(usize, i64),
    /// The clocks of all nodes.
    Clocks(i64),
    Disk(usize, Disk),
    Wait(Duration),
    /// These nodes, or all running ones if this is empty.
    WaitUntilServing(Vec<usize>),
    Client {
        name: String,
        action: Action,
        in_background: bool,
    },
    Collect(String),
    Look(Vec<Keys>),
    Where(Vec<Keys>),
    Partitions,
    Status(Vec<usize>),
    Agree,
    Curl {
        node: usize,
        method: String,
        path: String,
        parameters: Vec<(String, String)>,
        in_background: bool,
    },
    Churn {
        clients: usize,
        operations: usize,
        /// The nodes that are asked; all if there are none.
        at: Vec<usize>,
    },
}

/// The parameters of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) nodes: usize,
    pub(crate) replicas: u32,
    /// Additional nodes, which the first view does not list; scripts start them.
    pub(crate) spare: usize,
    /// True if no node is started.
    pub(crate) asleep: bool,
}

/// The `VIEW` that a node is started with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View {
    /// The cluster's, if it lists the node; otherwise none.
    OfTheCluster,
    Of(Vec<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Disk {
    Well,
    Full,
    Slow(Duration),
}

/// What a client does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Put(usize, Vec<(Keys, String)>),
    Get(usize, Vec<Keys>),
    Delete(usize, Vec<Keys>),
    TakePayload(String),
    ForgetPayload,
    ShowPayload,
    /// A payload that no node issued: of this epoch or the active one, with the named entries.
    Forge {
        epoch: Option<u64>,
        entries: Vec<(String, u64)>,
    },
}

/// A key, or many at once: `k{1..9}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keys {
    pub(crate) label: String,
    pub(crate) keys: Vec<String>,
}

/// An error in a line.
type Slip = String;

impl Command {
    pub(crate) fn parse(line: &str) -> Result<Self, Slip> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((name, action)) = words.split_first()
            && let Some(name) = name.strip_suffix(':')
        {
            return client_command(name, action);
        }
        Ok(match words.as_slice() {
            ["cluster", settings @ ..] => Self::Cluster(layout(settings)?),
            ["start", rest @ ..] => start(rest)?,
            ["kill", nodes @ ..] => Self::Kill(some_nodes(nodes)?),
            ["wipe", nodes @ ..] => Self::Wipe(some_nodes(nodes)?),
            ["cut", from, "->", to] => Self::CutOneWay(node(from)?, node(to)?),
            ["cut", a, b] => Self::Cut(node(a)?, node(b)?),
            ["isolate", one] => Self::Isolate(node(one)?),
            ["slow", a, b, delay] => Self::Slow(node(a)?, node(b)?, duration(delay)?),
            ["lead", address, "to", other] => Self::Lead(node(address)?, node(other)?),
            ["heal"] => Self::Heal,
            ["heal", a, b] => Self::HealLink(node(a)?, node(b)?),
            ["clock", "all", offset] => Self::Clocks(clock_offset_ms(offset)?),
            ["clock", one, offset] => Self::Clock(node(one)?, clock_offset_ms(offset)?),
            ["disk", one, "well"] => Self::Disk(node(one)?, Disk::Well),
            ["disk", one, "full"] => Self::Disk(node(one)?, Disk::Full),
            ["disk", one, "slow", sync] => Self::Disk(node(one)?, Disk::Slow(duration(sync)?)),
            ["wait", "until", "serving"] => Self::WaitUntilServing(Vec::new()),
            ["wait", "until", "serving", nodes @ ..] => Self::WaitUntilServing(some_nodes(nodes)?),
            ["wait", time] => Self::Wait(duration(time)?),
            ["collect", name] => Self::Collect((*name).to_owned()),
            ["look", keys @ ..] => Self::Look(all_keys(keys)?),
            ["where", keys @ ..] => Self::Where(all_keys(keys)?),
            ["partitions"] => Self::Partitions,
            ["status", nodes @ ..] => Self::Status(some_nodes(nodes)?),
            ["agree"] => Self::Agree,
            ["curl", one, method, path, parameters @ ..] => curl(one, method, path, parameters)?,
            ["churn", settings @ ..] => churn(settings)?,
            _ => return Err("no such command".to_owned()),
        })
    }
}

fn curl(one: &str, method: &str, path: &str, words: &[&str]) -> Result<Command, Slip> {
    let (in_background, words) = background(words);
    let parameters: Result<_, Slip> = words.iter().map(|pair| assignment(pair)).collect();
    Ok(Command::Curl {
        node: node(one)?,
        method: method.to_owned(),
        path: path.to_owned(),
        parameters: parameters?,
        in_background,
    })
}

fn background<'a, 'b>(words: &'a [&'b str]) -> (bool, &'a [&'b str]) {
    match words {
        [words @ .., "&"] => (true, words),
        words => (false, words),
    }
}

fn client_command(name: &str, words: &[&str]) -> Result<Command, Slip> {
    let (in_background, words) = background(words);
    let action = match words {
        ["put", one, pairs @ ..] => Action::Put(node(one)?, all_pairs(pairs)?),
        ["get", one, asked @ ..] => Action::Get(node(one)?, all_keys(asked)?),
        ["delete", one, asked @ ..] => Action::Delete(node(one)?, all_keys(asked)?),
        ["take", "payload", "of", other] => Action::TakePayload((*other).to_owned()),
        ["forget", "payload"] => Action::ForgetPayload,
        ["show", "payload"] => Action::ShowPayload,
        ["forge", claims @ ..] => forge(claims)?,
        _ => return Err("no client does that".to_owned()),
    };
    Ok(Command::Client {
        name: name.to_owned(),
        action,
        in_background,
    })
}

/// `epoch=7`, `n1:20` for a number in that node's log, `nobody:1` for one in an unknown log.
fn forge(claims: &[&str]) -> Result<Action, Slip> {
    let (mut epoch, mut entries) = (None, Vec::new());
    for claim in claims {
        match (claim.split_once('='), claim.split_once(':')) {
            (Some(("epoch", text)), _) => epoch = Some(number(text)?),
            (_, Some((name, text))) => entries.push((name.to_owned(), number(text)?)),
            _ => return Err(format!("epoch= and n1:20 can be forged, not {claim}")),
        }
    }
    Ok(Action::Forge { epoch, entries })
}

fn layout(settings: &[&str]) -> Result<Layout, Slip> {
    let mut layout = Layout {
        nodes: 0,
        replicas: 0,
        spare: 0,
        asleep: false,
    };
    for setting in settings {
        match setting.split_once('=') {
            Some(("nodes", count)) => layout.nodes = number(count)?,
            Some(("k", count)) => layout.replicas = number(count)?,
            Some(("spare", count)) => layout.spare = number(count)?,
            None if *setting == "asleep" => layout.asleep = true,
            _ => return Err(format!("a cluster has nodes, k, spare and asleep, not {setting}")),
        }
    }
    match layout {
        Layout { nodes: 0, .. } | Layout { replicas: 0, .. } => Err("say nodes= and k=".to_owned()),
        layout => Ok(layout),
    }
}

fn start(words: &[&str]) -> Result<Command, Slip> {
    let (mut nodes, mut replicas, mut view, mut name) = (Vec::new(), None, View::OfTheCluster, None);
    for word in words {
        match word.split_once('=') {
            Some(("k", count)) => replicas = Some(number(count)?),
            Some(("view", list)) => view = View::Of(list.split(',').map(node).collect::<Result<_, _>>()?),
            Some(("name", other)) => name = Some(node(other)?),
            Some(_) => return Err(format!("a node is started with k=, view= and name=, not {word}")),
            None => nodes.push(node(word)?),
        }
    }
    if nodes.is_empty() {
        return Err("say which nodes".to_owned());
    }
    Ok(Command::Start {
        nodes,
        replicas,
        view,
        name,
    })
}

fn churn(settings: &[&str]) -> Result<Command, Slip> {
    let (mut clients, mut operations, mut at) = (0, 0, Vec::new());
    for setting in settings {
        match setting.split_once('=') {
            Some(("clients", count)) => clients = number(count)?,
            Some(("operations", count)) => operations = number(count)?,
            Some(("at", list)) => at = list.split(',').map(node).collect::<Result<_, _>>()?,
            _ => return Err(format!("churn has clients=, operations= and at=, not {setting}")),
        }
    }
    Ok(Command::Churn {
        clients,
        operations,
        at,
    })
}

fn some_nodes(words: &[&str]) -> Result<Vec<usize>, Slip> {
    if words.is_empty() {
        return Err("say which nodes".to_owned());
    }
    words.iter().map(|word| node(word)).collect()
}

fn node(word: &str) -> Result<usize, Slip> {
    let number: Option<usize> = word.strip_prefix('n').and_then(|digits| digits.parse().ok());
    number
        .and_then(|number| number.checked_sub(1))
        .ok_or_else(|| format!("{word} is no node, n1 is one"))
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, Slip> {
    word.parse()
        .map_err(|_| format!("{word} is no number that fits here"))
}

/// `500ms`, `2s`, `5m`, `1h`, `365d`.
fn duration(word: &str) -> Result<Duration, Slip> {
    let unit = word.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let count: u64 = number(&word[..word.len() - unit.len()])?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("{word} is no time, 500ms and 2s are")),
    };
    Ok(Duration::from_millis(count * ms))
}

/// `+30s`, `-10m`, `right`.
fn clock_offset_ms(word: &str) -> Result<i64, Slip> {
    let ms = |text| duration(text).map(|offset| i64::try_from(offset.as_millis()).expect("fits"));
    match (word.strip_prefix('+'), word.strip_prefix('-')) {
        (Some(ahead), _) => ms(ahead),
        (_, Some(behind)) => ms(behind).map(|offset| -offset),
        _ if word == "right" => Ok(0),
        _ => Err(format!("{word} is no clock, +30s, -10m and right are")),
    }
}

fn assignment(word: &str) -> Result<(String, String), Slip> {
    let pair = word
        .split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| format!("{word} lacks its ="))
}

fn all_pairs(words: &[&str]) -> Result<Vec<(Keys, String)>, Slip> {
    let pairs: Result<Vec<_>, Slip> = words.iter().map(|word| assignment(word)).collect();
    pairs?
        .into_iter()
        .map(|(label, value)| Ok((keys(&label)?, value)))
        .collect()
}

fn all_keys(words: &[&str]) -> Result<Vec<Keys>, Slip> {
    words.iter().map(|word| keys(word)).collect()
}

fn keys(label: &str) -> Result<Keys, Slip> {
    let many = label.strip_suffix('}').and_then(|rest| rest.split_once('{'));
    let keys = match many {
        None => vec![label.to_owned()],
        Some((stem, range)) => {
            let (first, last) = range
                .split_once("..")
                .ok_or_else(|| format!("{label} lacks its .."))?;
            let numbers = number::<u32>(first)?..=number(last)?;
            numbers.map(|number| format!("{stem}{number}")).collect()
        }
    };
    Ok(Keys {
        label: label.to_owned(),
        keys,
    })
}

#[test]
fn a_slip_in_a_script_is_named() {
    for (line, slip) in [
        ("clutser nodes=2 k=2", "no such command"),
        ("cluster nodes=2", "say nodes= and k="),
        ("kill 3", "3 is no node"),
        ("wait 2", "2 is no time"),
        ("alice: putt n1 x=1", "no client does that"),
        ("alice: put n1 x", "x lacks its ="),
    ] {
        let found = Command::parse(line).expect_err("is a slip");
        assert!(found.contains(slip), "{line} gave {found}");
    }
}
