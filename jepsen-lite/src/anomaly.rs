//! Anomalies: what a system did that no log may do, with the evidence.
//!
//! An anomaly carries a *certificate*: one to four operations that cannot all be right, and a chain
//! of links between them, each with its reason. The certificate stands for itself. It names the
//! positions that it talks about, and of a read keeps only what the read said about those; the rest
//! is left out and counted. This loses nothing that is needed: if a whole history is legal, then so
//! is what remains when all positions but some are left out, together with the appends that put
//! records there. So a certificate that is illegal alone proves that the history is.
//!
//! Certificates are not minimal histories, and say nothing about the cause.

use std::fmt;

use hstore_core::{Epoch, LogId, Lsn, NodeSet};
use serde::{Deserialize, Serialize, Serializer};

use crate::history::{
    Answer, Call, EventIndex, Gap, GapKind, History, Mismatch, Moment, OpId, ProcessId, RecordId,
    Status, Token, lsn_text, position,
};
use crate::object::Value;

/// The names that the field gives to what can go wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AnomalyKind {
    /// A read passes over a record that was acknowledged, or says that a gap is in its place.
    LostWrite,
    /// A read returns a record whose append failed, or that nobody ever appended.
    DirtyRead,
    /// An operation misses what was there before it began.
    StaleRead,
    /// An operation sees what was not asked for before it ended.
    FutureRead,
    /// One LSN holds two things: two records, or a record and a gap.
    InconsistentOffset,
    /// One record is at two LSNs, or is delivered twice.
    Duplicate,
    /// A read leaves out an LSN without saying why it holds no record.
    Gap,
    /// Records have another order than they must: an append that began after another had ended lies
    /// below it, or a read delivers a later record first.
    Reorder,
    /// A read returns something outside of the range between its start and its tail.
    ReadOutOfRange,
    /// A poll goes back: it delivers what lies below what was delivered, or no longer knows of what its
    /// process has seen.
    NonmonotonicPoll,
    /// A subscription passes over positions or records.
    PollSkip,
    /// A subscription never delivers a record, though it came past it.
    Unseen,
    /// Something is said to be given up that nobody gave up, or what was given up is taken back.
    TrimViolation,
    /// One tier shows something else than another.
    TierDivergence,
    /// An append was acknowledged before enough copies of its record were synced.
    AckBeforeDurable,
    /// No order of the operations explains what all of them returned.
    NotLinearizable,
    /// What was put into an object is gone from it.
    Lost,
    /// What is known to be in an object is not seen, though later it is.
    Stale,
    /// An object shows what nobody put into it.
    Unexpected,
    /// An object shows or returns something more often than it was put in.
    Duplicated,
    /// A counter shows less than was added for sure, or more than can have been added.
    OutOfBounds,
    /// A record is appended in an epoch that was ended, or under a token that is not the one in force; or
    /// is refused for a token that was.
    FenceViolation,
    /// An append is accepted although the last record is not the one that it demands, or is refused
    /// although it is.
    ConditionViolation,
}

