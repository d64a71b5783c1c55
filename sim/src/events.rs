//! The events of a trace, read back from the JSON lines in which they are kept, and said in words.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use hstore_reports::directory::TRACE_FILE;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clocks::Clock;

/// An event of a trace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TraceEvent {
    /// Its number, from 1.
    pub event: u64,
    /// When it happened, in microseconds of virtual time.
    pub t_us: u64,
    /// What kind of event it is: see [`crate::trace::Kind`].
    pub kind: String,
    /// What happened.
    pub what: Map<String, Value>,
    /// Where it happened: a node or a client, if at one.
    #[serde(default)]
    pub at: Option<String>,
    /// The life of that node, from 1.
    #[serde(default)]
    pub life: Option<u64>,
    /// The vector clock there, where a message is sent or arrives.
    #[serde(default)]
    pub clock: Clock,
    /// The hash of everything up to it.
    pub hash: String,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A line is no event.
    #[error("{path}: line {line} is no event of a trace: {error}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

/// Reads a trace: a file, or that of a run directory.
///
/// # Errors
/// If there is none, or a line of it is no event.
pub fn read(path: &Path) -> Result<Vec<TraceEvent>, TraceError> {
    let path = if path.is_dir() {
        path.join(TRACE_FILE)
    } else {
        path.to_owned()
    };
    let at = |error| TraceError::Io {
        path: path.clone(),
        error,
    };
    let file = File::open(&path).map_err(at)?;
    let mut events = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let event = serde_json::from_str(&line.map_err(at)?);
        events.push(event.map_err(|error| TraceError::Line {
            path: path.clone(),
            line: index + 1,
            error,
        })?);
    }
    Ok(events)
}

/// Reads events that were kept in memory.
///
/// # Panics
/// If a line was not written by [`crate::trace::Trace`].
#[must_use]
pub fn parse(lines: &[String]) -> Vec<TraceEvent> {
    let event = |line: &String| serde_json::from_str(line).expect("a trace writes events");
    lines.iter().map(event).collect()
}

impl TraceEvent {
    /// When it happened, for people.
    #[must_use]
    pub fn time(&self) -> String {
        format!("{:.6} s", self.t_us as f64 / 1e6)
    }

    fn text(&self, name: &str) -> String {
        match self.what.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "?".to_owned(),
        }
    }

    /// What happened, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let has = |name: &str| self.what.contains_key(name);
        let text = |name: &str| self.text(name);
        match self.kind.as_str() {
            "send" => format!(
                "{} sends to {}: {} (message {})",
                text("from"),
                text("to"),
                text("says"),
                text("message")
            ),
            "deliver" => format!("message {} reaches {}", text("message"), text("to")),
            "node-timer" => format!("the timer of {} fires", text("node")),
            "client-timer" => format!("the timer of client {} fires", text("client")),
            "file" => format!("{}: {}", text("node"), text("file")),
            "disk" => format!("{}: disk request {} is done", text("node"), text("request")),
            "fault" if has("begins") => format!(
                "fault {}, {}, strikes {}",
                text("fault"),
                text("begins"),
                text("nodes")
            ),
            "fault" if has("ends") => {
                format!("fault {}, {}, is undone", text("fault"), text("ends"))
            }
            "fault" if has("flips") => {
                format!("a bit flips on {}: {}", text("node"), text("flips"))
            }
            "process" if has("event") => format!("{}: {}", text("node"), text("event")),
            "process" if has("unsynced_bytes") => format!(
                "{} loses power, with {} bytes unsynced",
                text("node"),
                text("unsynced_bytes")
            ),
            "process" if has("process") => format!("{} {}", text("node"), text("process")),
            "operation" if has("begins") => {
                format!("client {} begins {}", text("client"), text("begins"))
            }
            "operation" if has("ends") => format!(
                "the operation of client {} ends with {}",
                text("client"),
                text("ends")
            ),
            "operation" if has("asks") => format!("the administrator asks for {}", text("asks")),
            "phase" => format!("the run enters the phase {}", text("phase")),
            "verdict" => format!("the verdict is {}", text("outcome")),
            // What a later build adds says itself.
            kind => format!("{kind}: {}", Value::Object(self.what.clone())),
        }
    }
}
