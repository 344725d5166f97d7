//! Any message between peers, drawn for the properties in `tests`: every kind of question and answer.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::protocol::replication::{Offered, Wanted};
use crate::protocol::view_change::Phase;
use crate::wire::samples::*;

pub(super) fn greetings() -> BoxedStrategy<Greeting> {
    let cluster = option::of(numbers().prop_map(ClusterId));
    let marks = (marks(), vec((member_ids(), marks()), 0..2), option::of(dots()));
    (members(), numbers(), cluster, timestamps(), shown(), marks)
        .prop_map(
            |(member, boot, cluster, clock, time, (mark, remembers, holds))| Greeting {
                member,
                boot,
                cluster,
                clock,
                time,
                mark,
                remembers,
                holds,
            },
        )
        .boxed()
}

fn shown() -> BoxedStrategy<Shown> {
    let times = (numbers(), numbers());
    times
        .prop_map(|(wall_ms, believed_ms)| Shown { wall_ms, believed_ms })
        .boxed()
}

fn starts() -> BoxedStrategy<Start> {
    (option::of(any::<u32>()), option::of(vec(node_ids(), 0..3)))
        .prop_map(|(replicas, view)| Start { replicas, view })
        .boxed()
}

fn known() -> BoxedStrategy<Known> {
    (vec(views(), 0..2), vec(views(), 0..2), closings(), epochs())
        .prop_map(|(views, lost, closed, active)| Known {
            views,
            lost,
            closed,
            active,
        })
        .boxed()
}

fn gossip() -> BoxedStrategy<Gossip> {
    let waits = proptest::collection::btree_set(member_ids(), 0..3);
    (
        epochs(),
        shown(),
        vectors(),
        vectors(),
        epochs(),
        any::<u32>(),
        closings(),
        waits,
        proptest::collection::btree_map(epochs(), any::<bool>(), 0..2),
        (
            proptest::collection::btree_map(member_ids(), any::<u64>(), 0..2),
            proptest::collection::btree_map(epochs(), any::<u64>(), 0..2),
        ),
    )
        .prop_map(
            |(epoch, time, held, stable, done_below, run, closed, does_not_await, lost, counted)| Gossip {
                epoch,
                time,
                held,
                stable,
                done_below,
                run,
                closed,
                does_not_await,
                lost,
                counted: Counted {
                    removals_ms: counted.0,
                    lost_ms: counted.1,
                },
            },
        )
        .boxed()
}

fn pushes() -> BoxedStrategy<Push> {
    (epochs(), numbers(), vec(records(), 0..3), numbers())
        .prop_map(|(epoch, first, records, stable)| Push {
            epoch,
            first,
            after: first.saturating_sub(1),
            records,
            stable,
        })
        .boxed()
}

fn asks() -> BoxedStrategy<ExchangeRequest> {
    let wanted = (slot_sets(), epochs(), vectors(), epochs());
    let wanted = wanted.prop_map(|(slots, lacks, holds, closed_below)| Wanted {
        slots,
        lacks,
        holds,
        closed_below,
    });
    (members(), epochs(), epochs(), vec(wanted, 0..3))
        .prop_map(|(taker, active, target, wanted)| ExchangeRequest {
            taker,
            active,
            target,
            wanted,
        })
        .boxed()
}

fn given() -> BoxedStrategy<ExchangeResponse> {
    let offered = (slot_sets(), epochs(), epochs(), vectors(), sets_of_members());
    let offered = offered.prop_map(|(slots, lacks, last_owned, coverage, sources)| Offered {
        slots,
        lacks,
        last_owned,
        coverage,
        sources,
    });
    (
        members(),
        epochs(),
        vectors(),
        vec(offered, 0..3),
        sets_of_members(),
        vectors(),
    )
        .prop_map(
            |(giver, active, vector, offered, too_late, claimed)| ExchangeResponse {
                giver,
                active,
                vector,
                offered,
                too_late,
                claimed,
            },
        )
        .boxed()
}

fn confirms() -> BoxedStrategy<Confirm> {
    (members(), epochs(), epochs(), vec(kept(), 0..2))
        .prop_map(|(keeper, epoch, closed_below, kept)| Confirm {
            keeper,
            epoch,
            closed_below,
            kept,
        })
        .boxed()
}

fn phases() -> BoxedStrategy<Phase> {
    prop::sample::select(vec![
        Phase::Copy,
        Phase::Seal,
        Phase::HandOver,
        Phase::Activate,
        Phase::Done,
    ])
    .boxed()
}

fn texts() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        keys().prop_map(|key| key.as_str().to_owned())
    ]
    .boxed()
}