impl AnomalyKind {
    /// The guarantee that it breaks, in one sentence.
    #[must_use]
    pub fn guarantee(self) -> &'static str {
        match self {
            Self::LostWrite => "an acknowledged record can always be read",
            Self::DirtyRead => "what is read was appended, and its append did not fail",
            Self::StaleRead => "an operation sees all that was there before it began",
            Self::FutureRead => "an operation sees only what was begun before it ended",
            Self::InconsistentOffset => "an LSN holds one thing, the same for everybody",
            Self::Duplicate => "a record is in the log once",
            Self::Gap => "a read accounts for every LSN that it passes",
            Self::Reorder => "records lie in the order in which they were appended",
            Self::ReadOutOfRange => "a read returns what lies between its start and its tail",
            Self::NonmonotonicPoll => "polls go forward",
            Self::PollSkip => "a subscription passes over nothing",
            Self::Unseen => "a subscription delivers every record that it comes past",
            Self::TrimViolation => "only what somebody gave up is given up, and it stays so",
            Self::TierDivergence => "all tiers show the same",
            Self::AckBeforeDurable => {
                "a record is acknowledged once enough of its copies are synced"
            }
            Self::NotLinearizable => {
                "all operations take effect one after the other, each within its interval"
            }
            Self::Lost => "what was put in for sure stays in, or comes out",
            Self::Stale => "what is known to be in is seen by all that begins later",
            Self::Unexpected => "only what was put in is seen, or comes out",
            Self::Duplicated => "nothing is seen or comes out more often than it was put in",
            Self::OutOfBounds => {
                "a counter is the sum of all that was added for sure and some that may have been"
            }
            Self::FenceViolation => {
                "an append gets through under the token that was set last and in an epoch that is not ended, and not otherwise"
            }
            Self::ConditionViolation => {
                "an append is accepted if the last record is the one that it demands, and not otherwise"
            }
        }
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One thing that went wrong, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anomaly {
    /// Its name.
    pub kind: AnomalyKind,
    /// What it happened to.
    pub subject: Subject,
    /// What would have been legal.
    pub expected: String,
    /// What came instead.
    pub seen: String,
    /// The positions that the certificate talks about.
    #[serde(with = "lsn_text::list")]
    pub positions: Vec<Lsn>,
    /// The operations that cannot all be right, in the order of their invocation.
    pub certificate: Vec<CertificateOp>,
    /// Why they cannot.
    pub chain: Vec<Link>,
}

/// What a verdict is about: each is judged alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A log.
    Log(LogId),
    /// The only object of a history.
    Object,
    /// The part of an object that has this key.
    Part(Value),
}

/// `log 3`, `the object`, `key "x"`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Object => f.write_str("the object"),
            Self::Part(key) => write!(f, "key {key}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What an operation of a certificate asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Something of a log.
    Log(Call),
    /// Something of an object.
    Object {
        /// The function.
        function: String,
        /// Its argument.
        argument: Value,
    },
}

/// `append(#7)`, `cas([1 2])`, `read()`.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(call) => call.fmt(f),
            Self::Object {
                function,
                argument: Value::Nil,
            } => write!(f, "{function}()"),
            Self::Object { function, argument } => write!(f, "{function}({argument})"),
        }
    }
}

impl Serialize for Asked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An operation as a certificate shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateOp {
    /// Its number in the history.
    pub op: OpId,
    /// Who did it.
    pub process: ProcessId,
    /// What was asked.
    pub call: Asked,
    /// How it ended.
    pub status: Status,
    /// When it was invoked.
    pub invoked: Moment,
    /// When its last event was, if it had another.
    pub completed: Option<Moment>,
    /// What it was answered, if it was.
    pub fact: Option<Fact>,
}

/// What an operation said about the positions of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// An append put its record at `lsn`.
    Appended {
        /// Its position.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// What an append demanded was not so.
    Mismatched {
        /// What it was told of it.
        #[serde(serialize_with = "mismatch_text")]
        told: Mismatch,
    },
    /// A tail was `tail`, or that of a seal was.
    Tail {
        /// The next LSN to be assigned.
        #[serde(with = "lsn_text")]
        tail: Lsn,
    },
    /// All at and below this was given up.
    Trimmed {
        /// The last LSN that was.
        #[serde(with = "lsn_text")]
        upto: Lsn,
    },
    /// It is done.
    Done,
    /// An object returned this.
    Returned {
        /// The value.
        #[serde(serialize_with = "value_text")]
        value: Value,
    },
    /// An object returned a collection.
    Contained {
        /// The elements of it that the certificate is about, each as often as it is there.
        #[serde(serialize_with = "values_text")]
        elements: Vec<Value>,
        /// How many others are left out here.
        left_out: usize,
    },
    /// A read spoke of all positions from its start to `end`.
    Read {
        /// What it returned at the positions of the certificate, as it was delivered.
        #[serde(with = "lsn_text::records")]
        records: Vec<(Lsn, RecordId)>,
        /// The gaps that it returned over those positions.
        gaps: Vec<Gap>,
        /// Above the last position of which it spoke.
        #[serde(with = "lsn_text")]
        end: Lsn,
        /// Whether it reached the tail, and so says exactly what the log was.
        reached_tail: bool,
        /// The tail that it took.
        #[serde(with = "lsn_text")]
        tail: Lsn,
        /// How many records and gaps are left out here.
        left_out: usize,
    },
}

