//! Runs the clients of the stage, and reports the results.

use std::time::Duration;

use bytes::Bytes;
use causeway::names::{Dot, Epoch, Log, MemberId};
use causeway::protocol::causality::{ClusterTag, Payload, Timestamp};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request};
use tokio::task::JoinHandle;

use super::sight::shortened;
use super::{Slip, Stage};
use crate::golden::command::{Action, Keys};
use crate::golden::told::{Deed, Performed, Told, grouped, transcript, within};
use crate::simulated::client::{Door, Ending, form};

/// A client gives up after this time. Every promise of the store has a shorter limit.
pub(super) const CLIENT_LIMIT: Duration = Duration::from_secs(5);

/// A client that changes the view waits longer than the store does.
const CURL_LIMIT: Duration = Duration::from_secs(70);

/// What a client did with one command.
pub(super) struct Turn {
    node: usize,
    performed: Vec<Performed>,
    payload: String,
}

impl Stage {
    pub(super) async fn let_client(
        &mut self,
        name: String,
        action: Action,
        in_background: bool,
    ) -> Result<Vec<String>, Slip> {
        if self.client(&name).under_way.is_some() {
            return Err(format!("{name} waits for an answer; collect {name} first"));
        }
        let turn = match action {
            Action::TakePayload(other) => {
                let theirs = self.client(&other).payload.clone();
                let own = &mut self.client(&name).payload;
                *own = [own.as_str(), &theirs]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join(",");
                return Ok(Vec::new());
            }
            Action::Forge { epoch, entries } => {
                self.client(&name).payload = self.forged(epoch, &entries)?;
                return Ok(Vec::new());
            }
            Action::ForgetPayload => {
                self.client(&name).payload.clear();
                return Ok(Vec::new());
            }
            Action::ShowPayload => {
                let dependencies = self.dependencies(&self.clients[&name].payload);
                let dependencies = dependencies
                    .strip_prefix(", ")
                    .unwrap_or("depends on nothing in doubt");
                return Ok(vec![format!("{name} {dependencies}")]);
            }
            Action::Put(node, pairs) => {
                let deeds = pairs.into_iter().map(|(keys, value)| (keys, Deed::Put(value)));
                self.turn(&name, node, deeds)?
            }
            Action::Get(node, keys) => {
                self.turn(&name, node, keys.into_iter().map(|keys| (keys, Deed::Get)))?
            }
            Action::Delete(node, keys) => {
                self.turn(&name, node, keys.into_iter().map(|keys| (keys, Deed::Delete)))?
            }
        };
        if in_background {
            self.client(&name).under_way = Some(in_the_background(turn));
            return Ok(Vec::new());
        }
        let turn = turn.await;
        Ok(self.tell(&name, turn))
    }

    /// A forged payload. Its epoch is the active one unless given, and each entry is of that epoch.
    fn forged(&self, epoch: Option<u64>, entries: &[(String, u64)]) -> Result<String, Slip> {
        let status = self.any_status()?;
        let cluster = status.cluster.ok_or("there is no cluster yet")?;
        let epoch = epoch.map_or(status.epoch, Epoch);
        let entries = entries.iter().map(|(name, number)| {
            let known = self.members.iter().find(|(_, known)| *known == name);
            let member = known.map_or(MemberId(1), |(member, _)| *member);
            Dot {
                log: Log { epoch, member },
                number: *number,
            }
        });
        let payload = Payload {
            epoch,
            timestamp: Timestamp::ZERO,
            entries: entries.collect(),
        };
        Ok(payload.to_text(ClusterTag::from(cluster)))
    }

