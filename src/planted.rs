//! Faults that a test plants to see another test fail: each rule of the store can be switched off.
//!
//! Below everything, so that every floor can ask. Without the feature `planted-faults`, which no image
//! has, the answer is a constant `false` and the question costs nothing. With it one fault at a time is
//! planted for the whole process: `test/fast/simulated/planted.rs` goes through them one after the other.

/// A rule that is switched off. The numbers are those of the invariants in `replication` and
/// `view_change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// I1: a number is not stored with its record, and drawn again after a restart.
    NumberNotStored = 1,
    /// I1: a node that lost its disk comes back as the member that it was.
    SameIncarnation,
    /// I2: of two records of a key, the one that arrives later wins.
    ArrivalOrderWins,
    /// The coordinator's clock is not raised above the payload's timestamp.
    ClockNotRaised,
    /// I3: a reply does not mention what its record depends on.
    DependenciesLeftOut,
    /// I4: a tombstone goes when it is stable, whatever the epochs.
    StableTombstoneDropped,
    /// I5: a replica answers a reader who comes from a later epoch.
    NoFence,
    /// I6: an owner answers before it has what was written earlier.
    NotReadyServes,
    /// I7: a read does not wait for what the reader depends on.
    NeverWaits,
    /// I7: whatever was written in an earlier epoch counts as held.
    OldLogsCovered,
    /// I7: what nobody can bring any more is waited for.
    NeverGivesUp,
    /// I8: a write is pushed before it is stored.
    SentBeforeStored,
    /// I8: a push is acknowledged before it is stored.
    AcknowledgedBeforeStored,
    /// I9: a push is taken though the number before it is missing.
    GapsTaken,
    /// I9: an exchange brings the giver's own log only.
    LogByLog,
    /// I9: a copy claims what its giver held at the end of it.
    CopyClaimsItsEnd,
    /// I10: any half of the nodes is a quorum.
    HalfIsAQuorum,
    /// I10: a member does not remember what it promised.
    PromisesForgotten,
    /// I10: a member remembers what it accepted only until it restarts.
    VotesNotStored,
    /// I11: a sealed member takes writes.
    WritesAfterTheSeal,
    /// I11: a sealed member takes what its siblings push.
    PushesAfterTheSeal,
    /// I11: a sealed member counts acknowledgements.
    AcknowledgementsAfterTheSeal,
    /// A write is called stable when one sibling of several holds it.
    StableByMajority,
    /// A closing is counted by a node that is behind the epoch in which it was concluded.
    ClosedByWhoIsBehind,
    /// `lacks` is lowered by any owner, however long ago it owned the slots.
    LacksLoweredByAnyOwner,
    /// The records of a node that was removed are taken under their old dots.
    OldDotsTaken,
    /// I12: slots that moved away are dropped as soon as the next view is active.
    DroppedAtActivation,
    /// An epoch is closed while a member still keeps slots of it that moved away.
    KeptClosed,
    /// What a removed node returns is taken, however late.
    ReturnsForEver,
    /// What was copied counts, though its giver did not hand over.
    CopiesNotVouchedFor,
    /// Nobody waits for what a removed owner may bring back.
    RemovedNotAwaited,
    /// Entries of a closed epoch are dropped though a removed member may return what they name.
    RemovedForgottenAtClosing,
    /// When the time of a removed member is up, siblings that may have taken its writes are not heard again.
    TimeUpUnheard,
    /// A peer that greets by another name than the one that was called is taken for that one.
    OtherNamesBelieved,
    /// `/get` does not wait for what the other owners say they hold.
    HeldNotAwaited,
    /// `/get` and `/set` ask one of the other owners only.
    OneOwnerAsked,
    /// `/get` and `/set` do not ask an owner that is believed away.
    AwayNotAsked,
    /// `/get` and `/set` count a time in which their own process was paused as the silence of others.
    PauseIsSilence,
    /// `/get` and `/set` ask over a stream that is silent, and open no other.
    SilentStreamKept,
    /// `/get` asks another owner that may lack what is held here.
    OwnLeftOut,
    /// `/get` does not wait for what other owners took in earlier epochs and have not handed over.
    UnheardNotAwaited,
    /// Tombstones are dropped by a wall clock that is doubted.
    DoubtedClockForgets,
    /// What a removed node returns is judged by a wall clock that is doubted.
    DoubtedClockRefuses,
    /// A wall clock that is doubted is mixed into timestamps.
    DoubtedClockDraws,
    /// A hybrid clock is held against the wall clock, as if only a wall clock could raise it.
    HybridHeldAgainstWall,
    /// A write stores whatever its client claims to depend on.
    ForgedStored,
    /// A record keeps dependencies that no view allows, and replies mention them.
    ForgedShown,
    /// A payload of an epoch that nobody knows is waited for, for ever.
    UnknownEpochAwaited,
    /// What a cut-off member was claimed to have written is still claimed when it is back and denies it.
    ClaimsNotCleared,
    /// Two lines of views go on beside each other: a higher one is not followed.
    LinesNotCompared,
    /// A payload keeps one epoch, though those of two lines say nothing of each other.
    LostLinesCompared,
    /// What was given up by force before a lost line was heard of counts for that line, too.
    GivenUpOnEveryLine,
    /// What a disk that went back in time returns is taken whatever its age.
    OldCopiesReturn,
    /// A disk that went back in time serves as if nothing had been.
    OldDisksServe,
    /// A life that is started again goes on with the numbers of its disk, whatever it drew before.
    NumbersDrawnAgain,
    /// A log that was held to its end covers what an old disk writes to it later.
    RunsNotNamed,
    /// What an old disk returns is refused for its age, though nobody else has its slots.
    OnlyCopyRefused,
    /// Where every life that a view lists has ended, nobody may decide on the next one.
    LaterLivesDoNotVote,
    /// A long message is sent as one frame, which no stream carries.
    AnswersUncut,
}

#[cfg(feature = "planted-faults")]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// True if this fault is planted.
#[cfg(not(feature = "planted-faults"))]
pub const fn is(_fault: Fault) -> bool {
    false
}

/// True if this fault is planted.
#[cfg(feature = "planted-faults")]
pub fn is(fault: Fault) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == fault as u8
}

/// Plants a fault in this whole process, in the place of the one before.
#[cfg(feature = "planted-faults")]
pub fn plant(fault: Option<Fault>) {
    let planted = fault.map_or(0, |fault| fault as u8);
    PLANTED.store(planted, std::sync::atomic::Ordering::Relaxed);
}