fn operations() -> BoxedStrategy<Operation> {
    (keys(), 0u8..3, values())
        .prop_map(|(key, kind, value)| match kind {
            0 => Operation::Get { key },
            1 => Operation::Delete { key },
            _ => Operation::Put {
                key,
                value: value.unwrap_or_default(),
            },
        })
        .boxed()
}

fn effects() -> BoxedStrategy<Effect> {
    (any::<bool>(), payloads(), timestamps(), any::<u32>())
        .prop_map(|(created, payload, timestamp, replicas)| Effect {
            created,
            payload,
            timestamp,
            replicas,
        })
        .boxed()
}

fn outcomes() -> BoxedStrategy<Outcome> {
    prop_oneof![
        (records(), payloads()).prop_map(|(record, payload)| Outcome::Found { record, payload }),
        payloads().prop_map(|payload| Outcome::Missing { payload }),
        effects().prop_map(Outcome::Written),
        Just(Outcome::NoRoom),
    ]
    .boxed()
}

fn items() -> BoxedStrategy<Item> {
    (keys(), values(), timestamps())
        .prop_map(|(key, value, timestamp)| Item {
            key,
            value,
            timestamp,
        })
        .boxed()
}

/// Questions about many keys at once.
fn batches() -> BoxedStrategy<Question> {
    let listings = (texts(), option::of(texts()), any::<u32>(), any::<bool>());
    let listings = listings.prop_map(|(prefix, after, limit, keys_only)| Listing {
        prefix,
        after,
        limit,
        keys_only,
    });
    prop_oneof![
        (any::<u128>(), vec(operations(), 0..3), payloads(), any::<u32>()).prop_map(
            |(id, operations, payload, room)| Question::Batch {
                id,
                operations,
                payload,
                room,
            }
        ),
        (slot_sets(), listings, payloads(), any::<u32>()).prop_map(
            |(slots, listing, payload, value_bytes)| Question::List {
                slots,
                listing,
                payload,
                value_bytes,
            }
        ),
        (vec(epochs(), 0..3), vectors()).prop_map(|(epochs, entries)| Question::Vouch {
            epochs,
            logs: entries.iter().map(|dot| dot.log).collect(),
        }),
    ]
    .boxed()
}

fn vouched() -> BoxedStrategy<Vouched> {
    let stable = (vectors(), epochs());
    (
        vectors(),
        vec(dots(), 0..3),
        vectors(),
        vec(epochs(), 0..3),
        stable,
    )
        .prop_map(|(exist, ends, claimed, unknown, (stable, epoch))| Vouched {
            exist,
            ends,
            claimed,
            unknown,
            stable,
            epoch,
        })
        .boxed()
}

fn orders() -> BoxedStrategy<Question> {
    let order = (epochs(), phases(), sets_of_members());
    (order, option::of(known()))
        .prop_map(|((target, phase, givers), known)| Question::Order {
            order: Order {
                target,
                phase,
                givers,
            },
            known,
        })
        .boxed()
}

fn questions() -> BoxedStrategy<Question> {
    let start = || option::of(starts());
    prop_oneof![
        Just(Question::Ping),
        Just(Question::Meet),
        gossip().prop_map(|gossip| Question::Gossip(gossip.into())),
        pushes().prop_map(Question::Push),
        asks().prop_map(Question::Exchange),
        (numbers(), any::<u32>()).prop_map(|(ticket, page)| Question::Page { ticket, page }),
        (epochs(), slot_sets(), copy_places()).prop_map(|(target, slots, from)| Question::Copy {
            target,
            slots,
            from
        }),
        confirms().prop_map(Question::Confirm),
        (
            option::of(left_behind()),
            vec(records(), 0..3),
            slot_sets(),
            vec(kept(), 0..3),
            vectors()
        )
            .prop_map(|(left, records, slots, kept, claimed)| Question::Return {
                left,
                records,
                slots,
                kept,
                claimed,
            }),
        slot_sets().prop_map(Question::Holdings),
        (keys(), payloads(), any::<u32>()).prop_map(|(key, payload, patience_ms)| Question::Get {
            key,
            payload,
            patience_ms,
        }),
        (any::<u128>(), keys(), values(), payloads()).prop_map(|(id, key, value, payload)| {
            Question::Write {
                id,
                key,
                value,
                payload,
            }
        }),
        (epochs(), ballots(), start()).prop_map(|(epoch, ballot, start)| Question::Promise {
            epoch,
            ballot,
            start,
        }),
        (epochs(), ballots(), views(), start()).prop_map(|(epoch, ballot, view, start)| Question::Accept {
            epoch,
            ballot,
            view,
            start,
        }),
        vec(left_behind(), 0..2).prop_map(|left| Question::Admit { left }),
        orders(),
        batches(),
    ]
    .boxed()
}

