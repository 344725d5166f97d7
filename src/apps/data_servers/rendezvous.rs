//! Rendezvous hashing: a key belongs to the server with the highest score for it. A score depends on the
//! key and on one server alone, so a server that joins takes its share, one that leaves gives up its own,
//! and no other key moves. All proxies agree, whatever the order of their lists.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::apps::data_servers::messages::{Datum, Encoding};

/// The server that owns a key; none if there is no server.
pub(super) fn owner<'a>(key: &Datum, servers: &'a [String]) -> Option<&'a String> {
    let seed = fingerprint(key);
    servers
        .iter()
        .max_by_key(|server| (xxh3_64_with_seed(server.as_bytes(), seed), server.as_str()))
}

fn fingerprint(key: &Datum) -> u64 {
    let encoding = match key.encoding {
        Encoding::String => 1,
        Encoding::Binary => 2,
    };
    // Hashed again, so that the scores of the two encodings of one text are unrelated.
    xxh3_64(&(xxh3_64(key.data.as_bytes()) ^ encoding).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: usize = 3_000;

    fn keys() -> impl Iterator<Item = Datum> {
        (0..KEYS).map(|number| Datum {
            encoding: if number % 2 == 0 {
                Encoding::String
            } else {
                Encoding::Binary
            },
            data: format!("key {}", number / 2),
        })
    }

    fn servers(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("127.0.0.1:{}", 9000 + n)).collect()
    }

    #[test]
    fn shares_are_even() {
        let servers = servers(5);
        for server in &servers {
            let share = keys().filter(|key| owner(key, &servers) == Some(server)).count();
            assert!(
                share.abs_diff(KEYS / 5) < KEYS / 25,
                "{server} has {share} of {KEYS}"
            );
        }
    }

    #[test]
    fn one_text_in_two_encodings_is_two_keys() {
        let servers = servers(2);
        let keys: Vec<Datum> = keys().collect();
        let apart = keys
            .chunks(2)
            .filter(|both| owner(&both[0], &servers) != owner(&both[1], &servers));
        let apart = apart.count();
        assert!(apart.abs_diff(KEYS / 4) < KEYS / 20, "{apart}");
    }

    proptest! {
        #[test]
        fn one_server_more_takes_keys_and_moves_no_other(count in 1_usize..8, place in 0_usize..8) {
            let before = servers(count);
            let mut after = before.clone();
            after.insert(place.min(count), "127.0.0.1:7000".to_owned());
            let mut taken = 0_usize;
            for key in keys() {
                let (old, new) = (owner(&key, &before), owner(&key, &after));
                if old != new {
                    prop_assert_eq!(new.map(String::as_str), Some("127.0.0.1:7000"));
                    taken += 1;
                }
            }
            let share = KEYS / (count + 1);
            prop_assert!(taken.abs_diff(share) < KEYS / 20, "{} instead of {}", taken, share);
        }
    }

    #[test]
    fn without_servers_nobody_owns_a_key() {
        assert!(keys().take(1).all(|key| owner(&key, &[]).is_none()));
    }
}