/// One step of an argument: `from` must come before `to`, or contradicts it, for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// An operation of the certificate.
    pub from: OpId,
    /// Another one, or the same where an operation contradicts itself.
    pub to: OpId,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why one operation must come before another, or contradicts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `from` had returned before `to` was invoked.
    RealTime {
        /// The event that ended `from`.
        returned: EventIndex,
        /// The event that began `to`.
        invoked: EventIndex,
    },
    /// The record of `from` lies below the record of `to`, or below the end of the log that `to` saw.
    Position {
        /// The LSN of the record.
        #[serde(with = "lsn_text")]
        from_at: Lsn,
        /// The LSN above it.
        #[serde(with = "lsn_text")]
        to_at: Lsn,
    },
    /// `from` saw a log that ends where the record of `to` lies, or below.
    EndsBelow {
        /// The end that `from` saw: no record was there or above.
        #[serde(with = "lsn_text")]
        end: Lsn,
        /// The LSN of the record of `to`.
        #[serde(with = "lsn_text")]
        to_at: Lsn,
    },
    /// Both speak of one LSN, and it cannot be right what both say.
    SamePosition {
        /// The LSN.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// A read showed this at a position.
    Observation {
        /// The read: `from` or `to`.
        by: OpId,
        /// The position.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
        /// What it showed there.
        #[serde(flatten)]
        seen: Seen,
    },
    /// `from` failed, so it certainly had no effect; `to` shows one.
    Failed,
    /// `from` had seen the log up to one end, but `to` sees a lower one.
    WentBack {
        /// Below this, `from` had seen all.
        #[serde(with = "lsn_text")]
        from_end: Lsn,
        /// `to` knows of nothing from here on.
        #[serde(with = "lsn_text")]
        to_end: Lsn,
    },
    /// `from` had come to one position, and `to` goes on at a higher one.
    Skipped {
        /// The first position that is passed over.
        #[serde(with = "lsn_text")]
        first: Lsn,
        /// The one where it goes on.
        #[serde(with = "lsn_text")]
        next: Lsn,
    },
    /// Before `to` returned, nobody had asked for this position to be given up. `from` is the trim that
    /// came nearest, if there is one.
    NotGivenUp {
        /// The position.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// `from` was told of a trim up to here, and `to` of a lower one, or of something below that is there.
    TrimTakenBack {
        /// Where the trim was.
        #[serde(with = "lsn_text")]
        upto: Lsn,
        /// What is there in spite of it, or where the trim is now.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// When `from` was acknowledged, no round of sending its record had enough copies synced.
    Synced {
        /// The round that had the most, if any copy was synced.
        wave: Option<u32>,
        /// The nodes whose copies of it were synced.
        #[serde(serialize_with = "nodes_text")]
        copies: NodeSet,
    },
    /// An operation returned the element that the certificate is about, so many times.
    Shows {
        /// The operation: `from` or `to`.
        by: OpId,
        /// How often it is there.
        times: u64,
    },
    /// An operation returned without the element that the certificate is about.
    Lacks {
        /// The operation: `from` or `to`.
        by: OpId,
    },
    /// A search: no order of what may come before `to` lets it return what it did.
    NoOrder,
    /// `from` and `to` say of the same records of a stream what cannot both be so.
    Stream,
    /// What `from` put in never came out.
    NeverCame,
    /// Nobody ever put in what `from` returned.
    NobodyAsked,
    /// Both returned the same.
    SameResult,
    /// What `to` returned is not between the sums of what was added.
    Sums {
        /// All that was added for sure before it began, with all subtractions that may have been.
        low: i64,
        /// What it returned.
        value: i64,
        /// All that may have been added before it ended.
        high: i64,
    },
    /// `from` ended all epochs below one from a position on; the record of `to` is of such an epoch, and
    /// above that.
    Sealed {
        /// The first epoch that is not ended.
        epoch: Epoch,
        /// Where the log ended then.
        #[serde(with = "lsn_text")]
        tail: Lsn,
    },
    /// `from` put its record here, and until `to` nobody is known to have appended another one.
    LastRecord {
        /// The position; [`Lsn::MIN`] where there is no record at all.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// `from` set this token, and until `to` nobody is known to have set another one.
    TokenInForce {
        /// The token; `None` where none was ever set.
        token: Option<Token>,
    },
    /// `from` demands or was told this, and `to` says that it was otherwise then.
    Told {
        /// The append that demanded it or was told it.
        by: OpId,
    },
}

/// What a read showed at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "seen", rename_all = "snake_case")]
pub enum Seen {
    /// A record.
    Record {
        /// Its identity.
        record: RecordId,
    },
    /// A gap.
    Gap {
        /// Its kind.
        kind: GapKind,
    },
    /// Neither, though it spoke of what lies above.
    Nothing,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { record } => write!(f, "record {record}"),
            Self::Gap { kind } => write!(f, "a gap ({kind})"),
            Self::Nothing => f.write_str("neither a record nor a gap"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, reason } = self;
        write!(f, "{from} -> {to}, ")?;
        match reason {
            Reason::RealTime { returned, invoked } => {
                write!(
                    f,
                    "real time: it returned at {returned}, the other was invoked at {invoked}"
                )
            }
            Reason::Position { from_at, to_at } => {
                write!(f, "position: {from_at} comes before {to_at}")
            }
            Reason::EndsBelow { end, to_at } => {
                write!(
                    f,
                    "position: a log that ends at {end} has nothing at {to_at}"
                )
            }
            Reason::SamePosition { lsn } => write!(f, "position: both are at {lsn}"),
            Reason::Observation { by, lsn, seen } => {
                write!(f, "observation: {by} shows {seen} at {lsn}")
            }
            Reason::Failed => f.write_str("observation: it failed, but its record is shown"),
            Reason::WentBack { from_end, to_end } => {
                write!(
                    f,
                    "position: one had seen the log up to {from_end}, the other ends at {to_end}"
                )
            }
            Reason::Skipped { first, next } => {
                write!(f, "position: {first} is due, but it goes on at {next}")
            }
            Reason::NotGivenUp { lsn } => {
                write!(f, "trim: nobody had given up {lsn} before it returned")
            }
            Reason::TrimTakenBack { upto, lsn } => {
                write!(f, "trim: all up to {upto} was given up, but not {lsn}")
            }
            Reason::Synced { wave: None, .. } => {
                f.write_str("copies: none was synced when it was acknowledged")
            }
            Reason::Synced {
                wave: Some(wave),
                copies,
            } => write!(
                f,
                "copies: when it was acknowledged, {copies} had synced wave {wave}, and no wave had more"
            ),
            Reason::Shows { by, times: 1 } => write!(f, "observation: {by} returned it"),
            Reason::Shows { by, times } => write!(f, "observation: {by} returned it {times} times"),
            Reason::Lacks { by } => write!(f, "observation: {by} returned without it"),
            Reason::NoOrder => f.write_str("search: no order of what may come before explains it"),
            Reason::Stream => f.write_str("positions: both cannot be so of one stream"),
            Reason::NeverCame => f.write_str("observation: what it put in never came out"),
            Reason::NobodyAsked => f.write_str("observation: nobody ever put in what it returned"),
            Reason::SameResult => f.write_str("observation: both returned the same"),
            Reason::Sums { low, value, high } => {
                write!(f, "sums: {value} is not between {low} and {high}")
            }
            Reason::Sealed { epoch, tail } => {
                write!(
                    f,
                    "seal: from {tail} on, all records have epoch {epoch} or a higher one"
                )
            }
            Reason::LastRecord { lsn: Lsn::MIN } => f.write_str("condition: the log is empty"),
            Reason::LastRecord { lsn } => {
                write!(f, "condition: the last record is the one at {lsn}")
            }
            Reason::TokenInForce { token: None } => f.write_str("condition: no token is set"),
            Reason::TokenInForce { token: Some(token) } => {
                write!(f, "condition: {token} is the one that was set last")
            }
            Reason::Told { by } => write!(f, "condition: {by} demands or was told otherwise"),
        }
    }
}

/// `op 3: p2 append(#7) -> e1:6, events 30..38, 1.200ms..1.500ms`.
impl fmt::Display for CertificateOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.op, self.process, self.call)?;
        match &self.fact {
            Some(fact) => write!(f, " -> {fact}")?,
            None => f.write_str(match self.status {
                Status::Fail => " failed",
                Status::Ok | Status::Open | Status::Info => " unknown",
            })?,
        }
        write!(f, ", events {}..", self.invoked.index.0)?;
        if let Some(at) = self.completed {
            write!(f, "{}", at.index.0)?;
        }
        write!(f, ", {}..", Millis(self.invoked.time_ns))?;
        match self.completed {
            Some(at) => write!(f, "{}", Millis(at.time_ns)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appended { lsn } => lsn.fmt(f),
            Self::Mismatched { told } => write!(f, "{}", MismatchWords(told)),
            Self::Tail { tail } => tail.fmt(f),
            Self::Trimmed { upto } => write!(f, "trimmed up to {upto}"),
            Self::Done => f.write_str("done"),
            Self::Returned { value } => value.fmt(f),
            Self::Contained { elements, left_out } => {
                let mut shown: Vec<String> = elements.iter().map(Value::to_string).collect();
                if *left_out > 0 {
                    shown.push(format!("{left_out} more"));
                }
                write!(f, "[{}]", shown.join(", "))
            }
            Self::Read {
                records,
                gaps,
                end,
                reached_tail,
                tail,
                left_out,
            } => {
                f.write_str("[")?;
                let records = records.iter().map(|(lsn, id)| format!("{lsn} {id}"));
                let gaps = gaps.iter().map(Gap::to_string);
                let mut shown: Vec<String> = records.chain(gaps).collect();
                if *left_out > 0 {
                    shown.push(format!("{left_out} more"));
                }
                f.write_str(&shown.join(", "))?;
                if *reached_tail {
                    write!(f, "] to the tail {tail}")
                } else {
                    write!(f, "] below {end}")
                }
            }
        }
    }
}

