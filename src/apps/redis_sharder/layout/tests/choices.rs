//! The choices of a layout, one by one: what goes where, what comes first, what is left alone.

use super::*;

fn holding(level: usize, capacity: u64, servers: &[&[i64]]) -> Layout {
    let ports = 1..=u16::try_from(servers.len()).expect("is small");
    let mut layout = Layout::new(ports.clone(), capacity, level);
    for (port, keys) in ports.zip(servers) {
        keys.iter().for_each(|key| layout.record(*key, port));
    }
    layout
}

#[test]
fn new_keys_go_to_the_emptiest() {
    let layout = holding(2, 3, &[&[1, 2], &[1], &[2], &[]]);
    assert_eq!(layout.place(9), Placement::Fresh(vec![4, 2]));
}

#[test]
fn the_most_endangered_key_is_copied_first_and_to_the_emptiest() {
    let layout = holding(3, 9, &[&[1, 2, 3], &[1, 3], &[4, 5], &[3]]);
    let Some(Repair::Copies(transfers)) = layout.next_repair() else {
        panic!("there are copies to make");
    };
    let first: Vec<(i64, u16, u16)> = transfers.iter().map(|t| (t.key, t.from, t.to)).collect();
    // Each goes to the emptiest server, counting the copies that are on their way.
    assert_eq!(first, [(2, 1, 4), (4, 3, 2), (5, 3, 4), (1, 1, 3)]);
}

#[test]
fn a_copy_moves_where_all_free_places_are_with_holders_of_the_key() {
    // Key 1 has one copy; the only free place is on the server that has it.
    let layout = holding(2, 2, &[&[1], &[2, 3], &[2, 3]]);
    let transfer = Transfer {
        key: 2,
        from: 2,
        to: 1,
    };
    assert_eq!(layout.next_repair(), Some(Repair::MakeRoom(transfer)));
}

#[test]
fn a_copy_moves_where_a_level_of_places_is_free_on_too_few_servers() {
    let layout = holding(2, 3, &[&[1], &[1, 2, 3], &[2, 3, 4]]);
    let Placement::MakeRoom(transfer) = layout.place(9) else {
        panic!("two places are free, on one server: {:?}", layout.place(9));
    };
    assert_eq!((transfer.from, transfer.to), (2, 1));
}

#[test]
fn silent_servers_are_left_alone() {
    let mut layout = holding(2, 3, &[&[1], &[1], &[], &[2]]);
    layout.set_silent(3, true);
    assert_eq!(
        layout.place(9),
        Placement::Fresh(vec![1, 2]),
        "3 would be the emptiest"
    );
    layout.set_silent(1, true);
    assert_eq!(layout.place(1), Placement::Unavailable, "a holder is silent");
    let transfer = Transfer {
        key: 2,
        from: 4,
        to: 2,
    };
    assert_eq!(layout.next_repair(), Some(Repair::Copies(vec![transfer])));
    layout.set_silent(4, true);
    assert_eq!(layout.next_repair(), None, "the only copy cannot be read");
    assert_eq!(
        layout.place(9),
        Placement::Unavailable,
        "there is room, but only one answers"
    );
    assert_eq!(layout.silent(), [1, 3, 4]);
    assert!(layout.can_spare(1) && layout.can_spare(3) && !layout.can_spare(4));
    layout.set_silent(1, false);
    assert_eq!(layout.place(1), Placement::Overwrite(vec![1, 2]));
}

#[test]
fn a_server_that_says_that_it_is_full_is_believed() {
    let mut layout = holding(1, 3, &[&[1], &[]]);
    layout.found_full(2);
    assert_eq!(layout.place(9), Placement::Fresh(vec![1]));
    layout.found_full(1);
    assert_eq!(layout.place(9), Placement::NoRoom);
    assert_eq!(
        layout.place(1),
        Placement::Overwrite(vec![1]),
        "overwriting needs none"
    );
}

#[test]
fn lost_is_not_absent_and_ends_when_the_key_is_put_again() {
    let mut layout = holding(1, 3, &[&[1], &[]]);
    assert_eq!(
        (layout.bury(1), layout.is_lost(1), layout.is_lost(2)),
        (1, true, false)
    );
    layout.record(1, 2);
    assert!(!layout.is_lost(1) && layout.holders(1) == [2]);
    assert_eq!(layout.bury(2), 1);
    assert_eq!(layout.place(1), Placement::Unavailable, "none lives");
}

#[test]
fn sizes_at_the_edge_of_numbers_do_no_harm() {
    let layout = holding(3, u64::MAX, &[&[1], &[1], &[]]);
    assert!(matches!(layout.place(9), Placement::Fresh(ports) if ports.len() == 3));
    assert!(layout.next_repair().is_some());
}
