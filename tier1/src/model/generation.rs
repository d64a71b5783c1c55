//! Generations: the files in a model store's directory, and the order in which they come and go.
//!
//! A generation is a checkpoint and the write-ahead file that continues it. Numbers in names are 16
//! hexadecimal digits, so that names sort as numbers do:
//!
//! ```text
//! checkpoint-000000000000002a        a state as a whole:
//!                                    Chunk 1, Chunk 2, .. Chunk n, End n+1    (frames)
//! wal-000000000000002a               the batches after it:
//!                                    Batch c+1, Batch c+2, ..
//! checkpoint-000000000000002b.tmp    a checkpoint that is being written
//! ```
//!
//! The body of a Chunk or a Batch is a list of operations (postcard). The body of an End is `c`, the
//! number of the last batch that the checkpoint contains (postcard). The numbers of batches go on
//! from one generation to the next.
//!
//! A new generation becomes valid by one rename, when all that it needs is durable:
//!
//! 1. write the checkpoint under its temporary name and sync it;
//! 2. create the write-ahead file, empty;
//! 3. sync the directory: both names are durable, also where a file system makes names durable in
//!    another order than they were given;
//! 4. rename the checkpoint to its final name;
//! 5. sync the directory: the generation is durable, and its write-ahead file may be used;
//! 6. remove what older generations have left.
//!
//! # Invariants
//!
//! - The current generation is the greatest with a checkpoint under its final name.
//! - A checkpoint under its final name is complete and has its write-ahead file. Anything else is
//!   damage, not the trace of a crash.
//! - A write-ahead file greater than the current generation is empty: its generation never came to
//!   be. No number is used again while a file names it, so nothing that such an attempt left can be
//!   taken for something later.

use bytes::Bytes;
use hstore_core::ports::file_system::{FileError, FileId, FileSystem};
use hstore_core::ports::log_store::{StoreError, StoreOp};
use hstore_core::{planted, probe};

use super::frame::{self, Kind, Label};
use super::state::ModelState;

/// A checkpoint's chunk has no more bytes of operations than this, or has one operation.
const CHUNK_BYTES: usize = 256 << 10;

/// A file may not be longer than this: it is read as a whole.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// What a store's directory holds, by generation, each in rising order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// Checkpoints under their final name.
    pub(super) checkpoints: Vec<u64>,
    /// Write-ahead files.
    pub(super) wals: Vec<u64>,
    /// Checkpoints under their temporary name.
    pub(super) temporaries: Vec<u64>,
}

impl Directory {
    /// Reads the directory. Names that a store does not give are left alone.
    pub(super) fn read(files: &mut impl FileSystem, directory: &str) -> Result<Self, FileError> {
        let mut found = Self::default();
        for name in files.list(directory)? {
            if let Some(rest) = name.strip_prefix("wal-") {
                found.wals.extend(parse(rest));
            } else if let Some(rest) = name.strip_prefix("checkpoint-") {
                match rest.strip_suffix(".tmp") {
                    Some(rest) => found.temporaries.extend(parse(rest)),
                    None => found.checkpoints.extend(parse(rest)),
                }
            }
        }
        Ok(found)
    }

    /// The current generation.
    pub(super) fn current(&self) -> Option<u64> {
        self.checkpoints.last().copied()
    }

    /// A generation that no file names yet, greater than all that are named.
    pub(super) fn unused(&self) -> u64 {
        [&self.checkpoints, &self.wals, &self.temporaries]
            .into_iter()
            .filter_map(|generations| generations.last())
            .max()
            .map_or(1, |greatest| greatest + 1)
    }
}

fn parse(digits: &str) -> Option<u64> {
    let written_by_us = digits.len() == 16 && !digits.contains(['+', 'A', 'B', 'C', 'D', 'E', 'F']);
    u64::from_str_radix(digits, 16)
        .ok()
        .filter(|_| written_by_us)
}

