//! Small random histories of one log: mostly what a right log could have answered, then damaged.

use hstore_core::{Epoch, LogId, Lsn};
use jepsen_lite::history::{
    Call, EventIndex, Gap, GapKind, History, Intervals, Mismatch, Moment, OpId, Outcome, ProcessId,
    ReadOutcome, RecordId, Recorder, Source, Status, Terms, Token,
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
    token: Option<Token>,
    trimmed: Lsn,
}

impl RightLog {
    fn next(&self) -> Lsn {
        self.next.unwrap_or(Lsn::FIRST)
    }

    fn last(&self) -> Lsn {
        self.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn)
    }

    fn has(&self, terms: Terms) -> bool {
        terms.last.is_none_or(|last| last == self.last())
            && (terms.token.is_none() || terms.token == self.token)
    }

    fn append(&mut self, record: RecordId, terms: Terms) -> Lsn {
        let lsn = self.next();
        self.records.push((lsn, record));
        self.next = Some(lsn.next());
        self.token = terms.sets.or(self.token);
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

    fn read(&self, rng: &mut impl Rng, from: Lsn, limit: u32) -> Outcome {
        if from <= self.trimmed && rng.random_bool(0.3) {
            return Outcome::Trimmed { upto: self.trimmed };
        }
        let tail = self.next();
        let records = self.records.iter().filter(|(lsn, _)| *lsn >= from);
        let mut records: Vec<_> = records.take(limit as usize).copied().collect();
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
        let mut gaps: Vec<_> = gaps.collect();
        // What is trimmed may be gone; of a read that was cut, less than all records would be left.
        if from <= self.trimmed && self.trimmed < tail && !cut && rng.random_bool(0.6) {
            let trimmed = self.trimmed;
            records.retain(|(lsn, _)| *lsn > trimmed);
            gaps.retain(|gap| gap.last > trimmed);
            for gap in &mut gaps {
                gap.first = gap.first.max(Lsn::from_u64(trimmed.as_u64() + 1));
            }
            gaps.push(Gap {
                kind: GapKind::Trim,
                first: from,
                last: trimmed,
            });
        }
        Outcome::Read(ReadOutcome {
            gaps,
            records,
            tail,
        })
    }

    /// The lower part of what a read would return.
    fn poll(&self, rng: &mut impl Rng, from: Lsn, limit: u32) -> Outcome {
        let Outcome::Read(mut read) = self.read(rng, from, limit) else {
            return Outcome::Trimmed { upto: self.trimmed };
        };
        if rng.random_bool(0.5)
            && let Some((last, _)) = read.records.pop()
        {
            read.gaps.retain(|gap| gap.last < last);
        }
        Outcome::Read(ReadOutcome::of_poll(read.records, read.gaps))
    }
}

fn some_lsn(rng: &mut impl Rng) -> Lsn {
    Lsn::new(rng.random_range(1..=2), rng.random_range(1..=5))
}

fn some_token(rng: &mut impl Rng) -> Token {
    Token(rng.random_range(1..=3))
}

/// What clients do.
#[derive(Clone, Copy)]
struct Style {
    /// How often appends have terms.
    conditional: f64,
    /// How often something other than an append, a read or a tail is done.
    unusual: f64,
    /// How often appends end unknown.
    unknown: f64,
}

fn some_terms(rng: &mut impl Rng, log: &RightLog, style: Style) -> Terms {
    let mut terms = Terms::NONE;
    if !rng.random_bool(style.conditional) {
        return terms;
    }
    if rng.random_bool(0.4) {
        terms.last = Some(match rng.random_range(0..10) {
            0 => Lsn::MIN,
            1..3 => some_lsn(rng),
            _ => log.last(),
        });
    }
    if rng.random_bool(0.4) {
        terms.token = match rng.random_range(0..10) {
            0..3 => Some(some_token(rng)),
            _ => log.token,
        };
    }
    if rng.random_bool(0.4) {
        terms.sets = Some(some_token(rng));
    }
    terms
}

