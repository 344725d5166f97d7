//! Starts a node: from what its store kept, or as a new incarnation.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Node;
use super::claims::Claims;
use super::claims::ledger::Ledger;
use super::commit::pace::Pace;
use super::commit::waiters::Acks;
use super::committer::{Committer, QUEUE_JOBS};
use super::epochs::Epochs;
use super::identity::Me;
use super::peers::Peers;
use super::peers::log_once::Complaints;
use super::replication::Replication;
use super::requests::Requests;
use super::requests::dedup::Remembered;
use super::runtime::tasks::Tasks;
use super::runtime::world::World;
use super::shared::Shared;
use super::view_change::ViewChanges;
use super::view_change::left_behind::Pages;
use crate::config::Config;
use crate::names::{Epoch, Incarnation, Member, NodeId, Slot};
use crate::net::Dialer;
use crate::node::commit::handle::Commit;
use crate::planted::{self, Fault};
use crate::protocol::replication::{ReplicaState, Runs, Unstable};
use crate::protocol::view_change::Acceptors;
use crate::store::{Batch, Engine, Recovered, Resident, StoreError};
use crate::wire::notes::{self, UnreadableNote};
use crate::wire::peer::Start;

/// What a node needs besides its configuration: its world, its network, its disk, and the tasks that run
/// it.
#[derive(Debug)]
pub struct Parts {
    pub world: Arc<dyn World>,
    pub dialer: Arc<dyn Dialer>,
    pub engine: Arc<dyn Engine>,
    pub tasks: Tasks,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Note(#[from] UnreadableNote),
    /// The data directory is another node's.
    #[error("the data directory belongs to node {found}, this is {expected}; set DATA_DIR or IPPORT right")]
    OtherNode { found: NodeId, expected: NodeId },
}

impl Node {
    /// Starts a node: it answers at once, and finds its place in the cluster by itself. The caller must
    /// run the committer, on a thread of its own if commits block.
    pub async fn start(config: &Config, parts: Parts) -> Result<(Arc<Self>, Committer), StartError> {
        let Parts {
            world,
            dialer,
            engine,
            tasks,
        } = parts;
        let recovered = engine.recover()?;
        let (state, acceptors) = recall(config, world.as_ref(), engine.as_ref(), &recovered).await?;
        let pages = Pages::new(notes::read_pages(&recovered.notes)?);
        let me = Arc::new(Me::new(state.clone(), world, &config.limits));
        me.marks.recall(notes::read_marks(&recovered.notes)?);
        let ledger = Ledger::default();
        let (resident, unstable) = fill(&me, &state, recovered, &ledger);
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS);
        let shared = Arc::new(Shared {
            peers: Peers::new(Arc::clone(&me) as _, dialer, tasks.clone()),
            acks: Acks::new(state.own_log()),
            me,
            start: Start {
                replicas: config.replicas,
                view: config.view.clone(),
            },
            limits: config.limits.clone(),
            resident,
            tasks,
            commit: Commit::new(queue),
            storage: Arc::default(),
            pace: Pace::default(),
            complaints: Complaints::default(),
        });
        let node = Arc::new(Self::of_services(shared, ledger, pages));
        for acceptor in acceptors.values() {
            if let Some((_, view)) = &acceptor.accepted {
                node.shared.me.accepted.note(Arc::clone(view));
            }
        }
        node.begin(config, &state);
        let committer = Committer::new(Arc::clone(&node.epochs), engine, jobs, acceptors, unstable);
        Ok((node, committer))
    }

    fn of_services(shared: Arc<Shared>, ledger: Ledger, pages: Pages) -> Self {
        let claims = Arc::new(Claims::new(Arc::clone(&shared), ledger));
        let replication = Arc::new(Replication::new(Arc::clone(&shared), Arc::clone(&claims)));
        let view_changes = ViewChanges::new(Arc::clone(&shared), Arc::clone(&replication), pages);
        let view_changes = Arc::new(view_changes);
        let (claimed, replicated) = (Arc::clone(&claims), Arc::clone(&replication));
        let requests = Requests::new(
            Arc::clone(&shared),
            claimed,
            replicated,
            Arc::clone(&view_changes),
        );
        let epochs = Epochs::new(
            Arc::clone(&claims),
            Arc::clone(&replication),
            Arc::clone(&view_changes),
            Arc::clone(&shared),
        );
        Self {
            shared,
            claims,
            replication,
            view_changes,
            requests: Arc::new(requests),
            epochs: Arc::new(epochs),
            remembered: Remembered::default(),
        }
    }

