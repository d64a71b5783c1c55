//! The world that is explored: three or four storage nodes, up to three sequencers, the register, a
//! network.
//!
//! Every component is the real machine. A component's state is known by a number, and what an input
//! does to it is worked out once (`Outcome`); a state of the world is then a handful of numbers, and
//! the search is arithmetic on them.
//!
//! - *Network*: the set of all messages ever sent. Any of them can be delivered at any time, any
//!   number of times or never: loss, delay, reordering and duplication are all in that.
//! - *Disks*: a write that must be synced is synced, and answered, in the step that asks for it. The
//!   same step cut short by a crash is covered: before the sync it is as if the message had not yet
//!   arrived, after it as if the answer was lost. What is left out by that is only refusals given on
//!   the strength of a seal that a crash then takes back; they stop a sequencer that may stop anyway.
//!   A write that is answered once *written* (a planted bug) stays unsynced until the next sync.
//! - *Answers* to sequencers are in the network like everything else, or, in the larger scopes, `prompt`:
//!   they arrive within the step that gives them. Why no violation is missed by that is said at
//!   [`World::loss`].
//! - *Damage*: at any moment the payload of a record that a node holds may become unreadable, in memory
//!   and on disk.
//! - *Sequencers* are processes of their own. That one crashes is covered: it is one that nothing is
//!   delivered to any more.
//! - *Register*: one real acceptor that keeps every promise at once, spoken to by the real proposer: the
//!   exchange of one change is one step. Preempted proposers have their own scripts. Of the epoch that a
//!   reigning S1 asks for it may also never hear.
//! - *Probes* are answered in the step that asks them: asking has no effect on a node.
//! - *Readers*: a question that a node would keep until more is released arrives then.
//! - *Chance*: every copyset and every write quorum that is drawn may be any; but not those that a sequencer
//!   draws in the step in which it opens: nobody seals its epoch before it was seen.
//! - *Time* stands still. A timeout is a step that may happen at any time; resend timers are off, as
//!   no message is ever gone.

mod spent;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, StoreOp};
use hstore_core::quorum::{Location, QuorumSystem, Replication};
use hstore_core::{
    Address, Attributes, Ballot, ClientId, Entry, Epoch, Incarnation, LogId, Lsn, NodeId, NodeSet,
    Offset, Precedence, ProducerId, ProducerSequence, Record, Rng, Timestamp, WallTime,
};
use hstore_replicator::boot::{Boot, Past};
use hstore_replicator::config::{ClusterConfig, LogSpec, Timing};
use hstore_replicator::effects::{DiskDone, DiskToken, DiskWork, Durability, Env, Event, Outputs};
use hstore_replicator::keys::{DurableState, MetaKey, durable_state};
use hstore_replicator::message::{
    ClientAnswer, ClientAsk, Conditions, Message, Mismatch, Move, RecoveryAnswer, RegisterStep,
    StorageAnswer, StorageAsk, StoreOutcome,
};
use hstore_replicator::register::Acceptor;
use hstore_replicator::sequencer::Sequencer;
use hstore_replicator::storage::StorageNode;
use hstore_tier1::model::ModelState;

use super::table::{Image, Interner, Memo, PairMap};
use crate::words;

pub(crate) const LOG: LogId = LogId(1);
/// Storage nodes; a scope may use fewer.
pub(crate) const NODES: usize = 4;
/// S1, S2 and, where there is one, S3.
pub(crate) const SEQUENCERS: usize = 3;
const REGISTER: NodeId = NodeId((NODES + SEQUENCERS) as u8);
/// Epochs that may have to be recovered.
const EPOCHS: usize = SEQUENCERS - 1;
/// Offsets of the old epoch that are looked at: two records, a bridge, and one to spare.
pub(crate) const OFFSETS: usize = 4;
const NOW: Timestamp = Timestamp::from_millis(1_000);
/// S1's waves are late by then; what it has to release is due at [`NOW`].
const WAVE_TIMEOUT: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_secs(3_600);
/// Enough seeds that every copyset is drawn by one.
const SEEDS: u64 = 16;

/// The number of an outcome that changes nothing and sends nothing.
pub(crate) const NOTHING: u32 = u32::MAX - 1;
/// A client of S1 and S2.
const CLIENT: Address = Address::Client(ClientId(1));
/// Requests by number. Lower numbers are appends at S1, in the order of [`Limits::appends`].
pub(crate) const MOVE: u64 = 8;
const TAIL: u64 = 9;
/// The first request at S2.
pub(crate) const AT_S2: u64 = 10;

/// What stands at an offset of the old epoch on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Nothing,
    Record,
    Hole,
    Bridge,
    /// A record that was damaged: a reader is told that it cannot be read.
    Unreadable,
}

impl Kind {
    /// Whether a record was stored and not deleted, readable or not.
    pub(crate) fn is_copy(self) -> bool {
        matches!(self, Self::Record | Self::Unreadable)
    }
}

/// What the invariants look at in a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    /// By offset from 1: what the node holds of the old epoch, and at which precedence.
    pub(crate) held: [(Kind, Precedence); OFFSETS],
    /// The same, durably.
    pub(crate) durable: [Kind; OFFSETS],
    /// The payloads of the records that it holds there; 0 where it holds none that can be read.
    pub(crate) payloads: [u8; OFFSETS],
    /// Up to where it lets readers read.
    pub(crate) readable: Lsn,
    /// The attempt at the old epoch with which it says its copies agree.
    pub(crate) clean: Option<Ballot>,
    /// Up to which epoch it has durably sealed.
    hard_seal: Epoch,
    /// Which epochs it durably knows to be clean.
    last_clean: Epoch,
    /// Which ballots it has durably promised, by epoch from 1.
    promised: [Ballot; EPOCHS],
    /// What its metadata promises, by key.
    promises: BTreeMap<Bytes, DurableState>,
}

impl NodeView {
    /// What the node would tell a reader of an offset of the old epoch.
    pub(crate) fn serves(&self, offset: usize) -> Kind {
        let lsn = Lsn::new(1, offset as u32 + 1);
        if lsn <= self.readable {
            self.held[offset].0
        } else {
            Kind::Nothing
        }
    }

