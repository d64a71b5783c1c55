//! `hstore append`: lines become records.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use hstore_core::{LogId, Lsn, Record, Timestamp};
use hstore_replicator::client::{Call, Outcome};
use hstore_server::metrics::{Summary, new_histogram, summary};
use hstore_server::transport::RECORD_BYTES_MAX;
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::oneshot;

use crate::Which;
use crate::output::{print, unknown, wrong};
use crate::reach::{Joined, Reach};

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    log: u32,
    records: u64,
    bytes: u64,
    first: Option<String>,
    last: Option<String>,
    /// Records that stand before one of an earlier line.
    out_of_order: u64,
    seconds: f64,
    records_per_second: f64,
    mebibytes_per_second: f64,
    latency_us: Summary,
}

/// A record on its way.
struct Sent {
    line: u64,
    record: Record,
    at: Timestamp,
    told: oneshot::Receiver<Outcome>,
}

struct Appending {
    joined: Joined,
    log: LogId,
    records: u64,
    bytes: u64,
    first: Option<Lsn>,
    last: Option<Lsn>,
    out_of_order: u64,
    latency: Histogram<u64>,
}

/// Runs the command.
pub(crate) async fn run(log: u32, file: &Path, window: usize, which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let mut lines: Box<dyn AsyncBufRead + Unpin + Send> = if file == Path::new("-") {
        Box::new(BufReader::new(tokio::io::stdin()))
    } else {
        let opened = tokio::fs::File::open(file).await;
        let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(BufReader::with_capacity(1 << 20, opened))
    };
    let mut joined = reach.join()?;
    // Finds the log's sequencer. Records that looked for it by themselves would overtake each other.
    joined.ask(Call::Tail { log }).await?;
    let begin = joined.clock.now();
    let mut appending = Appending {
        joined,
        log,
        records: 0,
        bytes: 0,
        first: None,
        last: None,
        out_of_order: 0,
        latency: new_histogram(),
    };
    appending.all(&mut lines, window).await?;
    let took = appending.joined.clock.now().since(begin);
    let done = appending.done(took.as_secs_f64());
    let text = if which.json {
        serde_json::to_string(&done).context("the answer is no JSON")? + "\n"
    } else {
        done.for_people()
    };
    print(text.as_bytes())?;
    Ok(())
}

/// The next line without its end.
async fn next_line(
    lines: &mut (impl AsyncBufRead + Unpin),
    number: u64,
) -> anyhow::Result<Option<Bytes>> {
    let mut line = Vec::new();
    // One more than a record may have, and the end of the line.
    let most = RECORD_BYTES_MAX as u64 + 2;
    let read = (&mut *lines).take(most).read_until(b'\n', &mut line).await;
    if read.context("cannot read the input")? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.len() > RECORD_BYTES_MAX {
        return Err(wrong(format!(
            "line {number} has more than the {RECORD_BYTES_MAX} bytes that a record may have; the lines before it were appended"
        )));
    }
    Ok(Some(line.into()))
}