fn path(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

pub(super) fn checkpoint_path(directory: &str, generation: u64) -> String {
    path(directory, &format!("checkpoint-{generation:016x}"))
}

fn temporary_path(directory: &str, generation: u64) -> String {
    path(directory, &format!("checkpoint-{generation:016x}.tmp"))
}

pub(super) fn wal_path(directory: &str, generation: u64) -> String {
    path(directory, &format!("wal-{generation:016x}"))
}

/// Writes a generation that begins with `state`, the outcome of all batches up to `covered`, and
/// makes it durable. Returns its write-ahead file.
pub(super) fn begin(
    files: &mut impl FileSystem,
    directory: &str,
    generation: u64,
    state: &ModelState,
    covered: u64,
) -> Result<FileId, FileError> {
    let temporary = temporary_path(directory, generation);
    let file = files.create(&temporary)?;
    write_checkpoint(files, file, generation, state, covered)?;
    files.sync(file)?;
    files.close(file);
    let wal = files.create(&wal_path(directory, generation))?;
    files.sync_dir(directory)?;
    files.rename(&temporary, &checkpoint_path(directory, generation))?;
    files.sync_dir(directory)?;
    Ok(wal)
}

fn write_checkpoint(
    files: &mut impl FileSystem,
    file: FileId,
    generation: u64,
    state: &ModelState,
    covered: u64,
) -> Result<(), FileError> {
    let mut position = 0;
    let mut sequence = 0;
    let mut buffer = Vec::new();
    let mut append = |files: &mut _, kind, body: &[u8]| {
        sequence += 1;
        let label = Label {
            kind,
            sequence,
            synced: 0,
        };
        frame::write(&mut buffer, generation, position, label, |mut out| {
            out.extend_from_slice(body);
            out
        });
        position += buffer.len() as u64;
        FileSystem::append(files, file, &buffer)
    };
    // A chunk's body is a postcard list: its length, then that many operations.
    let mut chunk = Vec::new();
    let mut count = 0_usize;
    let mut flush = |files: &mut _, chunk: &mut Vec<u8>, count: &mut usize| {
        if *count > 0 {
            let mut body = encode(count, Vec::new());
            body.append(chunk);
            *count = 0;
            append(files, Kind::Chunk, &body)?;
        }
        Ok::<(), FileError>(())
    };
    for op in state.operations() {
        let op = encode(&op, Vec::new());
        if chunk.len() + op.len() > CHUNK_BYTES {
            flush(files, &mut chunk, &mut count)?;
        }
        chunk.extend_from_slice(&op);
        count += 1;
    }
    flush(files, &mut chunk, &mut count)?;
    append(files, Kind::End, &encode(&covered, Vec::new()))
}

/// Removes what generations other than `current` have left.
pub(super) fn remove_others(
    files: &mut impl FileSystem,
    directory: &str,
    found: &Directory,
    current: u64,
) -> Result<(), FileError> {
    let others = |generations: &[u64], name: fn(&str, u64) -> String| -> Vec<String> {
        generations
            .iter()
            .filter(|generation| **generation != current)
            .map(|generation| name(directory, *generation))
            .collect()
    };
    let mut gone = others(&found.temporaries, temporary_path);
    gone.extend(others(&found.checkpoints, checkpoint_path));
    gone.extend(others(&found.wals, wal_path));
    for path in gone {
        files.remove(&path)?;
    }
    Ok(())
}

/// The state in a checkpoint, and the number of the last batch that it contains.
pub(super) fn read_checkpoint(
    files: &mut impl FileSystem,
    directory: &str,
    generation: u64,
) -> Result<(ModelState, u64), StoreError> {
    let path = checkpoint_path(directory, generation);
    let content = read_file(files, &path)?;
    let mut state = ModelState::default();
    let mut position = 0;
    let mut sequence = 0;
    loop {
        sequence += 1;
        let frame = frame::read(&content, generation, position)
            .filter(|frame| frame.label.sequence == sequence)
            .ok_or_else(|| {
                StoreError::Damaged(format!(
                    "`{path}`: part {sequence}, at byte {position}, is not valid"
                ))
            })?;
        let body = &content[frame.body.clone()];
        position = frame.body.end;
        match frame.label.kind {
            Kind::Chunk => {
                state.apply(&decode::<Vec<StoreOp>>(body, &path, sequence)?);
            }
            Kind::End if position == content.len() => {
                return Ok((state, decode(body, &path, sequence)?));
            }
            Kind::End | Kind::Batch => {
                return Err(StoreError::Damaged(format!(
                    "`{path}`: part {sequence} does not belong at byte {position}"
                )));
            }
        }
    }
}

/// What replaying a write-ahead file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    /// The number of the last batch.
    pub(super) last: u64,
    /// How many bytes of torn end were cut.
    pub(super) cut_bytes: u64,
}

