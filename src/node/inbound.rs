//! Answers the questions of peers: the other end of every call in `peers`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Node;
use super::commit::job::{Job, PushJob};
use super::outcome::{NotTaken, Refusal, declined};
use super::peers::link::{Identity, hear};
use super::peers::outbox::Outbox;
use super::requests::dedup::Seen;
use crate::names::{Dot, Key, Log, Member};
use crate::net::Pipe;
use crate::protocol::causality::Payload;
use crate::protocol::replication::{Operation, Push, Return};
use crate::protocol::view_change::Vote;
use crate::wire::peer::{Answer, Body, Declined, Question, decode_greeting, encode_frame, encode_greeting};
use crate::wire::pieces::Joiner;

/// A stream without a greeting is closed after this time.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// How long a push of the next epoch waits for this node to activate it.
const EPOCH_LIMIT: Duration = Duration::from_millis(250);

impl Node {
    /// Serves a peer that opened a stream to this node, until it closes.
    pub fn serve_peer(self: &Arc<Self>, mut pipe: Pipe) {
        let node = Arc::clone(self);
        self.shared.tasks.spawn(async move {
            // The reason is logged before the stream closes, at the end of this task.
            if let Err(reason) = node.converse(&mut pipe).await
                && node.shared.complaints.note_if_new(&reason)
            {
                tracing::warn!(reason, "closed the stream of a peer");
            }
        });
    }

    async fn converse(self: &Arc<Self>, pipe: &mut Pipe) -> Result<(), String> {
        let Ok(Some(greeting)) = timeout(GREETING_LIMIT, pipe.receiver.recv()).await else {
            return Ok(());
        };
        let greeting = decode_greeting(&greeting).map_err(|error| error.to_string())?;
        // Taken before the greeting, so that the stream ends with the life that greets.
        let closed = self.epochs.life_stop();
        // Greet before judging: the peer must learn who we are to say why it cannot talk to us.
        let ours = encode_greeting(&self.shared.me.greeting(&greeting.member.node));
        if pipe.sender.send(ours).await.is_err() {
            return Ok(());
        }
        let peer = greeting.member.clone();
        if let Err(unfit) = self.shared.me.check(&greeting) {
            // Keep nothing of strangers: they may come under any number of names.
            let state = self.shared.me.state();
            let is_listed = state.newest().is_some_and(|view| view.lists(&peer.node));
            if is_listed && peer.node != self.shared.me.node {
                self.shared.peers.found_unfit(&peer, &unfit);
            }
            return Err(format!("{}: {unfit}", peer.node));
        }
        let state = self.shared.me.state();
        let listed = state.newest().and_then(|view| view.member(&peer.node));
        self.shared
            .peers
            .greeted_by(&peer.node, listed.is_some_and(|listed| listed != peer));
        let (outbox, mut joiner) = (Arc::new(Outbox::new(pipe.sender.clone())), Joiner::default());
        while let Some(Some(bytes)) = closed.run_until_cancelled(pipe.receiver.recv()).await {
            let heard = hear(&mut joiner, bytes, &greeting, self.shared.me.as_ref());
            let Some(frame) = heard.map_err(|reason| format!("{}: {reason}", peer.node))? else {
                continue;
            };
            if let Body::Ask(question) = frame.body {
                self.take_question(&peer, frame.id, question, &outbox).await;
            }
        }
        Ok(())
    }

    async fn take_question(
        self: &Arc<Self>,
        peer: &Member,
        id: u64,
        question: Question,
        outbox: &Arc<Outbox>,
    ) {
        let (node, outbox) = (Arc::clone(self), Arc::clone(outbox));
        let peer = peer.clone();
        match question {
            // Pushes enter the queue in the order in which they came.
            Question::Push(push) if push.epoch <= self.shared.me.state().active => {
                let answer = self.enqueue_push(&peer, push).await;
                self.shared.tasks.spawn(async move {
                    let answer = answer.await.unwrap_or(Answer::NotTaken);
                    node.reply(id, answer, &outbox).await;
                });
            }
            question => self.shared.tasks.spawn(async move {
                if let Some(answer) = node.answer(&peer, question).await {
                    node.reply(id, answer, &outbox).await;
                }
            }),
        }
    }