impl Appending {
    async fn all(
        &mut self,
        lines: &mut (impl AsyncBufRead + Unpin),
        window: usize,
    ) -> anyhow::Result<()> {
        let mut on_the_way: VecDeque<Sent> = VecDeque::new();
        let mut line = 0;
        let mut ended = Ok(());
        loop {
            line += 1;
            match next_line(lines, line).await {
                Ok(Some(payload)) => match self.send(line, Record::new(payload)).await {
                    Ok(sent) => on_the_way.push_back(sent),
                    Err(cause) => {
                        return Err(self.give_up(cause, Vec::new(), &mut on_the_way).await);
                    }
                },
                Ok(None) => break,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
            while on_the_way.len() >= window {
                self.settle(&mut on_the_way).await?;
            }
        }
        while !on_the_way.is_empty() {
            self.settle(&mut on_the_way).await?;
        }
        ended
    }

    async fn send(&mut self, line: u64, record: Record) -> anyhow::Result<Sent> {
        let at = self.joined.clock.now();
        let call = Call::Append {
            log: self.log,
            record: record.clone(),
        };
        match self.joined.session.begin(call).await {
            Ok(told) => Ok(Sent {
                line,
                record,
                at,
                told,
            }),
            Err(_) => Err(self.joined.refused().await),
        }
    }

    /// Nothing further is sent, for this cause. If the fate of some of what is on its way stays unknown,
    /// that is what has to be said.
    async fn give_up(
        &mut self,
        cause: anyhow::Error,
        mut lines: Vec<String>,
        on_the_way: &mut VecDeque<Sent>,
    ) -> anyhow::Error {
        self.wait_for_the_rest(&mut lines, on_the_way).await;
        if lines.is_empty() {
            return cause;
        }
        unknown(format!("{cause:#}; {}", of_unknown_fate(&lines)))
    }

    /// Waits for what is on its way. Adds the lines whose fate stays unknown to `lines`, and returns those
    /// that certainly had no effect.
    async fn wait_for_the_rest(
        &mut self,
        lines: &mut Vec<String>,
        on_the_way: &mut VecDeque<Sent>,
    ) -> Vec<String> {
        let mut without_effect = Vec::new();
        for sent in on_the_way.drain(..) {
            match sent.told.await {
                Ok(Outcome::Appended(_)) => self.records += 1,
                Ok(Outcome::Failed) => without_effect.push(sent.line.to_string()),
                _ => lines.push(sent.line.to_string()),
            }
        }
        without_effect
    }

    /// Waits for the oldest record on its way.
    async fn settle(&mut self, on_the_way: &mut VecDeque<Sent>) -> anyhow::Result<()> {
        let Some(mut sent) = on_the_way.pop_front() else {
            return Ok(());
        };
        let begin = sent.at;
        loop {
            let Ok(outcome) = (&mut sent.told).await else {
                // The session ended with the record on its way.
                let cause = self.joined.refused().await;
                let lines = vec![sent.line.to_string()];
                return Err(self.give_up(cause, lines, on_the_way).await);
            };
            match outcome {
                Outcome::Appended(lsn) => {
                    self.stands(&sent, lsn);
                    return Ok(());
                }
                Outcome::Unknown => return Err(self.lost_track(sent.line, on_the_way).await),
                _ => {
                    // Certainly without effect.
                    if let Err(cause) = self.joined.patience(begin).await {
                        return Err(self.give_up(cause, Vec::new(), on_the_way).await);
                    }
                    let at = sent.at;
                    sent = match self.send(sent.line, sent.record).await {
                        Ok(again) => again,
                        Err(cause) => {
                            return Err(self.give_up(cause, Vec::new(), on_the_way).await);
                        }
                    };
                    sent.at = at;
                }
            }
        }
    }

    fn stands(&mut self, sent: &Sent, lsn: Lsn) {
        let took = self.joined.clock.now().since(sent.at).as_micros();
        self.latency
            .saturating_record(u64::try_from(took).unwrap_or(u64::MAX).max(1));
        self.records += 1;
        self.bytes += sent.record.payload.len() as u64;
        self.out_of_order += u64::from(self.last.is_some_and(|last| lsn < last));
        self.first = Some(self.first.map_or(lsn, |first| first.min(lsn)));
        self.last = Some(self.last.map_or(lsn, |last| last.max(lsn)));
    }

    /// A record's fate is unknown. Waits for the others, and says how it stands.
    async fn lost_track(&mut self, line: u64, on_the_way: &mut VecDeque<Sent>) -> anyhow::Error {
        let mut lines = vec![line.to_string()];
        let without_effect = self.wait_for_the_rest(&mut lines, on_the_way).await;
        let mut text = of_unknown_fate(&lines);
        if !without_effect.is_empty() {
            let _ = write!(text, "; not appended: {}", without_effect.join(", "));
        }
        let _ = write!(
            text,
            "; {} other lines up to there were appended, none after",
            self.records
        );
        unknown(text)
    }

    fn done(&self, seconds: f64) -> Done {
        Done {
            log: self.log.0,
            records: self.records,
            bytes: self.bytes,
            first: self.first.map(|lsn| lsn.to_string()),
            last: self.last.map(|lsn| lsn.to_string()),
            out_of_order: self.out_of_order,
            seconds,
            records_per_second: self.records as f64 / seconds,
            mebibytes_per_second: self.bytes as f64 / f64::from(1 << 20) / seconds,
            latency_us: summary(&self.latency),
        }
    }
}

fn of_unknown_fate(lines: &[String]) -> String {
    format!(
        "nobody can tell whether these lines were appended: {}; to append them again could write them twice",
        lines.join(", ")
    )
}

impl Done {
    fn for_people(&self) -> String {
        let (Some(first), Some(last)) = (&self.first, &self.last) else {
            return "no line, no record\n".to_owned();
        };
        let ms = |us: u64| us as f64 / 1000.0;
        let mut text = format!(
            "{} records, {} bytes, from {first} to {last}\n{:.3} s: {:.0} records/s, {:.2} MiB/s; latency p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n",
            self.records,
            self.bytes,
            self.seconds,
            self.records_per_second,
            self.mebibytes_per_second,
            ms(self.latency_us.p50),
            ms(self.latency_us.p99),
            ms(self.latency_us.max),
        );
        if self.out_of_order > 0 {
            let _ = writeln!(
                text,
                "{} records stand before one of an earlier line: the log changed its sequencer, or was busy",
                self.out_of_order
            );
        }
        text
    }
}
