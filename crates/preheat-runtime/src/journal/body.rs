//! The packed form of an entry's body: its JSON, deflated.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use preheat_api::journal::{EntryBody, JournalEntry};
use preheat_core::Instant;

use super::error::BodyError;

/// No body is larger than this unpacked: ten thousand replicas (the most a pool can have) of a
/// kilobyte each are 10 MiB, and a memory with every list full is about as much.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An entry as a row of the file.
#[derive(Debug)]
pub(super) struct PackedEntry {
    pub(super) pool: String,
    pub(super) tick: u64,
    pub(super) at: Instant,
    pub(super) kind: &'static str,
    pub(super) digest: u64,
    pub(super) body: Vec<u8>,
}

impl PackedEntry {
    pub(super) fn of(entry: &JournalEntry) -> Result<Self, BodyError> {
        Ok(Self {
            pool: entry.pool.clone(),
            tick: entry.tick.0,
            at: entry.at,
            kind: entry.body.kind(),
            digest: entry.memory_digest.0,
            body: pack(&entry.body)?,
        })
    }
}

/// Packs a body.
pub(super) fn pack(body: &EntryBody) -> Result<Vec<u8>, BodyError> {
    let json = serde_json::to_vec(body).map_err(|source| BodyError::Json { source })?;
    if json.len() as u64 > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge { max: BODY_BYTES_MAX });
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&json).map_err(|source| BodyError::Packed { source })?;
    encoder.finish().map_err(|source| BodyError::Packed { source })
}

/// Unpacks a body.
pub(super) fn unpack(packed: &[u8]) -> Result<EntryBody, BodyError> {
    let mut json = Vec::new();
    let mut decoder = DeflateDecoder::new(packed).take(BODY_BYTES_MAX + 1);
    decoder.read_to_end(&mut json).map_err(|source| BodyError::Packed { source })?;
    if json.len() as u64 > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge { max: BODY_BYTES_MAX });
    }
    serde_json::from_slice(&json).map_err(|source| BodyError::Json { source })
}

/// How the body of a checkpoint that was due begins.
const DUE: &[u8] = br#"{"checkpoint":{"cause":"interval","#;

/// Whether this is a checkpoint that was made because it was time for one, told from how it begins:
/// the rest, a whole memory, is not read.
pub(super) fn was_due(packed: &[u8]) -> bool {
    let mut begin = [0; DUE.len()];
    DeflateDecoder::new(packed).read_exact(&mut begin).is_ok() && begin == DUE
}

#[cfg(test)]
mod tests {
    use preheat_api::journal::{Checkpoint, CheckpointCause};
    use preheat_core::{Memory, PolicySpec};

    use super::*;

    #[test]
    fn a_checkpoint_that_was_due_is_told_from_its_begin() {
        let policy = PolicySpec::default().validate().unwrap();
        for (cause, expected) in [
            (CheckpointCause::Interval, true),
            (CheckpointCause::Start, false),
            (CheckpointCause::PolicyChange, false),
            (CheckpointCause::Gap, false),
            (CheckpointCause::Shutdown, false),
        ] {
            let (policy, memory) = (policy.clone(), Memory::default());
            let body = EntryBody::Checkpoint(Box::new(Checkpoint { cause, policy, memory }));
            assert_eq!(was_due(&pack(&body).unwrap()), expected, "{cause:?}");
        }
        assert!(!was_due(b""));
    }

    #[test]
    fn a_small_body_that_unpacks_to_a_huge_one_is_refused() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1024 * 1024];
        for _ in 0..=BODY_BYTES_MAX / zeros.len() as u64 {
            encoder.write_all(&zeros).unwrap();
        }
        let packed = encoder.finish().unwrap();
        assert!(packed.len() < 1024 * 1024);
        assert!(matches!(unpack(&packed), Err(BodyError::TooLarge { .. })));
    }

    #[test]
    fn a_cut_body_is_not_whole() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&b"{\"decided\":{}}".repeat(100)).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(matches!(unpack(&packed[..packed.len() / 2]), Err(BodyError::Packed { .. })));
    }
}
