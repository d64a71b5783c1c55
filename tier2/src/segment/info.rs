//! The companion of a segment.

use hstore_core::{LogId, Lsn, WallTime};
use serde::{Deserialize, Serialize};

use super::codec::Codec;

/// What a segment holds, as its footer says it: the `.info` companion has it as a line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentInfo {
    /// The log.
    pub log: LogId,
    /// The first LSN of its range.
    pub first: Lsn,
    /// The last LSN of its range.
    pub last: Lsn,
    /// The earliest time of a record; 0 without records.
    pub earliest: WallTime,
    /// The latest.
    pub latest: WallTime,
    /// How many records there are.
    pub records: u64,
    /// How many bytes their payloads have.
    pub payload_bytes: u64,
    /// How many bytes all blocks have when they are decompressed.
    pub raw_bytes: u64,
    /// How many blocks there are.
    pub blocks: u32,
    /// How they are compressed.
    pub codec: Codec,
    /// How long the file is.
    pub file_bytes: u64,
    /// How many bytes at its end are the tail.
    pub tail_bytes: u32,
}

/// A companion that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the info is not that of a segment: {error}")]
pub struct InfoError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub error: serde_json::Error,
}

impl SegmentInfo {
    /// As a line of JSON, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("plain data can be written");
        line.push('\n');
        line
    }

    /// One for each line: companions can be joined to one file. Empty lines are passed over.
    ///
    /// # Errors
    /// If a line is not that of a segment.
    pub fn read_all(text: &str) -> Result<Vec<Self>, InfoError> {
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let read = lines.map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| InfoError {
                line: number + 1,
                error,
            })
        });
        read.collect()
    }
}
