//! Against a brute force that tries every order. It works from what a stream is, a list of records and a
//! token, and shares nothing with the checker, nor with the model that replays its witnesses. It judges
//! whole histories, and certificates: the operations that are said to be needed, and of the others only the
//! appends, each of which may have happened or not.

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{StreamCause, StreamVerdict, check};
use crate::history::OpId;
use crate::models::{S2, S2Op, S2State};
use crate::search::{Model, Timed};

const HISTORIES: u64 = 40_000;
const STEPS: u64 = 1_000_000;

fn is_loose(op: &Timed<S2Op>) -> bool {
    op.optional
}

/// A stream.
#[derive(Clone, Default)]
struct Stream {
    records: Vec<u64>,
    token: Option<Rc<str>>,
}

impl Stream {
    fn hash(&self) -> u64 {
        self.records.iter().fold(0, |below, record| {
            xxhash_rust::xxh3::xxh3_64_with_seed(&record.to_le_bytes(), below)
        })
    }

    /// What becomes of it, if the operation can be so.
    fn after(&self, op: &S2Op) -> Option<Self> {
        let len = self.records.len() as u64;
        match op {
            S2Op::Append {
                records,
                hashes,
                sets_token,
                token,
                at,
                tail,
            } => {
                assert_eq!(*records, hashes.len() as u64);
                let is_refused = (token.is_some() && *token != self.token)
                    || (at.is_some() && *at != Some(len))
                    || (tail.is_some() && *tail != Some(len + records));
                (!is_refused).then(|| Self {
                    records: [&self.records[..], hashes].concat(),
                    token: sets_token.clone().or(self.token.clone()),
                })
            }
            S2Op::Seen { tail, hash } => {
                let is_so = *tail == len && (hash.is_none() || *hash == Some(self.hash()));
                is_so.then(|| self.clone())
            }
        }
    }
}

/// Whether some order explains the operations that are left: no optional one is needed.
fn brute_force(ops: &[Timed<S2Op>], done: u32, latest: u64, stream: &Stream) -> bool {
    let open = |at: &usize| done & (1 << at) == 0;
    let open: Vec<usize> = (0..ops.len()).filter(open).collect();
    if open.iter().all(|&at| is_loose(&ops[at])) {
        return true;
    }
    let required = open.iter().filter(|&&at| !is_loose(&ops[at]));
    let first_return = required.map(|&at| ops[at].deadline).min();
    open.iter().any(|&at| {
        Some(ops[at].invoked) < first_return
            && ops[at].deadline > latest
            && stream.after(&ops[at].op).is_some_and(|next| {
                brute_force(ops, done | 1 << at, latest.max(ops[at].invoked), &next)
            })
    })
}

/// Clients against a right stream, then sometimes some damage.
fn history(rng: &mut impl Rng) -> Vec<Timed<S2Op>> {
    let wanted = rng.random_range(1..=8_usize);
    let (mut ops, mut now, mut state) = (Vec::<Timed<S2Op>>::new(), 0, S2State::default());
    // Which operations wait for their effect, and which for their return.
    let (mut waiting, mut done): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    loop {
        now += 1;
        match rng.random_range(0..3) {
            0 if ops.len() < wanted => {
                waiting.push(ops.len());
                let op = match rng.random_range(0..10) {
                    0..6 => append(rng, ops.len() as u64, state.tail),
                    kind => S2Op::Seen {
                        tail: u64::MAX,
                        hash: (kind < 9).then_some(0),
                    },
                };
                ops.push(Timed {
                    id: OpId(ops.len() as u32),
                    optional: matches!(op, S2Op::Append { .. }),
                    op,
                    invoked: 2 * now,
                    deadline: u64::MAX,
                });
            }
            1 if !waiting.is_empty() => {
                let at = waiting.swap_remove(rng.random_range(0..waiting.len()));
                let told = rng.random_bool(0.7);
                let next = S2.step(&state, &ops[at].op);
                match &mut ops[at].op {
                    S2Op::Seen { tail, hash } => {
                        *tail = state.tail;
                        *hash = hash.map(|_| state.hash);
                        done.push(at);
                    }
                    S2Op::Append { tail, .. } => {
                        // What does not fit has no effect, and is never told of.
                        let Some(next) = next else {
                            continue;
                        };
                        if told || rng.random_bool(0.7) {
                            state = next;
                        }
                        if told {
                            *tail = Some(state.tail);
                            ops[at].optional = false;
                            done.push(at);
                        }
                    }
                }
            }
            2 if !done.is_empty() => {
                let at = done.swap_remove(rng.random_range(0..done.len()));
                ops[at].deadline = 2 * now + 1;
            }
            _ if ops.len() == wanted && waiting.is_empty() && done.is_empty() => break,
            _ => {}
        }
    }
    ops.retain(|op| is_loose(op) || op.deadline != u64::MAX);
    if rng.random_bool(0.6) {
        damage(rng, &mut ops);
    }
    ops
}