fn some_call(rng: &mut impl Rng, record: u64, log: &RightLog, style: Style) -> Call {
    let from = if rng.random_bool(0.7) {
        Lsn::FIRST
    } else {
        some_lsn(rng)
    };
    let limit = if rng.random_bool(0.7) {
        10
    } else {
        rng.random_range(0..4)
    };
    if rng.random_bool(style.unusual) {
        return match rng.random_range(0..5) {
            0 => Call::Poll {
                from,
                limit,
                subscription: None,
            },
            1 => Call::Read {
                from,
                limit,
                is_final: false,
                source: [Source::Tier1, Source::Tier2][rng.random_range(0..2)],
            },
            2 | 3 => Call::Trim {
                upto: if rng.random_bool(0.5) {
                    log.last()
                } else {
                    some_lsn(rng)
                },
            },
            _ => Call::Seal {
                epoch: Epoch(log.next().epoch.0 + rng.random_range(0..2)),
            },
        };
    }
    match rng.random_range(0..10) {
        0..6 => Call::Append {
            record: RecordId(record),
            terms: some_terms(rng, log, style),
        },
        6..8 => Call::read(from, limit, rng.random_bool(0.3)),
        _ => Call::Tail,
    }
}

/// A history of up to `ops_max` operations on log 0.
pub(crate) fn history(rng: &mut impl Rng, ops_max: usize) -> History {
    let (mut ops, mut events) = right(rng, ops_max);
    if rng.random_bool(0.6) {
        for _ in 0..rng.random_range(1..=2) {
            damage(rng, &mut ops, &mut events);
        }
    }
    record(rng, &ops, &events)
}

