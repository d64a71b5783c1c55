//! Vector clocks: which event could have been the cause of which.
//!
//! Each place, a node or a client, counts its events. What a message carries is what its sender had heard of;
//! its receiver has heard of that too. One event may be the cause of another only if its clock is nowhere ahead.

use std::collections::BTreeMap;

/// For each place, how many of its events are known of.
pub type Clock = BTreeMap<String, u64>;

/// The clocks of all places.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    places: BTreeMap<String, Clock>,
    /// The clock that each message carries.
    sent: BTreeMap<u64, Clock>,
}

impl Clocks {
    /// Something happens at a place.
    pub fn happens(&mut self, place: &str) -> &Clock {
        if !self.places.contains_key(place) {
            self.places.insert(place.to_owned(), Clock::new());
        }
        let clock = self.places.get_mut(place).expect("it was put there");
        *clock.entry(place.to_owned()).or_default() += 1;
        clock
    }

    /// A place sends a message.
    pub fn sends(&mut self, place: &str, message: u64) -> &Clock {
        let clock = self.happens(place).clone();
        self.sent.insert(message, clock);
        &self.sent[&message]
    }

    /// A message reaches a place; maybe not for the first time.
    pub fn receives(&mut self, place: &str, message: u64) -> &Clock {
        self.happens(place);
        let clock = self
            .places
            .get_mut(place)
            .expect("something happened there");
        for (other, count) in self.sent.get(&message).into_iter().flatten() {
            let known = clock.entry(other.clone()).or_default();
            *known = (*known).max(*count);
        }
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(counts: &[(&str, u64)]) -> Clock {
        counts
            .iter()
            .map(|(it, count)| ((*it).to_owned(), *count))
            .collect()
    }

    #[test]
    fn who_hears_of_something_knows_what_came_before_it() {
        let mut clocks = Clocks::default();
        assert_eq!(*clocks.happens("a"), clock(&[("a", 1)]));
        clocks.sends("a", 7);
        clocks.happens("a");
        assert_eq!(*clocks.receives("b", 7), clock(&[("a", 2), ("b", 1)]));
        clocks.sends("b", 8);
        assert_eq!(*clocks.receives("a", 8), clock(&[("a", 4), ("b", 2)]));
        // The message once more tells nothing new; one that nobody sent tells nothing at all.
        assert_eq!(*clocks.receives("b", 7), clock(&[("a", 2), ("b", 3)]));
        assert_eq!(*clocks.receives("c", 99), clock(&[("c", 1)]));
    }
}