struct MismatchWords<'m>(&'m Mismatch);

/// `mismatch`, `mismatch: last is e1:3, token 7 is set`.
impl fmt::Display for MismatchWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.last.map(|last| match last {
            Lsn::MIN => "the log is empty".to_owned(),
            last => format!("last is {last}"),
        });
        let token = self.0.token.map(|token| match token {
            None => "no token is set".to_owned(),
            Some(token) => format!("{token} is set"),
        });
        f.write_str("mismatch")?;
        let told: Vec<String> = last.into_iter().chain(token).collect();
        match told.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", told.join(", ")),
        }
    }
}

fn mismatch_text<S: Serializer>(told: &Mismatch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&MismatchWords(told))
}

fn value_text<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn values_text<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(Value::to_string))
}

fn nodes_text<S: Serializer>(nodes: &NodeSet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(nodes)
}

struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}ms", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Several lines: what, expected, seen, the operations, the chain.
impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guarantee = self.kind.guarantee();
        writeln!(
            f,
            "{} in {}: violates \"{guarantee}\"",
            self.kind, self.subject
        )?;
        writeln!(f, "  expected: {}", self.expected)?;
        writeln!(f, "  seen:     {}", self.seen)?;
        for op in &self.certificate {
            writeln!(f, "  {op}")?;
        }
        for link in &self.chain {
            writeln!(f, "  because {link}")?;
        }
        Ok(())
    }
}

