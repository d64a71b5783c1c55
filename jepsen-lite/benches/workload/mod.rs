//! Long histories of one log, for measuring: clients that append, read near the end and ask for the tail,
//! with holes and changes of epoch, and a final read of everything.

use hstore_core::{LogId, Lsn};
use jepsen_lite::history::{
    Call, Gap, GapKind, History, Mismatch, OpId, Outcome, ProcessId, ReadOutcome, RecordId,
    Recorder, Terms, Token,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const CLIENTS: usize = 16;
/// A read asks for so many records.
const LIMIT: u32 = 4;
/// One append in so many is preceded by a hole.
const HOLE_ONE_IN: u32 = 1_000;
/// The epoch changes after so many records.
const EPOCH_LEN: u32 = 1_000_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// One tail near the end misses the last records of the log.
    OneStaleRead,
}

/// What clients demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demands {
    /// Nothing.
    None,
    /// Every other append demands a last record, and so is mostly refused; some set a token, some demand
    /// one.
    Many,
}

/// What a client is doing.
enum Client {
    Idle,
    Waits(OpId, Call),
    Knows(OpId, Outcome),
}

struct Log {
    records: Vec<(Lsn, RecordId)>,
    gaps: Vec<Gap>,
    next: Lsn,
    token: Option<Token>,
}

impl Log {
    fn append(&mut self, record: RecordId, rng: &mut impl Rng) -> Lsn {
        if rng.random_ratio(1, HOLE_ONE_IN) {
            let next = self.next;
            self.gap(GapKind::Hole, next, next);
            self.next = next.next();
        }
        if self.next.offset.0 > EPOCH_LEN {
            let Lsn { epoch, .. } = self.next;
            self.gap(GapKind::Bridge, self.next, Lsn::end_of(epoch));
            self.next = Lsn::new(epoch.0 + 1, 1);
        }
        let lsn = self.next;
        self.records.push((lsn, record));
        self.next = lsn.next();
        lsn
    }

    fn last(&self) -> Lsn {
        self.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn)
    }

    fn has(&self, terms: Terms) -> bool {
        terms.last.is_none_or(|last| last == self.last())
            && (terms.token.is_none() || terms.token == self.token)
    }

    fn some_terms(&self, rng: &mut impl Rng) -> Terms {
        let last = rng.random_bool(0.5).then(|| self.last());
        let token = if rng.random_bool(0.1) {
            self.token
        } else {
            None
        };
        let sets = rng
            .random_bool(0.01)
            .then(|| Token(rng.random_range(0..100)));
        Terms { last, token, sets }
    }

    fn gap(&mut self, kind: GapKind, first: Lsn, last: Lsn) {
        self.gaps.push(Gap { kind, first, last });
    }

    fn read(&self, from: Lsn, limit: u32) -> ReadOutcome {
        let first = self.records.partition_point(|(lsn, _)| *lsn < from);
        let records = self.records[first..].iter().take(limit as usize);
        let records: Vec<_> = records.copied().collect();
        let end = match records.last() {
            Some((last, _)) if records.len() == limit as usize => last.next(),
            _ => self.next,
        };
        let first = self.gaps.partition_point(|gap| gap.last < from);
        let gaps = self.gaps[first..].iter().take_while(|gap| gap.first < end);
        let gaps = gaps.map(|gap| Gap {
            first: gap.first.max(from),
            ..*gap
        });
        ReadOutcome {
            gaps: gaps.collect(),
            records,
            tail: self.next,
        }
    }
}

/// What a history consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) ops: usize,
    pub(crate) fault: Fault,
    pub(crate) demands: Demands,
    /// So many of a hundred operations, all of them appends, end with nobody knowing whether they took
    /// effect; half of them did.
    pub(crate) unknown_percent: u32,
}

/// The histories that are measured, at `ops` operations each.
pub(crate) fn shapes(ops: usize) -> impl Iterator<Item = Shape> {
    [
        (Fault::None, Demands::None, 0),
        (Fault::OneStaleRead, Demands::None, 0),
        (Fault::OneStaleRead, Demands::None, 1),
        (Fault::None, Demands::Many, 0),
    ]
    .into_iter()
    .map(move |(fault, demands, unknown_percent)| Shape {
        ops,
        fault,
        demands,
        unknown_percent,
    })
}

