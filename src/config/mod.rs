//! Parses a node's settings, and finds every mistake in them before anything else happens.
//!
//! It names the settings; `bin` reads them from the command line and the environment, and a file may
//! give the rest. Pure: facts about this machine, such as its addresses, are arguments. All mistakes are
//! reported at once, each with its fix. An operator who pastes commands would otherwise meet them one
//! container at a time.

mod addresses;
mod file;
mod membership;
mod pair_file;
mod quantities;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use addresses::{address, addresses};
pub use file::settings_from_toml;
pub use membership::warnings;
pub use quantities::millis;

use crate::names::NodeId;
use crate::text;

/// Where a node listens by default, as the assignment's container does.
pub const LISTEN_DEFAULT: &str = "0.0.0.0:8080";

/// Where records are kept by default. The image sets `DATA_DIR=/data`.
pub const DATA_DIR_DEFAULT: &str = "causeway-data";

/// Everything a node needs to know to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's address, as the view lists it (`IPPORT`).
    pub node: NodeId,
    /// Where to accept connections (`LISTEN`).
    pub listen: SocketAddr,
    /// Replicas in a partition (`K`); none when the node waits to be added.
    pub replicas: Option<u32>,
    /// The nodes of the first view (`VIEW`), sorted; none when the node waits to be added.
    pub view: Option<Vec<NodeId>>,
    pub store: StoreKind,
    pub limits: Limits,
}

/// Where records are kept (`STORE`, `DATA_DIR`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreKind {
    Durable { data_dir: PathBuf },
    Memory,
}

/// Bounds that an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest value, in bytes (`MAX_VALUE`).
    pub value_bytes_max: usize,
    /// How long a read waits for its dependencies (`CAUSAL_WAIT`).
    pub causal_wait: Duration,
    /// How far wall clocks may differ before one of them is doubted (`CLOCK_LIMIT`).
    pub clock_limit: Duration,
    /// How long a tombstone is kept at least (`FORGET_AFTER`).
    pub forget_after: Duration,
    /// How long a request to change the view waits for the change to end (`VIEW_CHANGE_TIMEOUT`).
    pub view_change_timeout: Duration,
    /// Requests in flight before new ones are refused (`MAX_REQUESTS`).
    pub requests_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes_max: 1024 * 1024,
            causal_wait: Duration::from_millis(800),
            clock_limit: Duration::from_secs(3600),
            forget_after: Duration::from_secs(24 * 3600),
            view_change_timeout: Duration::from_secs(60),
            requests_max: 4096,
        }
    }
}

/// The settings as written, before any is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub ipport: Option<String>,
    pub view: Option<String>,
    pub k: Option<String>,
    pub listen: Option<String>,
    pub store: Option<String>,
    pub data_dir: Option<String>,
    pub max_value: Option<String>,
    pub causal_wait: Option<String>,
    pub clock_limit: Option<String>,
    pub forget_after: Option<String>,
    pub view_change_timeout: Option<String>,
    pub max_requests: Option<String>,
    /// The filter of the log and the format of its lines; `telemetry` parses both.
    pub log: Option<String>,
    pub log_format: Option<String>,
}

impl Settings {
    /// Replaces the settings of a file that has mistakes, so that the other settings can be checked:
    /// none that the file would have given may be reported as missing.
    pub fn stand_in() -> Self {
        Self {
            listen: Some("0.0.0.0:4455".into()),
            ipport: Some("localhost:4455".into()),
            k: Some("1".into()),
            ..Self::default()
        }
    }

    /// These settings, with `below` for those that are not given. Every setting of a node passes here,
    /// so [`text::setting`] is the one rule for blanks around a value: `-e VIEW=` means "not given".
    #[must_use]
    pub fn over(mut self, mut below: Self) -> Self {
        let given = |written: &Option<String>| Some(text::setting(written.as_deref()?)?.to_owned());
        for ((_, mine), (_, theirs)) in self.by_name().into_iter().zip(below.by_name()) {
            *mine = given(mine).or_else(|| given(theirs));
        }
        self
    }

    /// Removes quotes, and reports them as mistakes, so that the other mistakes are found as well.
    fn unquoted(&mut self) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        for (name, written) in self.by_name() {
            let Some((quoted, inside)) = written
                .as_deref()
                .and_then(|text| Some((text, text::quoted(text)?)))
            else {
                continue;
            };
            let problem = text::quotes_refused(quoted, &format!("{name}={inside}"));
            mistakes.push(ConfigError::new(name, problem));
            *written = text::setting(inside).map(str::to_owned);
        }
        mistakes
    }

    /// Each setting under its name in the environment, which in lower case is its name in the file.
    fn by_name(&mut self) -> [(&'static str, &mut Option<String>); 14] {
        [
            ("IPPORT", &mut self.ipport),
            ("VIEW", &mut self.view),
            ("K", &mut self.k),
            ("LISTEN", &mut self.listen),
            ("STORE", &mut self.store),
            ("DATA_DIR", &mut self.data_dir),
            ("MAX_VALUE", &mut self.max_value),
            ("CAUSAL_WAIT", &mut self.causal_wait),
            ("CLOCK_LIMIT", &mut self.clock_limit),
            ("FORGET_AFTER", &mut self.forget_after),
            ("VIEW_CHANGE_TIMEOUT", &mut self.view_change_timeout),
            ("MAX_REQUESTS", &mut self.max_requests),
            ("LOG", &mut self.log),
            ("LOG_FORMAT", &mut self.log_format),
        ]
    }
}