    async fn reply(&self, id: u64, answer: Answer, outbox: &Outbox) {
        let about_bytes = answer.about_bytes();
        let encode = || encode_frame(&self.shared.me.frame(id, Body::Answer(answer)));
        // The peer may have closed the stream; it asks again if it still wants to know.
        let _ = outbox.send(about_bytes, encode).await;
    }

    async fn enqueue_push(&self, peer: &Member, push: Push) -> oneshot::Receiver<Answer> {
        let state = self.shared.me.state();
        if push.epoch == state.active && state.is_sibling(peer.id()) {
            let log = Log {
                epoch: push.epoch,
                member: peer.id(),
            };
            self.shared.acks.learn_stable(
                &[Dot {
                    log,
                    number: push.stable,
                }]
                .into_iter()
                .collect(),
            );
        }
        let (reply, answer) = oneshot::channel();
        let job = PushJob {
            from: peer.id(),
            push,
            arrived: Instant::now(),
            reply,
        };
        self.shared.commit.enqueue(Job::Push(job)).await;
        answer
    }

    /// Returns none if the outcome of a write is unknown: silence is the honest answer.
    async fn answer(self: &Arc<Self>, peer: &Member, question: Question) -> Option<Answer> {
        let answer = match question {
            Question::Ping => Answer::Pong,
            Question::Meet => self.view_changes.meet_answer(),
            Question::Gossip(gossip) => {
                self.replication.hear_gossip(peer, &gossip, false).await;
                Answer::Gossip(self.replication.gossip().into())
            }
            Question::Push(push) => self.push_of_next_epoch(peer, push).await,
            // A member asks for itself only: the answer counts for the life that the question names.
            Question::Exchange(ask) if ask.taker != *peer => Answer::Declined(Declined::Gone),
            Question::Confirm(confirm) if confirm.keeper != *peer => Answer::Declined(Declined::Gone),
            Question::Exchange(ask) => self.replication.give(ask).await,
            Question::Page { ticket, page } => self.replication.page(ticket, page),
            Question::Copy { target, slots, from } => self.replication.copy_page(peer, target, &slots, &from),
            Question::Confirm(confirm) => self.view_changes.answer_confirm(confirm).await,
            Question::Return {
                left,
                records,
                slots,
                kept,
                claimed,
            } => {
                let from = peer.clone();
                self.view_changes
                    .answer_return(Return {
                        from,
                        left,
                        records,
                        slots,
                        kept,
                        claimed,
                    })
                    .await
            }
            Question::Holdings(slots) => self.replication.holdings(&slots),
            Question::Get {
                key,
                payload,
                patience_ms,
            } => self.answer_get(&key, &payload, patience_ms).await,
            Question::Write {
                id,
                key,
                value,
                payload,
            } => {
                let taken = self.take_forwarded(&key, value, &payload);
                return self.once(id, taken).await;
            }
            Question::Batch {
                id,
                operations,
                payload,
                room,
            } => {
                let taken = self.take_forwarded_batch(operations, payload, room);
                return self.once(id, taken).await;
            }
            Question::List {
                slots,
                listing,
                payload,
                value_bytes,
            } => self.requests.answer_list(&slots, &listing, &payload, value_bytes),
            Question::Promise { epoch, .. } | Question::Accept { epoch, .. }
                if self.view_changes.takes_proposers_word(epoch)
                    && !self.view_changes.is_reached_by_its_name(peer).await =>
            {
                self.view_changes.voted(Vote::NotVoting)
            }
            Question::Promise { epoch, ballot, start } => {
                self.view_changes.answer_promise(epoch, ballot, start).await
            }
            Question::Accept {
                epoch,
                ballot,
                view,
                start,
            } => {
                self.view_changes
                    .answer_accept(epoch, ballot, view.0, start)
                    .await
            }
            Question::Admit { left } => self.view_changes.answer_admit(peer, left),
            Question::Vouch { epochs, logs } => Answer::Vouched(self.claims.vouch(&epochs, &logs)),
            Question::Order { order, known } => Answer::Report(self.view_changes.follow(order, known).await),
        };
        Some(answer)
    }

