//! What `master-svr` and `svr` say to each other: postcard, as the fields of `roster` lie in bytes.
//!
//! There is no version in it: the three programs are built together and run on one machine, and nothing
//! of it is kept.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no message of master-svr and svr of this build")]
pub struct Garbled;

/// A message as bytes.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_stdvec(message).expect("every message can be written");
    Bytes::from(bytes)
}

/// The message that the bytes are.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Garbled> {
    postcard::from_bytes(bytes).map_err(|_| Garbled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Batch, Beat, Change, Layout, Server, Version};

    #[test]
    fn messages_come_back_as_they_were() {
        let server = Server {
            port: 4000,
            run: u64::MAX,
        };
        let version = Version { term: 7, step: 1 };
        let change = Change {
            id: version,
            to: vec![server],
            is_sealed: true,
        };
        let layout = Layout {
            version,
            shards: vec![server, server],
            change: Some(change),
            completed: Version { term: 6, step: 9 },
            is_opening: true,
        };
        let beat = Beat {
            server,
            age_ms: 12,
            layout,
            is_drained: true,
        };
        assert_eq!(decode(&encode(&beat)), Ok(beat));
        let pairs = vec![(i64::MIN, Bytes::from_static(b"\0\xff")), (7, Bytes::new())];
        let batch = Batch {
            change: version,
            from: 1,
            number: 2,
            pairs,
        };
        let bytes = encode(&batch);
        assert_eq!(decode(&bytes), Ok(batch));
        assert_eq!(decode::<Batch>(&bytes[..bytes.len() - 1]), Err(Garbled));
    }
}
