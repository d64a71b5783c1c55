//! Which requests a node has seen: networks duplicate, and an append must not happen twice.
//!
//! Requests are bound to one life of a node, so nothing of this needs to be durable.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::{ClientId, Timestamp};

use crate::queue::Queue;

/// How many clients a node remembers at most; more are not heard until some have been idle long.
pub const SESSIONS_MAX: usize = 65_536;
/// A client that was silent for this long is forgotten when room is needed. No network delays a
/// duplicate for longer.
pub const IDLE: Duration = Duration::from_secs(3600);
/// Numbers this far below the highest seen count as seen.
const BEHIND: u64 = 128;

/// The requests seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sessions {
    clients: BTreeMap<ClientId, Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    highest: u64,
    /// Bit `i` stands for `highest - i`.
    below: u128,
    last: Timestamp,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Take it: it is new.
    New,
    /// Drop it: it was seen, or is too old to tell.
    Seen,
    /// Drop it: too many clients. It is not marked as seen, so no answer may call it refused.
    Full,
}

impl Sessions {
    /// The queues of this machine.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        std::iter::once(Queue {
            name: "sessions",
            length: self.clients.len(),
            bound: SESSIONS_MAX,
        })
    }

    /// Marks a request as seen.
    pub fn admit(&mut self, client: ClientId, number: u64, now: Timestamp) -> Admission {
        if !self.clients.contains_key(&client) && self.clients.len() >= SESSIONS_MAX {
            self.clients.retain(|_, seen| now.since(seen.last) < IDLE);
            if self.clients.len() >= SESSIONS_MAX {
                return Admission::Full;
            }
        }
        let seen = self.clients.entry(client).or_insert(Seen {
            highest: 0,
            below: 1,
            last: now,
        });
        seen.last = now;
        if number > seen.highest {
            let up = number - seen.highest;
            seen.below = if up < BEHIND { seen.below << up } else { 0 } | 1;
            seen.highest = number;
            return Admission::New;
        }
        let behind = seen.highest - number;
        if behind >= BEHIND || seen.below >> behind & 1 == 1 {
            return Admission::Seen;
        }
        seen.below |= 1 << behind;
        Admission::New
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hstore_core::Rng;

    use super::*;

    #[test]
    fn each_number_is_admitted_once_however_it_is_shuffled_and_repeated() {
        let mut rng = Rng::from_seed(7);
        let mut sessions = Sessions::default();
        let mut admitted = BTreeSet::new();
        let mut fresh = 0;
        for step in 1..5_000_u64 {
            let number = step.saturating_sub(rng.below(200)).max(1);
            let client = ClientId(rng.below(3) as u32);
            match sessions.admit(client, number, Timestamp::ZERO) {
                Admission::New => {
                    assert!(admitted.insert((client, number)), "{number} came in twice");
                    fresh += 1;
                }
                Admission::Seen => {}
                Admission::Full => panic!("three clients are not too many"),
            }
        }
        assert!(fresh > 1_000);
    }

    #[test]
    fn a_full_table_hears_nobody_new_until_someone_was_idle_long() {
        let mut sessions = Sessions::default();
        for client in 0..SESSIONS_MAX as u32 {
            let admission = sessions.admit(ClientId(client), 1, Timestamp::ZERO);
            assert_eq!(admission, Admission::New);
        }
        let late = ClientId(u32::MAX);
        let now = Timestamp::ZERO + IDLE / 2;
        assert_eq!(sessions.admit(late, 1, now), Admission::Full);
        assert_eq!(sessions.admit(ClientId(7), 1, now), Admission::Seen);
        // Whoever spoke meanwhile is remembered.
        let later = Timestamp::ZERO + IDLE;
        assert_eq!(sessions.admit(late, 1, later), Admission::New);
        assert_eq!(sessions.admit(ClientId(7), 1, later), Admission::Seen);
    }
}