    /// Which ballot of an epoch it has durably promised.
    fn promised(&self, epoch: Epoch) -> Ballot {
        self.promised[epoch.0 as usize - 1]
    }

    /// Whether `later` takes back nothing that this node durably promised.
    pub(crate) fn precedes(&self, later: &Self) -> bool {
        self.promises.iter().all(|(key, promise)| {
            later
                .promises
                .get(key)
                .is_some_and(|next| promise.precedes(next))
        })
    }
}

/// A storage node and its disk.
#[derive(Clone)]
struct NodeState {
    machine: StorageNode,
    /// Disk requests of this life.
    requests: u64,
    live: ModelState,
    durable: ModelState,
    /// Within a step: written, and to be answered once synced.
    unsynced: Vec<(DiskToken, Vec<Applied>)>,
}

/// What happened in a step, as far as the invariants care.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    /// Offsets of the old epoch that were acked, or told as that of the last record.
    pub(crate) acked: u8,
    /// What clients were answered, by request.
    pub(crate) answers: Vec<(u64, ClientAnswer)>,
    /// A tail of the old epoch was answered.
    pub(crate) old_tail: bool,
    /// The new epoch answered: an ack or a tail.
    pub(crate) observed: bool,
    pub(crate) activated: Option<Epoch>,
    pub(crate) opened: bool,
    /// The register counts the old epoch as clean.
    pub(crate) clean: Option<Ballot>,
    /// Attempts begun at the old epoch.
    pub(crate) attempts: u8,
    /// Attempts begun at epoch 2.
    pub(crate) attempts_at_second: u8,
    pub(crate) waves_failed: u8,
    pub(crate) purged: bool,
    /// An epoch began that S1 was asked for.
    pub(crate) moved: bool,
    /// In words.
    words: Vec<String>,
}

/// What an input does to a component.
pub(crate) struct Outcome {
    /// The component afterwards.
    pub(crate) after: u32,
    /// The register afterwards, if it was involved.
    pub(crate) register: Option<u32>,
    /// Messages sent into the network, by number.
    pub(crate) sent: Vec<u16>,
    /// Messages that arrive within the step.
    pub(crate) prompt: Vec<u16>,
    pub(crate) marks: Marks,
}

/// The components, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) nodes: [u32; NODES],
    pub(crate) sequencers: [u32; SEQUENCERS],
    pub(crate) register: u32,
    pub(crate) network: u32,
}

/// Who receives a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Node(usize),
    Sequencer(usize),
    /// The register, asked by a sequencer.
    Register {
        asker: usize,
    },
}

/// What becomes of an answer that is given promptly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It arrives.
    Never,
    /// It arrives, or it does not: both are explored.
    Possible,
    /// It does not arrive.
    Certain,
}

/// What a client wants of a record that it appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// That it stands.
    Stand,
    /// That it stands if the last record before it is at this offset of the old epoch; 0: if there is none.
    LastAt(u8),
    /// That it stands once, however often it is appended: its producer has numbered it so.
    Once(u8),
}

impl Demand {
    /// The record's payload, by which it is told from others, if it is appended `nth`.
    pub(crate) fn payload(self, nth: u8) -> u8 {
        match self {
            Self::Stand | Self::LastAt(_) => b'a' + nth,
            Self::Once(sequence) => b'p' + sequence,
        }
    }

    fn ask(self, nth: u8) -> ClientAsk {
        let mut conditions = Conditions::NONE;
        let mut attributes = Attributes::default();
        match self {
            Self::Stand => {}
            Self::LastAt(offset) => conditions.last_record = Some(old(offset)),
            Self::Once(sequence) => {
                attributes.producer = Some(ProducerSequence {
                    producer: ProducerId(1),
                    sequence: sequence.into(),
                });
            }
        }
        let payload = Bytes::copy_from_slice(&[self.payload(nth)]);
        ClientAsk::Append {
            record: Record::with(payload, attributes),
            conditions,
        }
    }

    /// In words.
    pub(crate) fn describe(self, nth: u8) -> String {
        let payload = char::from(self.payload(nth));
        let only_if = match self {
            Self::Stand => String::new(),
            Self::LastAt(0) => " if there is no record".to_owned(),
            Self::LastAt(offset) => format!(" if the last record is at e1:{offset}"),
            Self::Once(sequence) => format!(", its producer's {sequence}"),
        };
        format!("'{payload}'{only_if}")
    }
}

/// An LSN of the old epoch, as clients name it: without a record it is no LSN of any.
pub(crate) fn old(offset: u8) -> Lsn {
    if offset == 0 {
        Lsn::MIN
    } else {
        Lsn::new(1, offset.into())
    }
}

/// What S2 is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// For the tail.
    Tail,
    /// To append a record; as the [`NTH_AT_S2`] there is.
    Append(Demand),
}

/// Later than all that are appended at S1.
pub(crate) const NTH_AT_S2: u8 = 25;

/// Where S1 is asked to move its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// From all nodes but the last to all but the first.
    OtherNodes,
    /// To S2.
    Successor,
}

/// What a scope leaves out and how far it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Storage nodes. All of them are in the nodeset, unless S1 moves to other nodes.
    pub(crate) nodes: usize,
    /// Copies of each record.
    pub(crate) copies: u8,
    /// What is appended at S1, in this order.
    pub(crate) appends: &'static [Demand],
    /// Crashes of storage nodes.
    pub(crate) crashes: u8,
    /// Copies of which the payload is damaged.
    pub(crate) damages: u8,
    /// Attempts of S2 and S3 together to recover what is recovered.
    pub(crate) attempts: u8,
    /// Waves of S1 that time out.
    pub(crate) late_waves: u8,
    /// Whether S1 releases what it may.
    pub(crate) releases: bool,
    /// Whether nodes catch up after the old epoch is clean, and purge.
    pub(crate) catch_up: bool,
    /// Whether a third sequencer activates.
    pub(crate) third: bool,
    /// Whether S2 is not heard of after its activation, so that S3 has two epochs to recover.
    pub(crate) silent_second: bool,
    /// Whether epoch 2 can be recovered, too; attempts at it count as well.
    pub(crate) second_epoch: bool,
    /// What S2 is asked.
    pub(crate) at_s2: Question,
    /// Whether S1 is asked for a tail.
    pub(crate) tail_at_s1: bool,
    /// Whether S1 is asked to move the log, and where.
    pub(crate) goal: Option<Goal>,
    /// Whether the invariants may look at disks when a record is acked; otherwise only what clients
    /// and readers see is judged.
    pub(crate) white_box: bool,
    /// Whether answers to sequencers arrive within the step that gives them, or not at all.
    pub(crate) prompt: bool,
    /// Whether states keep what makes no difference any more.
    pub(crate) keeps_spent: bool,
}