/// One mistake in the settings, and its fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    pub setting: &'static str,
    pub problem: String,
}

impl ConfigError {
    fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }
}

/// Understands the settings, or returns every mistake in them.
///
/// `is_own` is true for an address of this machine; it may be false if that is not known.
pub fn understand(settings: &Settings, is_own: &dyn Fn(IpAddr) -> bool) -> Result<Config, Vec<ConfigError>> {
    let mut settings = settings.clone().over(Settings::default());
    let quoted = settings.unquoted();
    let listen = listen(settings.listen.as_deref());
    let place = membership::understand(&settings, listen.as_ref().ok().copied(), is_own);
    let store = store(settings.store.as_deref(), settings.data_dir.as_deref());
    let limits = limits(&settings);
    match (place, listen, store, limits) {
        (Ok(place), Ok(listen), Ok(store), Ok(limits)) if quoted.is_empty() => Ok(Config {
            node: place.node,
            listen,
            replicas: place.replicas,
            view: place.view,
            store,
            limits,
        }),
        (place, listen, store, limits) => {
            let mut mistakes = quoted;
            mistakes.extend(place.err().unwrap_or_default());
            mistakes.extend(listen.err());
            mistakes.extend(store.err());
            mistakes.extend(limits.err().unwrap_or_default());
            Err(mistakes)
        }
    }
}

/// The address that `LISTEN` means; a port alone means that port on every interface.
pub fn listen(text: Option<&str>) -> Result<SocketAddr, ConfigError> {
    let text = text.and_then(text::setting).unwrap_or(LISTEN_DEFAULT);
    if let Some(inside) = text::quoted(text) {
        return Err(ConfigError::new("LISTEN", text::quotes_refused(text, inside)));
    }
    let full = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => format!("0.0.0.0:{port}"),
        Err(_) => address(text).map_or_else(
            |_| text.to_owned(),
            |node| match node.host() {
                "localhost" => format!("127.0.0.1:{}", node.port()),
                _ => node.to_string(),
            },
        ),
    };
    match full.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(ConfigError::new(
            "LISTEN",
            format!("{text:?} is not an address to listen on; write ip:port, such as {LISTEN_DEFAULT}"),
        )),
    }
}

fn store(kind: Option<&str>, data_dir: Option<&str>) -> Result<StoreKind, ConfigError> {
    match kind.unwrap_or("durable").to_ascii_lowercase().as_str() {
        "durable" => Ok(StoreKind::Durable {
            data_dir: data_dir.unwrap_or(DATA_DIR_DEFAULT).into(),
        }),
        "memory" => Ok(StoreKind::Memory),
        other => Err(ConfigError::new(
            "STORE",
            format!("{other:?} is not a kind of store; write durable or memory"),
        )),
    }
}

/// A record and its dependencies must fit well within one message of a peer stream.
const VALUE_BYTES_CEILING: usize = 4 * 1024 * 1024;

fn limits(settings: &Settings) -> Result<Limits, Vec<ConfigError>> {
    use quantities::{count, duration, size};
    const SECOND: Duration = Duration::from_secs(1);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let default = Limits::default();
    let value = size(
        "MAX_VALUE",
        &settings.max_value,
        default.value_bytes_max,
        1..=VALUE_BYTES_CEILING,
    );
    let wait = duration(
        "CAUSAL_WAIT",
        &settings.causal_wait,
        default.causal_wait,
        Duration::ZERO..=60 * SECOND,
    );
    let clock = duration(
        "CLOCK_LIMIT",
        &settings.clock_limit,
        default.clock_limit,
        SECOND..=YEAR,
    );
    let forget = duration(
        "FORGET_AFTER",
        &settings.forget_after,
        default.forget_after,
        SECOND..=YEAR,
    );
    let view_change = duration(
        "VIEW_CHANGE_TIMEOUT",
        &settings.view_change_timeout,
        default.view_change_timeout,
        SECOND..=3600 * SECOND,
    );
    let requests = count(
        "MAX_REQUESTS",
        &settings.max_requests,
        default.requests_max,
        1..=1_000_000,
    );
    // A removed node may return its writes until FORGET_AFTER minus three CLOCK_LIMITs after its
    // removal. If that is not positive, it never may.
    let short = match (&clock, &forget) {
        (Ok(clock), Ok(forget)) if *forget <= *clock * 3 => Some(ConfigError::new(
            "FORGET_AFTER",
            format!(
                "{forget:?} is not more than three times CLOCK_LIMIT ({clock:?}); raise it, or lower CLOCK_LIMIT"
            ),
        )),
        _ => None,
    };
    match (value, wait, clock, forget, view_change, requests, short) {
        (
            Ok(value_bytes_max),
            Ok(causal_wait),
            Ok(clock_limit),
            Ok(forget_after),
            Ok(view_change_timeout),
            Ok(requests_max),
            None,
        ) => Ok(Limits {
            value_bytes_max,
            causal_wait,
            clock_limit,
            forget_after,
            view_change_timeout,
            requests_max,
        }),
        (value, wait, clock, forget, view_change, requests, short) => {
            let each = [
                value.err(),
                wait.err(),
                clock.err(),
                forget.err(),
                view_change.err(),
                requests.err(),
                short,
            ];
            Err(each.into_iter().flatten().collect())
        }
    }
}

#[cfg(test)]
mod any_settings;
#[cfg(test)]
mod tests;