    /// The sender has activated the next epoch: its push waits until this node has, too.
    async fn push_of_next_epoch(&self, peer: &Member, push: Push) -> Answer {
        let arrival = async {
            let mut published = self.shared.me.published.count();
            while self.shared.me.state().active < push.epoch {
                published = self.shared.me.published.beyond(published).await;
            }
        };
        if timeout(EPOCH_LIMIT, arrival).await.is_err() {
            return Answer::NotTaken;
        }
        self.enqueue_push(peer, push)
            .await
            .await
            .unwrap_or(Answer::NotTaken)
    }

    async fn answer_get(&self, key: &Key, payload: &Payload, patience_ms: u32) -> Answer {
        let patience = Duration::from_millis(patience_ms.into());
        match self.requests.read_here_patiently(key, payload, patience).await {
            Ok(Ok(found)) => Answer::Found {
                record: found.record,
                payload: found.payload,
            },
            Ok(Err(Refusal::KeyNotFound { payload, .. })) => {
                Answer::Declined(Declined::KeyNotFound { payload })
            }
            Ok(Err(_)) => Answer::Declined(Declined::NotReady),
            Err(not_here) => Answer::Declined(declined(&not_here)),
        }
    }

    /// Does what a request with an id asks for, unless it was done before.
    async fn once(&self, id: u128, work: impl Future<Output = Option<Answer>>) -> Option<Answer> {
        match self.remembered.begin(id) {
            Seen::Done(answer) => answer,
            Seen::UnderWay(answer) => answer.await.ok().flatten(),
            Seen::New => {
                let answer = work.await;
                self.remembered.finish(id, &answer);
                answer
            }
        }
    }

    async fn take_forwarded_batch(
        &self,
        operations: Vec<Operation>,
        payload: Payload,
        room: u32,
    ) -> Option<Answer> {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let done = self
            .requests
            .batch_here(&operations, &payload, room, Instant::now())
            .await;
        match done {
            Ok(outcomes) => Some(Answer::Done(outcomes)),
            Err(not_taken) => not_taken_answer(not_taken),
        }
    }

    async fn take_forwarded(&self, key: &Key, value: Option<Vec<u8>>, payload: &Payload) -> Option<Answer> {
        let began = Instant::now();
        let taken = match value {
            Some(value) => {
                self.requests
                    .write_here(key, Some(value.into()), payload, began)
                    .await
            }
            None => {
                self.requests
                    .delete_here(key, payload, crate::node::limits::PATIENCE, began)
                    .await
            }
        };
        match taken {
            Ok(written) => Some(Answer::Written(written.into_effect())),
            Err(not_taken) => not_taken_answer(not_taken),
        }
    }
}

/// Returns none if the outcome is unknown.
fn not_taken_answer(reason: NotTaken) -> Option<Answer> {
    let declined = match reason {
        NotTaken::NotHere(not_here) => declined(&not_here),
        NotTaken::Refused(Refusal::KeyNotFound { payload, .. }) => Declined::KeyNotFound { payload },
        NotTaken::Refused(Refusal::StorageFailed(reason)) => Declined::StorageFailed(reason),
        NotTaken::Refused(Refusal::BadPayload(reason)) => Declined::BadPayload(reason),
        NotTaken::Refused(_) => return None,
    };
    Some(Answer::Declined(declined))
}