/// All components in all states that were met, and what follows from what.
pub(crate) struct World {
    limits: Limits,
    configs: [ClusterConfig; SEQUENCERS],
    nodes: [Interner<(NodeState, NodeView)>; NODES],
    sequencers: Interner<Sequencer>,
    registers: Interner<(Acceptor, u64)>,
    messages: Interner<(Address, Part, Message, Loss)>,
    networks: Interner<Vec<u16>>,
    outcomes: Vec<Outcome>,
    /// By receiver: what a delivery leads to.
    of_nodes: [Memo; NODES],
    of_sequencers: [Memo; SEQUENCERS],
    /// By (asker's state, register's state): a pair's number; by (pair, message): what follows.
    pairs: PairMap,
    pair_count: u32,
    of_register: PairMap,
    of_network: PairMap,
    /// By network: what is spent of it, by bit, and what is left then.
    of_spent: Vec<Vec<(u128, u32)>>,
    /// By sequencer, whether a step of a recovery is behind it: 1 if so, otherwise 0.
    of_left: [Memo; SEQUENCERS],
    /// What local actions lead to: by action, from (state, register).
    of_actions: BTreeMap<LocalAction, PairMap>,
    /// What all these lead to is a place here: outcomes, more than one where chance has a part.
    choices: Vec<Vec<u32>>,
}