/// The history of a shape, always the same.
pub(crate) fn history(shape: Shape) -> History {
    let Shape {
        ops,
        fault,
        demands,
        unknown_percent,
    } = shape;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut recorder = Recorder::new();
    let mut log = Log {
        records: Vec::new(),
        gaps: Vec::new(),
        next: Lsn::FIRST,
        token: None,
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::Idle).collect();
    // Who does not learn how an operation ended goes on as another process.
    let mut processes: Vec<ProcessId> = (0..CLIENTS as u32).map(ProcessId).collect();
    let mut next_process = CLIENTS as u32;
    let (mut now, mut invoked, mut busy) = (0, 0, 0);
    let mut is_stale = fault == Fault::None;
    while invoked + 1 < ops || busy > 0 {
        now += 1_000;
        let index = rng.random_range(0..CLIENTS);
        let client = &mut clients[index];
        *client = match std::mem::replace(client, Client::Idle) {
            Client::Idle if invoked + 1 < ops => {
                let call = match rng.random_range(0..4) {
                    0 | 1 => Call::Append {
                        record: RecordId(invoked as u64),
                        terms: match demands {
                            Demands::None => Terms::NONE,
                            Demands::Many => log.some_terms(&mut rng),
                        },
                    },
                    2 => Call::Tail,
                    _ => {
                        let behind = log.records.len().saturating_sub(rng.random_range(1..8));
                        let from = log.records.get(behind).map_or(Lsn::FIRST, |(lsn, _)| *lsn);
                        Call::read(from, LIMIT, false)
                    }
                };
                let id = recorder.invoke(processes[index], LogId(0), call, now);
                invoked += 1;
                busy += 1;
                Client::Waits(id.expect("the client is idle"), call)
            }
            Client::Idle => Client::Idle,
            // Half of all operations are appends.
            Client::Waits(id, Call::Append { record, .. })
                if unknown_percent > 0 && rng.random_ratio(2 * unknown_percent, 100) =>
            {
                if rng.random_bool(0.5) {
                    log.append(record, &mut rng);
                }
                recorder.info(id, now).expect("it is open");
                busy -= 1;
                processes[index] = ProcessId(next_process);
                next_process += 1;
                Client::Idle
            }
            Client::Waits(id, call) => {
                let outcome = match call {
                    Call::Append { record, terms } if log.has(terms) => {
                        let lsn = log.append(record, &mut rng);
                        log.token = terms.sets.or(log.token);
                        Outcome::Append { lsn }
                    }
                    Call::Append { .. } => Outcome::Mismatch(Mismatch {
                        last: rng.random_bool(0.3).then(|| log.last()),
                        token: rng.random_bool(0.3).then_some(log.token),
                    }),
                    Call::Read { from, limit, .. } => Outcome::Read(log.read(from, limit)),
                    _ if invoked > ops - ops / 100 && !is_stale => {
                        is_stale = true;
                        // All clients have appended since.
                        let behind = log.records.len() - 10 * CLIENTS;
                        Outcome::Tail {
                            tail: log.records[behind].0,
                        }
                    }
                    _ => Outcome::Tail { tail: log.next },
                };
                Client::Knows(id, outcome)
            }
            Client::Knows(id, outcome) => {
                recorder.answer(id, outcome, now).expect("it is open");
                busy -= 1;
                Client::Idle
            }
        };
    }
    let limit = u32::try_from(log.records.len() + 1).expect("fewer than 2^32 records");
    let call = Call::read(Lsn::FIRST, limit, true);
    let read = recorder.invoke(ProcessId(next_process), LogId(0), call, now);
    let outcome = Outcome::Read(log.read(Lsn::FIRST, limit));
    let read = read.expect("a new client");
    recorder.answer(read, outcome, now).expect("it is open");
    recorder.finish().expect("record ids are unique")
}
