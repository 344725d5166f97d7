//! The link to one server: the few commands that a sharder needs, and how they fail.
//!
//! A server carries out the commands of one link in the order in which they were sent, including those
//! whose caller has given up. So a later command can take back a write that was given up, without knowing
//! whether it was done.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult};

/// A server answers within a millisecond, and even on a busy machine in much less than this.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// For the ping of a server that has not answered.
const PING_DEADLINE: Duration = Duration::from_secs(2);
/// For a last command to a server that does not answer: long enough to leave this process.
const PARTING_DEADLINE: Duration = Duration::from_millis(100);
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// The only way in which pairs come into a server: each pair whole or not at all, and a new key only
/// while there is room. Returns the previous value of each key.
const WRITE: &str = "
local before = {}
for i, key in ipairs(KEYS) do
    before[i] = redis.call('GET', key)
    if before[i] or redis.call('DBSIZE') < tonumber(ARGV[1]) then
        redis.call('SET', key, ARGV[i + 1])
    else
        before[i] = 'full'
    end
end
return before";

/// How a server failed to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer in time. The server may have carried out the command, or may do so yet.
    Silent,
    /// The connection broke, or the answer made no sense.
    Gone,
}

/// Why there is no link to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unopened {
    /// Nothing answers on its port, or something other than a Redis.
    Silent,
    /// It answers with this error.
    Refused(String),
    /// Another process answers; its id, as it says.
    Stranger(String),
}

/// The outcome of writing a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    New,
    Replaced(i64),
    /// The key is new, and there is no room: nothing was done.
    Full,
}

#[derive(Debug, Clone)]
pub(super) struct Link(MultiplexedConnection);

impl Link {
    /// Connects to the server on this port, if it is the process `pid` and no other Redis.
    pub(super) async fn open(port: u16, pid: u32) -> Result<Self, Unopened> {
        let (link, theirs) = Self::to(port).await?;
        if theirs == pid.to_string() {
            Ok(link)
        } else {
            Err(Unopened::Stranger(theirs))
        }
    }

    /// The link to the process that answers on this port, and its process id.
    async fn to(port: u16) -> Result<(Self, String), Unopened> {
        let client = Client::open(("127.0.0.1", port)).map_err(|error| unopened(&error))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            .set_response_timeout(Some(ANSWER_DEADLINE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| unopened(&error))?;
        let about = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await;
        let about: String = about.map_err(|error| unopened(&error))?;
        let mut pid = about
            .lines()
            .filter_map(|line| line.trim().strip_prefix("process_id:"));
        let pid = pid.next().ok_or(Unopened::Silent)?;
        Ok((Self(connection), pid.to_owned()))
    }

    pub(super) async fn ping(&self) -> Result<(), Fault> {
        let ping = redis::cmd("PING");
        let answer = tokio::time::timeout(PING_DEADLINE, self.ask::<String>(&ping)).await;
        answer.unwrap_or(Err(Fault::Silent)).map(|_| ())
    }

    /// Writes pairs of different keys into a server that may hold `capacity` of them.
    pub(super) async fn write(&self, pairs: &[(i64, i64)], capacity: u64) -> Result<Vec<Written>, Fault> {
        let mut command = redis::cmd("EVAL");
        command.arg(WRITE).arg(pairs.len());
        for (key, _) in pairs {
            command.arg(*key);
        }
        command.arg(capacity);
        for (_, value) in pairs {
            command.arg(*value);
        }
        let before: Vec<Option<String>> = self.ask(&command).await?;
        Ok(before.into_iter().map(written).collect())
    }

    /// The values of keys, in their order.
    pub(super) async fn read(&self, keys: &[i64]) -> Result<Vec<Option<i64>>, Fault> {
        let values: Vec<Option<String>> = self.ask(redis::cmd("MGET").arg(keys)).await?;
        // A text that is no number was not stored here.
        Ok(values.into_iter().map(|text| text?.parse().ok()).collect())
    }

    pub(super) async fn erase(&self, key: i64) -> Result<(), Fault> {
        self.ask::<i64>(redis::cmd("DEL").arg(key)).await.map(|_| ())
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let answer: RedisResult<T> = command.query_async(&mut self.0.clone()).await;
        answer.map_err(|error| fault(&error))
    }
}

/// Sends a command even to a server that does not answer, and ignores the result.
pub(super) async fn in_parting<T>(command: impl Future<Output = Result<T, Fault>>) {
    let _ = tokio::time::timeout(PARTING_DEADLINE, command).await;
}

fn written(before: Option<String>) -> Written {
    match before.as_deref() {
        None => Written::New,
        Some("full") => Written::Full,
        // A text that is no number was not stored here.
        Some(text) => text.parse().map_or(Written::New, Written::Replaced),
    }
}

/// Why a connection could not be used. A server that is there and refuses it says why.
fn unopened(error: &RedisError) -> Unopened {
    match error.code() {
        Some(code) => Unopened::Refused(format!("{code} {}", error.detail().unwrap_or_default())),
        None => Unopened::Silent,
    }
}

fn fault(error: &RedisError) -> Fault {
    if error.is_timeout() {
        Fault::Silent
    } else {
        Fault::Gone
    }
}
