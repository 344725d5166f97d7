//! A client's dependencies, and the text in which it carries them from node to node.
//!
//! The text is opaque to clients and survives an unquoted `curl -d`: base64url of a version byte, the
//! cluster's tag, the epoch, the timestamp, the entries and a checksum. In a healthy cluster there are
//! no entries, because a write that is stable needs none (`PROTOCOL.md`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Timestamp, VersionVector};
use crate::names::{ClusterId, Dot, Epoch, Log, MemberId};
use crate::planted::{self, Fault};

/// A client's dependencies. The default depends on nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Entries are dropped only at nodes that are active in this epoch or a later one; a node behind
    /// it may not answer (I5).
    pub epoch: Epoch,
    /// At least the timestamp of every write depended on.
    pub timestamp: Timestamp,
    /// The writes depended on that were not known to be everywhere.
    pub entries: VersionVector,
}

/// Three bytes of the cluster's identity: enough to tell a foreign payload from one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterTag([u8; 3]);

impl From<ClusterId> for ClusterTag {
    fn from(cluster: ClusterId) -> Self {
        let [a, b, c, ..] = cluster.0.to_le_bytes();
        Self([a, b, c])
    }
}

/// Why a text is not a payload of this cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("the causal payload does not parse; send back what the store answered, or nothing at all")]
    Malformed,
    #[error("the causal payload is of format {0}, which this version does not know")]
    UnknownVersion(u8),
    #[error("the causal payload comes from another cluster; start again without one")]
    Foreign,
    #[error(
        "the causal payload has more than {ENTRIES_MAX} entries, which no cluster makes; start again without one"
    )]
    TooManyEntries,
}

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 3;

/// The most entries that a client may send: as many as a view may have nodes, far more than its members
/// leave unstable. A write's record keeps its payload's entries, and has room for four times as many.
const ENTRIES_MAX: usize = 16_384;

impl Payload {
    /// Joins two payloads: the result depends on everything that either depends on.
    pub fn join(&mut self, other: &Self) {
        self.raise_epoch(other.epoch);
        self.timestamp = self.timestamp.max(other.timestamp);
        self.entries.merge(&other.entries);
    }

    /// Adds a dependency on a write.
    pub fn depend_on(&mut self, dot: Dot, timestamp: Timestamp) {
        self.timestamp = self.timestamp.max(timestamp);
        self.entries.raise(dot);
        self.raise_epoch(dot.log.epoch);
    }

    /// Adds a dependency on what every node active in this epoch knows. Epochs of two lines say nothing
    /// of each other: one line was given up, so everything seen there becomes an entry of its own.
    pub fn raise_epoch(&mut self, epoch: Epoch) {
        let (lower, higher) = (self.epoch.min(epoch), self.epoch.max(epoch));
        self.epoch = higher;
        let are_apart = lower.line() != higher.line() && !planted::is(Fault::LostLinesCompared);
        if are_apart && lower != Epoch::NONE {
            self.entries.raise(Dot::everything_of(lower));
        }
    }

    /// The approximate length in bytes.
    pub fn about_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 16;
        const ENTRY_BYTES: usize = 24;
        FIXED_BYTES + self.entries.len() * ENTRY_BYTES
    }

    /// The text that a client carries.
    pub fn to_text(&self, tag: ClusterTag) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&tag.0);
        put_number(&mut bytes, self.epoch.0);
        bytes.extend_from_slice(&self.timestamp.0.to_be_bytes());
        for dot in self.entries.iter() {
            put_number(&mut bytes, dot.log.epoch.0);
            bytes.extend_from_slice(&dot.log.member.0.to_be_bytes());
            put_number(&mut bytes, dot.number);
        }
        bytes.extend_from_slice(&checksum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Parses a text; several texts, separated by commas, are joined. An empty text depends on nothing.
    pub fn from_text(text: &str, tag: ClusterTag) -> Result<Self, PayloadError> {
        let mut joined = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            joined.join(&Self::from_one(part, tag)?);
            if joined.entries.len() > ENTRIES_MAX {
                return Err(PayloadError::TooManyEntries);
            }
        }
        Ok(joined)
    }

    fn from_one(text: &str, tag: ClusterTag) -> Result<Self, PayloadError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| PayloadError::Malformed)?;
        let body_len = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .ok_or(PayloadError::Malformed)?;
        let (body, sum) = bytes.split_at(body_len);
        if sum != checksum(body) {
            return Err(PayloadError::Malformed);
        }
        let mut reader = Reader(body);
        match reader.byte()? {
            VERSION => {}
            other => return Err(PayloadError::UnknownVersion(other)),
        }
        if reader.array::<3>()? != tag.0 {
            return Err(PayloadError::Foreign);
        }
        let mut payload = Self {
            epoch: Epoch(reader.number()?),
            timestamp: Timestamp(u64::from_be_bytes(reader.array()?)),
            entries: VersionVector::default(),
        };
        while !reader.0.is_empty() {
            let epoch = Epoch(reader.number()?);
            let member = MemberId(u64::from_be_bytes(reader.array()?));
            let number = reader.number()?;
            payload.entries.raise(Dot {
                log: Log { epoch, member },
                number,
            });
        }
        Ok(payload)
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, _] = crc32fast::hash(body).to_le_bytes();
    [a, b, c]
}