    /// One request after the other, each with the payload of the one before.
    fn turn(
        &mut self,
        name: &str,
        node: usize,
        deeds: impl Iterator<Item = (Keys, Deed)>,
    ) -> Result<BoxFuture<'static, Turn>, Slip> {
        let door = Door::of(&self.cluster_mut(node)?.nodes[node]);
        let mut payload = self.client(name).payload.clone();
        let deeds: Vec<_> = deeds
            .flat_map(|(keys, deed)| {
                keys.keys
                    .into_iter()
                    .map(move |key| (keys.label.clone(), key, deed.clone()))
            })
            .collect();
        let turn = async move {
            let mut performed = Vec::new();
            for (label, key, deed) in deeds {
                let (ending, took) = door.send(request(&key, &deed, &payload), CLIENT_LIMIT).await;
                let told = Told::from(ending);
                payload = told.text_field("causal_payload").map_or(payload, str::to_owned);
                performed.push(Performed {
                    label,
                    deed,
                    told,
                    took,
                });
            }
            Turn {
                node,
                performed,
                payload,
            }
        };
        Ok(turn.boxed())
    }

    pub(super) fn tell(&mut self, name: &str, turn: Turn) -> Vec<String> {
        let dependencies = self.dependencies(&turn.payload);
        let is_told = |one: &Performed| one.told.text_field("causal_payload").is_some();
        let told = turn.performed.last().is_some_and(is_told);
        self.client(name).payload = turn.payload;
        let mut lines: Vec<String> = grouped(&turn.performed)
            .into_iter()
            .map(|(text, took)| self.short(&format!("n{} -> {name}: {text}{}", turn.node + 1, within(took))))
            .collect();
        if let Some(last) = lines.last_mut().filter(|_| told) {
            last.push_str(&dependencies);
        }
        lines
    }

    /// A payload's dependencies that are not known to be on every replica.
    fn dependencies(&self, text: &str) -> String {
        let Some(cluster) = self.any_status().ok().and_then(|status| status.cluster) else {
            return String::new();
        };
        let Ok(payload) = Payload::from_text(text, ClusterTag::from(cluster)) else {
            return String::new();
        };
        let dots = payload.entries.iter().map(|dot| {
            let member = self.members.get(&dot.log.member).map_or("?", String::as_str);
            // Each start of a node restarts the numbers of its writes.
            let (run, number) = (dot.number >> 38, dot.number & ((1 << 38) - 1));
            match run {
                0 => format!("{member}:{number}"),
                _ => format!("{member}:{number} of start {run}"),
            }
        });
        let mut dots: Vec<String> = dots.collect();
        dots.sort();
        if dots.is_empty() {
            String::new()
        } else {
            format!(", depends on {}", dots.join(" "))
        }
    }

    /// One request of a client that does not keep its payload.
    pub(super) fn curl(
        &mut self,
        node: usize,
        method: &str,
        path: &str,
        parameters: &[(String, String)],
    ) -> Result<BoxFuture<'static, Vec<String>>, Slip> {
        let method: Method = method.parse().map_err(|_| format!("{method} is no method"))?;
        let mut pairs = Vec::new();
        for (name, value) in parameters {
            let value = match value.strip_prefix('$') {
                Some(client) => self.client(client).payload.clone(),
                None => self.long(value),
            };
            pairs.push((name.as_str(), value));
        }
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let request = form(method, path, &pairs);
        let door = Door::of(&self.cluster_mut(node)?.nodes[node]);
        let names = self.short_names();
        let curl = async move {
            let (ending, took) = door.send(request, CURL_LIMIT).await;
            let mut lines = match ending {
                Ending::Answered(reply) => transcript(&reply),
                other => vec![Told::from(other).found().to_owned()],
            };
            lines[0].push_str(&within(took));
            lines.iter().map(|line| shortened(line, &names)).collect()
        };
        Ok(curl.boxed())
    }
}

pub(crate) fn request(key: &str, deed: &Deed, payload: &str) -> Request<Bytes> {
    let path = format!("/kv-store/{key}");
    let payload = ("causal_payload", payload);
    match deed {
        Deed::Put(value) => form(Method::PUT, &path, &[("val", value), payload]),
        Deed::Get => form(Method::GET, &path, &[payload]),
        Deed::Delete => form(Method::DELETE, &path, &[payload]),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the script goes on meanwhile, and collects what came of it"
)]
pub(super) fn in_the_background<T: Send + 'static>(turn: BoxFuture<'static, T>) -> JoinHandle<T> {
    tokio::spawn(turn)
}