    /// Logs that `VIEW` differs from the view on disk, as it does after every view change. But a node that
    /// serves alone although `VIEW` lists others was probably started alone by mistake.
    fn tell_other_view(&self, config: &Config, state: &ReplicaState) {
        let is_alone = state.view().is_some_and(|view| view.nodes().count() == 1);
        let others = config.view.iter().flatten().filter(|node| **node != config.node);
        let others: Vec<String> = others.map(ToString::to_string).collect();
        if is_alone && !others.is_empty() {
            tracing::warn!(
                "this node forms a cluster of one and replicates to no other node, although VIEW lists others; to add {}: \
                 stop it, empty its data directory, start it, and run: causeway view add <its address> --node {}",
                others.join(", "),
                config.node
            );
        } else {
            tracing::info!("VIEW differs from the view on disk; using the one on disk");
        }
    }

    fn begin(self: &Arc<Self>, config: &Config, state: &ReplicaState) {
        if state.ended.is_some() {
            self.epochs.begin_epoch(state);
        } else if state.active == Epoch::NONE {
            self.shared
                .tasks
                .spawn(Arc::clone(&self.view_changes).find_place());
        } else {
            let listed = state
                .view()
                .map(|view| view.nodes().map(NodeId::canonical).collect());
            if config.view.is_some() && sorted(config.view.clone()) != sorted(listed) {
                self.tell_other_view(config, state);
            }
            let on_disk = state.view().map(|view| view.replicas);
            if let (Some(given), Some(on_disk)) = (config.replicas, on_disk)
                && given != on_disk
            {
                tracing::info!(
                    given,
                    on_disk,
                    "K differs from that of the view on disk; using the one on disk"
                );
            }
            self.epochs.begin_epoch(state);
        }
        let Self {
            shared,
            claims,
            replication,
            view_changes,
            ..
        } = &**self;
        let tasks = &shared.tasks;
        tasks.spawn(fill_index(Arc::clone(shared)));
        tasks.spawn(Arc::clone(&shared.me).watch_wall());
        tasks.spawn(Arc::clone(&shared.storage).watched());
        tasks.spawn(Arc::clone(claims).clear_claims());
        tasks.spawn(Arc::clone(replication).forget_tombstones());
        tasks.spawn(Arc::clone(replication).expire_removals());
        tasks.spawn(Arc::clone(replication).prove_disk());
        tasks.spawn(Arc::clone(replication).remember_others());
        tasks.spawn(Arc::clone(view_changes).watch_changes());
        tasks.spawn(Arc::clone(view_changes).hand_over_left_behind());
    }
}

/// How many slots are indexed before other tasks get their turn on this thread.
const SLOTS_AT_ONCE: usize = 64;

