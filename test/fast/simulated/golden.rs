//! Golden scripts: transcripts of the store's behaviour. Each `golden/*.txt` has commands, `---`, and
//! what they print, run against a simulated cluster of real nodes with seed 1.
//!
//! ```text
//! cluster nodes=5 k=2 [spare=1] [asleep]   a new cluster; spares are not in VIEW; asleep: none starts
//! start n3 n4 [k=3] [view=n1,n2] [name=n1] from its disk, or new; spares have no VIEW unless given
//! lead n1 to n2                            dials of n1 reach n2
//! kill n1 n2       wipe n1                 ends processes; also destroys their disks
//! cut n1 n2        cut n1 -> n2            holds frames between two nodes; one way
//! isolate n1       slow n1 n2 500ms        cuts off from all others; delays by up to this
//! heal             heal n1 n2              every link; one
//! clock n1 +30s    (-10m, right)           sets a wall clock ahead, behind, right; all: clock all +2d
//! disk n1 full     (slow 50ms, well)       refuses writes; syncs slowly
//! wait 2s          wait until serving [n1]  simulated time; until all, or these, serve
//!
//! alice: put n1 x=1 y=2                    a client keeps its payload and sends it with each request
//! alice: get n2 x k{1..9}                  many keys; equal answers are printed in one line
//! alice: delete n3 x
//! alice: get n2 x &     collect alice      runs in the background; waits for it and prints the result
//! bob: take payload of alice               joined to bob's own by a comma
//! alice: forget payload                    alice: show payload
//! mallory: forge epoch=9 n1:20 nobody:1    a payload that no node answered
//! curl n1 PUT /kv-store/x val=1 causal_payload=$alice
//! curl n1 PUT /kv-store/update_view type=add ip_port=n5 &     collect curl     the one that began first
//! churn clients=4 operations=400 [at=n1,n2]  many at once, anywhere or at these nodes
//!
//! look x           agree                   what each owner answers; whether all replicas hold the same
//! where x          partitions              status n1
//! ```
//!
//! `UPDATE_GOLDEN=1 cargo test --test simulated golden::` writes the actual output into the scripts:
//! read the difference before you commit it.

mod churn;
mod command;
mod difference;
mod script;
mod stage;
mod told;

use std::path::PathBuf;

use crate::simulated::{panics, simulate};
use command::Command;
use script::Script;
use stage::Stage;

/// A test for each script, with the script's name.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scripts! {
    a_write_that_nobody_has_any_more
    addresses_swapped
    all_disks_of_a_partition_lost
    all_killed_and_restarted
    bad_payload
    behind_within_a_second
    cause_and_effect_over_partitions
    clock_hours_ahead
    clock_of_1970
    clock_of_a_lone_node_a_day_ahead
    clock_set_back
    clocks_far_apart_at_start
    clocks_set_right
    clocks_whoever_disagrees
    concurrent_writes_converge
    cut_one_way
    delete_and_concurrent_put
    delete_at_a_lagging_replica
    delete_then_not_found
    dependencies_pass_through_others
    disk_full
    every_disk_lost_in_turn
    exact_replies
    fewer_nodes_than_k
    forged_payloads
    fresh_everywhere
    isolated_proxy
    killed_replica
    killed_while_it_answers
    larger_of_two_waits
    late_nodes_are_admitted
    missing_key_is_not_reported_where_it_must_exist
    monotonic_reads
    monotonic_writes
    nobody_of_a_partition_is_up_yet
    not_in_view
    partitions_and_proxies
    payload_survives_a_restart
    payloads_of_two_clients
    different_k
    different_k_of_two
    different_view
    read_is_handed_to_a_replica_that_may_answer
    read_your_writes
    relayed_writes
    short_payloads_k2
    short_payloads_k3
    slow_disk
    slow_link
    smallest_of_two_serves_alone
    starting_names_the_missing
    two_of_three_disks_lost
    unavailable_partition
    unknown_outcome
    view_a_node_that_cannot_be_added
    view_add_a_partition
    view_add_a_proxy
    view_cut_off_member_is_removed_and_returns
    view_driver_killed
    view_fewer_nodes_than_k_and_up_again
    view_no_majority
    view_partition_dissolved
    view_remove_a_dead_node
    view_remove_a_live_node
    view_remove_and_add_again
    view_remove_the_one_that_is_asked
    view_two_changes_at_once
    view_would_lose_data
    view_would_lose_data_but_it_comes_back
    view_writes_go_on_meanwhile
    wiped_disk
    wiped_disk_among_three
    wiped_disk_lacks_until_the_sibling_is_back
    wiped_disk_while_the_sibling_is_away
    writes_follow_reads
    wrong_name_added
    wrong_name_pasted
    wrong_names_of_two
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("test/fast/simulated/golden")
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether to rewrite is said from outside"
)]
fn is_update() -> bool {
    std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1")
}

fn check(name: &str) {
    let panics_before = panics::count();
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).expect("the script can be read");
    let printed = simulate(play(name, &text));
    assert_eq!(
        panics::count(),
        panics_before,
        "{name}.txt: a task of a node panicked, see above"
    );
    if printed == text {
        return;
    }
    if is_update() {
        std::fs::write(&path, printed).expect("the script can be written");
        return;
    }
    panic!(
        "{name}.txt prints something else (- expected, + printed):\n\n{}\n\
         If that is right: UPDATE_GOLDEN=1 cargo test --test simulated golden::{name}",
        difference::show(&text, &printed)
    );
}

/// The script with its actual output.
async fn play(name: &str, text: &str) -> String {
    let script = Script::parse(text);
    let mut stage = Stage::default();
    let mut outputs = Vec::new();
    for block in &script.blocks {
        let mut output = Vec::new();
        for (number, line) in block.commands() {
            let slip = |slip: String| -> ! { panic!("{name}.txt:{number}: {line}: {slip}") };
            let command = Command::parse(line).unwrap_or_else(|text| slip(text));
            output.extend(stage.act(command).await.unwrap_or_else(|text| slip(text)));
        }
        outputs.push(output);
    }
    if let Err(slip) = stage.finish() {
        panic!("{name}.txt: {slip}");
    }
    script.with_outputs(&outputs)
}

#[test]
fn every_script_in_the_folder_is_played() {
    let files = std::fs::read_dir(folder()).expect("the scripts can be listed");
    let paths = files.map(|file| file.expect("the scripts can be listed").path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    for path in scripts {
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("is a name")
            .to_owned();
        assert!(
            NAMES.contains(&name.as_str()),
            "add {name} to the scripts in golden.rs"
        );
    }
}
