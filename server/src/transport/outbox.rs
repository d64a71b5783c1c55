//! A bounded queue of frames on their way to a connection. What does not fit is dropped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::WRITE_DEADLINE;

/// Frames that wait at most.
pub const FRAMES_MAX: usize = 8192;
/// Bytes that wait at most, unless it is a single frame.
pub const BYTES_MAX: usize = 64 << 20;
/// Frames that are written before the connection is flushed.
const FRAMES_PER_FLUSH: usize = 64;

/// Where frames are put.
#[derive(Clone, Debug)]
pub struct Outbox {
    frames: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// Where they are taken.
#[derive(Debug)]
pub struct Outgoing {
    frames: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// An empty queue.
#[must_use]
pub fn outbox() -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(FRAMES_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        frames: sender,
        bytes: Arc::clone(&bytes),
    };
    let outgoing = Outgoing {
        frames: receiver,
        bytes,
    };
    (outbox, outgoing)
}

impl Outbox {
    /// Puts a frame at the end. False if it was dropped: too much waits, or nobody takes.
    #[must_use]
    pub fn push(&self, frame: Bytes) -> bool {
        let length = frame.len();
        let waiting = self.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = waiting == 0 || waiting + length <= BYTES_MAX;
        let put = fits && self.frames.try_send(frame).is_ok();
        if !put {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        put
    }
}

impl Outbox {
    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

impl Outgoing {
    /// Drops what waits: it was meant for a connection that is no more.
    pub fn forget(&mut self) -> usize {
        let mut dropped = 0;
        while let Ok(frame) = self.frames.try_recv() {
            self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
            dropped += 1;
        }
        dropped
    }

    /// Writes frames until nobody can put any more, or nobody has for as long as `idle`.
    ///
    /// # Errors
    /// If the connection breaks, or takes nothing for [`WRITE_DEADLINE`].
    pub async fn write_all(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        idle: Option<Duration>,
    ) -> io::Result<()> {
        let mut batch = Vec::with_capacity(FRAMES_PER_FLUSH);
        loop {
            let taken = self.frames.recv_many(&mut batch, FRAMES_PER_FLUSH);
            let taken = match idle {
                Some(idle) => timeout(idle, taken).await.unwrap_or(0),
                None => taken.await,
            };
            if taken == 0 {
                return Ok(());
            }
            let length: usize = batch.iter().map(Bytes::len).sum();
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            for mut frame in batch.drain(..) {
                while !frame.is_empty() {
                    timeout(WRITE_DEADLINE, stream.write_buf(&mut frame)).await??;
                }
            }
            timeout(WRITE_DEADLINE, stream.flush()).await??;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_dropped_and_the_rest_is_written_in_order() {
        let (outbox, mut outgoing) = outbox();
        let big = Bytes::from(vec![7; BYTES_MAX]);
        assert!(outbox.push(big.clone()), "a single frame always fits");
        assert!(!outbox.push(Bytes::from_static(b"x")));
        assert_eq!(outgoing.forget(), 1);
        for number in 0..FRAMES_MAX {
            assert!(outbox.push(Bytes::from(vec![number as u8])));
        }
        assert!(!outbox.push(Bytes::from_static(b"x")));
        drop(outbox);
        let mut written = Vec::new();
        outgoing
            .write_all(&mut written, None)
            .await
            .expect("memory takes all");
        let expected: Vec<u8> = (0..FRAMES_MAX).map(|number| number as u8).collect();
        assert_eq!(written, expected);
        assert_eq!(outgoing.bytes.load(Ordering::Relaxed), 0);
    }
}
