//! What can be told of queues and stacks before a history of them is searched.
//!
//! Where no value comes twice, it is known which `put` an answered `take` belongs to. Then intervals tell
//! much of the order in which the values went in, as Gibbons, Bruno and Phillips ("Black-box correctness
//! tests for basic parallel data structures", 2002) and Henzinger, Sezgin and Vafeiadis ("Aspect-oriented
//! linearizability proofs", 2013) found: for queues of which every operation is answered, pairs of values tell it
//! all, but for `take`s that found nothing. Here such pairs only guide the search, so they may be incomplete,
//! as those of stacks are, and values that come twice or whose fate is unknown merely add none.
//!
//! Of a value *v*, which is *claimed* if it is put once and some `take` must have got it, `D(v)` is the edge by
//! which that took effect. `R(v)` is the edge from which on anything can have taken *v*, a `take` of unknown outcome
//! included unless *v* is claimed. So if `D(v) < R(u)` and both are in at once, *v* goes out first. Of values of which
//! nobody says that they went out, no more went out than there are `take`s of unknown outcome.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::object::ValueId;
use crate::search::{Foresight, Timed};

/// What an operation does to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// This is in it.
    Put(ValueId),
    /// This was in it, and is not any more.
    Take(ValueId),
    /// Something was in it, and is not any more.
    TakeAny,
    /// There is nothing in it.
    Empty,
}

/// Which of two values goes out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discipline {
    /// The one that went in first.
    Queue,
    /// The one that went in last.
    Stack,
}

/// A container, for the duration of a look at a history of it.
pub(super) struct Container<'m, O> {
    pub(super) discipline: Discipline,
    pub(super) role: &'m dyn Fn(&O) -> Role,
    pub(super) put: &'m dyn Fn(ValueId) -> O,
    /// One of these was in it, and is not any more.
    pub(super) take_of: &'m dyn Fn(Box<[ValueId]>) -> O,
    /// What is in it at first.
    pub(super) initial: &'m [ValueId],
    /// A value that nobody can take.
    pub(super) nobody: ValueId,
}

/// So many of the operations that are open when one is invoked are compared with it, those invoked last. That bounds the
/// work where very many stay open for ever.
const OPEN_MAX: usize = 128;

/// So many values at most are listed for whoever took one of them without knowing which.
const LEFT_MAX: usize = 32;

/// What becomes of a value.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// How often it went in, or may have.
    puts: usize,
    /// One of these operations.
    put: Option<usize>,
    /// The edge from which on it can be in.
    in_from: u64,
    /// How often it certainly went out.
    takes: usize,
    /// Of these operations the first to return.
    take: Option<usize>,
    /// The edge from which on it can have gone out to somebody who knows.
    out_from: u64,
    /// Whether something was certainly done with it.
    is_certain: bool,
}

impl Fate {
    const NONE: Self = Self {
        puts: 0,
        put: None,
        in_from: u64::MAX,
        takes: 0,
        take: None,
        out_from: u64::MAX,
        is_certain: false,
    };

    /// The only operation that put it in and the one that took it out.
    fn claim(&self) -> Option<(usize, usize)> {
        if self.puts == 1 {
            self.put.zip(self.take)
        } else {
            None
        }
    }

    /// Whether somebody may have got it, and knows.
    fn is_named(&self) -> bool {
        self.out_from != u64::MAX
    }
}

impl<O: Clone> Container<'_, O> {
    /// What these operations tell.
    pub(super) fn foresee(&self, ops: &[Timed<O>]) -> Foresight<O> {
        let known = Known::new(self, ops);
        let mut foresight = Foresight::default();
        known.rename(self, &mut foresight);
        known.find_never(&mut foresight.never);
        known.find_precedences(&mut foresight.precedences);
        foresight
    }
}