/// Something that happens at one component by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LocalAction {
    /// A client's append reaches S1.
    Append { nth: u8 },
    /// A client's question for the tail reaches S1.
    TailAtS1,
    /// A client's wish that the log moves reaches S1.
    Move,
    /// A client's question reaches S2, which reigns because the log was handed over to it.
    AskS2,
    /// The sequencer asks the nodes, and the register, for an epoch; a client of it waits.
    Activate { sequencer: usize },
    /// A wave of S1 is late.
    LateWave,
    /// S1 releases.
    Release,
    /// Patience is over: a recovery goes on without stragglers, or begins another attempt; a move is
    /// given up.
    Impatience { sequencer: usize },
    /// A node loses power and starts again.
    Crash { node: usize },
    /// The payload of a record on a node becomes unreadable.
    Damage { node: usize, offset: usize },
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            configs: std::array::from_fn(|sequencer| config(sequencer, limits)),
            nodes: std::array::from_fn(|_| Interner::new()),
            sequencers: Interner::new(),
            registers: Interner::new(),
            messages: Interner::new(),
            networks: Interner::new(),
            outcomes: Vec::new(),
            of_nodes: Default::default(),
            of_sequencers: Default::default(),
            pairs: PairMap::new(),
            pair_count: 0,
            of_register: PairMap::new(),
            of_network: PairMap::new(),
            of_spent: Vec::new(),
            of_left: Default::default(),
            of_actions: BTreeMap::new(),
            choices: Vec::new(),
        }
    }

    /// The components before anything happened.
    pub(crate) fn initial(&mut self) -> Parts {
        let nodes = std::array::from_fn(|node| {
            self.intern_node(
                node,
                NodeState {
                    machine: StorageNode::default(),
                    requests: 0,
                    live: ModelState::default(),
                    durable: ModelState::default(),
                    unsynced: Vec::new(),
                },
            )
        });
        let idle = self.intern_sequencer(Sequencer::new(LOG));
        let register = self.intern_register(Acceptor::default(), 0);
        let network = self
            .networks
            .intern(Image::of(&Vec::<u16>::new()), Vec::new);
        Parts {
            nodes,
            sequencers: [idle; SEQUENCERS],
            register,
            network,
        }
    }

    /// How many nodes the old epoch was on: the first ones.
    pub(crate) fn old_nodes(&self) -> usize {
        usize::from(old_nodes(self.limits))
    }

    pub(crate) fn view(&self, node: usize, state: u32) -> &NodeView {
        &self.nodes[node].get(state).1
    }

    pub(crate) fn network(&self, network: u32) -> &[u16] {
        self.networks.get(network)
    }

    pub(crate) fn receiver(&self, message: u16) -> Part {
        self.messages.get(u32::from(message)).1
    }

    pub(crate) fn may_be_lost(&self, message: u16) -> Loss {
        self.messages.get(u32::from(message)).3
    }

    pub(crate) fn outcome(&self, outcome: u32) -> &Outcome {
        &self.outcomes[outcome as usize]
    }

    /// Whether S1 may be heard of through a message, or may hear: it asks for the old epoch to go on, or
    /// for the next.
    pub(crate) fn is_of_old_epoch(&self, message: u16) -> bool {
        match self.messages.get(u32::from(message)) {
            (_, Part::Register { asker: 0 }, ..) => true,
            (_, _, Message::Storage { ask, .. }, _) => match ask {
                StorageAsk::Store { lsn, .. } | StorageAsk::Amend { lsn, .. } => {
                    lsn.epoch == Epoch(1)
                }
                StorageAsk::CheckSeal { epoch, .. } => *epoch == Epoch(1),
                _ => false,
            },
            _ => false,
        }
    }

    /// The epoch a sequencer reigns over.
    pub(crate) fn epoch(&self, sequencer: u32) -> Option<Epoch> {
        self.sequencers.get(sequencer).epoch()
    }

    pub(crate) fn is_idle(&self, sequencer: u32) -> bool {
        self.sequencers.get(sequencer).is_idle()
    }

    /// Components, messages and networks met so far, for people.
    pub(crate) fn sizes(&self) -> String {
        format!(
            "{} node states, {} sequencer states, {} messages, {} networks",
            self.nodes.iter().map(Interner::len).sum::<usize>(),
            self.sequencers.len(),
            self.messages.len(),
            self.networks.len()
        )
    }

    // Interning.

    fn intern_node(&mut self, node: usize, state: NodeState) -> u32 {
        assert!(state.unsynced.is_empty(), "a step leaves nothing undone");
        let image = Image::without_counter(&state.machine, state.requests)
            .and(&state.live)
            .and(&state.durable);
        self.nodes[node].intern(image, || {
            let view = view(&state);
            (state, view)
        })
    }

    fn intern_sequencer(&mut self, sequencer: Sequencer) -> u32 {
        let image = Image::of(&sequencer);
        self.sequencers.intern(image, || sequencer)
    }

    fn intern_register(&mut self, acceptor: Acceptor, writes: u64) -> u32 {
        let image = Image::without_counter(&acceptor, writes);
        self.registers.intern(image, || (acceptor, writes))
    }

    /// The numbers of messages: of those for the network, and of those that arrive at once.
    fn intern_messages(
        &mut self,
        from: Address,
        messages: Vec<(Address, Message)>,
    ) -> (Vec<u16>, Vec<u16>) {
        let mut sent: Vec<u16> = messages
            .into_iter()
            .filter_map(|(to, message)| {
                let part = self.part(from, to)?;
                if !self.is_of_interest(&message) {
                    return None;
                }
                let image = Image::of(&from).and(&to).and_image(Image::of(&message));
                let loss = self.loss(&message);
                let number = self.messages.intern(image, || (from, part, message, loss));
                Some(u16::try_from(number).expect("fewer than 2^16 messages"))
            })
            .collect();
        sent.sort_unstable();
        sent.dedup();
        if self.limits.prompt {
            sent.into_iter().partition(|&it| !self.is_prompt(it))
        } else {
            (sent, Vec::new())
        }
    }

    fn is_prompt(&self, message: u16) -> bool {
        let (_, part, message, _) = self.messages.get(u32::from(message));
        let tells_epochs = matches!(
            message,
            Message::Stored {
                answer: StorageAnswer::Recovered(_),
                ..
            }
        );
        let is_command = matches!(message, Message::HandOver { .. });
        matches!(part, Part::Sequencer(_)) && !is_command || tells_epochs
    }

    /// Which prompt answers may get lost. An answer that arrives late is no more than one that arrives
    /// at once to a question that arrived late, wherever the question's effect on the node can be
    /// delayed as well:
    ///
    /// - *digested*, *sealed?*, *recovered?*, *fetched*: asking has no effect on the node.
    /// - *sealed*: until the sequencer knows, a sealed node differs from one that is not only in refusing
    ///   S1's stores and older ballots; it might as well not have been sent those yet.
    /// - *mutated*: matters when it is the last one. A recovery that does not hear it and tries again
    ///   does what it would do if it tried again at the beginning of Clean.
    /// - *stored*: an ack at once is the ack that binds most. Where waves time out, a node that stored
    ///   without S1's knowing makes a difference: both are explored.
    /// - *cleaned*, *preempted*: both are explored.
    /// - A *refused* store stops S1, and so does the word that the epoch is sealed. One that S1 does not
    ///   hear of lets it do more: only that is explored.
    fn loss(&self, message: &Message) -> Loss {
        let Message::Stored { answer, .. } = message else {
            return Loss::Never;
        };
        match answer {
            StorageAnswer::Store { outcome, .. } => match outcome {
                StoreOutcome::Sealed(_) => Loss::Certain,
                StoreOutcome::Stored if self.limits.late_waves > 0 => Loss::Possible,
                StoreOutcome::Stored | StoreOutcome::Missing => Loss::Never,
            },
            StorageAnswer::Recovery { answer, .. } => match answer {
                RecoveryAnswer::Cleaned | RecoveryAnswer::Preempted { .. } => Loss::Possible,
                RecoveryAnswer::Sealed { .. }
                | RecoveryAnswer::Digest { .. }
                | RecoveryAnswer::Mutated { .. } => Loss::Never,
            },
            StorageAnswer::Seals { epoch, sealed, .. } if sealed >= epoch => Loss::Certain,
            _ => Loss::Never,
        }
    }

    fn part(&self, from: Address, to: Address) -> Option<Part> {
        let Address::Node(to) = to else {
            return None;
        };
        let to = usize::from(to.0);
        Some(if to < NODES {
            Part::Node(to)
        } else if to < NODES + SEQUENCERS {
            Part::Sequencer(to - NODES)
        } else {
            let asker = sequencer_of(from);
            Part::Register { asker }
        })
    }

    /// Some messages are lost in every run of a scope.
    fn is_of_interest(&self, message: &Message) -> bool {
        match message {
            Message::Storage {
                ask: StorageAsk::Release { released, .. },
                ..
            } => {
                // A release of nothing yet tells nothing.
                match released.epoch {
                    Epoch(1) => released.offset > Offset(0),
                    _ => self.limits.catch_up,
                }
            }
            // Whoever comes later may have to recover epoch 2 as well: few scopes are about that.
            Message::Storage {
                ask: StorageAsk::Recovery { epoch, .. },
                ..
            } => *epoch == Epoch(1) || self.limits.second_epoch,
            _ => true,
        }
    }

    /// The network with more messages in it.
    pub(crate) fn send(&mut self, network: u32, outcome: u32) -> u32 {
        if self.outcomes[outcome as usize].sent.is_empty() {
            return network;
        }
        if let Some(after) = self.of_network.get(network, outcome) {
            return after;
        }
        let sent = &self.outcomes[outcome as usize].sent;
        let mut all = self.networks.get(network).clone();
        all.extend(sent);
        all.sort_unstable();
        all.dedup();
        let after = self.networks.intern(Image::of(&all), || all);
        self.of_network.set(network, outcome, after);
        after
    }

    /// A choice of outcomes, unless none of them changes or sends anything.
    fn offer(&mut self, before: u32, outcomes: Vec<u32>) -> u32 {
        let is_nothing = |&outcome: &u32| {
            let it = &self.outcomes[outcome as usize];
            it.after == before && it.sent.is_empty() && it.prompt.is_empty()
        };
        if outcomes.iter().all(is_nothing) {
            return NOTHING;
        }
        self.choices.push(outcomes);
        u32::try_from(self.choices.len() - 1).expect("fewer than 2^32 choices")
    }

    fn push(&mut self, outcome: Outcome) -> u32 {
        self.outcomes.push(outcome);
        u32::try_from(self.outcomes.len() - 1).expect("fewer than 2^32 outcomes")
    }

    // Steps.

    /// What the delivery of a message leads to; [`NOTHING`] if to nothing.
    pub(crate) fn deliver_to_node(&mut self, node: usize, state: u32, message: u16) -> u32 {
        let column = u32::from(message);
        if let Some(choice) = self.of_nodes[node].get(state, column) {
            return choice;
        }
        let (from, _, message, _) = self.messages.get(column).clone();
        let choice = if self.would_wait(node, state, &message) {
            NOTHING
        } else {
            let outcome = self.step_node(node, state, |machine, env| match (&message, from) {
                (Message::Storage { log, ask }, _) => machine.on_ask(from, *log, ask, env),
                (Message::Stored { log, answer }, Address::Node(peer)) => {
                    machine.on_answer(peer, *log, answer, env);
                }
                _ => unreachable!("a storage node is not sent this"),
            });
            self.offer(state, vec![outcome])
        };
        self.of_nodes[node].set(state, column, choice);
        choice
    }

    /// Whether a node would keep a reader's question until more is released. Then it may as well arrive
    /// later.
    fn would_wait(&self, node: usize, state: u32, message: &Message) -> bool {
        let Message::Storage {
            ask: StorageAsk::Fetch(fetch),
            ..
        } = message
        else {
            return false;
        };
        fetch.first > self.view(node, state).readable
    }

    pub(crate) fn deliver_to_sequencer(
        &mut self,
        sequencer: usize,
        state: u32,
        message: u16,
    ) -> u32 {
        let column = u32::from(message);
        if let Some(choice) = self.of_sequencers[sequencer].get(state, column) {
            return choice;
        }
        let (from, _, message, _) = self.messages.get(column).clone();
        let Address::Node(node) = from else {
            unreachable!("only nodes are in the network");
        };
        let step = |machine: &mut Sequencer, env: &mut Env| match &message {
            Message::Stored { answer, .. } => machine.on_stored(node, answer, env),
            Message::Storage {
                ask: StorageAsk::Recovered { after },
                ..
            } => machine.on_recovered_wanted(from, *after, env),
            Message::HandOver { epoch, quorums, .. } => {
                machine.on_hand_over(node, *epoch, quorums, env)
            }
            _ => unreachable!("a sequencer is not sent this"),
        };
        let outcomes = self.step_sequencer(sequencer, state, NOW, step);
        let choice = self.offer(state, outcomes);
        self.of_sequencers[sequencer].set(state, column, choice);
        choice
    }

    /// A proposer's first message reaches the register: all of the exchange follows at once.
    pub(crate) fn deliver_to_register(
        &mut self,
        asker: usize,
        state: u32,
        register: u32,
        message: u16,
    ) -> u32 {
        let pair = match self.pairs.get(state, register) {
            Some(pair) => pair,
            None => {
                self.pairs.set(state, register, self.pair_count);
                self.pair_count += 1;
                self.pair_count - 1
            }
        };
        if let Some(choice) = self.of_register.get(pair, u32::from(message)) {
            return choice;
        }
        let first = self.messages.get(u32::from(message)).2.clone();
        let heard = self.exchange(asker, state, register, vec![first], |_, _| {});
        let mut outcomes = vec![heard];
        let heard = &self.outcomes[heard as usize];
        if asker == 0 && heard.marks.activated.is_some() {
            // It went on reigning over the old epoch meanwhile, and may do so for long.
            let words = vec!["the register has begun an epoch, and S1 does not hear of it".into()];
            let unheard = Outcome {
                after: state,
                register: heard.register,
                sent: Vec::new(),
                prompt: Vec::new(),
                marks: Marks {
                    words,
                    ..Marks::default()
                },
            };
            outcomes.push(self.push(unheard));
        }
        let choice = self.offer(state, outcomes);
        self.of_register.set(pair, u32::from(message), choice);
        choice
    }

    /// Steps a sequencer and lets it speak with the register until nothing is left to say.
    fn exchange(
        &mut self,
        sequencer: usize,
        state: u32,
        register: u32,
        asks: Vec<Message>,
        begin: impl FnOnce(&mut Sequencer, &mut Env),
    ) -> u32 {
        let mut machine = self.sequencers.get(state).clone();
        let (mut acceptor, mut writes) = self.registers.get(register).clone();
        let mut out = Outputs::default();
        let me = NodeId((NODES + sequencer) as u8);
        let mut rng = Rng::from_seed(0);
        let mut env = Env {
            now: NOW,
            wall: WallTime(0),
            me,
            incarnation: Incarnation(1),
            config: &self.configs[sequencer],
            rng: &mut rng,
            out: &mut out,
        };
        begin(&mut machine, &mut env);
        let mut asks = asks;
        let mut others = Vec::new();
        loop {
            for (to, message) in said(&mut machine, &mut env) {
                match to {
                    Address::Node(REGISTER) => asks.push(message),
                    to => others.push((to, message)),
                }
            }
            if asks.is_empty() {
                break;
            }
            for ask in std::mem::take(&mut asks) {
                let Message::Register { log, ballot, step } = ask else {
                    unreachable!("only this is said to a register");
                };
                let mut answers = Outputs::default();
                acceptor.on_step(me.into(), log, ballot, &step, &mut answers);
                for request in std::mem::take(&mut answers.disk) {
                    writes += 1;
                    acceptor.on_durable(request.token.number, &mut answers);
                }
                for (_, answer) in answers.messages {
                    let Message::Register { ballot, step, .. } = answer else {
                        unreachable!("a register says only this");
                    };
                    assert!(!matches!(step, RegisterStep::Prepare), "an answer");
                    machine.on_register(REGISTER, ballot, &step, &mut env);
                }
            }
        }
        out.messages = others;
        let marks = marks(&out);
        let (sent, prompt) = self.intern_messages(me.into(), out.messages);
        let outcome = Outcome {
            after: self.intern_sequencer(machine),
            register: Some(self.intern_register(acceptor, writes)),
            sent,
            prompt,
            marks,
        };
        self.push(outcome)
    }

    /// What a step of a sequencer may lead to: whatever chance makes of it.
    fn step_sequencer(
        &mut self,
        sequencer: usize,
        state: u32,
        now: Timestamp,
        step: impl Fn(&mut Sequencer, &mut Env),
    ) -> Vec<u32> {
        let mut outcomes = Vec::new();
        for seed in 0..SEEDS {
            let mut machine = self.sequencers.get(state).clone();
            let mut out = Outputs::default();
            let me = NodeId((NODES + sequencer) as u8);
            let mut rng = Rng::from_seed(seed);
            let mut env = Env {
                now,
                wall: WallTime(0),
                me,
                incarnation: Incarnation(1),
                config: &self.configs[sequencer],
                rng: &mut rng,
                out: &mut out,
            };
            step(&mut machine, &mut env);
            out.messages = said(&mut machine, &mut env);
            let marks = marks(&out);
            let (sent, prompt) = self.intern_messages(me.into(), out.messages);
            let outcome = Outcome {
                after: self.intern_sequencer(machine),
                register: None,
                sent,
                prompt,
                marks,
            };
            outcomes.push(self.push(outcome));
            if rng == Rng::from_seed(seed) {
                break;
            }
        }
        self.distinct(outcomes)
    }

    fn distinct(&self, outcomes: Vec<u32>) -> Vec<u32> {
        let mut distinct: Vec<u32> = Vec::new();
        for outcome in outcomes {
            let of = |outcome: u32| {
                let it = &self.outcomes[outcome as usize];
                (it.after, it.register, it.sent.clone())
            };
            if distinct.iter().all(|&other| of(other) != of(outcome)) {
                distinct.push(outcome);
            }
        }
        distinct
    }

    fn step_node(
        &mut self,
        node: usize,
        state: u32,
        step: impl FnOnce(&mut StorageNode, &mut Env),
    ) -> u32 {
        let mut state = self.nodes[node].get(state).0.clone();
        let mut out = Outputs::default();
        let mut rng = Rng::from_seed(0);
        let mut env = Env {
            now: NOW,
            wall: WallTime(0),
            me: NodeId(node as u8),
            incarnation: Incarnation(1),
            config: &self.configs[0],
            rng: &mut rng,
            out: &mut out,
        };
        step(&mut state.machine, &mut env);
        state.work(&mut env);
        let marks = marks(&out);
        let (sent, prompt) = self.intern_messages(NodeId(node as u8).into(), out.messages);
        let outcome = Outcome {
            after: self.intern_node(node, state),
            register: None,
            sent,
            prompt,
            marks,
        };
        self.push(outcome)
    }

    /// What an action may lead to, as a place for [`World::choice`].
    pub(crate) fn act(&mut self, action: LocalAction, state: u32, register: u32) -> u32 {
        let known = self.of_actions.get(&action);
        if let Some(place) = known.and_then(|known| known.get(state, register)) {
            return place;
        }
        let choice = self.work_out(action, state, register);
        self.choices.push(choice);
        let place = u32::try_from(self.choices.len() - 1).expect("fewer than 2^32 choices");
        let known = self.of_actions.entry(action).or_insert_with(PairMap::new);
        known.set(state, register, place);
        place
    }

    /// The outcomes of an action: more than one where chance has a part.
    pub(crate) fn choice(&self, place: u32) -> &[u32] {
        &self.choices[place as usize]
    }

    fn work_out(&mut self, action: LocalAction, state: u32, register: u32) -> Vec<u32> {
        match action {
            LocalAction::Append { nth } => {
                let ask = self.limits.appends[usize::from(nth)].ask(nth);
                self.request(0, state, nth.into(), &ask)
            }
            LocalAction::TailAtS1 => self.request(0, state, TAIL, &ClientAsk::Tail),
            LocalAction::Move => {
                let ask = ClientAsk::Move(wish(self.limits));
                self.request(0, state, MOVE, &ask)
            }
            LocalAction::AskS2 => self.ask_s2(state),
            LocalAction::Activate { sequencer } => {
                let begin = |machine: &mut Sequencer, env: &mut Env| {
                    machine.activate(env);
                };
                let activated = self.exchange(sequencer, state, register, Vec::new(), begin);
                if sequencer == 1 && self.limits.silent_second {
                    self.outcomes[activated as usize].sent.clear();
                    return vec![activated];
                }
                if sequencer != 1 {
                    return vec![activated];
                }
                // A client asks at once; it is answered when it may be.
                let state = self.outcomes[activated as usize].after;
                let asked = self.ask_s2(state);
                let joined = asked.into_iter().map(|asked| self.join(activated, asked));
                joined.collect()
            }
            LocalAction::LateWave => {
                let late = NOW + WAVE_TIMEOUT;
                self.step_sequencer(0, state, late, Sequencer::on_time)
            }
            LocalAction::Release => self.step_sequencer(0, state, NOW, Sequencer::on_time),
            LocalAction::Impatience { sequencer } => {
                self.step_sequencer(sequencer, state, NOW, Sequencer::on_time)
            }
            LocalAction::Crash { node } => {
                let (before, _) = self.nodes[node].get(state);
                let boot =
                    Boot::read(&before.durable.metadata(), Past::Blank).expect("own metadata");
                let after = NodeState {
                    machine: boot.storage,
                    requests: 0,
                    live: before.durable.clone(),
                    durable: before.durable.clone(),
                    unsynced: Vec::new(),
                };
                vec![self.becomes(node, after)]
            }
            LocalAction::Damage { node, offset } => {
                let mut after = self.nodes[node].get(state).0.clone();
                after.damage(Lsn::new(1, offset as u32 + 1));
                vec![self.becomes(node, after)]
            }
        }
    }

    /// A client's request reaches a sequencer.
    fn request(&mut self, sequencer: usize, state: u32, number: u64, ask: &ClientAsk) -> Vec<u32> {
        let step = |machine: &mut Sequencer, env: &mut Env| {
            machine.on_request(CLIENT, number, ask, None, env);
        };
        self.step_sequencer(sequencer, state, NOW, step)
    }

    fn ask_s2(&mut self, state: u32) -> Vec<u32> {
        let ask = match self.limits.at_s2 {
            Question::Tail => ClientAsk::Tail,
            Question::Append(demand) => demand.ask(NTH_AT_S2),
        };
        self.request(1, state, AT_S2, &ask)
    }

    /// A node becomes what it is by itself.
    fn becomes(&mut self, node: usize, after: NodeState) -> u32 {
        let outcome = Outcome {
            after: self.intern_node(node, after),
            register: None,
            sent: Vec::new(),
            prompt: Vec::new(),
            marks: Marks::default(),
        };
        self.push(outcome)
    }

    /// Two outcomes of one component, one after the other, as one.
    fn join(&mut self, first: u32, second: u32) -> u32 {
        let (first, second) = (
            &self.outcomes[first as usize],
            &self.outcomes[second as usize],
        );
        let mut sent = [&first.sent[..], &second.sent[..]].concat();
        sent.sort_unstable();
        sent.dedup();
        let mut marks = first.marks.clone();
        assert!(second.marks.answers.is_empty(), "too early");
        marks.words.extend(second.marks.words.iter().cloned());
        assert!(first.prompt.is_empty() && second.prompt.is_empty());
        let joint = Outcome {
            after: second.after,
            register: first.register,
            sent,
            prompt: Vec::new(),
            marks,
        };
        self.push(joint)
    }

    // Words.

    pub(crate) fn describe_message(&self, message: u16) -> String {
        let (from, part, message, _) = self.messages.get(u32::from(message));
        let to = match part {
            Part::Node(node) => format!("n{node}"),
            Part::Sequencer(sequencer) => format!("S{}", sequencer + 1),
            Part::Register { .. } => "register".to_owned(),
        };
        let from = match from {
            Address::Node(NodeId(id)) if usize::from(*id) >= NODES => {
                format!("S{}", usize::from(*id) - NODES + 1)
            }
            from => from.to_string(),
        };
        format!("{from}->{to} {}", words::message(message))
    }

    /// What an outcome brought about, in words.
    pub(crate) fn describe_outcome(&self, outcome: u32) -> String {
        let it = &self.outcomes[outcome as usize];
        it.marks.words.join("; ")
    }
}

