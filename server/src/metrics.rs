//! What a node counts and measures, and how it tells it.
//!
//! Nothing depends on these numbers. They count from the start of the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use hstore_tier2::offloader::Held;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart from longer ones.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Significant decimal digits of a latency.
const DIGITS: u8 = 3;

/// Counters and histograms, shared by the tasks and threads of a node.
#[derive(Debug, Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counters: BTreeMap<&'static str, u64>,
    histograms: BTreeMap<&'static str, Histogram<u64>>,
}

/// A histogram in few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Values recorded.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 are no greater.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
}

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its number.
    pub node: u8,
    /// Its cluster.
    pub cluster: String,
    /// Counts its lives.
    pub incarnation: u64,
    /// Its process.
    pub pid: u32,
    /// Since it started.
    pub uptime_ms: u64,
    /// The build.
    pub version: String,
    /// Each log, as it sees it.
    pub logs: Vec<LogStatus>,
    /// What was counted, by name.
    pub counters: BTreeMap<String, u64>,
    /// What was measured, by name, which ends in its unit.
    pub histograms: BTreeMap<String, Summary>,
}

/// A log, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The log.
    pub log: u32,
    /// The epoch that this node sequences and answers for, if it does.
    pub sequences: Option<u32>,
    /// What its sequencer is doing, in words.
    pub sequencer: String,
    /// Up to where it lets readers read.
    pub readable: String,
    /// What lies in the object store, if this node moves the log's history there.
    #[serde(default)]
    pub tier2: Option<Tier2Status>,
}

/// What of a log lies in the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier2Status {
    /// So many segments.
    pub segments: usize,
    /// Bytes of payload in them.
    pub payload_bytes: u64,
    /// Bytes that they take.
    pub stored_bytes: u64,
    /// Up to here; nothing if absent.
    pub moved: Option<String>,
    /// Up to here nodes need not hold what lies there.
    pub handed: String,
    /// Uploads under way.
    pub uploads: usize,
    /// Segments that are missing there, or damaged.
    pub anomalies: usize,
}

impl Tier2Status {
    /// By what a log's register holds.
    #[must_use]
    pub fn of(held: &Held) -> Self {
        let manifest = &held.manifest;
        Self {
            segments: manifest.segments().len(),
            payload_bytes: manifest.payload_bytes(),
            stored_bytes: manifest.segments().map(|it| it.file_bytes).sum(),
            moved: manifest.last().map(|last| last.to_string()),
            handed: held.handed.to_string(),
            uploads: manifest.intents().len(),
            anomalies: manifest.anomalies().len(),
        }
    }
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Numbers are never half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one.
    pub fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    /// Counts several.
    pub fn add(&self, name: &'static str, more: u64) {
        *self.lock().counters.entry(name).or_default() += more;
    }

    /// Sets what is counted elsewhere.
    pub fn set(&self, name: &'static str, count: u64) {
        self.lock().counters.insert(name, count);
    }

    /// Records a latency. `name` ends in `_us`.
    pub fn latency(&self, name: &'static str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.value(name, micros);
    }

    /// Records a value.
    pub fn value(&self, name: &'static str, value: u64) {
        let mut inner = self.lock();
        let histogram = inner.histograms.entry(name).or_insert_with(new_histogram);
        histogram.saturating_record(value.max(1));
    }

    /// All of it.
    #[must_use]
    pub fn tell(&self) -> (BTreeMap<String, u64>, BTreeMap<String, Summary>) {
        let inner = self.lock();
        let counters = inner.counters.iter();
        let histograms = inner.histograms.iter();
        (
            counters
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            histograms
                .map(|(name, histogram)| ((*name).to_owned(), summary(histogram)))
                .collect(),
        )
    }
}

/// An empty histogram of latencies in microseconds, or of other numbers of that size.
#[must_use]
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are valid")
}

/// A histogram in few numbers.
#[must_use]
pub fn summary(histogram: &Histogram<u64>) -> Summary {
    Summary {
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_and_measured_is_told() {
        let metrics = Metrics::default();
        metrics.count("a");
        metrics.add("a", 2);
        metrics.set("b", 7);
        for us in 1..=100 {
            metrics.latency("l_us", Duration::from_micros(us));
        }
        metrics.latency("l_us", Duration::from_secs(3600));
        let (counters, histograms) = metrics.tell();
        assert_eq!(counters["a"], 3);
        assert_eq!(counters["b"], 7);
        let summary = &histograms["l_us"];
        assert_eq!((summary.count, summary.p50, summary.p99), (101, 51, 100));
        assert!(summary.max >= LATENCY_US_MAX);
    }
}
