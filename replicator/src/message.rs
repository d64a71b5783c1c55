//! Everything that is said between nodes, and between clients and nodes.
//!
//! Networks lose, delay, reorder and duplicate. Every message here may arrive twice, late, and in a
//! later life of its receiver: what makes that harmless is said at each.

use std::sync::Arc;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{
    Ballot, Entry, Epoch, Incarnation, LogId, Lsn, NodeId, NodeSet, Offset, Record, Stamped,
    StoredCopy, Token, WallTime,
};
use serde::{Deserialize, Serialize};

use crate::reader::Delivery;
use crate::register::{RegisterBallot, RegisterValue, Vote, shared};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// A client asks a node.
    Request(Request),
    /// The node's answer.
    Reply(Reply),
    /// A node is alive.
    Heartbeat(Heartbeat),
    /// "Take the log over from me." Sent by a sequencer that has placed nothing for a while and has
    /// answered all it placed. Late, it does no harm: an epoch that is no longer the newest can be
    /// handed over to nobody, and the register has the last word on that.
    HandOver {
        /// The log.
        log: LogId,
        /// The sender's epoch. The successor's begins only if this is still the newest.
        epoch: Epoch,
        /// What the successor's epoch is made of.
        quorums: QuorumSystem,
    },
    /// Consensus on a register.
    Register {
        /// The log whose register it is.
        log: LogId,
        /// The ballot it belongs to. Ballots are unique, so late answers are recognised.
        ballot: RegisterBallot,
        /// The step.
        step: RegisterStep,
    },
    /// A sequencer, a recovery or a reader speaks to a storage node.
    Storage {
        /// The log.
        log: LogId,
        /// What is asked.
        ask: StorageAsk,
    },
    /// The storage node's answer.
    Stored {
        /// The log.
        log: LogId,
        /// What is answered.
        answer: StorageAnswer,
    },
}

/// A client's request, bound to one incarnation of one node: others refuse it, and the node drops
/// numbers it has seen, so a duplicate has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The incarnation it is meant for.
    pub incarnation: Incarnation,
    /// Counts the client's requests; never reused.
    pub number: u64,
    /// The log.
    pub log: LogId,
    /// What is asked.
    pub ask: ClientAsk,
}

/// What a client asks of a log's sequencer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientAsk {
    /// Append a record, if the conditions hold.
    Append {
        /// The record.
        record: Record,
        /// What must be so.
        conditions: Conditions,
    },
    /// Where does the log end?
    Tail,
    /// Up to where may be read? Without proof that the sequencer still reigns.
    Poll,
    /// Give up all records up to this LSN, included.
    Trim(Lsn),
    /// Is there any record that was not given up?
    IsEmpty,
    /// Begin a new epoch: with another leader, on other nodes, or both.
    Move(Move),
}

/// What a new epoch is to be.
///
/// The sequencer that reigns hands over in good order: nothing it placed is left behind. A node that
/// does not reign and is asked to lead (`to` names it) takes over at once, as if the sequencer were
/// gone.
///
/// A move says what is to be. Where that is so already nothing happens: it may be asked for again. A client that
/// does so while the move is under way has its newest request answered, and no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Move {
    /// Who is to lead; `None`: whoever does now.
    pub to: Option<NodeId>,
    /// Nodeset and quorums of the new epoch; `None`: as they are. With neither, there is a new epoch all
    /// the same.
    pub quorums: Option<QuorumSystem>,
}

impl Move {
    /// Whether a log that `leader` leads on `quorums` is as this move wants it.
    #[must_use]
    pub fn is_so(&self, leader: NodeId, quorums: &QuorumSystem) -> bool {
        let wants_nothing = self.to.is_none() && self.quorums.is_none();
        !wants_nothing
            && self.to.is_none_or(|to| to == leader)
            && self.quorums.as_ref().is_none_or(|it| it == quorums)
    }
}

/// What must be so at the place where a record is appended, for it to be appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conditions {
    /// The last record of the log stands here; [`Lsn::MIN`] stands for a log without a record. Holes and
    /// bridges are no records.
    pub last_record: Option<Lsn>,
    /// This is the token that was set last.
    pub token: Option<Token>,
}