impl NodeState {
    /// Carries out the disk work that a step asked for, and what follows from it.
    fn work(&mut self, env: &mut Env) {
        loop {
            let requests = std::mem::take(&mut env.out.disk);
            if requests.is_empty() {
                if self.unsynced.is_empty() {
                    return;
                }
                self.sync(env);
                continue;
            }
            for request in requests {
                self.requests += 1;
                let done = match request.work {
                    DiskWork::Write { batch, until } => {
                        let applied = self.live.apply(&batch);
                        if until == Durability::Synced {
                            self.unsynced.push((request.token, applied));
                            continue;
                        }
                        DiskDone::Wrote(applied)
                    }
                    read => {
                        let done = read.read(&mut self.live).expect("a model does not fail");
                        done.expect("it is no write")
                    }
                };
                self.machine.on_disk(request.token.number, done, env);
            }
        }
    }

    /// Damages the payload of a record, in memory and on disk.
    fn damage(&mut self, lsn: Lsn) {
        for store in [&mut self.live, &mut self.durable] {
            let Some(mut copy) = store.copy(LOG, lsn).cloned() else {
                continue;
            };
            if let Entry::Record(stamped) = &mut copy.entry {
                stamped.record.payload = Bytes::from_static(b"rotten");
                let log = LOG;
                store.apply(&[StoreOp::Put { log, lsn, copy }]);
            }
        }
    }

