//! Switches off single rules of the store, to show that other tests notice.
//!
//! Below everything, so that every floor can ask. Without the feature `planted-faults`, which no image
//! has, the answer is a constant `false` and costs nothing. With it, one fault at a time is planted for
//! the whole process: `test/fast/simulated/planted.rs` plants them one after the other.

/// A rule that is switched off. I1 to I12 are the invariants of `replication` and `view_change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// I1: a number is not stored with its record, and is drawn again after a restart.
    NumberNotStored = 1,
    /// I1: a node that lost its disk comes back as the same member.
    SameIncarnation,
    /// I2: of two records of a key, the one that arrives later wins.
    ArrivalOrderWins,
    /// The coordinator's clock is not raised above the payload's timestamp.
    ClockNotRaised,
    /// I3: a reply does not mention what its record depends on.
    DependenciesLeftOut,
    /// I4: a tombstone is dropped when it is stable, whatever the epochs.
    StableTombstoneDropped,
    /// I5: a replica answers a reader that comes from a later epoch.
    NoFence,
    /// I6: an owner answers before it has all earlier writes.
    NotReadyServes,
    /// I7: a read does not wait for the reader's dependencies.
    NeverWaits,
    /// I7: every write of an earlier epoch counts as held.
    OldLogsCovered,
    /// I7: a read waits for writes that no member can bring any more.
    NeverGivesUp,
    /// I8: a write is pushed before it is stored.
    SentBeforeStored,
    /// I8: a push is acknowledged before it is stored.
    AcknowledgedBeforeStored,
    /// I9: a push is taken though the number before it is missing.
    GapsTaken,
    /// I9: an exchange brings the giver's own log only.
    LogByLog,
    /// I9: a copy claims what its giver held when the copy ended.
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
    /// A node counts a closing that was concluded in an epoch later than its own.
    ClosedByNodeBehind,
    /// Any owner lowers `lacks`, however long ago it owned the slots.
    LacksLoweredByAnyOwner,
    /// The records of a node that was removed are taken under their old dots.
    OldDotsTaken,
    /// I12: slots that moved away are dropped as soon as the next view is active.
    DroppedAtActivation,
    /// An epoch is closed while a member still keeps slots of it that moved away.
    KeptClosed,
    /// Records that a removed node returns are taken, however late.
    ReturnsForEver,
    /// A copy counts, though its giver did not hand over.
    CopiesNotVouchedFor,
    /// Reads do not wait for writes that a removed owner may bring back.
    RemovedNotAwaited,
    /// Entries of a closed epoch are dropped though a removed member may return their writes.
    RemovedForgottenAtClosing,
    /// When the time of a removed member is up, siblings that may have taken its writes are not heard again.
    TimeUpUnheard,
    /// A peer that greets by another name is taken for the node that was called.
    OtherNamesBelieved,
    /// `/get` does not wait for the writes that the other owners say they hold.
    HeldNotAwaited,
    /// `/get` and `/set` ask only one of the other owners.
    OneOwnerAsked,
    /// `/get` and `/set` do not ask an owner that is believed to be away.
    AwayNotAsked,
    /// `/get` and `/set` count a pause of their own process as silence of the others.
    PauseIsSilence,
    /// `/get` and `/set` keep asking over a silent stream, and open no other.
    SilentStreamKept,
    /// `/get` asks another owner, which may lack writes that this one holds.
    OwnLeftOut,
    /// `/get` does not wait for writes of earlier epochs that other owners have not handed over.
    UnheardNotAwaited,
    /// A doubted wall clock decides when tombstones are dropped.
    DoubtedClockForgets,
    /// A doubted wall clock decides whether a removed node's returns are taken.
    DoubtedClockRefuses,
    /// A doubted wall clock is mixed into timestamps.
    DoubtedClockDraws,
    /// A hybrid clock is compared with the wall clock, as if only a wall clock could raise it.
    HybridHeldAgainstWall,
    /// A write stores every dependency that its client claims.
    ForgedStored,
    /// A record keeps dependencies that no view allows, and replies mention them.
    ForgedShown,
    /// A payload of an epoch that no node knows is waited for, for ever.
    UnknownEpochAwaited,
    /// A claimed write of a cut-off member stays claimed when the member is back and denies it.
    ClaimsNotCleared,
    /// Two lines of views go on side by side: the lower one does not follow the higher one.
    LinesNotCompared,
    /// A payload keeps one epoch, though epochs of two lines say nothing of each other.
    LostLinesCompared,
    /// A removal by force from before a lost line was known counts for that line, too.
    GivenUpOnEveryLine,
    /// Records of a disk that went back in time are taken, whatever their age.
    OldCopiesReturn,
    /// A disk that went back in time serves as if nothing had happened.
    OldDisksServe,
    /// A restarted life goes on with the numbers of its disk, whatever it drew before.
    NumbersDrawnAgain,
    /// A log that was held to its end covers writes that an old disk adds to it later.
    RunsNotNamed,
    /// Records of an old disk are refused for their age, though no other member has their slots.
    OnlyCopyRefused,
    /// When every life that a view lists has ended, no node may decide on the next view.
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

/// Plants a fault in the whole process, in place of the one before.
#[cfg(feature = "planted-faults")]
pub fn plant(fault: Option<Fault>) {
    let planted = fault.map_or(0, |fault| fault as u8);
    PLANTED.store(planted, std::sync::atomic::Ordering::Relaxed);
}
