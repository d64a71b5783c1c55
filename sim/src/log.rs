//! What a run logs, captured on demand.
//!
//! Events of `tracing` at level DEBUG and above that happen on the thread of a run become a text, each with the
//! virtual time. So the text is a function of the run, like everything else about it. Where nobody asked for it,
//! an event costs one comparison.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use hstore_core::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

thread_local! {
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::ZERO) };
}

/// Says what time it is in the run on this thread.
pub(crate) fn set_now(now: Timestamp) {
    NOW.set(now);
}

/// Does some work on this thread, and returns what it logged.
pub fn captured<T>(work: impl FnOnce() -> T) -> (T, String) {
    set_now(Timestamp::ZERO);
    let buffer = Buffer::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .with_timer(VirtualTime)
        .with_writer(buffer.clone())
        .finish();
    let done = tracing::subscriber::with_default(subscriber, work);
    let text = std::mem::take(&mut *buffer.0.lock().expect("no writer panics"));
    let text = String::from_utf8(text).expect("what is logged is text");
    (done, text)
}

/// Tells the virtual time of the run on this thread, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let nanos = NOW.get().0;
        write!(
            writer,
            "{}.{:09}",
            nanos / 1_000_000_000,
            nanos % 1_000_000_000
        )
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