/// A history, and the fates of the values in it.
struct Known<'o, O> {
    discipline: Discipline,
    ops: &'o [Timed<O>],
    roles: Vec<Role>,
    /// Only ever asked for a value, so that its order is never observed.
    fates: HashMap<ValueId, Fate, FxBuildHasher>,
    /// The edge from which on anything can have gone out to nobody knows whom.
    any_from: u64,
    /// Whether something certainly went out so, which no client can know.
    is_any_certain: bool,
    /// What is in at first.
    initial: &'o [ValueId],
}

impl<'o, O> Known<'o, O> {
    fn new(container: &Container<'o, O>, ops: &'o [Timed<O>]) -> Self {
        let roles: Vec<Role> = ops.iter().map(|op| (container.role)(&op.op)).collect();
        let mut known = Self {
            discipline: container.discipline,
            ops,
            roles,
            fates: HashMap::with_hasher(FxBuildHasher),
            any_from: u64::MAX,
            is_any_certain: false,
            initial: container.initial,
        };
        for &value in container.initial {
            let fate = known.fates.entry(value).or_insert(Fate::NONE);
            fate.puts += 1;
            fate.in_from = 0;
            fate.is_certain = true;
        }
        for (index, (op, &role)) in ops.iter().zip(&known.roles).enumerate() {
            let (Role::Put(value) | Role::Take(value)) = role else {
                if role == Role::TakeAny {
                    known.any_from = known.any_from.min(op.invoked);
                    known.is_any_certain |= !op.optional;
                }
                continue;
            };
            let fate = known.fates.entry(value).or_insert(Fate::NONE);
            fate.is_certain |= !op.optional;
            if let Role::Put(_) = role {
                fate.puts += 1;
                fate.put = Some(index);
                fate.in_from = fate.in_from.min(op.invoked);
                continue;
            }
            fate.out_from = fate.out_from.min(op.invoked);
            if !op.optional {
                fate.takes += 1;
                let is_first = |other: usize| ops[other].deadline <= op.deadline;
                if !fate.take.is_some_and(is_first) {
                    fate.take = Some(index);
                }
            }
        }
        known
    }

    /// `R` of a value.
    fn out_from(&self, fate: &Fate) -> u64 {
        match fate.claim() {
            Some((_, take)) => self.ops[take].invoked,
            None => fate.out_from.min(self.any_from),
        }
    }

    /// Values about which nothing is certain: leave them out of a legal order, with what took them, and it is
    /// still legal.
    fn is_idle(&self, fate: &Fate) -> bool {
        !fate.is_certain && !self.is_any_certain
    }

    /// Values that nobody is known to have taken are all alike. And whoever took something without knowing took
    /// none that is claimed.
    fn rename(&self, container: &Container<'_, O>, foresight: &mut Foresight<O>) {
        if self
            .fates
            .get(&container.nobody)
            .is_some_and(Fate::is_named)
        {
            return;
        }
        let mut left: Vec<ValueId> = Vec::new();
        let is_left = |value: &&ValueId| self.fates[*value].claim().is_none();
        left.extend(self.initial.iter().filter(is_left));
        for (index, &role) in self.roles.iter().enumerate() {
            let Role::Put(value) = role else {
                continue;
            };
            let fate = &self.fates[&value];
            if self.is_idle(fate) {
                continue;
            }
            if fate.is_named() {
                left.extend(Some(&value).filter(is_left));
            } else {
                left.push(container.nobody);
                foresight
                    .stand_ins
                    .push((index, (container.put)(container.nobody)));
            }
        }
        left.sort_unstable();
        left.dedup();
        if left.len() > LEFT_MAX {
            return;
        }
        for (index, &role) in self.roles.iter().enumerate() {
            if role != Role::TakeAny {
                continue;
            }
            if left.is_empty() {
                foresight.never.push(index);
            } else {
                let take = (container.take_of)(left.clone().into());
                foresight.stand_ins.push((index, take));
            }
        }
    }

