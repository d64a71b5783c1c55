//! Reading frames with deadlines, and refusing what is none.
//!
//! Nothing is set aside for a body before its length was found to be allowed, and then only as much as
//! has arrived.

use std::io;
use std::time::Duration;

use hstore_replicator::wire::{Format, FrameError, HEADER_BYTES};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::RECORD_BYTES_MAX;

/// Room made for a body before any of it has come.
const BODY_ROOM: usize = 64 << 10;

/// Why a connection was given up by the side that read.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A frame is not right.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Nothing came.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// A frame began and did not end.
    #[error("a frame was not whole {0:?} after it began")]
    Slow(Duration),
    /// The connection ended within a frame.
    #[error("the connection ended within a frame")]
    Cut,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// A record is too long to be sent on.
    #[error("a record has {0} bytes, more than the {RECORD_BYTES_MAX} allowed")]
    Record(usize),
    /// The handshake failed.
    #[error("{0}")]
    Handshake(String),
}

impl Refusal {
    /// What it is counted as.
    #[must_use]
    pub fn counter(&self) -> &'static str {
        match self {
            Self::Frame(FrameError::Long { .. }) => "refused_long",
            Self::Frame(FrameError::Version { .. }) => "refused_version",
            Self::Frame(FrameError::Checksum) => "refused_checksum",
            Self::Frame(FrameError::Short { .. } | FrameError::Body(_)) => "refused_body",
            Self::Silent(_) => "refused_silent",
            Self::Slow(_) => "refused_slow",
            Self::Cut => "refused_cut",
            Self::Broken(_) => "connections_broken",
            Self::Record(_) => "refused_record",
            Self::Handshake(_) => "refused_handshake",
        }
    }
}

/// Reads a frame: its first byte within `silence`, the rest within `whole` after that. `None` if the
/// connection ended before it.
///
/// # Errors
/// If there is anything else than a frame of this format.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    format: &Format,
    silence: Duration,
    whole: Duration,
) -> Result<Option<T>, Refusal> {
    let mut frame = vec![0; HEADER_BYTES];
    let first = timeout(silence, stream.read(&mut frame)).await;
    let present = first.map_err(|_| Refusal::Silent(silence))??;
    if present == 0 {
        return Ok(None);
    }
    let rest = read_rest(stream, format, frame, present);
    let frame = timeout(whole, rest)
        .await
        .map_err(|_| Refusal::Slow(whole))??;
    Ok(Some(format.decode(&frame)?))
}

async fn read_rest(
    stream: &mut (impl AsyncRead + Unpin),
    format: &Format,
    mut frame: Vec<u8>,
    present: usize,
) -> Result<Vec<u8>, Refusal> {
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Refusal::Cut,
        _ => Refusal::Broken(error),
    };
    stream
        .read_exact(&mut frame[present..])
        .await
        .map_err(cut)?;
    let header = frame.first_chunk().expect("a header was read");
    let length = format.body_length(header)?;
    frame.reserve(length.min(BODY_ROOM));
    let read = stream.take(length as u64).read_to_end(&mut frame).await?;
    if read < length {
        return Err(Refusal::Cut);
    }
    Ok(frame)
}
