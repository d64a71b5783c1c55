//! Links that differ: each directed link gets weather of its own, from a seed.
//!
//! Two places are near each other or far apart, both ways. Which way a message takes there is another
//! matter for each direction: one may be a detour, one may jitter more, lose more, have the longer tail.

use std::collections::BTreeMap;

use hstore_core::{Address, Rng};
use serde::{Deserialize, Serialize};

use super::NetOptions;

/// How links differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkOptions {
    /// What each link's weather is drawn from, together with its ends.
    pub seed: u64,
    /// How likely two places are far apart.
    pub far: f64,
    /// The least that a message takes longer between two places that are far apart, in microseconds.
    pub far_us_min: u64,
    /// The most that it takes longer, in microseconds.
    pub far_us_max: u64,
    /// How likely a direction is a detour: up to twice as long again as the way there.
    pub detour: f64,
}

/// The weather of each link, as it comes to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Links {
    options: LinkOptions,
    drawn: BTreeMap<(Address, Address), NetOptions>,
}

impl Links {
    pub(super) fn new(options: LinkOptions) -> Self {
        Self {
            options,
            drawn: BTreeMap::new(),
        }
    }

    /// The weather from one place to another, where `usual` is that of a link like any other.
    pub(super) fn weather(
        &mut self,
        usual: &NetOptions,
        from: Address,
        to: Address,
    ) -> &NetOptions {
        let options = self.options;
        self.drawn
            .entry((from, to))
            .or_insert_with(|| options.draw(usual, from, to))
    }
}

impl LinkOptions {
    /// The weather of a link.
    fn draw(&self, usual: &NetOptions, from: Address, to: Address) -> NetOptions {
        let mut both = Rng::from_seed(self.seed ^ place(from.min(to)) << 32 ^ place(from.max(to)));
        let distance = if both.chance(self.far) {
            both.within(self.far_us_min..=self.far_us_max)
        } else {
            0
        };
        let way = self.seed.rotate_left(17) ^ place(from) << 32 ^ place(to);
        let mut own = Rng::from_seed(way);
        let detour = if own.chance(self.detour) {
            own.within(0..=2 * (distance + usual.latency_us_max))
        } else {
            0
        };
        let latency_us_min = usual.latency_us_min + distance + detour;
        // From a quarter to twice as much.
        let jitter = (usual.latency_us_max - usual.latency_us_min) * own.within(1..=8) / 4;
        let tail_probability = usual.tail_probability * own.within(0..=4) as f64;
        let loss = usual.loss * own.within(0..=4) as f64;
        NetOptions {
            latency_us_min,
            latency_us_max: latency_us_min + jitter,
            tail_probability: tail_probability.min(1.0),
            loss: loss.min(1.0),
            ..*usual
        }
    }
}

/// Tells places apart.
fn place(address: Address) -> u64 {
    match address {
        Address::Node(node) => u64::from(node.0),
        Address::Client(client) => 1 << 16 | u64::from(client.0),
    }
}
