//! Appends of one epoch: offsets, waves, the window.
//!
//! A record is *placed* when it gets an offset; from then on it is pressed on the nodes, wave after
//! wave, until one wave has a write quorum of durable copies: then it is *retired*. An offset is never
//! abandoned while its epoch lives. Answers of old waves do not count, so that all copies of a record
//! name the copyset that holds it.
//!
//! A *held* record has an offset and is sent to nobody until everything below it has retired.

use std::collections::BTreeMap;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{
    Address, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, RareAttributes, Record, Stamp, Stamped,
    Timestamp, planted, probe,
};

use crate::effects::{Env, Event};
use crate::message::{Message, StorageAsk, StoreOutcome};
use crate::patience::Patience;
use crate::placement::copyset::Copysets;
use crate::placement::grey::GreyList;

/// How many records an epoch has placed and not yet answered at most; more are pushed back.
pub const WINDOW: usize = 256;

/// How many requests wait for one record at most: it was appended again while it was on its way. More are
/// pushed back.
pub const ORIGINS_MAX: usize = 8;

/// The appends of a reign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Appends {
    log: LogId,
    epoch: Epoch,
    next: Offset,
    /// The stamp of the record placed last.
    last: Stamp,
    /// End of the contiguous retired prefix.
    last_known_good: Offset,
    /// Placed records above the last known good offset.
    window: BTreeMap<Offset, Appender>,
    /// Retired records whose clients wait for their answer.
    unanswered: BTreeMap<Offset, Retired>,
    copysets: Copysets,
    /// Nodes to avoid for a while: they failed a wave, or are slow.
    grey: GreyList,
    patience: Patience,
    /// What records do that the last known good offset has passed, since it was asked.
    settled: Vec<(Lsn, RareAttributes)>,
}

/// A record on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Appender {
    record: Stamped,
    /// Whom to answer, and to which requests; at most [`ORIGINS_MAX`].
    origins: Vec<(Address, u64)>,
    /// It was sent to nobody yet: something below it has not retired.
    held: bool,
    wave: u32,
    copyset: NodeSet,
    /// Nodes that answered this wave.
    stored: NodeSet,
    /// Nodes that answered any wave: they need no payload again.
    holders: NodeSet,
    /// When this wave was sent.
    sent: Timestamp,
    /// When to go on to the next wave.
    deadline: Timestamp,
    retired: bool,
}

/// A retired record whose client waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Retired {
    pub(super) origins: Vec<(Address, u64)>,
    pub(super) lsn: Lsn,
    /// The nodes whose answers made the wave complete.
    pub(super) stored: NodeSet,
}

/// What became of a record that was placed, when the reign ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It certainly stands nowhere.
    NoEffect,
    /// Nobody knows.
    Unknown,
}

/// What comes of a request for a record that was placed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// It is answered when the record retires.
    Waits,
    /// The record has retired.
    Retired,
    /// Too many wait for the record.
    Full,
}

impl Appends {
    pub(super) fn new(log: LogId, epoch: Epoch) -> Self {
        Self {
            log,
            epoch,
            next: Offset::FIRST,
            last: Stamp::default(),
            last_known_good: Offset(0),
            window: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            copysets: Copysets::default(),
            grey: GreyList::default(),
            patience: Patience::default(),
            settled: Vec::new(),
        }
    }

    /// The next LSN to be given.
    pub(super) fn tail(&self) -> Lsn {
        Lsn::at(self.epoch, self.next)
    }

    /// Up to where everything is fully replicated.
    pub(super) fn last_known_good(&self) -> Lsn {
        Lsn::at(self.epoch, self.last_known_good)
    }

    /// Whether all that was placed is retired and answered.
    pub(super) fn is_empty(&self) -> bool {
        self.window.is_empty() && self.unanswered.is_empty()
    }

    /// Records placed and not retired.
    pub(super) fn in_flight(&self) -> usize {
        self.window.values().filter(|it| !it.retired).count()
    }

