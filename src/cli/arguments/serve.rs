//! The arguments of `causeway serve`: each setting of a node, with its flag and its variable.

use clap::Args;

use crate::config::Settings;
use crate::terminal::logging::Logging;

/// Settings of a node.
#[derive(Debug, Args)]
pub struct Serve {
    /// This node's own address, as VIEW lists it: ip:port
    #[arg(long, env = "IPPORT", value_name = "IP:PORT")]
    pub ipport: Option<String>,
    /// The nodes of the first view, comma-separated; without it the node waits to be added
    #[arg(long, env = "VIEW", value_name = "IP:PORT,…")]
    pub view: Option<String>,
    /// Replicas in a partition
    #[arg(short, long, env = "K", value_name = "NUMBER", allow_negative_numbers = true)]
    pub k: Option<String>,
    /// Where to accept connections [default: 0.0.0.0:8080]
    #[arg(long, env = "LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where records are kept: durable or memory [default: durable]
    #[arg(long, env = "STORE", value_name = "KIND")]
    pub store: Option<String>,
    /// The folder of a durable store [default: causeway-data]
    #[arg(long, env = "DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// The largest value [default: 1MiB]
    #[arg(long, env = "MAX_VALUE", value_name = "SIZE")]
    pub max_value: Option<String>,
    /// How long a read waits for the writes it depends on [default: 800ms]
    #[arg(long, env = "CAUSAL_WAIT", value_name = "DURATION")]
    pub causal_wait: Option<String>,
    /// How far wall clocks may differ before nodes report it [default: 1h]
    #[arg(long, env = "CLOCK_LIMIT", value_name = "DURATION")]
    pub clock_limit: Option<String>,
    /// The least time for which a deletion is remembered [default: 24h]
    #[arg(long, env = "FORGET_AFTER", value_name = "DURATION")]
    pub forget_after: Option<String>,
    /// How long a request to change the view waits for the change to end [default: 60s]
    #[arg(long, env = "VIEW_CHANGE_TIMEOUT", value_name = "DURATION")]
    pub view_change_timeout: Option<String>,
    /// Requests in flight before new ones are refused [default: 4096]
    #[arg(long, env = "MAX_REQUESTS", value_name = "NUMBER")]
    pub max_requests: Option<String>,
    #[command(flatten)]
    pub logging: Logging,
    /// A file with settings: TOML, with the variables' names in lower case
    #[arg(long, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    pub config: Option<String>,
}

impl Serve {
    /// The settings in the flags and the environment.
    pub fn settings(&self) -> Settings {
        Settings {
            ipport: self.ipport.clone(),
            view: self.view.clone(),
            k: self.k.clone(),
            listen: self.listen.clone(),
            store: self.store.clone(),
            data_dir: self.data_dir.clone(),
            max_value: self.max_value.clone(),
            causal_wait: self.causal_wait.clone(),
            clock_limit: self.clock_limit.clone(),
            forget_after: self.forget_after.clone(),
            view_change_timeout: self.view_change_timeout.clone(),
            max_requests: self.max_requests.clone(),
            log: self.logging.log.clone(),
            log_format: self.logging.log_format.clone(),
        }
    }
}