impl Conditions {
    /// Nothing must be so.
    pub const NONE: Self = Self {
        last_record: None,
        token: None,
    };

    /// Whether anything must be so.
    #[must_use]
    pub fn is_some(&self) -> bool {
        *self != Self::NONE
    }
}

/// What was so instead of an append's conditions: exactly this, at one moment between request and
/// answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mismatch {
    /// The last record of the log stood here; [`Lsn::MIN`] if it had none.
    pub last_record: Lsn,
    /// The token that was set last; told to those who asked for one.
    pub token: TokenSeen,
}

/// What is told of a log's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenSeen {
    /// Nothing: the append did not ask.
    Unasked,
    /// No record ever set one.
    NeverSet,
    /// This one was set last.
    Set(Token),
}

/// Why an append cannot be taken, now or later. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// The sequence lies below its producer's window: whether the record stands in the log cannot be
    /// told any more.
    SequenceTooOld,
    /// The log knows nothing of a producer whose sequence says that it has a past.
    UnknownProducer,
    /// The log has as many producers as it can have.
    TooManyProducers,
    /// Records of the log were lost. What they set, or whose they were, cannot be told.
    HistoryLost,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// The request it answers.
    pub number: u64,
    /// The answer.
    pub answer: ClientAnswer,
}

/// What a node answers a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClientAnswer {
    /// The record stands at this LSN, for good.
    Appended(Lsn),
    /// The log ended here at some moment after the request arrived: the next LSN to be given.
    Tail {
        /// The next LSN to be given. LSNs below it may turn out holes.
        lsn: Lsn,
        /// Up to here everything was given up.
        trim: Lsn,
        /// Which nodes hold which epochs.
        epochs: Vec<EpochSpan>,
    },
    /// The log has moved: this epoch has begun.
    Moved(Epoch),
    /// To a poll.
    Released {
        /// Up to here, included, may be read. A lower bound: the sequencer may be deposed.
        released: Lsn,
        /// Up to here everything was given up.
        trim: Lsn,
        /// Which nodes hold which epochs.
        epochs: Vec<EpochSpan>,
    },
    /// The trim holds, for good.
    Trimmed,
    /// The trim reaches beyond what is released, and had no effect.
    NotReleased {
        /// Up to here is released.
        released: Lsn,
    },
    /// Whether the log was empty at some moment after the request arrived.
    Empty(bool),
    /// It cannot be told now: the older epochs are not recovered, or appends are on their way.
    Again,
    /// This node does not sequence the log; the request had no effect.
    Redirect(Option<NodeId>),
    /// The request was meant for another life of this node. This life did not take it; if that other
    /// one ever lived, it may have.
    WrongIncarnation(Incarnation),
    /// Not now: the window is full, or the log is about to move. The request had no effect.
    Busy,
    /// What the append demands was not so; it had no effect.
    Mismatch(Mismatch),
    /// The append cannot be taken; it had no effect.
    Refused(Refusal),
    /// The record, or the move, was on its way when the sequencer was deposed or lost patience: it may
    /// have taken effect, or yet do so.
    Unknown,
}

/// A run of epochs with one quorum system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochSpan {
    /// The first epoch; the run ends where the next one starts.
    pub first: Epoch,
    /// Nodeset and quorums of those epochs.
    pub quorums: QuorumSystem,
}

/// The quorum system of `epoch` in a history of spans, or `None` before the first.
#[must_use]
pub fn quorums_of(spans: &[EpochSpan], epoch: Epoch) -> Option<&QuorumSystem> {
    let after = spans.partition_point(|span| span.first <= epoch);
    after.checked_sub(1).map(|i| &spans[i].quorums)
}

/// "I am alive", what its sequencers want known, and what it has heard of others. A hint: safety never
/// rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's own.
    pub pulse: Pulse,
    /// The nodes whose heartbeats have lately come to the sender by themselves.
    pub hears: NodeSet,
    /// Those whose heartbeats have not come for a little while, or never did: the sender wants to hear of
    /// them from others.
    pub misses: NodeSet,
    /// The newest that the sender knows of each node that the receiver misses, if it does not suspect it; by
    /// node, one each.
    pub others: Vec<(NodeId, Pulse)>,
}