    /// Records placed that are not known to be good or not answered.
    pub(super) fn placed(&self) -> usize {
        self.window.len() + self.unanswered.len()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.window
            .values()
            .filter(|it| !it.retired && !it.held)
            .map(|it| it.deadline)
            .min()
    }

    /// How long answers of nodes take.
    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// Whether no more records can be placed for now.
    pub(super) fn is_full(&self) -> bool {
        self.placed() >= WINDOW
    }

    /// Places a record; there must be room. A `conditional` one is held until everything below it has
    /// retired: a record that it was judged by may yet become a hole.
    pub(super) fn place(
        &mut self,
        record: Record,
        origin: (Address, u64),
        conditional: bool,
        quorums: &QuorumSystem,
        env: &mut Env,
    ) {
        assert!(!self.is_full(), "the window has room");
        let offset = self.next;
        self.next = offset.next();
        let lsn = Lsn::at(self.epoch, offset);
        let stamp = Stamp::after(self.last, self.log, lsn, env.wall, &record);
        self.last = stamp;
        self.window.insert(
            offset,
            Appender {
                record: Stamped { stamp, record },
                origins: vec![origin],
                held: conditional && !self.window.is_empty() && !planted!("conditional-over-hole"),
                wave: 0,
                copyset: NodeSet::EMPTY,
                stored: NodeSet::EMPTY,
                holders: NodeSet::EMPTY,
                sent: env.now,
                deadline: env.now,
                retired: false,
            },
        );
        if !self.window[&offset].held {
            self.next_wave(offset, quorums, env);
        }
    }

    /// Takes one more request for a record that was placed before.
    pub(super) fn join(&mut self, offset: Offset, origin: (Address, u64)) -> Joined {
        match self.window.get_mut(&offset) {
            Some(it) if !it.retired => {
                if it.origins.len() >= ORIGINS_MAX {
                    return Joined::Full;
                }
                it.origins.push(origin);
                Joined::Waits
            }
            Some(_) | None => Joined::Retired,
        }
    }

    /// Takes a storage node's answer. `Err` says that the epoch is sealed.
    pub(super) fn on_answer(
        &mut self,
        from: NodeId,
        lsn: Lsn,
        wave: u32,
        outcome: StoreOutcome,
        quorums: &QuorumSystem,
        env: &mut Env,
    ) -> Result<(), Epoch> {
        if let StoreOutcome::Sealed(sealed) = outcome
            && sealed >= self.epoch
        {
            return Err(sealed);
        }
        if lsn.epoch != self.epoch {
            return Ok(());
        }
        let last_known_good = self.last_known_good;
        let Some(it) = self.window.get_mut(&lsn.offset) else {
            return Ok(());
        };
        match outcome {
            StoreOutcome::Stored => {
                it.holders.insert(from);
                if wave == it.wave && !it.retired {
                    it.stored.insert(from);
                    let timing = &env.config.timing;
                    let took = env.now.since(it.sent);
                    let until = env.now + timing.grey_list;
                    let slow = timing.slow_answer;
                    if it.copyset.contains(from)
                        && self.grey.answered(from, took, slow, until, quorums)
                    {
                        let log = self.log;
                        probe!("appends.slow-node-avoided");
                        env.out.events.push(Event::Slow { log, node: from });
                    }
                    it.retired = quorums.is_write_quorum(it.stored);
                    if it.retired {
                        self.patience.answered(took, timing.wave_timeout);
                    }
                }
            }
            StoreOutcome::Missing if wave == it.wave => {
                it.holders.remove(from);
                let to = NodeSet::only(from);
                it.send(self.log, lsn, last_known_good, to, env);
            }
            StoreOutcome::Missing | StoreOutcome::Sealed(_) => {}
        }
        if it.retired {
            let origins = std::mem::take(&mut it.origins);
            if !origins.is_empty() {
                let retired = Retired {
                    origins,
                    lsn,
                    stored: it.stored,
                };
                self.unanswered.insert(lsn.offset, retired);
            }
            self.advance(quorums, env);
        }
        Ok(())
    }