/// Builds the certificates of one log.
#[derive(Clone, Copy)]
pub(crate) struct Witnesses<'h> {
    pub(crate) history: &'h History,
    pub(crate) log: LogId,
}

/// What was expected and what was seen.
pub(crate) struct Words {
    pub(crate) expected: String,
    pub(crate) seen: String,
}

impl Witnesses<'_> {
    /// An anomaly, certified by `ops` (in any order, with repetitions) at `positions`.
    pub(crate) fn anomaly(
        self,
        kind: AnomalyKind,
        ops: &[OpId],
        positions: &[u64],
        chain: Vec<Link>,
        words: Words,
    ) -> Anomaly {
        let mut ops = ops.to_vec();
        ops.sort_unstable();
        ops.dedup();
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        positions.dedup();
        Anomaly {
            kind,
            subject: Subject::Log(self.log),
            expected: words.expected,
            seen: words.seen,
            certificate: ops
                .iter()
                .map(|&op| self.certificate_op(op, &positions))
                .collect(),
            positions: positions.into_iter().map(Lsn::from_u64).collect(),
            chain,
        }
    }

    fn certificate_op(self, id: OpId, positions: &[u64]) -> CertificateOp {
        let op = self.history.op(id);
        CertificateOp {
            op: id,
            process: op.process(),
            call: Asked::Log(op.call()),
            status: op.status(),
            invoked: op.invoked(),
            completed: op.completed(),
            fact: op.answer().map(|answer| fact(answer, positions)),
        }
    }

    /// `op` as a sentence can name it: `append(#7) by p3`.
    pub(crate) fn name(self, op: OpId) -> String {
        let op = self.history.op(op);
        format!("{} by {}", op.call(), op.process())
    }

    /// The link that says that `from` had returned before `to` was invoked.
    pub(crate) fn real_time(self, from: OpId, to: OpId) -> Link {
        let returned = self.history.op(from).completed();
        let returned = returned.expect("an operation that returned has that event");
        Link {
            from,
            to,
            reason: Reason::RealTime {
                returned: returned.index,
                invoked: self.history.op(to).invoked().index,
            },
        }
    }
}

