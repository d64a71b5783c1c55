//! `hstore append`: lines become records.

use std::collections::VecDeque;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use hstore_core::{Attributes, LogId, Lsn, ProducerId, ProducerSequence, Record, Timestamp, Token};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::message::{Conditions, Mismatch, Refusal, TokenSeen};
use hstore_replicator::producers::PRODUCER_WINDOW;
use hstore_server::metrics::{Summary, new_histogram, summary};
use hstore_server::transport::RECORD_BYTES_MAX;
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::oneshot;

use crate::Which;
use crate::output::{print, refused, unknown, wrong};
use crate::reach::{Joined, Reach};

/// What lines demand, and what their records do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Demands {
    /// The first line is appended only if the last record of the log stands here (`e0:0`: if there is none),
    /// each further one only if the one before it is the last. One line at a time is on its way.
    #[arg(long, value_name = "LSN")]
    expect: Option<Lsn>,
    /// Lines are appended only while this is the log's token; with `--set-token`, the first line is.
    #[arg(long, value_name = "NUMBER")]
    token: Option<u64>,
    /// The first line sets the log's token. If `--token` is given, further lines demand the new one, and
    /// one line at a time is on its way.
    #[arg(long, value_name = "NUMBER")]
    set_token: Option<u64>,
    /// Lines are records of this producer, numbered from `--sequence` on. At most 32 are on their way.
    #[arg(long, value_name = "NUMBER")]
    producer: Option<u64>,
    /// The sequence of the first line.
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "producer",
        default_value_t = 0
    )]
    sequence: u64,
}

impl Demands {
    /// How many lines may be on their way, if `window` may without demands.
    fn window(&self, window: usize) -> usize {
        let fences = self.token.is_some() && self.set_token.is_some();
        if self.expect.is_some() || fences {
            1
        } else if self.producer.is_some() {
            window.min(PRODUCER_WINDOW as usize)
        } else {
            window
        }
    }

    /// The record of a line, and its conditions. `before` is where the line before stands.
    fn of_line(&self, line: u64, before: Option<Lsn>, payload: Bytes) -> (Record, Conditions) {
        let first = line == 1;
        let attributes = Attributes {
            producer: self.producer.map(|producer| ProducerSequence {
                producer: ProducerId(producer),
                sequence: self.sequence.saturating_add(line - 1),
            }),
            sets_token: self.set_token.filter(|_| first).map(Token),
        };
        let token = match self.set_token {
            Some(set) if !first => self.token.map(|_| set),
            _ => self.token,
        };
        let conditions = Conditions {
            last_record: self.expect.map(|expected| before.unwrap_or(expected)),
            token: token.map(Token),
        };
        (Record::with(payload, attributes), conditions)
    }
}

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
    conditions: Conditions,
    at: Timestamp,
    told: oneshot::Receiver<Outcome>,
}

struct Appending {
    joined: Joined,
    log: LogId,
    demands: Demands,
    /// Where the line stands that was told of last.
    before: Option<Lsn>,
    records: u64,
    bytes: u64,
    first: Option<Lsn>,
    last: Option<Lsn>,
    out_of_order: u64,
    latency: Histogram<u64>,
}

/// Runs the command.
pub(crate) async fn run(
    log: u32,
    file: &Path,
    window: usize,
    demands: Demands,
    which: &Which,
) -> anyhow::Result<()> {
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
        demands,
        before: None,
        records: 0,
        bytes: 0,
        first: None,
        last: None,
        out_of_order: 0,
        latency: new_histogram(),
    };
    appending.all(&mut lines, demands.window(window)).await?;
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
                Ok(Some(payload)) => {
                    let (record, conditions) = self.demands.of_line(line, self.before, payload);
                    match self.send(line, record, conditions).await {
                        Ok(sent) => on_the_way.push_back(sent),
                        Err(cause) => {
                            return Err(self.give_up(cause, Vec::new(), &mut on_the_way).await);
                        }
                    }
                }
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

    async fn send(
        &mut self,
        line: u64,
        record: Record,
        conditions: Conditions,
    ) -> anyhow::Result<Sent> {
        let at = self.joined.clock.now();
        let call = Call::Append {
            log: self.log,
            record: record.clone(),
            conditions,
        };
        match self.joined.session.begin(call).await {
            Ok(told) => Ok(Sent {
                line,
                record,
                conditions,
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
                Ok(outcome) if outcome.is_without_effect() => {
                    without_effect.push(sent.line.to_string());
                }
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
        let named = sent.record.attributes.producer.is_some();
        let mut tried = false;
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
                outcome if !outcome.may_retry(named) => {
                    return Err(self.ends_with(&sent, &outcome, tried, on_the_way).await);
                }
                outcome => {
                    // Certainly without effect, or under a name that stands once.
                    tried |= outcome == Outcome::Unknown;
                    let lines = if tried {
                        vec![sent.line.to_string()]
                    } else {
                        Vec::new()
                    };
                    if let Err(cause) = self.joined.patience(begin).await {
                        return Err(self.give_up(cause, lines, on_the_way).await);
                    }
                    let at = sent.at;
                    sent = match self.send(sent.line, sent.record, sent.conditions).await {
                        Ok(again) => again,
                        Err(cause) => return Err(self.give_up(cause, lines, on_the_way).await),
                    };
                    sent.at = at;
                }
            }
        }
    }

    /// Nothing more can be done for a line. Waits for the others, and says how it stands.
    async fn ends_with(
        &mut self,
        sent: &Sent,
        outcome: &Outcome,
        tried: bool,
        on_the_way: &mut VecDeque<Sent>,
    ) -> anyhow::Error {
        let why = match outcome {
            // What became of an earlier try is not known.
            _ if tried => None,
            Outcome::Mismatch(mismatch) => Some(of_mismatch(mismatch)),
            Outcome::Refused(why) => Some(of_refusal(*why).to_owned()),
            _ => None,
        };
        let Some(why) = why else {
            return self.lost_track(sent.line, on_the_way).await;
        };
        let cause = refused(format!("line {} was not appended: {why}", sent.line));
        self.give_up(cause, Vec::new(), on_the_way).await
    }

    fn stands(&mut self, sent: &Sent, lsn: Lsn) {
        self.before = Some(lsn);
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

fn of_mismatch(mismatch: &Mismatch) -> String {
    let last = if mismatch.last_record == Lsn::MIN {
        "the log had no record".to_owned()
    } else {
        format!("the last record was {}", mismatch.last_record)
    };
    match mismatch.token {
        TokenSeen::Unasked => last,
        TokenSeen::NeverSet => format!("{last}, no token was set"),
        TokenSeen::Set(token) => format!("{last}, the token was {}", token.0),
    }
}

fn of_refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::SequenceTooOld => {
            "its sequence is too far below its producer's highest to tell whether it stands"
        }
        Refusal::UnknownProducer => {
            "the log knows nothing of this producer, whose first sequence must be below 32"
        }
        Refusal::TooManyProducers => "the log has as many producers as it can have",
        Refusal::HistoryLost => {
            "records were lost, and with them what they set and whose they were"
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
