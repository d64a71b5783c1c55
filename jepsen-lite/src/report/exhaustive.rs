//! A brute-force judge of a few operations of a log: tries every order in which they can have taken
//! effect, and every place that an append of unknown position can have got.
//!
//! It shares no decision with the checkers, so that it can vouch for them. It is only as good as it is
//! simple: no order of slots, no bounds, just a log that grows step by step. It remembers states that
//! led nowhere, and gives up after a number of states.

use std::collections::BTreeSet;

use hstore_core::Lsn;

use super::scope::Scope;
use super::statement::{Look, Saying, Statement};
use crate::history::{GapKind, Mismatch, RecordId, Terms, Token, after, position};

/// More operations than this are never judged.
pub(crate) const MAX_OPS: usize = 40;

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Some order explains everything.
    Legal,
    /// None does. So many states were reached.
    Illegal { states: u64 },
    /// There are too many orders to try.
    TooMany,
}

/// Judges what the statements say within the scope, in `max_states` states at most.
pub(crate) fn judge(statements: &[Statement], scope: &Scope, max_states: u64) -> Judgement {
    if statements.len() > MAX_OPS {
        return Judgement::TooMany;
    }
    let mut orders = Orders {
        statements,
        scope,
        places: places(statements, scope),
        seen: BTreeSet::new(),
        max_states,
    };
    match orders.explain(&State::default()) {
        Some(true) => Judgement::Legal,
        Some(false) => Judgement::Illegal {
            states: orders.seen.len() as u64,
        },
        None => Judgement::TooMany,
    }
}

/// Where an append of unknown position can go: between what is mentioned, one place is like another.
fn places(statements: &[Statement], scope: &Scope) -> Vec<u64> {
    let mentions = statements.iter().flat_map(Statement::mentions);
    let mut places: Vec<u64> = mentions
        .flat_map(|at| [position(Lsn::from_u64(at)), after(at)])
        .chain(scope.ranges().iter().map(|range| after(range.0)))
        .filter(|&at| scope.holds(at))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// A log as far as the scope goes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// A bit for each statement.
    done: u64,
    /// By position, which is the order in which they were appended.
    records: Vec<Placed>,
    /// No record will be put below this.
    floor: u64,
    /// The last position given up.
    trim: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    at: u64,
    record: RecordId,
    sets: Option<Token>,
}

struct Orders<'s> {
    statements: &'s [Statement],
    scope: &'s Scope,
    places: Vec<u64>,
    seen: BTreeSet<State>,
    max_states: u64,
}