/// A sign of life of a node, as it gave it; it is passed on unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pulse {
    /// The node's life.
    pub incarnation: Incarnation,
    /// Counts the pulses of that life: older ones are ignored.
    pub sequence: u64,
    /// The logs it sequences.
    pub sequencing: Vec<Sequencing>,
}

/// A sequencer's word on its log. Bounds only rise, so a late one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sequencing {
    /// The log.
    pub log: LogId,
    /// The epoch it sequences.
    pub epoch: Epoch,
    /// Up to where readers may read, if every older epoch is recovered: the sequencer's own epoch,
    /// whose offset 0 means "all before it".
    pub released: Option<Lsn>,
    /// Up to here everything was given up, as the register says.
    pub trim: Lsn,
    /// Up to here what was not given up lies in the second tier, as the register says.
    pub handed: Lsn,
}

/// A step of the register's consensus. See [`crate::register`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RegisterStep {
    /// Phase 1: promise to accept nothing lower.
    Prepare,
    /// Promised; this is what was accepted last.
    Promise(Option<Vote>),
    /// Phase 2: accept this.
    Accept(#[serde(with = "shared")] Arc<RegisterValue>),
    /// Accepted.
    Accepted,
    /// A higher ballot was promised.
    Refused(RegisterBallot),
}

/// What storage nodes are asked. Stores and mutates are idempotent, seals and bounds only rise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StorageAsk {
    /// Are you there? Asked of a nodeset before an epoch is put on it, and of who is to lead it.
    Probe {
        /// Names the question.
        nonce: u64,
    },
    /// Store a record of the sequencer's epoch.
    Store {
        /// Its place.
        lsn: Lsn,
        /// The wave.
        wave: u32,
        /// The nodes of the wave.
        copyset: NodeSet,
        /// The epoch's last known good offset.
        last_known_good: Offset,
        /// The record.
        record: Stamped,
    },
    /// Move a record you hold to a later wave.
    Amend {
        /// Its place.
        lsn: Lsn,
        /// The wave.
        wave: u32,
        /// The nodes of the wave.
        copyset: NodeSet,
        /// The epoch's last known good offset.
        last_known_good: Offset,
    },
    /// Readers may read up to here.
    Release {
        /// Up to here, in the sequencer's epoch. Every older epoch is recovered.
        released: Lsn,
        /// Up to here everything was given up, as the register says.
        trim: Lsn,
        /// Up to here what was not given up lies in the second tier, as the register says.
        handed: Lsn,
    },
    /// Is `epoch` sealed? Asked to validate that its sequencer still reigns.
    CheckSeal {
        /// The sequencer's epoch.
        epoch: Epoch,
        /// Names the question.
        nonce: u64,
    },
    /// Which epochs are clean, and how was it decided? A storage node asks a sequencer.
    Recovered {
        /// The answer starts after this epoch.
        after: Epoch,
    },
    /// What did recovery decide? A storage node that was not part of it asks the others.
    RecoveryMetadata {
        /// The recovered epoch.
        epoch: Epoch,
        /// The ballot that the register names.
        ballot: Ballot,
    },
    /// Read released entries.
    Fetch(Fetch),
    /// Read from the second tier. Asked of the node that sequences the log.
    FetchCold(FetchCold),
    /// The copy of this LSN that you served is wrong, or you could not read it. Look at it, and repair
    /// it. A hint: a node that finds its copy in order does nothing.
    BadCopy {
        /// Where.
        lsn: Lsn,
    },
    /// What stands here, if you hold a copy that is in order? A node asks whose own copy is not.
    Copy {
        /// Where.
        lsn: Lsn,
    },
    /// Which is the first record you hold, released, of this time or a later one?
    FindTime {
        /// Names the reader's question.
        nonce: u64,
        /// The time.
        time: WallTime,
        /// Of interest up to here.
        last: Lsn,
    },
    /// A step of the recovery of one epoch.
    Recovery {
        /// The epoch that is recovered.
        epoch: Epoch,
        /// The attempt. A node obeys the highest it has met.
        ballot: Ballot,
        /// The step.
        step: RecoveryStep,
    },
}