/// The link that says that the record of `from` lies below that of `to`, or the end that `to` saw.
pub(crate) fn by_position(from: OpId, from_at: u64, to: OpId, to_at: u64) -> Link {
    Link {
        from,
        to,
        reason: Reason::Position {
            from_at: Lsn::from_u64(from_at),
            to_at: Lsn::from_u64(to_at),
        },
    }
}

/// The link that says that `from` saw a log that ends too low for the record of `to`.
pub(crate) fn by_end(from: OpId, end: u64, to: OpId, to_at: u64) -> Link {
    Link {
        from,
        to,
        reason: Reason::EndsBelow {
            end: Lsn::from_u64(end),
            to_at: Lsn::from_u64(to_at),
        },
    }
}

/// The link that rests on what `by`, one of the two, showed at a position.
pub(crate) fn by_observation(from: OpId, to: OpId, by: OpId, lsn: u64, seen: Seen) -> Link {
    Link {
        from,
        to,
        reason: Reason::Observation {
            by,
            lsn: Lsn::from_u64(lsn),
            seen,
        },
    }
}

fn fact(answer: Answer<'_>, positions: &[u64]) -> Fact {
    match answer {
        Answer::Append { lsn } => Fact::Appended { lsn },
        Answer::Mismatch(told) => Fact::Mismatched { told },
        Answer::Tail { tail } | Answer::Seal { tail } => Fact::Tail { tail },
        Answer::Trimmed { upto } => Fact::Trimmed { upto },
        Answer::Trim => Fact::Done,
        Answer::Read(read) | Answer::Poll(read) => {
            let talks_of = |lsn: &Lsn| positions.binary_search(&lsn.as_u64()).is_ok();
            let covers = |gap: &Gap| {
                let next = positions.partition_point(|&p| p < position(gap.first));
                positions.get(next).is_some_and(|&p| p <= gap.last.as_u64())
            };
            let records: Vec<_> = read
                .records
                .iter()
                .filter(|(lsn, _)| talks_of(lsn))
                .copied()
                .collect();
            let gaps: Vec<_> = read
                .gaps
                .iter()
                .filter(|gap| covers(gap))
                .copied()
                .collect();
            Fact::Read {
                end: Lsn::from_u64(read.end()),
                reached_tail: read.reached_tail(),
                tail: read.tail,
                left_out: read.records.len() + read.gaps.len() - records.len() - gaps.len(),
                records,
                gaps,
            }
        }
    }
}