    /// Makes all that was written durable, and lets the machine know.
    fn sync(&mut self, env: &mut Env) {
        self.durable = self.live.clone();
        for (token, applied) in std::mem::take(&mut self.unsynced) {
            let done = DiskDone::Wrote(applied);
            self.machine.on_disk(token.number, done, env);
        }
    }
}

fn sequencer_of(address: Address) -> usize {
    let Address::Node(NodeId(id)) = address else {
        unreachable!("clients do not speak to nodes");
    };
    usize::from(id) - NODES
}

/// What a sequencer says in a step. Probes are answered at once.
fn said(machine: &mut Sequencer, env: &mut Env) -> Vec<(Address, Message)> {
    let mut said = Vec::new();
    while !env.out.messages.is_empty() {
        for (to, message) in std::mem::take(&mut env.out.messages) {
            match (to, message) {
                (
                    Address::Node(node),
                    Message::Storage {
                        ask: StorageAsk::Probe { nonce },
                        ..
                    },
                ) => machine.on_stored(node, &StorageAnswer::Here { nonce }, env),
                other => said.push(other),
            }
        }
    }
    said
}

fn view(state: &NodeState) -> NodeView {
    let kind = |entry: &Entry| match entry {
        Entry::Record(stamped) if stamped.record.verify().is_err() => Kind::Unreadable,
        Entry::Record(_) => Kind::Record,
        Entry::Hole => Kind::Hole,
        Entry::Bridge => Kind::Bridge,
    };
    let at = |store: &ModelState, offset: usize| {
        let copy = store.copy(LOG, Lsn::new(1, offset as u32 + 1));
        copy.map_or((Kind::Nothing, Precedence::default()), |copy| {
            (kind(&copy.entry), copy.precedence)
        })
    };
    let payload = |offset: usize| {
        let copy = state.live.copy(LOG, Lsn::new(1, offset as u32 + 1));
        match copy.map(|copy| &copy.entry) {
            Some(Entry::Record(it)) if it.record.verify().is_ok() => it.record.payload[0],
            _ => 0,
        }
    };
    let beyond = Lsn::new(1, OFFSETS as u32 + 1);
    assert!(
        state
            .live
            .scan(LOG, beyond, Lsn::end_of(Epoch(1)), 1)
            .copies
            .is_empty(),
        "the old epoch has at most {OFFSETS} offsets"
    );
    let promises: BTreeMap<_, _> = state
        .durable
        .metadata()
        .into_iter()
        .filter_map(|(key, value)| Some((key.clone(), durable_state(&key, &value)?)))
        .collect();
    let of_epoch = |index: usize| {
        let key = MetaKey::Epoch(LOG, Epoch(index as u32 + 1)).encode();
        match promises.get(&key) {
            Some(DurableState::Epoch { promised, clean }) => (*promised, *clean),
            _ => (Ballot::default(), None),
        }
    };
    let (hard_seal, last_clean) = match promises.get(&MetaKey::Log(LOG).encode()) {
        Some(DurableState::Log {
            hard_seal,
            last_clean,
            ..
        }) => (*hard_seal, *last_clean),
        _ => Default::default(),
    };
    NodeView {
        held: std::array::from_fn(|offset| at(&state.live, offset)),
        payloads: std::array::from_fn(payload),
        durable: std::array::from_fn(|offset| at(&state.durable, offset).0),
        readable: state.machine.readable(LOG),
        clean: of_epoch(0).1,
        hard_seal,
        last_clean,
        promised: std::array::from_fn(|index| of_epoch(index).0),
        promises,
    }
}

