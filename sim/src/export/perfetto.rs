//! A trace as Perfetto and `chrome://tracing` read it: the Trace Event Format in JSON
//! (<https://ui.perfetto.dev>).
//!
//! Each node and each client has a track. Operations of clients, faults and lives of nodes are spans, messages are
//! arrows from slice to slice, everything else is an instant.
//!
//! Times are in microseconds. Events at one time on one track are set apart by some nanoseconds, in their order,
//! so that no two slices of a track overlap.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::events::TraceEvent;

/// The groups of tracks, as processes.
const NODES: u64 = 1;
const CLIENTS: u64 = 2;
const PLAN: u64 = 3;
/// How long an event without a length is drawn, in microseconds.
const SLICE_US: f64 = 0.001;
/// How far apart events at one time are drawn.
const APART_US: f64 = 0.002;

/// The trace in the Trace Event Format.
#[must_use]
pub fn perfetto(trace: &[TraceEvent]) -> String {
    let mut drawing = Drawing::default();
    for (id, name) in [(NODES, "nodes"), (CLIENTS, "clients"), (PLAN, "plan")] {
        drawing.name("process_name", id, 0, name);
    }
    let ends = trace.last().map_or(0, |event| event.t_us);
    // A message that is lost has no arrow: an arrow without an end would be drawn to nowhere.
    drawing.arrive = trace
        .iter()
        .filter(|event| event.kind == "deliver")
        .filter_map(|event| event.what.get("message")?.as_u64())
        .collect();
    for event in trace {
        drawing.event(event);
    }
    drawing.finish(ends);
    let whole = json!({"displayTimeUnit": "ms", "traceEvents": drawing.events});
    whole.to_string()
}

/// What is drawn so far.
#[derive(Default)]
struct Drawing {
    events: Vec<Value>,
    /// Tracks that have a name.
    named: BTreeSet<(u64, u64)>,
    /// When something was drawn last on a track, and how many events then.
    last: BTreeMap<(u64, u64), (u64, u32)>,
    /// Messages that arrive.
    arrive: BTreeSet<u64>,
    /// How often each message has arrived.
    arrived: BTreeMap<u64, u64>,
    /// Spans that go on: track, category and number, and what they are called.
    open: BTreeMap<(u64, u64, &'static str, String), String>,
}

impl Drawing {
    fn event(&mut self, event: &TraceEvent) {
        let what = &event.what;
        let text = |name: &str| match what.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let has = |name: &str| what.contains_key(name);
        let track = self.track(event);
        let at = self.at(track, event.t_us);
        match event.kind.as_str() {
            "send" => {
                let name = first_word(&text("says"));
                self.slice(track, at, &name, "message", what);
                let number = what.get("message").and_then(Value::as_u64);
                if let Some(number) = number.filter(|it| self.arrive.contains(it)) {
                    self.flow("s", track, at, number);
                }
            }
            "deliver" => {
                let name = format!("message {}", text("message"));
                self.slice(track, at, &name, "message", what);
                if let Some(number) = what.get("message").and_then(Value::as_u64) {
                    // An arrow ends once: where a message arrives again, there is none.
                    let times = self.arrived.entry(number).or_default();
                    *times += 1;
                    if *times == 1 {
                        self.flow("f", track, at, number);
                    }
                }
            }
            "operation" if has("begins") => {
                self.begin(track, at, "operation", String::new(), &text("begins"), what);
            }
            "operation" if has("ends") => self.end(track, at, "operation", String::new(), what),
            "fault" if has("begins") => {
                let name = format!("{} on {}", text("begins"), text("nodes"));
                self.instant("g", track, at, &name, "fault", what);
                self.begin(track, at, "fault", text("fault"), &name, what);
            }
            "fault" if has("ends") => self.end(track, at, "fault", text("fault"), what),
            "process" if text("process") == "starts" => {
                let name = format!("life {}", event.life.unwrap_or(0));
                self.begin(track, at, "life", String::new(), &name, what);
            }
            "process" if text("process") == "dies" => {
                self.instant("t", track, at, "dies", "process", what);
                self.end(track, at, "life", String::new(), what);
            }
            "process" => {
                let said = if has("event") { "event" } else { "process" };
                let name = first_word(&text(said));
                self.instant("t", track, at, &name, "event", what);
            }
            "phase" | "verdict" => {
                self.instant("g", track, at, &event.words(), "phase", what);
            }
            kind => {
                let category = kind.to_owned();
                self.instant("t", track, at, &event.words(), &category, what);
            }
        }
    }

