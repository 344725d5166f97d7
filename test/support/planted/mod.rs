//! The planted faults, each with the check that must notice it. The gate and the soak use these lists.

mod answers;
mod clocks;
mod forged;
mod lines;
mod old_disks;
mod overtaking;
mod recent;
mod replica_state;
mod returning;
mod schedules;
mod steps;
mod wrong_names;

use std::panic::catch_unwind;

use causeway::planted::{Fault, plant};

/// What a schedule saw go wrong.
pub(crate) type Seen = Result<(), String>;

/// Passes with the rule; without it, returns what went wrong.
pub(crate) type Schedule = fn() -> Seen;

/// Faults that random runs notice: the simulator's plans and clients must stay harsh enough for that.
pub(crate) const BY_CHANCE: [Fault; 11] = [
    Fault::NumberNotStored,
    Fault::SameIncarnation,
    Fault::ArrivalOrderWins,
    Fault::ClockNotRaised,
    Fault::NeverWaits,
    Fault::SentBeforeStored,
    Fault::AcknowledgedBeforeStored,
    Fault::WritesAfterTheSeal,
    Fault::StableByMajority,
    Fault::ForgedStored,
    Fault::AnswersUncut,
];

/// Faults that are too rare for chance, each with the schedule that shows it.
pub(crate) const BY_SCHEDULE: [(Fault, Schedule); 61] = [
    (
        Fault::DependenciesLeftOut,
        schedules::an_effect_where_its_cause_is_missing,
    ),
    (Fault::StableTombstoneDropped, schedules::a_deletion_behind_a_copy),
    (Fault::NotReadyServes, schedules::a_new_owner_without_a_giver),
    (
        Fault::OldLogsCovered,
        schedules::a_write_of_a_node_that_is_passed_over,
    ),
    (Fault::NoFence, replica_state::a_removed_owner_that_is_cut_off),
    (
        Fault::NoFence,
        schedules::a_reader_that_comes_back_to_a_removed_owner,
    ),
    (Fault::GapsTaken, overtaking::a_push_that_overtakes_an_exchange),
    (Fault::LogByLog, schedules::a_write_superseded_by_another_log),
    (Fault::CopyClaimsItsEnd, schedules::a_write_behind_a_copy),
    (Fault::HalfIsAQuorum, schedules::two_halves_at_birth),
    (
        Fault::PromisesForgotten,
        replica_state::two_proposers_for_one_epoch,
    ),
    (Fault::VotesNotStored, schedules::votes_on_disks),
    (
        Fault::PushesAfterTheSeal,
        schedules::a_push_to_a_member_that_has_handed_over,
    ),
    (
        Fault::AcknowledgementsAfterTheSeal,
        replica_state::an_acknowledgement_that_comes_after_the_seal,
    ),
    (
        Fault::ClosedByNodeBehind,
        replica_state::a_closing_that_reaches_a_node_behind,
    ),
    (
        Fault::LacksLoweredByAnyOwner,
        replica_state::a_giver_that_owned_the_slot_long_ago,
    ),
    (Fault::OldDotsTaken, replica_state::a_removed_node_that_comes_back),
    (Fault::DroppedAtActivation, steps::a_removed_owner_that_goes_first),
    (
        Fault::KeptClosed,
        replica_state::a_member_that_keeps_what_moved_away,
    ),
    (
        Fault::ReturnsForEver,
        replica_state::a_removed_node_that_comes_back_too_late,
    ),
    (
        Fault::ReturnsForEver,
        returning::a_removed_owner_that_comes_back_too_late,
    ),
    (
        Fault::CopiesNotVouchedFor,
        steps::a_copy_whose_giver_is_passed_over,
    ),
    (
        Fault::RemovedNotAwaited,
        steps::slots_that_come_back_without_what_was_written_elsewhere,
    ),
    (Fault::NotReadyServes, steps::a_new_owner_that_took_nothing),
    (Fault::NeverGivesUp, steps::a_reader_of_what_nobody_has),
    (
        Fault::RemovedForgottenAtClosing,
        returning::a_reader_of_what_a_removed_member_has,
    ),
    (
        Fault::TimeUpUnheard,
        returning::a_removed_member_that_came_back_to_another_just_in_time,
    ),
    (Fault::OtherNamesBelieved, wrong_names::two_with_one_name),
    (
        Fault::OtherNamesBelieved,
        wrong_names::a_last_member_whose_name_another_has,
    ),
    (Fault::HeldNotAwaited, recent::a_process_that_was_dead),
    (Fault::OneOwnerAsked, recent::two_of_three_that_were_frozen),
    (Fault::AwayNotAsked, recent::a_pair_that_was_cut),
    (Fault::PauseIsSilence, recent::a_process_that_is_frozen_again),
    (Fault::SilentStreamKept, recent::a_stream_that_is_in_backoff),
    (Fault::OwnLeftOut, recent::two_that_wrote_while_they_were_cut),
    (Fault::UnheardNotAwaited, recent::a_member_that_was_passed_over),
    (
        Fault::DoubtedClockForgets,
        clocks::all_clocks_ahead_while_a_removed_node_is_away,
    ),
    (
        Fault::DoubtedClockRefuses,
        clocks::a_removed_node_returns_while_all_clocks_are_ahead,
    ),
    (
        Fault::DoubtedClockDraws,
        clocks::a_write_at_the_one_that_is_a_year_ahead,
    ),
    (
        Fault::HybridHeldAgainstWall,
        clocks::a_payload_of_a_clock_that_was_ahead,
    ),
    (Fault::ForgedStored, forged::a_write_with_a_forged_payload),
    (Fault::ForgedShown, forged::a_forged_record_on_disk),
    (
        Fault::UnknownEpochAwaited,
        forged::a_payload_of_an_epoch_that_nobody_knows,
    ),
    (
        Fault::ClaimsNotCleared,
        forged::a_claim_about_a_member_that_was_cut_off,
    ),
    (Fault::LinesNotCompared, lines::a_minority_that_forces),
    (Fault::LinesNotCompared, lines::both_sides_that_force),
    (
        Fault::LinesNotCompared,
        lines::a_partition_that_was_on_the_lost_line,
    ),
    (Fault::LostLinesCompared, lines::a_payload_that_saw_both_lines),
    (Fault::GivenUpOnEveryLine, lines::two_that_removed_each_other),
    (Fault::LaterLivesDoNotVote, lines::a_view_of_which_nobody_is_left),
    (Fault::OldDisksServe, old_disks::a_copy_of_a_disk),
    (Fault::NumbersDrawnAgain, old_disks::a_number_that_is_drawn_again),
    (Fault::OldDisksServe, old_disks::a_lost_end_that_is_written_over),
    (Fault::RunsNotNamed, old_disks::a_write_to_a_closed_epoch),
    (
        Fault::RunsNotNamed,
        old_disks::a_write_to_a_log_that_was_handed_over,
    ),
    (Fault::OldCopiesReturn, old_disks::a_copy_from_before_a_deletion),
    (
        Fault::OldCopiesReturn,
        old_disks::a_copy_that_lagged_behind_a_deletion,
    ),
    (Fault::OnlyCopyRefused, old_disks::the_only_disk_of_a_partition),
    (Fault::LaterLivesDoNotVote, old_disks::all_disks_go_back),
    (Fault::AnswersUncut, answers::a_batch_with_a_long_answer),
    (Fault::AnswersUncut, answers::a_slot_that_is_longer_than_a_frame),
];

/// Faults that random runs of clients without payloads notice.
pub(crate) const BY_PLAIN_CHANCE: [Fault; 4] = [
    Fault::HeldNotAwaited,
    Fault::OneOwnerAsked,
    Fault::AwayNotAsked,
    Fault::SilentStreamKept,
];

/// Runs a function with a fault planted in the whole process.
pub(crate) fn planted<T>(fault: Fault, run: impl FnOnce() -> T) -> T {
    plant(Some(fault));
    let outcome = run();
    plant(None);
    outcome
}

/// What a schedule saw go wrong, if it did.
pub(crate) fn seen_by(schedule: Schedule) -> Option<String> {
    let seen = catch_unwind(schedule).unwrap_or_else(|_| Err("it did not come to its end".to_owned()));
    seen.err()
}