/// Indexes the keys from the disk for listings; keys are served meanwhile.
async fn fill_index(shared: Arc<Shared>) {
    for slots in Slot::all().collect::<Vec<_>>().chunks(SLOTS_AT_ONCE) {
        slots.iter().for_each(|slot| shared.resident.index(*slot));
        if !shared.resident.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

fn sorted(nodes: Option<Vec<NodeId>>) -> Vec<NodeId> {
    let mut nodes = nodes.unwrap_or_default();
    nodes.sort();
    nodes
}

/// Reads the node's identity and state from its store, or makes new ones.
pub(super) async fn recall(
    config: &Config,
    world: &dyn World,
    engine: &dyn Engine,
    recovered: &Recovered,
) -> Result<(ReplicaState, Acceptors), StartError> {
    let kept = notes::read(&recovered.notes)?;
    let is_unused = |state: &ReplicaState| recovered.records.is_empty() && state.is_unused();
    // A life keeps the spelling of its address that it began with: the ids of members depend on it.
    let is_other = |state: &ReplicaState| {
        state.me.node != config.node && (is_unused(state) || !state.me.node.is_same_address(&config.node))
    };
    if let Some((state, _)) = kept.as_ref().filter(|(state, _)| is_other(state)) {
        if !is_unused(state) {
            return Err(StartError::OtherNode {
                found: state.me.node.clone(),
                expected: config.node.clone(),
            });
        }
        tracing::info!(was = %state.me.node, "the data directory was made under another name and never used; starting with an empty store");
    } else if let Some((mut state, acceptors)) = kept {
        begin_run(&mut state, world, engine).await?;
        tracing::info!(node = %state.me.node, epoch = %state.active, records = recovered.records.len(), "recovered from disk");
        return Ok((state, acceptors));
    }
    let incarnation = Incarnation {
        started_ms: world.wall_ms(),
        random: world.random(),
    };
    let member = Member {
        node: config.node.clone(),
        incarnation: if planted::is(Fault::SameIncarnation) {
            Incarnation {
                started_ms: 1,
                random: 1,
            }
        } else {
            incarnation
        },
    };
    let mut state = ReplicaState::new(member);
    state.runs = Runs::of_new_life(world.random(), 0);
    let mut batch = Batch {
        notes: vec![notes::member_note(&state.me)],
        ..Batch::default()
    };
    batch.notes.extend(notes::runs_notes(&state));
    if !recovered.notes.is_empty() {
        batch.notes.extend(notes::standing_notes(&state));
        batch.notes.extend([
            notes::vector_note(&state),
            notes::acceptors_note(&BTreeMap::new()),
        ]);
    }
    engine.commit(&batch).await?;
    tracing::info!(node = %config.node, "starting with an empty store");
    Ok((state, BTreeMap::new()))
}

/// Begins another run of a life, which asks before it serves whether its disk is the one that it left. If
/// the disk refuses the run, reads are served all the same: the first accepted batch stores it.
async fn begin_run(
    state: &mut ReplicaState,
    world: &dyn World,
    engine: &dyn Engine,
) -> Result<(), StoreError> {
    let age_ms = world.wall_ms().saturating_sub(state.me.incarnation.started_ms);
    state.start_again(world.random(), age_ms);
    let batch = Batch {
        notes: notes::runs_notes(state).to_vec(),
        ..Batch::default()
    };
    state.is_run_new = match engine.commit(&batch).await {
        Ok(()) => false,
        Err(StoreError::Refused(_)) => true,
        Err(unknown) => return Err(unknown),
    };
    state.is_unproven = state.active != Epoch::NONE && state.ended.is_none();
    Ok(())
}

fn fill(me: &Me, state: &ReplicaState, recovered: Recovered, ledger: &Ledger) -> (Resident, Unstable) {
    let resident = Resident::new();
    let mut unstable = Unstable::default();
    for record in recovered.records {
        me.clock.observe(record.timestamp());
        ledger.note(&record);
        if record.dot().log.epoch >= state.closed.below {
            unstable.insert(record.clone());
        }
        resident.put(record);
    }
    me.recall_wall();
    (resident, unstable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Limits;
    use crate::names::{ClusterId, Dot, Key, Log};
    use crate::node::Machine;
    use crate::protocol::causality::{Record, Timestamp, VersionVector};
    use crate::protocol::placement::{View, next};

    #[test]
    fn what_is_on_disk_is_resident_raises_the_clock_and_may_be_unstable_while_its_epoch_is_open() {
        let member = Member {
            node: "n0:80".parse().expect("is a node"),
            incarnation: Incarnation {
                started_ms: 1,
                random: 0,
            },
        };
        let nodes = BTreeSet::from([member.node.clone()]);
        let up = BTreeMap::from([(member.node.clone(), member.incarnation)]);
        let one = View::first(ClusterId(1), 1, &nodes, &up);
        let two = next::admit(&one, &[]);
        let mut state = ReplicaState::new(member.clone());
        for view in [one, two] {
            let epoch = view.epoch;
            state.learn(&Arc::new(view));
            state.activate(epoch);
        }
        let record = |epoch, timestamp| {
            let log = Log {
                epoch: Epoch(epoch),
                member: member.id(),
            };
            let key = Key::new(&format!("k{epoch}")).expect("is a key");
            let dot = Dot { log, number: 1 };
            Record::new(&key, Some(b"v"), dot, timestamp, &VersionVector::default())
        };
        // The wall clock was set back since.
        let latest = Timestamp::from_wall_ms(u64::MAX >> 20);
        let recovered = || Recovered {
            records: vec![record(1, latest), record(2, Timestamp(1))],
            ..Recovered::default()
        };
        let me = Me::new(state.clone(), Arc::new(Machine), &Limits::default());
        let (resident, unstable) = fill(&me, &state, recovered(), &Ledger::default());
        assert_eq!((resident.len(), unstable.len()), (2, 2));
        assert!(me.clock.tick(me.trusted_wall_ms()) > latest);
        state.closed.below = Epoch(2);
        assert_eq!(fill(&me, &state, recovered(), &Ledger::default()).1.len(), 1);
    }
}