    fn find_never(&self, never: &mut Vec<usize>) {
        let stays = Stays::new(self);
        for (index, (op, &role)) in self.ops.iter().zip(&self.roles).enumerate() {
            let is_never = match role {
                Role::Put(value) => self.is_idle(&self.fates[&value]),
                Role::Take(value) => {
                    let fate = &self.fates[&value];
                    // More often out than in: none of them can be right in a legal order, since there is none.
                    self.is_idle(fate)
                        || fate.in_from > op.deadline
                        || fate.takes > fate.puts
                        || self.discipline == Discipline::Queue
                            && fate.claim().is_some_and(|(put, take)| {
                                take == index && stays.cover(self.ops[put].invoked, op.deadline)
                            })
                }
                Role::TakeAny => false,
                Role::Empty => !op.optional && stays.cover(op.invoked, op.deadline),
            };
            if is_never {
                never.push(index);
            }
        }
        if self.discipline == Discipline::Stack {
            self.find_buried(never);
        }
    }

    /// Finds values of a stack that went out although another one was put on them which did not go out before.
    fn find_buried(&self, never: &mut Vec<usize>) {
        let mut others = Vec::new();
        let mut claims = Vec::new();
        for (index, (op, &role)) in self.ops.iter().zip(&self.roles).enumerate() {
            let Role::Put(value) = role else {
                continue;
            };
            let fate = &self.fates[&value];
            if !op.optional {
                others.push((self.out_from(fate), op));
            }
            if let Some((put, take)) = fate.claim()
                && put == index
            {
                claims.push((self.ops[take].deadline, put, take));
            }
        }
        others.sort_by_key(|&(out_from, _)| std::cmp::Reverse(out_from));
        claims.sort_unstable_by(|a, b| b.cmp(a));
        let mut edges: Vec<u64> = others.iter().map(|(_, op)| op.invoked).collect();
        edges.sort_unstable();
        // By invocation backwards, the first to return of those that were invoked last.
        let mut first_return = vec![u64::MAX; edges.len() + 1];
        let mut next = 0;
        for (taken, put, take) in claims {
            while let Some(&(_, other)) = others.get(next).filter(|(from, _)| *from > taken) {
                let mut at = edges.len() - edges.partition_point(|&edge| edge < other.invoked);
                while at < first_return.len() {
                    first_return[at] = first_return[at].min(other.deadline);
                    at += at & at.wrapping_neg();
                }
                next += 1;
            }
            let put = self.ops[put].deadline;
            let mut at = edges.len() - edges.partition_point(|&edge| edge <= put);
            let mut first = u64::MAX;
            while at > 0 {
                first = first.min(first_return[at]);
                at -= at & at.wrapping_neg();
            }
            if first < self.ops[take].invoked {
                never.push(take);
            }
        }
    }