fn append(rng: &mut impl Rng, op: u64, tail: u64) -> S2Op {
    let records = rng.random_range(1..=3);
    // Few different contents, so that batches can stand in for each other.
    let content = if rng.random_bool(0.5) { 7 } else { op };
    let token = |rng: &mut dyn Rng| Rc::from(["a", "b"][rng.random_range(0..2)]);
    S2Op::Append {
        records,
        hashes: (0..records).map(|record| content * 10 + record).collect(),
        at: rng.random_bool(0.2).then_some(tail),
        token: rng.random_bool(0.1).then(|| token(rng)),
        sets_token: rng.random_bool(0.2).then(|| token(rng)),
        tail: None,
    }
}

fn damage(rng: &mut impl Rng, ops: &mut [Timed<S2Op>]) {
    let Some(at) = (!ops.is_empty()).then(|| rng.random_range(0..ops.len())) else {
        return;
    };
    let op = &mut ops[at];
    match (&mut op.op, rng.random_range(0..4)) {
        (_, 0) if op.deadline != u64::MAX => {
            // As if it had happened earlier or later.
            let by = 2 * rng.random_range(1..=4);
            if rng.random_bool(0.5) {
                op.invoked += by;
                op.deadline += by;
            } else {
                op.invoked = op.invoked.saturating_sub(by);
                op.deadline = op.deadline.saturating_sub(by).max(op.invoked + 1);
            }
        }
        (S2Op::Seen { tail, .. }, 1) => *tail = rng.random_range(0..=8),
        (S2Op::Seen { hash, .. }, _) => *hash = hash.map(|hash| hash + 1),
        (S2Op::Append { tail, .. }, 1) => {
            let told = rng.random_range(0..=8);
            *tail = tail.map(|_| told);
        }
        (S2Op::Append { token, .. }, 2) => *token = Some(Rc::from("c")),
        (S2Op::Append { hashes, at, .. }, _) => {
            *at = rng.random_bool(0.3).then_some(1).or(*at);
            hashes[0] += 100;
        }
    }
    if op.invoked > op.deadline {
        op.deadline = op.invoked + 1;
    }
}

/// Replays an order.
fn explains(ops: &[Timed<S2Op>], order: &[OpId]) -> bool {
    let (mut state, mut latest, mut used) = (S2State::default(), 0, vec![false; ops.len()]);
    for &id in order {
        let at = ops.iter().position(|op| op.id == id).expect("one of these");
        let op = &ops[at];
        latest = latest.max(op.invoked);
        if std::mem::replace(&mut used[at], true) || op.deadline < latest {
            return false;
        }
        match S2.step(&state, &op.op) {
            Some(next) => state = next,
            None => return false,
        }
    }
    ops.iter().zip(used).all(|(op, used)| used || is_loose(op))
}

#[test]
fn the_checker_and_brute_force_agree_and_every_verdict_has_its_proof() {
    let (mut illegal, mut loose) = (0_u64, 0_u64);
    let (mut causes, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut ops = history(&mut rng);
        ops.sort_by_key(|op| op.invoked);
        let legal = brute_force(&ops, 0, 0, &Stream::default());
        loose += u64::from(ops.iter().any(is_loose));
        illegal += u64::from(!legal);
        match check(&ops, STEPS) {
            StreamVerdict::Valid { order, .. } => {
                assert!(legal, "seed {seed}: {order:?} explains {ops:#?}");
                assert!(explains(&ops, &order), "seed {seed}: {order:?} of {ops:#?}");
            }
            StreamVerdict::Invalid(fault) => {
                assert!(!legal, "seed {seed}: {fault:?} in {ops:#?}");
                let required = |op: &Timed<S2Op>| fault.required.contains(&op.id);
                assert!(fault.required.is_sorted(), "seed {seed}: {fault:?}");
                // Observers that are not needed are left out, other appends may have happened or not.
                let mut core = ops.clone();
                core.retain(|op| required(op) || matches!(op.op, S2Op::Append { .. }));
                for op in &mut core {
                    op.optional = !required(op);
                }
                assert!(
                    !brute_force(&core, 0, 0, &Stream::default()),
                    "seed {seed}: {fault:?} proves nothing in {ops:#?}"
                );
                *causes.entry(cause(&fault.cause)).or_insert(0_u64) += 1;
                *sizes.entry(fault.required.len()).or_insert(0_u64) += 1;
            }
            StreamVerdict::OutOfBudget => panic!("seed {seed}: a small history"),
        }
    }
    println!("{HISTORIES} histories: {illegal} illegal, {loose} with unknown outcomes; {causes:?}");
    println!("certificates by the number of operations: {sizes:?}");
    assert!(illegal * 10 > HISTORIES && (HISTORIES - illegal) * 10 > HISTORIES);
    assert!(loose * 10 > HISTORIES);
    assert_eq!(causes.len(), 8, "every cause is found: {causes:?}");
    assert!(
        causes.values().all(|&times| times >= 20),
        "and not by chance: {causes:?}"
    );
}

fn cause(cause: &StreamCause) -> &'static str {
    match cause {
        StreamCause::TooLong { .. } => "too long",
        StreamCause::NotWhereDemanded { .. } => "not where demanded",
        StreamCause::Overlap { .. } => "overlap",
        StreamCause::TailInside { .. } => "tail inside",
        StreamCause::TooLate { .. } => "too late",
        StreamCause::Hash { .. } => "hash",
        StreamCause::Token { .. } => "token",
        StreamCause::Hole { .. } => "hole",
    }
}
