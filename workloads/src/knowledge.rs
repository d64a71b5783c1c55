//! What clients, all together, were told of the logs.

use std::collections::BTreeMap;

use hstore_core::{Attributes, LogId, Lsn, Token};

use crate::ask::{Ask, Fence, Place};
use crate::operation::{Operation, PAYLOAD_BYTES_MIN, payload};

/// What clients were told.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// LSNs at which records are known to stand, in the order in which that became known.
    known: BTreeMap<LogId, Vec<Lsn>>,
    /// The last record of each log.
    last: BTreeMap<LogId, Lsn>,
    /// The token of each log.
    tokens: BTreeMap<LogId, Token>,
}

impl Knowledge {
    /// A record is known to stand at `lsn`.
    pub fn observe(&mut self, log: LogId, lsn: Lsn) {
        self.known.entry(log).or_default().push(lsn);
        self.observe_last(log, lsn);
    }

    /// The last record of a log stood at `lsn` a moment ago, or a later one did.
    pub fn observe_last(&mut self, log: LogId, lsn: Lsn) {
        let last = self.last.entry(log).or_default();
        *last = (*last).max(lsn);
    }

    /// The token of a log was this one a moment ago.
    pub fn observe_token(&mut self, log: LogId, token: Token) {
        self.tokens.insert(log, token);
    }

    /// At how many places of a log records are known to stand.
    #[must_use]
    pub fn places(&self, log: LogId) -> usize {
        self.known.get(&log).map_or(0, Vec::len)
    }

    /// The last record of a log; [`Lsn::MIN`] if none is known.
    #[must_use]
    pub fn last(&self, log: LogId) -> Lsn {
        self.last.get(&log).copied().unwrap_or(Lsn::MIN)
    }

    /// Whether a log is known to have a token.
    #[must_use]
    pub fn has_token(&self, log: LogId) -> bool {
        self.tokens.contains_key(&log)
    }

    fn find(&self, log: LogId, place: Place) -> Lsn {
        match place {
            Place::Nothing => Lsn::MIN,
            Place::First => Lsn::FIRST,
            Place::Back(back) => {
                let known = self.known.get(&log).map_or(&[][..], Vec::as_slice);
                let found = known.iter().rev().nth(back as usize);
                found.copied().unwrap_or(Lsn::FIRST)
            }
            Place::Last => self.last(log),
            Place::AfterLast => match self.last(log) {
                Lsn::MIN => Lsn::FIRST,
                last => last.next(),
            },
            Place::At(lsn) => lsn,
        }
    }

    fn token(&self, log: LogId, fence: Fence) -> Token {
        match fence {
            Fence::Current => self.tokens.get(&log).copied().unwrap_or(Token(0)),
            Fence::Of(token) => token,
        }
    }

    /// The operation that is asked for, for all that is known.
    #[must_use]
    pub fn operation(&self, ask: &Ask) -> Operation {
        match *ask {
            Ask::Append {
                log,
                id,
                bytes,
                salt,
                producer,
                sets_token,
                last,
                token,
            } => Operation::Append {
                log,
                id,
                payload: payload(id, bytes.max(PAYLOAD_BYTES_MIN) as usize, salt),
                attributes: Attributes {
                    producer,
                    sets_token,
                },
                last_record: last.map(|place| self.find(log, place)),
                token: token.map(|fence| self.token(log, fence)),
            },
            Ask::Read { log, from, limit } => Operation::Read {
                log,
                from: self.find(log, from),
                limit,
            },
            Ask::Tail { log } => Operation::Tail { log },
            Ask::Poll { log, from, limit } => Operation::Poll {
                log,
                from: self.find(log, from),
                limit,
            },
            Ask::Trim { log, upto } => Operation::Trim {
                log,
                upto: self.find(log, upto),
            },
        }
    }
}