    /// Compares the operations that are concurrent: others have their order anyway.
    fn find_precedences(&self, precedences: &mut Vec<(usize, usize)>) {
        let mut order: Vec<(u64, usize, u64)> = Vec::new();
        for (index, (op, &role)) in self.ops.iter().zip(&self.roles).enumerate() {
            let end = match role {
                Role::Put(value) if self.is_idle(&self.fates[&value]) => continue,
                // What is out is in no relation with what comes later.
                Role::Put(value) => self.fates[&value].claim().map_or(op.deadline, |(_, take)| {
                    op.deadline.min(self.ops[take].deadline)
                }),
                Role::Empty if !op.optional => op.deadline,
                Role::Take(value) if self.discipline == Discipline::Stack => {
                    match self.fates[&value].claim() {
                        Some((_, take)) if take == index => op.deadline,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            order.push((op.invoked, index, end));
        }
        order.sort_unstable();
        let mut open: Vec<(usize, u64)> = Vec::new();
        for (invoked, op, end) in order {
            open.retain(|&(_, end)| end >= invoked);
            for &(other, _) in open.iter().rev().take(OPEN_MAX) {
                for (earlier, later) in [(op, other), (other, op)] {
                    if self.precedes(earlier, later) {
                        precedences.push((earlier, later));
                    }
                }
            }
            open.push((op, end));
        }
    }

    /// Whether an operation comes before another one, which puts a value in, in every legal order that has
    /// that one.
    fn precedes(&self, earlier: usize, later: usize) -> bool {
        let Role::Put(value) = self.roles[later] else {
            return false;
        };
        let later_fate = &self.fates[&value];
        let out_from = self.out_from(later_fate);
        let deadline = |op: usize| self.ops[op].deadline;
        match (self.roles[earlier], self.discipline) {
            // It would be found.
            (Role::Empty, _) => deadline(earlier) < out_from,
            // What goes out first went in first.
            (Role::Put(value), Discipline::Queue) => {
                let claim = self.fates[&value].claim();
                claim.is_some_and(|(_, take)| deadline(take) < out_from)
            }
            // What goes out last went in first, unless it went in after that.
            (Role::Put(value), Discipline::Stack) => {
                let other_out_from = self.out_from(&self.fates[&value]);
                let is_certain = !self.ops[earlier].optional;
                let claim = later_fate.claim().filter(|_| is_certain);
                claim.is_some_and(|(_, take)| {
                    deadline(earlier) < self.ops[take].invoked && deadline(take) < other_out_from
                })
            }
            // What goes out last and went in last went in after that.
            (Role::Take(value), Discipline::Stack) => {
                let claim = self.fates[&value].claim();
                claim.is_some_and(|(put, take)| {
                    take == earlier
                        && deadline(put) < self.ops[later].invoked
                        && deadline(take) < out_from
                })
            }
            (Role::Take(_) | Role::TakeAny, _) => false,
        }
    }
}

/// When values certainly were in.
struct Stays {
    /// The edges by which they were in, rising, each with the last edge at which one of those so far cannot have
    /// gone out.
    in_by: Vec<(u64, u64)>,
    /// The edges by which values were in that nobody knows to have taken, rising.
    nameless_in_by: Vec<u64>,
    /// The edges from which on somebody who does not know can have taken one, rising.
    any_from: Vec<u64>,
    /// The last edge at which one of those that are in at first cannot have gone out.
    initial: u64,
    /// How many of these nobody knows to have taken.
    nameless_initial: usize,
}

impl Stays {
    fn new<O>(known: &Known<'_, O>) -> Self {
        let fate = |value| &known.fates[&value];
        let mut stays = Self {
            in_by: Vec::new(),
            nameless_in_by: Vec::new(),
            any_from: Vec::new(),
            initial: 0,
            nameless_initial: 0,
        };
        for &value in known.initial {
            stays.initial = stays.initial.max(known.out_from(fate(value)));
            stays.nameless_initial += usize::from(!fate(value).is_named());
        }
        for (op, &role) in known.ops.iter().zip(&known.roles) {
            match role {
                Role::Put(value) if !op.optional => {
                    stays.in_by.push((op.deadline, known.out_from(fate(value))));
                    if !fate(value).is_named() {
                        stays.nameless_in_by.push(op.deadline);
                    }
                }
                Role::TakeAny => stays.any_from.push(op.invoked),
                Role::Put(_) | Role::Take(_) | Role::Empty => {}
            }
        }
        stays.in_by.sort_unstable();
        stays.nameless_in_by.sort_unstable();
        stays.any_from.sort_unstable();
        let mut last = stays.initial;
        for (_, out_from) in &mut stays.in_by {
            last = last.max(*out_from);
            *out_from = last;
        }
        stays
    }

    /// Whether one was in before `from` and still at `to`: one that nothing can have taken, or one of more than
    /// can have been taken by those who do not know.
    fn cover(&self, from: u64, to: u64) -> bool {
        let before = self.in_by.partition_point(|&(in_by, _)| in_by < from);
        let last = match before.checked_sub(1) {
            Some(last) => self.in_by[last].1,
            None => self.initial,
        };
        let nameless = self.nameless_in_by.partition_point(|&in_by| in_by < from);
        let any = self.any_from.partition_point(|&any_from| any_from < to);
        to < last || self.nameless_initial + nameless > any
    }
}