impl Orders<'_> {
    /// Whether the rest can be explained; `None` if that takes too long to find out.
    fn explain(&mut self, state: &State) -> Option<bool> {
        let statements = self.statements;
        let open = statements.iter().enumerate();
        let open = open.filter(|(index, _)| state.done & (1 << index) == 0);
        let deadlines = open.clone().map(|(_, statement)| statement.deadline);
        let first_deadline = deadlines.min().unwrap_or(u64::MAX);
        if first_deadline == u64::MAX {
            return Some(true);
        }
        if !self.seen.insert(state.clone()) {
            return Some(false);
        }
        if self.seen.len() as u64 > self.max_states {
            return None;
        }
        for (index, statement) in open {
            if statement.begins > first_deadline {
                continue;
            }
            let done = state.done | 1 << index;
            for next in self.step(state, statement) {
                if self.explain(&State { done, ..next })? {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    /// All states in which the operation can leave the log.
    fn step(&self, state: &State, statement: &Statement) -> Vec<State> {
        let mut next = state.clone();
        let is_legal = match &statement.saying {
            Saying::Append {
                record,
                lsn: Some(at),
                terms,
            } => {
                return self
                    .append(state, *record, *at, terms)
                    .into_iter()
                    .collect();
            }
            Saying::Append {
                record,
                lsn: None,
                terms,
            } => {
                let places = self.places.iter();
                return places
                    .filter_map(|&at| self.append(state, *record, at, terms))
                    .collect();
            }
            Saying::Refused { terms, told } => {
                if let Some(last) = told.last.filter(|&last| last != Lsn::MIN) {
                    next.floor = next.floor.max(after(last.as_u64()));
                }
                self.can_refuse(state, terms, told)
            }
            Saying::Tail { tail } => {
                next.floor = next.floor.max(*tail);
                last(state) < *tail
            }
            Saying::Seal { tail, lowest } => {
                next.floor = next.floor.max(*tail).max(*lowest);
                last(state) < *tail
            }
            Saying::Read(look) => {
                let settled = if look.end > look.from { look.end } else { 0 };
                next.floor = next.floor.max(settled).max(look.tail.unwrap_or(0));
                look.tail.is_none_or(|tail| last(state) < tail) && self.shows(state, look)
            }
            Saying::Trim { upto } => {
                next.trim = next.trim.max(*upto);
                true
            }
            Saying::Trimmed { from } => state.trim >= *from,
        };
        is_legal.then_some(next).into_iter().collect()
    }

    fn append(&self, state: &State, record: RecordId, at: u64, terms: &Terms) -> Option<State> {
        let is_at_end = at > last(state) && at >= state.floor;
        let demanded = terms.last.map(Lsn::as_u64);
        let fits_last = demanded.is_none_or(|demanded| {
            demanded < at && last(state) <= demanded && !self.lacks(state, demanded)
        });
        let fits_token = match (terms.token, self.token(state, at - 1)) {
            (Some(demanded), Some(set)) => set == Some(demanded),
            (None, _) | (_, None) => true,
        };
        if !(is_at_end && fits_last && fits_token) {
            return None;
        }
        let mut next = state.clone();
        let sets = terms.sets;
        next.records.push(Placed { at, record, sets });
        Some(next)
    }

    /// Whether a record should be at this position, as the last one, and is not.
    fn lacks(&self, state: &State, position: u64) -> bool {
        position != 0 && self.scope.holds(position) && last(state) != position
    }

    /// The token that is set where the log ends at `end`, if that is known: the scope must show
    /// every record since the one that set it.
    fn token(&self, state: &State, end: u64) -> Option<Option<Token>> {
        let setter = state.records.iter().rfind(|placed| placed.sets.is_some());
        let since = setter.map_or(0, |setter| setter.at);
        let is_known = self.scope.holds_all(since, end);
        is_known.then(|| setter.and_then(|setter| setter.sets))
    }

    fn can_refuse(&self, state: &State, terms: &Terms, told: &Mismatch) -> bool {
        let shown_last = last(state);
        let fits_last = told.last.is_none_or(|told| {
            let told = told.as_u64();
            shown_last <= told && !self.lacks(state, told)
        });
        let end = told.last.map(Lsn::as_u64);
        let token = self.token(state, end.unwrap_or(u64::MAX));
        let fits_token = match (told.token, token) {
            (Some(told), Some(token)) => told == token,
            (None, _) | (_, None) => true,
        };
        // It may be refused unless it is known that all it demanded was so.
        let known_last = match told.last {
            Some(told) => Some(told.as_u64()),
            None => self
                .scope
                .holds_all(shown_last, u64::MAX)
                .then_some(shown_last),
        };
        let last_is_so = terms
            .last
            .is_none_or(|last| known_last == Some(last.as_u64()));
        let token_is_so = terms
            .token
            .is_none_or(|demanded| told.token.or(token) == Some(Some(demanded)));
        fits_last && fits_token && !(last_is_so && token_is_so)
    }

    /// Whether a read can show this.
    fn shows(&self, state: &State, look: &Look) -> bool {
        let in_range = |at: u64| look.from <= at && at < look.end;
        let in_order = look.records.is_sorted_by(|a, b| a.0 < b.0);
        let given_up = |at: u64| {
            at <= state.trim
                && look.gaps.iter().any(|gap| {
                    gap.kind == GapKind::Trim && gap.first.as_u64() <= at && at <= gap.last.as_u64()
                })
        };
        let there = state
            .records
            .iter()
            .map(|placed| (placed.at, placed.record));
        let there = there.filter(|&(at, _)| in_range(at) && !given_up(at));
        in_order
            && look.records.iter().all(|&(at, _)| in_range(at))
            && there.eq(look.records.iter().copied())
            && self.gaps_fit(state, look)
    }

    /// Whether each position of the scope in the range of the read is a record or in one gap, and no
    /// other position is; and whether what is given up was.
    fn gaps_fit(&self, state: &State, look: &Look) -> bool {
        let records = look.records.iter().map(|&(at, _)| (at, at));
        let mut pieces: Vec<(u64, u64)> = records.collect();
        for gap in &look.gaps {
            for (first, last) in self.scope.within(position(gap.first), gap.last.as_u64()) {
                if first < look.from || last >= look.end {
                    return false;
                }
                if gap.kind == GapKind::Trim && state.trim < last {
                    return false;
                }
                pieces.push((first, last));
            }
        }
        pieces.sort_unstable();
        if pieces.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
            return false;
        }
        let Some(last_of_range) = look.end.checked_sub(1) else {
            return true;
        };
        self.scope
            .within(look.from, last_of_range)
            .all(|(first, last)| {
                let mut cursor = position(Lsn::from_u64(first));
                for &(piece, end) in &pieces {
                    if piece == cursor {
                        cursor = after(end);
                    }
                }
                cursor > last
            })
    }
}

/// The last position that has a record.
fn last(state: &State) -> u64 {
    state.records.last().map_or(0, |placed| placed.at)
}