/// A reader's question for entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetch {
    /// Names the reader.
    pub nonce: u64,
    /// Counts the times that the reader began anew. Answers to earlier rounds prove nothing.
    pub round: u32,
    /// From here.
    pub first: Lsn,
    /// To here, included.
    pub last: Lsn,
    /// Look at no more copies than this.
    pub limit: u32,
    /// Send only what falls to you; all you hold if `None`.
    pub single: Option<SingleCopy>,
}

/// A reader's question for what lies in the second tier. Asked twice it is answered twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FetchCold {
    /// Names the reader.
    pub nonce: u64,
    /// From here.
    pub first: Lsn,
    /// To here, included.
    pub last: Lsn,
    /// No more records than this.
    pub limit: u32,
    /// Instead of all that stands there: only from the first record of this time or a later one on.
    pub time: Option<WallTime>,
}

/// The answer to a [`FetchCold`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cold {
    /// The reader.
    pub nonce: u64,
    /// From where it was asked for.
    pub first: Lsn,
    /// Up to here everything was given up, as far as this node knows.
    pub trim: Lsn,
    /// What was found.
    pub told: ColdTold,
}

/// What stands in the second tier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColdTold {
    /// This, in order and without a break; at least one. Where a time was asked for, from there on.
    Entries(Vec<Delivery>),
    /// Nothing up to this LSN, included, though there should be: what is there is not what was put there, or it is
    /// gone.
    Lost(Lsn),
    /// Nothing of it up to this LSN, included: it was not moved there, or is not of that time. Of what comes behind
    /// nothing is said.
    Nothing(Lsn),
    /// Another node sequences the log.
    Elsewhere(Option<NodeId>),
    /// Not now.
    Busy,
}

/// Single-copy delivery: of the nodes of a copyset, one sends its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SingleCopy {
    /// Orders the nodes of each copyset; the first that is not down sends.
    pub seed: u64,
    /// Nodes that the reader thinks are down. A hint.
    pub down: NodeSet,
}

impl SingleCopy {
    /// The node of a copyset that sends its copy; `None` if all are down.
    #[must_use]
    pub fn sender(&self, copyset: NodeSet) -> Option<NodeId> {
        // Asked of every record: one multiplication spreads enough.
        let rank = |node: &NodeId| {
            let seeded = self.seed.wrapping_mul(256).wrapping_add(u64::from(node.0));
            (seeded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32, *node)
        };
        copyset.difference(self.down).iter().min_by_key(rank)
    }
}

/// A storage node's answer to a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fetched {
    /// The reader.
    pub nonce: u64,
    /// The round it was asked in.
    pub round: u32,
    /// What stands in the range, in order. `None` is a copy that cannot be read.
    pub entries: Vec<(Lsn, Option<Entry>)>,
    /// All this node holds from the start of the range up to here, or all of it that falls to it, is in
    /// `entries`.
    pub passed: Lsn,
    /// Whether what the node lacks of the range was never there.
    pub authoritative: bool,
    /// Up to here everything was given up, as far as this node knows.
    pub trim: Lsn,
    /// Up to here what was not given up lies in the second tier, as far as this node knows.
    pub handed: Lsn,
}

/// What a recovery asks of a storage node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecoveryStep {
    /// Store nothing more up to the ballot's seal epoch, and obey no lower ballot for this epoch.
    Seal,
    /// What do you hold above this offset?
    Digest {
        /// Copies up to here are of no interest.
        after: Offset,
    },
    /// Make your copies so.
    Mutate {
        /// Counts what was sent before this chunk.
        first: u32,
        /// Copies at the attempt's precedence.
        copies: Vec<(Offset, StoredCopy)>,
    },
    /// All of the mutation set hold the decision: keep this about it.
    Clean(RecoveryMetadata),
}