fn marks(out: &Outputs) -> Marks {
    let mut marks = Marks::default();
    for event in &out.events {
        marks.words.push(words::event(event));
        match event {
            Event::Acked { lsn, .. } if lsn.epoch == Epoch(1) => {
                marks.acked |= 1 << (lsn.offset.0 - 1);
            }
            Event::Activated { epoch, .. } => marks.activated = Some(*epoch),
            Event::Opened { epoch, .. } => marks.opened |= *epoch > Epoch(1),
            Event::EpochClean { epoch, ballot, .. } if *epoch == Epoch(1) => {
                marks.clean = Some(*ballot);
            }
            Event::RecoveryBegan { epoch, .. } if *epoch == Epoch(1) => marks.attempts += 1,
            Event::RecoveryBegan { .. } => marks.attempts_at_second += 1,
            Event::WaveFailed { .. } => marks.waves_failed += 1,
            Event::Purged { .. } => marks.purged = true,
            Event::Moved { .. } => marks.moved = true,
            _ => {}
        }
    }
    for (to, message) in &out.messages {
        let (Address::Client(_), Message::Reply(reply)) = (to, message) else {
            continue;
        };
        marks.words.push(words::client_answer(&reply.answer));
        let by_s2 = reply.number == AT_S2;
        match &reply.answer {
            ClientAnswer::Tail { lsn, .. } if lsn.epoch == Epoch(1) => marks.old_tail = true,
            ClientAnswer::Tail { .. } => marks.observed = true,
            ClientAnswer::Appended(lsn) => marks.observed |= by_s2 || lsn.epoch > Epoch(1),
            ClientAnswer::Mismatch(Mismatch { last_record, .. }) => {
                marks.observed |= by_s2;
                if last_record.epoch == Epoch(1) {
                    marks.acked |= 1 << (last_record.offset.0 - 1);
                }
            }
            _ => {}
        }
        marks.answers.push((reply.number, reply.answer.clone()));
    }
    marks
}

