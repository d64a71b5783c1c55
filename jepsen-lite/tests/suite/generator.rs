//! Small random histories of one log: mostly what a right log could have answered, then damaged.

use hstore_core::{LogId, Lsn};
use jepsen_lite::history::{
    Call, Gap, GapKind, History, OpId, Outcome, ProcessId, ReadOutcome, RecordId, Recorder,
};
use rand::{Rng, RngExt};

/// How an operation of a draft ends.
#[derive(Clone, Debug)]
enum End {
    Ok(Outcome),
    Fail,
    Info,
    Never,
}

#[derive(Clone, Debug)]
struct Draft {
    call: Call,
    end: End,
}

/// An event: the operation, and whether it is its invocation.
type Event = (usize, bool);

/// A log that does everything right.
#[derive(Default)]
struct RightLog {
    records: Vec<(Lsn, RecordId)>,
    gaps: Vec<Gap>,
    next: Option<Lsn>,
}

impl RightLog {
    fn next(&self) -> Lsn {
        self.next.unwrap_or(Lsn::FIRST)
    }

    fn append(&mut self, record: RecordId) -> Lsn {
        let lsn = self.next();
        self.records.push((lsn, record));
        self.next = Some(lsn.next());
        lsn
    }

    fn hole(&mut self) {
        let lsn = self.next();
        self.gap(GapKind::Hole, lsn, lsn);
        self.next = Some(lsn.next());
    }

    fn bridge(&mut self) {
        let first = self.next();
        self.gap(GapKind::Bridge, first, Lsn::end_of(first.epoch));
        self.next = Some(Lsn::new(first.epoch.0 + 1, 1));
    }

    fn gap(&mut self, kind: GapKind, first: Lsn, last: Lsn) {
        self.gaps.push(Gap { kind, first, last });
    }

    fn read(&self, from: Lsn, limit: u32) -> ReadOutcome {
        let tail = self.next();
        let records: Vec<_> = self
            .records
            .iter()
            .filter(|(lsn, _)| *lsn >= from)
            .take(limit as usize)
            .copied()
            .collect();
        let cut = records.len() == limit as usize;
        let end = match records.last() {
            Some((last, _)) if cut => last.next(),
            None if cut => from,
            _ => tail,
        };
        let gaps = self
            .gaps
            .iter()
            .filter(|gap| gap.last >= from && gap.first < end)
            .map(|gap| Gap {
                first: gap.first.max(from),
                ..*gap
            });
        ReadOutcome {
            gaps: gaps.collect(),
            records,
            tail,
        }
    }
}

fn some_lsn(rng: &mut impl Rng) -> Lsn {
    Lsn::new(rng.random_range(1..=2), rng.random_range(1..=5))
}

fn some_call(rng: &mut impl Rng, record: u64) -> Call {
    match rng.random_range(0..10) {
        0..5 => Call::append(RecordId(record)),
        5..8 => Call::read(
            if rng.random_bool(0.7) {
                Lsn::FIRST
            } else {
                some_lsn(rng)
            },
            if rng.random_bool(0.7) {
                10
            } else {
                rng.random_range(0..4)
            },
            rng.random_bool(0.3),
        ),
        _ => Call::Tail,
    }
}

/// A history of up to `ops_max` operations on log 0.
pub(crate) fn history(rng: &mut impl Rng, ops_max: usize) -> History {
    let (mut ops, mut events) = right(rng, ops_max);
    if rng.random_bool(0.7) {
        for _ in 0..rng.random_range(1..=2) {
            damage(rng, &mut ops, &mut events);
        }
    }
    record(&ops, &events)
}

/// Runs clients against a right log, one step at a time.
fn right(rng: &mut impl Rng, ops_max: usize) -> (Vec<Draft>, Vec<Event>) {
    let wanted = rng.random_range(1..=ops_max);
    let width = rng.random_range(1..=4);
    let mut log = RightLog::default();
    let (mut ops, mut events): (Vec<Draft>, Vec<Event>) = (Vec::new(), Vec::new());
    let mut waiting: Vec<usize> = Vec::new();
    let mut done: Vec<usize> = Vec::new();
    loop {
        let may_invoke = ops.len() < wanted && waiting.len() + done.len() < width;
        match rng.random_range(0..10) {
            0 => log.hole(),
            1 if log.next().epoch.0 < 2 && rng.random_bool(0.5) => log.bridge(),
            2..5 if may_invoke => {
                events.push((ops.len(), true));
                waiting.push(ops.len());
                ops.push(Draft {
                    call: some_call(rng, ops.len() as u64),
                    end: End::Never,
                });
            }
            5..8 if !waiting.is_empty() => {
                let index = waiting.swap_remove(rng.random_range(0..waiting.len()));
                let end = take_effect(rng, &mut log, ops[index].call);
                ops[index].end = end;
                done.push(index);
            }
            8..10 if !done.is_empty() => {
                let index = done.swap_remove(rng.random_range(0..done.len()));
                if !matches!(ops[index].end, End::Never) {
                    events.push((index, false));
                }
            }
            _ if ops.len() == wanted && waiting.is_empty() && done.is_empty() => break,
            _ => {}
        }
        if log.next().offset.0 > 8 {
            if log.next().epoch.0 >= 3 {
                break;
            }
            log.bridge();
        }
    }
    // What has not returned when the log is full stays open.
    for index in waiting.into_iter().chain(done) {
        ops[index].end = End::Never;
    }
    (ops, events)
}