/// Runs clients against a right log, one step at a time.
fn right(rng: &mut impl Rng, ops_max: usize) -> (Vec<Draft>, Vec<Event>) {
    let wanted = rng.random_range(1..=ops_max);
    let width = rng.random_range(1..=4);
    let style = Style {
        conditional: [0.0, 0.5, 0.9][rng.random_range(0..3)],
        unusual: [0.0, 0.3][rng.random_range(0..2)],
        unknown: [0.05, 0.3][rng.random_range(0..2)],
    };
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
                    call: some_call(rng, ops.len() as u64, &log, style),
                    end: End::Never,
                });
            }
            5..8 if !waiting.is_empty() => {
                let index = waiting.swap_remove(rng.random_range(0..waiting.len()));
                let end = take_effect(rng, &mut log, ops[index].call, style);
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

fn take_effect(rng: &mut impl Rng, log: &mut RightLog, call: Call, style: Style) -> End {
    match rng.random_range(0..20) {
        0 => return End::Fail,
        1 => return End::Info,
        2 => return End::Never,
        _ => {}
    }
    End::Ok(match call {
        Call::Append { record, terms } => {
            let is_unknown = rng.random_bool(style.unknown);
            let outcome = if log.has(terms) {
                let lsn = log.append(record, terms);
                Outcome::Append { lsn }
            } else {
                Outcome::Mismatch(Mismatch {
                    last: rng.random_bool(0.4).then(|| log.last()),
                    token: rng.random_bool(0.3).then_some(log.token),
                })
            };
            if is_unknown {
                return End::Info;
            }
            outcome
        }
        Call::Read {
            from,
            limit,
            source: Source::Log,
            ..
        } => log.read(rng, from, limit),
        Call::Read { from, limit, .. } | Call::Poll { from, limit, .. } => {
            log.poll(rng, from, limit)
        }
        Call::Tail => Outcome::Tail { tail: log.next() },
        Call::Trim { upto } => {
            log.trimmed = log.trimmed.max(upto);
            Outcome::Trim
        }
        Call::Seal { epoch } => {
            let tail = log.next();
            while log.next().epoch < epoch {
                log.bridge();
            }
            Outcome::Seal { tail }
        }
    })
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
    let Draft { call, end } = &mut ops[index];
    if let Call::Append { terms, .. } = call
        && *terms != Terms::NONE
        && rng.random_bool(0.4)
    {
        damage_terms(rng, terms);
        if !terms.is_conditional() && matches!(end, End::Ok(Outcome::Mismatch(_))) {
            *end = End::Fail;
        }
        return;
    }
    let is_conditional = matches!(call, Call::Append { terms, .. } if terms.is_conditional());
    match end {
        End::Ok(_) if rng.random_bool(0.1) => *end = End::Info,
        End::Ok(Outcome::Append { .. }) if is_conditional && rng.random_bool(0.3) => {
            *end = End::Ok(Outcome::Mismatch(Mismatch::default()));
        }
        End::Ok(Outcome::Append { .. } | Outcome::Trim) if rng.random_bool(0.2) => *end = End::Fail,
        End::Ok(Outcome::Append { lsn })
        | End::Ok(Outcome::Tail { tail: lsn } | Outcome::Seal { tail: lsn }) => {
            *lsn = some_lsn(rng);
        }
        End::Ok(Outcome::Read(read)) => damage_read(rng, read, records),
        End::Ok(Outcome::Mismatch(told)) => match rng.random_range(0..4) {
            0 => told.last = Some(some_lsn(rng)),
            1 => told.token = Some(Some(some_token(rng))),
            2 => told.token = Some(None),
            _ => {
                *end = End::Ok(Outcome::Append { lsn: some_lsn(rng) });
            }
        },
        End::Ok(Outcome::Trimmed { .. } | Outcome::Trim) => {
            if let Call::Read { from, .. } | Call::Poll { from, .. } | Call::Trim { upto: from } =
                call
            {
                *from = some_lsn(rng);
            }
        }
        // Completions are events already placed, so only their kind may change.
        End::Fail => *end = End::Info,
        End::Info => *end = End::Fail,
        End::Never => {}
    }
}

fn damage_terms(rng: &mut impl Rng, terms: &mut Terms) {
    match rng.random_range(0..3) {
        0 => terms.last = rng.random_bool(0.7).then(|| some_lsn(rng)),
        1 => terms.token = rng.random_bool(0.7).then(|| some_token(rng)),
        _ => terms.sets = rng.random_bool(0.7).then(|| some_token(rng)),
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
    let kind = [GapKind::Hole, GapKind::DataLoss, GapKind::Trim][rng.random_range(0..3)];
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

/// Each operation gets a process of its own: who does what never matters for linearizability. Events may
/// share an index.
fn record(rng: &mut impl Rng, ops: &[Draft], events: &[Event]) -> History {
    let (mut recorder, sharing) = match rng.random_range(0..4) {
        0 | 1 => (Recorder::new(), 0.0),
        2 => (Recorder::with_intervals(Intervals::Closed), 0.3),
        _ => (Recorder::with_intervals(Intervals::Open), 0.2),
    };
    let mut ids: Vec<Option<(OpId, u64)>> = vec![None; ops.len()];
    let mut now = 0;
    for (number, &(index, is_invocation)) in events.iter().enumerate() {
        let takes_time = recorder.history().intervals() == Intervals::Open
            && ids[index].is_some_and(|(_, invoked)| invoked == now);
        if number > 0 && (takes_time || !rng.random_bool(sharing)) {
            now += 1;
        }
        let moment = Moment {
            index: EventIndex(now),
            time_ns: now * 1_000,
        };
        let Draft { call, end } = &ops[index];
        let process = ProcessId(index as u32);
        if is_invocation {
            let id = recorder.invoke_at(process, LogId(0), *call, moment);
            ids[index] = Some((id.expect("its process is fresh"), now));
            continue;
        }
        // A swap can have put a completion first: that operation stays open.
        let Some((id, _)) = ids[index] else { continue };
        match end {
            End::Ok(outcome) => {
                recorder.complete_at(id, outcome.status(), Some(outcome.clone()), moment)
            }
            End::Fail => recorder.complete_at(id, Status::Fail, None, moment),
            End::Info => recorder.complete_at(id, Status::Info, None, moment),
            End::Never => Ok(()),
        }
        .expect("each operation ends once");
    }
    recorder
        .finish()
        .expect("record ids are the numbers of the operations")
}