fn copy_places() -> BoxedStrategy<CopyPlace> {
    (any::<u16>(), option::of(texts()))
        .prop_map(|(slot, after)| CopyPlace { slot, after })
        .boxed()
}

fn copied() -> BoxedStrategy<Answer> {
    let copied = (slot_sets(), vectors(), epochs());
    let copied = copied.prop_map(|(slots, holds, closed_below)| Copied {
        slots,
        holds,
        closed_below,
    });
    let rest = (option::of(copy_places()), numbers());
    (vec(records(), 0..3), vec(copied, 0..2), rest)
        .prop_map(|(records, copied, (next, keys_to_go))| Answer::Copied {
            records,
            copied,
            next,
            keys_to_go,
        })
        .boxed()
}

fn declined() -> BoxedStrategy<Declined> {
    prop_oneof![
        payloads().prop_map(|payload| Declined::KeyNotFound { payload }),
        any::<String>().prop_map(Declined::StorageFailed),
        any::<String>().prop_map(Declined::BadPayload),
        prop::sample::select(vec![
            Declined::Behind,
            Declined::NotReady,
            Declined::NotOwner,
            Declined::Gone
        ]),
    ]
    .boxed()
}

fn votes() -> BoxedStrategy<Vote> {
    prop_oneof![
        accepted().prop_map(|accepted| Vote::Promised { accepted }),
        ballots().prop_map(|promised| Vote::Outbid { promised }),
        Just(Vote::Accepted),
        Just(Vote::NotVoting),
    ]
    .boxed()
}

fn reports() -> BoxedStrategy<Report> {
    let how_far = (epochs(), epochs(), any::<bool>(), any::<bool>());
    let keys = (numbers(), numbers(), sets_of_members());
    (members(), how_far, keys)
        .prop_map(|(by, how_far, (keys_moved, keys_to_go, through_with))| {
            let (active, sealed, knows, copied) = how_far;
            Report {
                by: by.id(),
                active,
                sealed,
                knows,
                copied,
                keys_moved,
                keys_to_go,
                through_with,
            }
        })
        .boxed()
}

fn answers() -> BoxedStrategy<Answer> {
    let returned = vec![Returned::Settled, Returned::NotYet, Returned::TooLate];
    let plain = vec![Answer::Pong, Answer::NotTaken, Answer::Noted];
    prop_oneof![
        prop::sample::select(plain),
        prop::sample::select(returned).prop_map(Answer::Returned),
        (members(), starts(), known(), vec(left_behind(), 0..2)).prop_map(|(by, start, known, left)| {
            Answer::Met {
                by,
                start,
                known,
                left,
            }
        }),
        gossip().prop_map(|gossip| Answer::Gossip(gossip.into())),
        (epochs(), vectors()).prop_map(|(epoch, held)| Answer::Held { epoch, held }),
        (given(), vec(records(), 0..3), numbers(), any::<u32>()).prop_map(
            |(given, records, ticket, pages)| Answer::Exchanged {
                given,
                records,
                ticket,
                pages,
            }
        ),
        vec(records(), 0..4).prop_map(Answer::Records),
        copied(),
        slot_sets().prop_map(Answer::Confirmed),
        (slot_sets(), numbers()).prop_map(|(ready, keys)| Answer::Holdings { ready, keys }),
        (records(), payloads()).prop_map(|(record, payload)| Answer::Found { record, payload }),
        effects().prop_map(Answer::Written),
        declined().prop_map(Answer::Declined),
        (members(), votes()).prop_map(|(by, vote)| Answer::Voted { by, vote }),
        reports().prop_map(Answer::Report),
        vec(outcomes(), 0..3).prop_map(Answer::Done),
        (vec(items(), 0..3), option::of(texts()), payloads())
            .prop_map(|(items, upto, payload)| { Answer::Listed { items, upto, payload } }),
        vouched().prop_map(Answer::Vouched),
    ]
    .boxed()
}

pub(super) fn frames() -> BoxedStrategy<Frame> {
    let body = prop_oneof![questions().prop_map(Body::Ask), answers().prop_map(Body::Answer)];
    (numbers(), timestamps(), epochs(), numbers(), body)
        .prop_map(|(id, clock, epoch, position, body)| Frame {
            id,
            clock,
            epoch,
            position,
            body,
        })
        .boxed()
}