    /// Spans that nobody ended end with the trace.
    fn finish(&mut self, ends_us: u64) {
        let open: Vec<_> = self.open.keys().cloned().collect();
        for (pid, tid, category, id) in open {
            let at = self.at((pid, tid), ends_us);
            self.end((pid, tid), at, category, id, &Map::new());
        }
    }

    /// The track of an event.
    fn track(&mut self, event: &TraceEvent) -> (u64, u64) {
        let number = |prefix: &str| -> Option<u64> {
            let at = event.at.as_deref()?;
            at.strip_prefix(prefix)?.parse().ok()
        };
        let (track, name) = if let Some(node) = number("n") {
            ((NODES, node + 1), format!("n{node}"))
        } else if let Some(client) = number("client ") {
            ((CLIENTS, client + 1), format!("client {client}"))
        } else {
            ((PLAN, 1), "plan".to_owned())
        };
        if self.named.insert(track) {
            self.name("thread_name", track.0, track.1, &name);
        }
        track
    }

    /// When an event of a track is drawn: after those before it.
    fn at(&mut self, track: (u64, u64), t_us: u64) -> f64 {
        let last = self.last.entry(track).or_insert((t_us, 0));
        if last.0 == t_us {
            last.1 += 1;
        } else {
            *last = (t_us, 0);
        }
        t_us as f64 + f64::from(last.1) * APART_US
    }

    fn name(&mut self, what: &str, pid: u64, tid: u64, name: &str) {
        self.events.push(json!({
            "ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name},
        }));
    }

    fn slice(
        &mut self,
        (pid, tid): (u64, u64),
        at: f64,
        name: &str,
        category: &str,
        what: &Map<String, Value>,
    ) {
        self.events.push(json!({
            "ph": "X", "name": name, "cat": category, "ts": at, "dur": SLICE_US,
            "pid": pid, "tid": tid, "args": what,
        }));
    }

    fn instant(
        &mut self,
        scope: &str,
        (pid, tid): (u64, u64),
        at: f64,
        name: &str,
        category: &str,
        what: &Map<String, Value>,
    ) {
        self.events.push(json!({
            "ph": "i", "s": scope, "name": name, "cat": category, "ts": at,
            "pid": pid, "tid": tid, "args": what,
        }));
    }

    fn flow(&mut self, phase: &str, (pid, tid): (u64, u64), at: f64, number: u64) {
        // Bound to the slice that encloses it, not to the next one.
        self.events.push(json!({
            "ph": phase, "bp": "e", "name": "message", "cat": "message", "id": number, "ts": at,
            "pid": pid, "tid": tid,
        }));
    }

    fn begin(
        &mut self,
        track: (u64, u64),
        at: f64,
        category: &'static str,
        id: String,
        name: &str,
        what: &Map<String, Value>,
    ) {
        let key = (track.0, track.1, category, id);
        if self.open.contains_key(&key) {
            // It strikes twice: the span is drawn.
            return;
        }
        self.open.insert(key.clone(), name.to_owned());
        self.span("b", &key, at, name, what);
    }

    fn end(
        &mut self,
        track: (u64, u64),
        at: f64,
        category: &'static str,
        id: String,
        what: &Map<String, Value>,
    ) {
        let key = (track.0, track.1, category, id);
        if let Some(name) = self.open.remove(&key) {
            self.span("e", &key, at, &name, what);
        }
    }

    fn span(
        &mut self,
        phase: &str,
        (pid, tid, category, id): &(u64, u64, &'static str, String),
        at: f64,
        name: &str,
        what: &Map<String, Value>,
    ) {
        self.events.push(json!({
            "ph": phase, "name": name, "cat": category, "id": format!("{category}-{pid}-{tid}-{id}"),
            "ts": at, "pid": pid, "tid": tid, "args": what,
        }));
    }
}

/// What a value's debug text begins with: the name of its variant.
fn first_word(text: &str) -> String {
    let end = text.find([' ', '(', '{']).unwrap_or(text.len());
    text[..end].to_owned()
}