    /// Moves the last known good offset over the retired records that follow it. What is held above
    /// them is sent.
    fn advance(&mut self, quorums: &QuorumSystem, env: &mut Env) {
        while let Some(first) = self.window.first_entry()
            && first.get().retired
        {
            self.last_known_good = *first.key();
            let lsn = Lsn::at(self.epoch, self.last_known_good);
            self.settled
                .push((lsn, first.remove().record.record.attributes));
        }
        if let Some(mut first) = self.window.first_entry()
            && std::mem::take(&mut first.get_mut().held)
        {
            let offset = *first.key();
            self.next_wave(offset, quorums, env);
        }
    }

    /// What records do that the last known good offset has passed since this was asked last, in order.
    pub(super) fn take_settled(&mut self) -> Vec<(Lsn, RareAttributes)> {
        std::mem::take(&mut self.settled)
    }

    /// Goes on to the next wave of every record whose wave is late.
    pub(super) fn on_time(&mut self, quorums: &QuorumSystem, env: &mut Env) {
        self.grey.on_time(env.now);
        let late: Vec<Offset> = self
            .window
            .iter()
            .filter(|(_, it)| !it.retired && !it.held && it.deadline <= env.now)
            .map(|(&offset, _)| offset)
            .collect();
        let until = env.now + env.config.timing.grey_list;
        for offset in late {
            let it = &self.window[&offset];
            for node in it.copyset.difference(it.stored).iter() {
                self.grey.failed(node, until);
            }
            env.out.events.push(Event::WaveFailed {
                log: self.log,
                lsn: Lsn::at(self.epoch, offset),
                wave: it.wave,
            });
            probe!("appends.fifth-wave", it.wave >= 4);
            self.next_wave(offset, quorums, env);
        }
    }

    fn next_wave(&mut self, offset: Offset, quorums: &QuorumSystem, env: &mut Env) {
        self.grey.on_time(env.now);
        let selector = &env.config.logs[&self.log].copysets;
        let avoid = self.grey.nodes();
        let copyset = self
            .copysets
            .draw(selector, quorums, avoid, env.now, env.rng);
        let it = self.window.get_mut(&offset).expect("placed");
        it.wave += 1;
        it.copyset = copyset;
        it.stored = NodeSet::EMPTY;
        it.sent = env.now;
        let shortest = env.config.timing.wave_timeout;
        it.deadline = env.now + self.patience.after(it.wave - 1, shortest);
        let lsn = Lsn::at(self.epoch, offset);
        it.send(self.log, lsn, self.last_known_good, it.copyset, env);
    }

    /// The retired records that no client was told of yet. They count as told from now on.
    pub(super) fn take_retired(&mut self) -> impl Iterator<Item = Retired> + use<> {
        std::mem::take(&mut self.unanswered).into_values()
    }

    /// What became of the records that were placed and whose clients were not answered. Nobody knows; but
    /// one that is held was sent to nobody.
    pub(super) fn abandon(self) -> impl Iterator<Item = ((Address, u64), Fate)> {
        let placed = self.window.into_values().filter(|it| !it.retired);
        let placed = placed.flat_map(|it| {
            let fate = if it.held {
                probe!("appends.held-until-the-end");
                Fate::NoEffect
            } else {
                Fate::Unknown
            };
            it.origins.into_iter().map(move |origin| (origin, fate))
        });
        let retired = self.unanswered.into_values().flat_map(|it| it.origins);
        placed.chain(retired.map(|origin| (origin, Fate::Unknown)))
    }
}

impl Appender {
    /// Sends the current wave to some nodes: in full to those that lack the record.
    fn send(&self, log: LogId, lsn: Lsn, last_known_good: Offset, to: NodeSet, env: &mut Env) {
        for node in to.iter() {
            let ask = if self.holders.contains(node) {
                StorageAsk::Amend {
                    lsn,
                    wave: self.wave,
                    copyset: self.copyset,
                    last_known_good,
                }
            } else {
                StorageAsk::Store {
                    lsn,
                    wave: self.wave,
                    copyset: self.copyset,
                    last_known_good,
                    record: self.record.clone(),
                }
            };
            env.out.send(node, Message::Storage { log, ask });
        }
    }
}