/// What is kept about a recovered epoch, as long as the epoch is readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecoveryMetadata {
    /// Up to here recovery left everything as it was: it was fully replicated.
    pub last_known_good: Offset,
    /// Where the epoch ends; `None` if it was recovered without authority, where absence proves
    /// nothing.
    pub bridge: Option<Offset>,
}

/// What storage nodes answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StorageAnswer {
    /// To a probe: here.
    Here {
        /// The question.
        nonce: u64,
    },
    /// To a store or an amend.
    Store {
        /// The record's place.
        lsn: Lsn,
        /// The wave that is answered.
        wave: u32,
        /// What came of it.
        outcome: StoreOutcome,
    },
    /// To a seal check.
    Seals {
        /// The epoch asked about. It names the reign that asks: questions are counted within one.
        epoch: Epoch,
        /// The question.
        nonce: u64,
        /// The greater of the hard and the soft seal.
        sealed: Epoch,
    },
    /// A sequencer's answer to a storage node: clean epochs and how they were decided, in order.
    Recovered(Vec<RecoveredEpoch>),
    /// To a question for recovery metadata.
    RecoveryMetadata {
        /// The epoch.
        epoch: Epoch,
        /// The ballot asked for.
        ballot: Ballot,
        /// What is known of it at that very ballot.
        metadata: Option<RecoveryMetadata>,
    },
    /// To a fetch.
    Fetched(Fetched),
    /// To a fetch from the second tier.
    Cold(Cold),
    /// To a node that wants to repair its copy: one that is in order.
    Copy {
        /// Where.
        lsn: Lsn,
        /// The copy.
        copy: Box<StoredCopy>,
    },
    /// To a question for a time.
    FoundTime(FoundTime),
    /// To a step of a recovery.
    Recovery {
        /// The epoch that is recovered.
        epoch: Epoch,
        /// The attempt that is answered.
        ballot: Ballot,
        /// The answer.
        answer: RecoveryAnswer,
    },
}

/// A storage node's answer to a question for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FoundTime {
    /// The question.
    pub nonce: u64,
    /// No record of that time or a later one that this node holds lies before; `None` if it holds none.
    pub first: Option<Lsn>,
    /// It looked up to here.
    pub passed: Lsn,
    /// Whether what the node lacks of the range was never there.
    pub authoritative: bool,
    /// Up to here it did not look: what stands there and was not given up lies in the second tier.
    pub handed: Lsn,
}

/// What came of a store or an amend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StoreOutcome {
    /// Durable.
    Stored,
    /// Refused: up to this epoch nothing more is stored.
    Sealed(Epoch),
    /// Refused: there is no copy to amend.
    Missing,
}

/// A clean epoch as the register knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecoveredEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// The attempt that made it clean.
    pub ballot: Ballot,
    /// Its nodeset.
    pub nodes: NodeSet,
}

/// A storage node's answer to a step of a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecoveryAnswer {
    /// Sealed, durably; covers every store accepted before.
    Sealed {
        /// The highest last known good offset this node has met: of stores, of releases.
        last_known_good: Offset,
        /// Whether the node knows all it ever stored of the epoch. If not, it lost power with copies
        /// in memory, and what it lacks proves nothing.
        authoritative: bool,
    },
    /// Copies above the offset asked for.
    Digest {
        /// The start that was asked for.
        after: Offset,
        /// As in `Sealed`, repeated: it may have risen.
        last_known_good: Offset,
        /// As in `Sealed`, repeated: the node may have lost power since.
        authoritative: bool,
        /// The copies. `None` is one that cannot be read.
        copies: Vec<(Offset, Option<StoredCopy>)>,
        /// All copies up to here are told; `Offset::MAX` if these were all.
        passed: Offset,
    },
    /// Mutated, durably.
    Mutated {
        /// Counts the copies taken so far.
        count: u32,
    },
    /// Clean, durably.
    Cleaned,
    /// A higher ballot was promised, or a later activation sealed the log.
    Preempted {
        /// The highest epoch sealed or promised for.
        sealed: Epoch,
    },
}