/// Seven bits a byte, the lowest first; the high bit says that more follow (LEB128).
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, PayloadError> {
        let (first, rest) = self.0.split_first().ok_or(PayloadError::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(PayloadError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u64, PayloadError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(PayloadError::Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PayloadError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAG: ClusterTag = ClusterTag([7, 8, 9]);

    fn payloads() -> impl Strategy<Value = Payload> {
        let entries = proptest::collection::vec((any::<u64>(), any::<u64>(), 1u64..), 0..5);
        (any::<u64>(), any::<u64>(), entries).prop_map(|(epoch, timestamp, entries)| Payload {
            epoch: Epoch(epoch),
            timestamp: Timestamp(timestamp),
            entries: entries
                .into_iter()
                .map(|(epoch, member, number)| Dot {
                    log: Log {
                        epoch: Epoch(epoch),
                        member: MemberId(member),
                    },
                    number,
                })
                .collect(),
        })
    }

    proptest! {
        #[test]
        fn a_payload_survives_its_text(payload in payloads()) {
            let text = payload.to_text(TAG);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)));
            prop_assert_eq!(Payload::from_text(&text, TAG), Ok(payload));
        }

        #[test]
        fn any_text_is_answered_without_a_panic(text in ".{0,80}") {
            let _ = Payload::from_text(&text, TAG);
        }

        #[test]
        fn bytes_behind_a_right_checksum_are_refused_or_a_payload(bytes in any::<Vec<u8>>(), is_ours in any::<bool>()) {
            // With a right head, the bytes behind version and tag are reached.
            let head: &[u8] = if is_ours { &[VERSION, 7, 8, 9] } else { &[] };
            let body = [head, &bytes].concat();
            let text = URL_SAFE_NO_PAD.encode([&body[..], &checksum(&body)].concat());
            if let Ok(payload) = Payload::from_text(&text, TAG) {
                prop_assert_eq!(Payload::from_text(&payload.to_text(TAG), TAG), Ok(payload));
            }
        }

        #[test]
        fn a_changed_character_is_noticed(payload in payloads(), at in any::<prop::sample::Index>()) {
            let mut text = payload.to_text(TAG).into_bytes();
            let at = at.index(text.len());
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).expect("stays ASCII");
            prop_assert!(Payload::from_text(&text, TAG).is_err());
        }

        #[test]
        fn joined_texts_depend_on_all(a in payloads(), b in payloads()) {
            let text = format!("{},{}", a.to_text(TAG), b.to_text(TAG));
            let mut joined = a.clone();
            joined.join(&b);
            prop_assert_eq!(Payload::from_text(&text, TAG), Ok(joined));
        }

        #[test]
        fn a_join_depends_on_all_that_either_did_and_on_nothing_else(a in payloads(), b in payloads()) {
            let mut joined = a.clone();
            joined.join(&b);
            prop_assert_eq!(joined.epoch, a.epoch.max(b.epoch));
            prop_assert_eq!(joined.timestamp, a.timestamp.max(b.timestamp));
            let mut entries: VersionVector = a.entries.iter().chain(b.entries.iter()).collect();
            // An epoch does not cover another line.
            let lower = a.epoch.min(b.epoch);
            if lower != Epoch::NONE && lower.line() != joined.epoch.line() {
                entries.raise(Dot::everything_of(lower));
            }
            prop_assert_eq!(joined.entries, entries);
        }
    }

    #[test]
    fn nothing_depends_on_nothing() {
        for text in ["", " ", ",", " , "] {
            assert_eq!(Payload::from_text(text, TAG), Ok(Payload::default()));
        }
    }

    fn with_entries(members: std::ops::Range<u64>) -> Payload {
        let dot = |member| Dot {
            log: Log {
                epoch: Epoch(1),
                member: MemberId(member),
            },
            number: 1,
        };
        Payload {
            entries: members.map(dot).collect(),
            ..Payload::default()
        }
    }

    #[test]
    fn more_entries_than_any_cluster_makes_are_refused_however_they_come() {
        let most = ENTRIES_MAX as u64;
        let whole = with_entries(0..most);
        assert_eq!(Payload::from_text(&whole.to_text(TAG), TAG), Ok(whole.clone()));
        let joined = format!(
            "{},{}",
            whole.to_text(TAG),
            with_entries(most..most + 1).to_text(TAG)
        );
        for text in [with_entries(0..most + 1).to_text(TAG), joined] {
            assert_eq!(Payload::from_text(&text, TAG), Err(PayloadError::TooManyEntries));
        }
    }

    #[test]
    fn a_payload_of_another_cluster_is_foreign() {
        let text = Payload::default().to_text(ClusterTag([1, 2, 3]));
        assert_eq!(Payload::from_text(&text, TAG), Err(PayloadError::Foreign));
    }

    #[test]
    fn a_payload_without_entries_is_about_twenty_characters() {
        let payload = Payload {
            epoch: Epoch(9),
            timestamp: Timestamp(u64::MAX),
            ..Payload::default()
        };
        assert!(payload.to_text(TAG).len() <= 22, "{}", payload.to_text(TAG));
    }
}
