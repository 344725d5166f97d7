//! A hostile client: it forges causal payloads and sends them in every kind of request, at any node, for
//! as long as faults strike. Answers to it are not judged; answers to others are judged as always.

use std::cell::RefCell;

use causeway::names::{Dot, Epoch, Log, Member, MemberId};
use causeway::node::{NodeStatus, World};
use causeway::protocol::causality::{ClusterTag, Payload, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::setting::Setting;
use super::stage::Stage;
use crate::support::driver::Cluster;
use crate::support::workload::Workload;

/// The longest pause between two requests.
const PAUSE_US_MAX: u64 = 150_000;

/// An epoch that no cluster reaches.
const FAR_EPOCH: Epoch = Epoch(1_000_000_000_000_000);

/// As many entries as a payload may have.
const MANY: u64 = 16_384;

/// Sends forged payloads until the faults are over.
pub async fn attack(stage: &Stage, workload: &RefCell<Workload>, setting: &Setting) {
    let mut rng = StdRng::seed_from_u64(setting.seed ^ 0xF0_96ED);
    while !stage.is_over.get() {
        stage.sleep_us(rng.random_range(0..=PAUSE_US_MAX)).await;
        let Some(payload) = forge(stage, workload, setting, &mut rng) else {
            continue;
        };
        let step = workload
            .borrow_mut()
            .hostile_step(&mut rng, stage.nodes(), payload);
        let Some(step) = step else { return };
        let start_us = stage.now_us();
        let replies = stage
            .operate_all(step.node, &step.operations, &step.payload)
            .await;
        let end_us = stage.now_us();
        workload.borrow_mut().record(step, replies, start_us, end_us);
    }
}

/// A payload that no node issued. None while no node knows a view.
fn forge(stage: &Stage, workload: &RefCell<Workload>, setting: &Setting, rng: &mut StdRng) -> Option<String> {
    let cluster = stage.cluster.borrow();
    let running: Vec<NodeStatus> = cluster
        .nodes
        .iter()
        .filter_map(|node| Some(node.running.as_ref()?.status()))
        .collect();
    let tag = ClusterTag::from(running.iter().find_map(|one| one.cluster)?);
    let epoch = running.iter().map(|one| one.epoch).max()?;
    let members: Vec<MemberId> = running.iter().map(member_id).collect();
    let mut payload = Payload {
        epoch,
        ..Payload::default()
    };
    // A quarter of the limit, so that this and wrong clocks together stay within the limit.
    if rng.random_bool(0.3) {
        let limit_ms = u64::try_from(setting.limits().clock_limit.as_millis()).expect("hours");
        let wall_ms = cluster.nodes[0].world.wall_ms();
        payload.timestamp = Timestamp::from_wall_ms(wall_ms + limit_ms / 4);
    }
    let any = members[rng.random_range(0..members.len())];
    let far = rng.random_range(1..1_000_000_000_000);
    let entry = |epoch: Epoch, member: MemberId, number: u64| Dot {
        log: Log { epoch, member },
        number,
    };
    match rng.random_range(0..9) {
        0 => payload.epoch = FAR_EPOCH,
        1 => payload.epoch = epoch.next(),
        2 => payload.entries.raise(entry(FAR_EPOCH, any, 1)),
        3 => payload.entries.raise(entry(epoch, MemberId(far), 1)),
        4 => payload.entries.raise(entry(epoch, any, far)),
        5 => payload.entries.raise(entry(epoch, any, rng.random_range(1..300))),
        6 => payload.entries.raise(entry(epoch, any, u64::MAX)),
        7 => {
            let past = Epoch(rng.random_range(0..=epoch.0));
            payload.entries.raise(entry(past, any, far));
        }
        _ => {
            let strangers = (0..MANY).map(|number| entry(epoch, MemberId(number), 1));
            payload.entries = strangers.collect();
        }
    }
    let forged = payload.to_text(tag);
    let workload = workload.borrow();
    let stolen = workload.stolen_payload(rng);
    Some(if stolen.is_empty() || rng.random_bool(0.5) {
        forged
    } else {
        format!("{forged},{stolen}")
    })
}

fn member_id(status: &NodeStatus) -> MemberId {
    let member = Member {
        node: status.node.clone(),
        incarnation: status.incarnation,
    };
    member.id()
}