/// Nodes that the old epoch is on: the first ones.
fn old_nodes(limits: Limits) -> u8 {
    let nodes = u8::try_from(limits.nodes).expect("few nodes");
    match limits.goal {
        Some(Goal::OtherNodes) => nodes - 1,
        Some(Goal::Successor) | None => nodes,
    }
}

/// How the log is to be after it has moved.
fn wish(limits: Limits) -> Move {
    let goal = limits.goal.expect("a scope without moves asks for none");
    match goal {
        Goal::OtherNodes => {
            let nodes = (1..=old_nodes(limits)).map(|node| (NodeId(node), Location::default()));
            let replication = Replication::copies(limits.copies);
            let quorums = QuorumSystem::new(nodes.collect(), replication);
            Move {
                to: None,
                quorums: Some(quorums.expect("the copies have room")),
            }
        }
        Goal::Successor => Move {
            to: Some(NodeId(NODES as u8 + 1)),
            quorums: None,
        },
    }
}

/// What a sequencer is told: all know the same cluster and differ in their patience.
fn config(sequencer: usize, limits: Limits) -> ClusterConfig {
    let all = 0..=REGISTER.0;
    let quorums = QuorumSystem::flat(old_nodes(limits), limits.copies);
    let quorums = quorums.expect("the copies have room");
    let spec = LogSpec::new(quorums);
    let timing = Timing {
        activation_patience: NEVER,
        activation_backoff: Duration::ZERO,
        drain_patience: Duration::ZERO,
        hand_over_patience: Duration::ZERO,
        release_delay: if sequencer == 0 && limits.releases {
            Duration::ZERO
        } else {
            NEVER
        },
        wave_timeout: if sequencer == 0 { WAVE_TIMEOUT } else { NEVER },
        grey_list: NEVER,
        slow_answer: NEVER,
        resend: NEVER,
        recovery_grace: Duration::ZERO,
        recovery_timeout: Duration::ZERO,
        register_backoff: NEVER,
        operation_timeout: NEVER,
        reader_patience: NEVER,
        reader_grace: NEVER,
        ..Timing::default()
    };
    let config = ClusterConfig {
        nodes: all.map(|id| (NodeId(id), Location::default())).collect(),
        metadata: NodeSet::only(REGISTER),
        logs: [(LOG, spec)].into(),
        timing,
    };
    config.validate().expect("the explored cluster can be");
    config
}