fn take_effect(rng: &mut impl Rng, log: &mut RightLog, call: Call) -> End {
    match (call, rng.random_range(0..20)) {
        (_, 0) => End::Fail,
        (_, 1) => End::Info,
        (_, 2) => End::Never,
        (Call::Append { record, .. }, 3 | 4) => {
            log.append(record);
            End::Info
        }
        (Call::Append { record, .. }, _) => End::Ok(Outcome::Append {
            lsn: log.append(record),
        }),
        (Call::Read { from, limit, .. }, _) => End::Ok(Outcome::Read(log.read(from, limit))),
        (_, _) => End::Ok(Outcome::Tail { tail: log.next() }),
    }
}

/// Does something that a broken log, or a race, could do.
fn damage(rng: &mut impl Rng, ops: &mut [Draft], events: &mut [Event]) {
    if rng.random_bool(0.3) {
        for _ in 0..rng.random_range(1..=4) {
            swap_events(rng, events);
        }
        return;
    }
    let index = rng.random_range(0..ops.len());
    let records = ops.len() as u64 + 1;
    let Draft { end, .. } = &mut ops[index];
    match end {
        End::Ok(_) if rng.random_bool(0.1) => *end = End::Info,
        End::Ok(Outcome::Append { .. }) if rng.random_bool(0.2) => *end = End::Fail,
        End::Ok(Outcome::Append { lsn }) | End::Ok(Outcome::Tail { tail: lsn }) => {
            *lsn = some_lsn(rng);
        }
        End::Ok(Outcome::Read(read)) => damage_read(rng, read, records),
        // Completions are events already placed, so only their kind may change.
        End::Fail => *end = End::Info,
        End::Info => *end = End::Fail,
        End::Ok(_) | End::Never => {}
    }
}

fn swap_events(rng: &mut impl Rng, events: &mut [Event]) {
    if events.len() < 2 {
        return;
    }
    let at = rng.random_range(0..events.len() - 1);
    if events[at].0 != events[at + 1].0 {
        events.swap(at, at + 1);
    }
}

fn damage_read(rng: &mut impl Rng, read: &mut ReadOutcome, records: u64) {
    let lsn = some_lsn(rng);
    let kind = [GapKind::Hole, GapKind::DataLoss][rng.random_range(0..2)];
    match rng.random_range(0..8) {
        0 => read.tail = lsn,
        1 => {
            // As if it had been taken earlier: a clean cut.
            read.tail = lsn.min(read.tail);
            let tail = read.tail;
            read.records.retain(|(lsn, _)| *lsn < tail);
            read.gaps.retain(|gap| gap.last < tail);
        }
        2 => {
            read.records
                .push((lsn, RecordId(rng.random_range(0..records))));
            if rng.random_bool(0.8) {
                read.records.sort();
            }
        }
        3 => read.gaps.push(Gap {
            kind,
            first: lsn,
            last: lsn,
        }),
        4 => {
            if let Some((lsn, _)) = read.records.pop() {
                read.gaps.push(Gap {
                    kind,
                    first: lsn,
                    last: lsn,
                });
            }
        }
        5 => drop(read.gaps.pop()),
        _ if read.records.is_empty() => {}
        6 => {
            let at = rng.random_range(0..read.records.len());
            let (lsn, _) = read.records.remove(at);
            if rng.random_bool(0.5) {
                read.gaps.push(Gap {
                    kind,
                    first: lsn,
                    last: lsn,
                });
            }
        }
        _ => {
            let at = rng.random_range(0..read.records.len());
            read.records[at].1 = RecordId(rng.random_range(0..records));
        }
    }
}

/// Each operation gets a process of its own: who does what never matters for linearizability.
fn record(ops: &[Draft], events: &[Event]) -> History {
    let mut recorder = Recorder::new();
    let mut ids: Vec<Option<OpId>> = vec![None; ops.len()];
    for (now, &(index, is_invocation)) in events.iter().enumerate() {
        let now = now as u64 * 1_000;
        let Draft { call, end } = &ops[index];
        let process = ProcessId(index as u32);
        if is_invocation {
            let id = recorder.invoke(process, LogId(0), *call, now);
            ids[index] = Some(id.expect("its process is fresh"));
            continue;
        }
        // A swap can have put a completion first: that operation stays open.
        let Some(id) = ids[index] else { continue };
        match end {
            End::Ok(outcome) => recorder.answer(id, outcome.clone(), now),
            End::Fail => recorder.fail(id, now),
            End::Info => recorder.info(id, now),
            End::Never => Ok(()),
        }
        .expect("each operation ends once");
    }
    recorder
        .finish()
        .expect("record ids are the numbers of the operations")
}