/// Applies the batches of a write-ahead file to the state that its checkpoint held.
pub(super) fn replay(
    files: &mut impl FileSystem,
    directory: &str,
    generation: u64,
    state: &mut ModelState,
    covered: u64,
) -> Result<Replayed, StoreError> {
    let path = wal_path(directory, generation);
    let content = read_file(files, &path)?;
    let mut last = covered;
    let mut position = 0;
    while position < content.len() {
        let sequence = last + 1;
        let Some(frame) = frame::read(&content, generation, position) else {
            if let Some(witness) = frame::witness(&content, generation, position, sequence)
                && !cuts_at_damage()
            {
                return Err(StoreError::Damaged(format!(
                    "`{path}`: batch {sequence}, at byte {position}, is not valid, and batch {} \
                     says that it was durable",
                    witness.label.sequence
                )));
            }
            break;
        };
        if frame.label.kind != Kind::Batch || frame.label.sequence != sequence {
            return Err(StoreError::Damaged(format!(
                "`{path}`: {:?} {} at byte {position} where batch {sequence} belongs",
                frame.label.kind, frame.label.sequence
            )));
        }
        let body = &content[frame.body.clone()];
        state.apply(&decode::<Vec<StoreOp>>(body, &path, sequence)?);
        position = frame.body.end;
        last = sequence;
    }
    probe!("model-store.torn-end-cut", position < content.len());
    Ok(Replayed {
        last,
        cut_bytes: (content.len() - position) as u64,
    })
}

/// The content of a file.
pub(super) fn read_file(files: &mut impl FileSystem, path: &str) -> Result<Bytes, StoreError> {
    let file = files.open(path)?;
    let content = read_all(files, file, path);
    files.close(file);
    content
}

fn read_all(files: &mut impl FileSystem, file: FileId, path: &str) -> Result<Bytes, StoreError> {
    let length = files.len(file)?;
    if length > FILE_BYTES_MAX {
        return Err(StoreError::Damaged(format!(
            "`{path}` has {length} bytes, more than {FILE_BYTES_MAX}"
        )));
    }
    let length = usize::try_from(length).expect("the address space is larger than a file");
    let content = files.read_at(file, 0, length)?;
    if content.len() != length {
        return Err(StoreError::Damaged(format!(
            "`{path}` has {length} bytes and only {} can be read",
            content.len()
        )));
    }
    Ok(content)
}

/// Adds the encoding of `value` to `out`.
pub(super) fn encode<T: serde::Serialize + ?Sized>(value: &T, out: Vec<u8>) -> Vec<u8> {
    postcard::to_extend(value, out).expect("operations and numbers have an encoding")
}

fn decode<T: serde::de::DeserializeOwned>(
    body: &[u8],
    path: &str,
    sequence: u64,
) -> Result<T, StoreError> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(StoreError::Damaged(format!(
            "`{path}`: {} bytes too many in frame {sequence}",
            rest.len()
        ))),
        Err(error) => Err(StoreError::Damaged(format!(
            "`{path}`: frame {sequence} cannot be decoded: {error}"
        ))),
    }
}

/// A planted bug's: damage in the middle counts as a torn end. Neither generic nor inlined, so that it is in
/// the object code of this crate, where it is looked for.
#[inline(never)]
fn cuts_at_damage() -> bool {
    planted!("corruption-is-torn-tail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_written_are_recognised() {
        assert_eq!(parse("000000000000002a"), Some(42));
        for other in [
            "2a",
            "000000000000002A",
            "+00000000000002a",
            "00000000000000002a",
            "zzzzzzzzzzzzzzzz",
            "000000000000002a.tmp",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
