//! The simulated network: decides what becomes of each message, and when it arrives.
//!
//! It is a value that is asked when a message is sent, and, where links are clogged, again when it
//! would arrive. It holds no messages: the host queues them for the times that [`SimNet::route`] names,
//! and sets aside those that [`SimNet::clogged`] holds. Reordering needs no rule of its own: each
//! message draws its own latency.
//!
//! Two layers decide. The *weather* ([`NetOptions`]) holds for the whole run; it is the same for all
//! links, or each has its own ([`LinkOptions`]), and it may have a bandwidth ([`Bandwidth`]). *Causes*
//! come and go on top of it: each is one fault, which blocks directed links, degrades, throttles or
//! clogs them, and is lifted without touching what other causes do to the same links. A link from `a`
//! to `b` is not the link from `b` to `a`, so partitions can be one-sided.
//!
//! # Invariants
//!
//! - A message draws once on the caller's generator, whatever becomes of it, and from that one draw
//!   everything about it follows. So a fault that is left out of a plan changes the fate of the
//!   messages that it would have affected, and of no other; but where a link has a bandwidth, those
//!   sent after them find it less or more busy.
//! - A cause that has affected no message was inert: without it, every fate would have been the
//!   same, as far as other causes did not hide it.
//! - Messages that stay on one machine do not touch the network: they arrive after [`TO_SELF_DELAY`],
//!   always. These are messages to oneself and, if asked for, those of clients.
//! - Nothing arrives at the very time that it was sent.

mod bandwidth;
mod clog;
mod damage;
mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hstore_core::{Address, NodeSet, Rng, Timestamp};
use serde::{Deserialize, Serialize};

pub use bandwidth::Bandwidth;
use bandwidth::Queues;
use clog::Clogs;
pub use clog::{HELD_MAX, Release};
pub use damage::Damage;
pub use links::LinkOptions;
use links::Links;

use crate::plan::Direction;

/// How long a message takes that stays on its machine.
pub const TO_SELF_DELAY: Duration = Duration::from_micros(1);

/// The weather of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetOptions {
    /// The least latency of a message.
    pub latency_us_min: u64,
    /// The greatest latency of a message that is not in the tail. Below it, all are equally likely.
    pub latency_us_max: u64,
    /// How likely a message is in the tail.
    pub tail_probability: f64,
    /// The most that the tail adds to the latency; small additions are the likely ones.
    pub tail_us_max: u64,
    /// How likely a message is lost.
    pub loss: f64,
    /// How likely a message arrives twice.
    pub duplication: f64,
    /// Whether each client process runs beside the node that it asks: what the two say to each other does
    /// not touch the network.
    pub clients_beside_nodes: bool,
    /// How links differ; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinkOptions>,
    /// How much passes each link; absent: whatever is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

/// A quiet local network.
impl Default for NetOptions {
    fn default() -> Self {
        Self {
            latency_us_min: 100,
            latency_us_max: 500,
            tail_probability: 0.01,
            tail_us_max: 20_000,
            loss: 0.0,
            duplication: 0.0,
            clients_beside_nodes: false,
            links: None,
            bandwidth: None,
        }
    }
}

/// Names the fault that an effect on the network belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(pub u32);

/// What a cause adds to the weather on some links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Degradation {
    /// How likely it loses a message.
    pub loss: f64,
    /// How likely it makes a message arrive twice.
    pub duplication: f64,
    /// The least that it adds to the latency.
    pub delay_us_min: u64,
    /// The most that it adds to the latency. Between the two, all are equally likely.
    pub delay_us_max: u64,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does not arrive.
    Lost(Loss),
    /// It arrives.
    Once(Timestamp),
    /// It arrives, and a copy of it later.
    Twice(Timestamp, Timestamp),
}

/// Why a message does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The weather.
    Weather,
    /// The cause blocks the link. Others may do so too.
    Blocked(Cause),
    /// The cause degrades the link.
    Degraded(Cause),
    /// There was no room on the link for it to wait.
    Overflow,
}

impl Fate {
    /// When the message arrives, in order of time.
    pub fn arrivals(self) -> impl Iterator<Item = Timestamp> {
        let (first, second) = match self {
            Self::Lost(_) => (None, None),
            Self::Once(at) => (Some(at), None),
            Self::Twice(at, again) => (Some(at), Some(again)),
        };
        first.into_iter().chain(second)
    }
}

/// How many messages met with what. Messages to oneself are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetCounts {
    /// Messages sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that the weather or a degradation lost.
    pub dropped: u64,
    /// Messages that a blocked link lost.
    pub blocked: u64,
    /// Messages that found no room to wait on a link.
    pub overflowed: u64,
    /// Messages that arrive twice.
    pub duplicated: u64,
    /// Messages that arrive later than the weather's usual latency: in its tail, or delayed by a
    /// degradation.
    pub delayed: u64,
}

/// Directed links: from each of some addresses to each of others.
#[derive(Clone, Debug)]
struct Between {
    /// The senders.
    from: BTreeSet<Address>,
    /// The receivers.
    to: BTreeSet<Address>,
}

impl Between {
    fn new(from: &[Address], to: &[Address]) -> Self {
        Self {
            from: from.iter().copied().collect(),
            to: to.iter().copied().collect(),
        }
    }

    fn contain(&self, from: Address, to: Address) -> bool {
        self.from.contains(&from) && self.to.contains(&to)
    }
}

/// What a cause does. It may do several things.
#[derive(Clone, Debug, Default)]
struct Effects {
    /// The links it blocks.
    blocks: Vec<Between>,
    /// The links it degrades, and how.
    degradations: Vec<(Between, Degradation)>,
    /// The links it throttles, and how.
    throttles: Vec<(Between, Bandwidth)>,
}

impl Effects {
    fn block(&self, from: Address, to: Address) -> bool {
        self.blocks.iter().any(|links| links.contain(from, to))
    }
}

/// A network.
#[derive(Clone, Debug)]
pub struct SimNet {
    /// The weather.
    options: NetOptions,
    /// What the causes do that are not lifted.
    causes: BTreeMap<Cause, Effects>,
    /// How many messages each cause affected, also those lifted since.
    affected: BTreeMap<Cause, u64>,
    /// What messages met with.
    counts: NetCounts,
    /// The weather of each link, where they differ.
    links: Option<Links>,
    /// What waits where there is a bandwidth.
    queues: Queues,
    clogs: Clogs,
}

impl SimNet {
    /// A network without faults.
    ///
    /// # Panics
    /// If the options are not probabilities and ranges.
    #[must_use]
    pub fn new(options: NetOptions) -> Self {
        assert!(
            options.latency_us_min <= options.latency_us_max,
            "the least latency is not above the greatest: {options:?}"
        );
        for probability in [options.tail_probability, options.loss, options.duplication] {
            assert_probability(probability);
        }
        Self {
            options,
            causes: BTreeMap::new(),
            affected: BTreeMap::new(),
            counts: NetCounts::default(),
            links: options.links.map(Links::new),
            queues: Queues::default(),
            clogs: Clogs::default(),
        }
    }

    /// Blocks the links from each of `from` to each of `to`, besides whatever the cause does already.
    /// Messages under way arrive.
    pub fn block(&mut self, cause: Cause, from: &[Address], to: &[Address]) {
        let effects = self.causes.entry(cause).or_default();
        effects.blocks.push(Between::new(from, to));
    }

    /// Degrades the links from each of `from` to each of `to`, besides whatever the cause does
    /// already.
    ///
    /// # Panics
    /// If the degradation is not of probabilities and ranges.
    pub fn degrade(
        &mut self,
        cause: Cause,
        from: &[Address],
        to: &[Address],
        degradation: Degradation,
    ) {
        assert_probability(degradation.loss);
        assert_probability(degradation.duplication);
        assert!(
            degradation.delay_us_min <= degradation.delay_us_max,
            "the least delay is not above the greatest: {degradation:?}"
        );
        let effects = self.causes.entry(cause).or_default();
        effects
            .degradations
            .push((Between::new(from, to), degradation));
    }

    /// Narrows the links from each of `from` to each of `to`, besides whatever the cause does already.
    ///
    /// # Panics
    /// If nothing at all would pass.
    pub fn throttle(&mut self, cause: Cause, from: &[Address], to: &[Address], band: Bandwidth) {
        assert!(band.bytes_per_second > 0, "something passes: {band:?}");
        let effects = self.causes.entry(cause).or_default();
        effects.throttles.push((Between::new(from, to), band));
    }

    /// Clogs all links of `nodes` in a direction, seen from them: what is under way there, and what is
    /// sent, is held until the cause is lifted.
    pub fn clog(&mut self, cause: Cause, nodes: NodeSet, direction: Direction) {
        self.clogs.begin(cause, nodes, direction);
    }

    /// The cause that holds a message which would arrive now; it is to be asked again when that is lifted.
    pub fn clogged(&mut self, from: Address, to: Address) -> Option<Cause> {
        let cause = self.clogs.holding(from, to)?;
        if self.is_local(from, to) {
            return None;
        }
        *self.affected.entry(cause).or_default() += 1;
        Some(cause)
    }

    /// Undoes all that a cause does. What others do to the same links stays.
    pub fn lift(&mut self, cause: Cause) {
        self.causes.remove(&cause);
        self.clogs.end(cause);
    }

    /// Undoes what all causes do.
    pub fn lift_all(&mut self) {
        self.causes.clear();
        self.clogs.clear();
    }

    /// Whether a message sent now would be lost to a block.
    #[must_use]
    pub fn is_blocked(&self, from: Address, to: Address) -> bool {
        !self.is_local(from, to) && self.causes.values().any(|effects| effects.block(from, to))
    }

    /// How many messages a cause has affected so far: lost, delayed or duplicated them. Still known
    /// when the cause is lifted.
    #[must_use]
    pub fn affected(&self, cause: Cause) -> u64 {
        self.affected.get(&cause).copied().unwrap_or(0)
    }

    /// What messages met with so far.
    #[must_use]
    pub fn counts(&self) -> NetCounts {
        self.counts
    }

    /// What becomes of a message of so many bytes that is sent now.
    pub fn route(
        &mut self,
        now: Timestamp,
        from: Address,
        to: Address,
        bytes: usize,
        rng: &mut Rng,
    ) -> Fate {
        let mut rng = Rng::from_seed(rng.seed());
        if self.is_local(from, to) {
            return Fate::Once(now + TO_SELF_DELAY);
        }
        self.counts.sent += 1;
        self.counts.sent_bytes += bytes as u64;
        let weather = match &mut self.links {
            None => Weather::draw(&self.options, &mut rng),
            Some(links) => Weather::draw(links.weather(&self.options, from, to), &mut rng),
        };
        if weather.lost {
            self.counts.dropped += 1;
            return Fate::Lost(Loss::Weather);
        }
        if let Some(cause) = self.blocking(from, to) {
            self.counts.blocked += 1;
            return Fate::Lost(Loss::Blocked(cause));
        }
        let added = match self.degraded(from, to, &mut rng) {
            Ok(added) => added,
            Err(cause) => {
                self.counts.dropped += 1;
                return Fate::Lost(Loss::Degraded(cause));
            }
        };
        let Some(passes) = self.passes(now, from, to, bytes) else {
            self.counts.overflowed += 1;
            return Fate::Lost(Loss::Overflow);
        };
        let at = now + passes + weather.latency + added.delay;
        self.counts.delayed += u64::from(weather.in_tail || !added.delay.is_zero());
        if weather.duplicated || added.duplicated {
            self.counts.duplicated += 1;
            return Fate::Twice(at, at + weather.copy_latency);
        }
        Fate::Once(at)
    }

    /// Whether a message stays on its machine.
    fn is_local(&self, from: Address, to: Address) -> bool {
        let is_client = |address| matches!(address, Address::Client(_));
        from == to || self.options.clients_beside_nodes && (is_client(from) || is_client(to))
    }

    /// The first cause that blocks the link. All that do have affected the message.
    fn blocking(&mut self, from: Address, to: Address) -> Option<Cause> {
        let mut first = None;
        for (cause, effects) in &self.causes {
            if effects.block(from, to) {
                *self.affected.entry(*cause).or_default() += 1;
                first = first.or(Some(*cause));
            }
        }
        first
    }

    /// How long the bandwidth of its link has a message wait and pass; `None` if there is no room for it.
    fn passes(
        &mut self,
        now: Timestamp,
        from: Address,
        to: Address,
        bytes: usize,
    ) -> Option<Duration> {
        let mut band = self.options.bandwidth;
        for (cause, effects) in &self.causes {
            for (links, narrow) in &effects.throttles {
                if links.contain(from, to) {
                    *self.affected.entry(*cause).or_default() += 1;
                    band = Some(band.map_or(*narrow, |band| band.narrower(*narrow)));
                }
            }
        }
        match band {
            None => Some(Duration::ZERO),
            Some(band) => self.queues.pass(now, (from, to), bytes, band),
        }
    }

    /// What degradations do to a message, or the cause that lost it.
    fn degraded(&mut self, from: Address, to: Address, rng: &mut Rng) -> Result<Added, Cause> {
        let seed = rng.seed();
        let mut sum = Added::default();
        for (cause, effects) in &self.causes {
            // Each cause draws from a generator of its own: lifting one leaves the others' draws.
            let mut own = None;
            let mut changed = false;
            for (links, degradation) in &effects.degradations {
                if !links.contain(from, to) {
                    continue;
                }
                let own = own.get_or_insert_with(|| Rng::from_seed(seed ^ u64::from(cause.0)));
                let added = Added::draw(degradation, own);
                if added.lost {
                    *self.affected.entry(*cause).or_default() += 1;
                    return Err(*cause);
                }
                changed |= added.duplicated || !added.delay.is_zero();
                sum.delay += added.delay;
                sum.duplicated |= added.duplicated;
            }
            if changed {
                *self.affected.entry(*cause).or_default() += 1;
            }
        }
        Ok(sum)
    }
}

/// What the weather does to a message.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Whether it loses it.
    lost: bool,
    /// Whether it makes it arrive twice.
    duplicated: bool,
    /// How long the message takes.
    latency: Duration,
    /// Whether that is in the tail.
    in_tail: bool,
    /// How much longer a copy would take.
    copy_latency: Duration,
}

impl Weather {
    fn draw(options: &NetOptions, rng: &mut Rng) -> Self {
        let lost = rng.chance(options.loss);
        let duplicated = rng.chance(options.duplication);
        let usual = between_us(options.latency_us_min, options.latency_us_max, rng);
        let copy_latency = between_us(options.latency_us_min, options.latency_us_max, rng);
        let in_tail = rng.chance(options.tail_probability);
        let tail = if in_tail {
            tail_us(options.tail_us_max, rng)
        } else {
            Duration::ZERO
        };
        Self {
            lost,
            duplicated,
            latency: at_least_a_nanosecond(usual + tail),
            in_tail,
            copy_latency: at_least_a_nanosecond(copy_latency),
        }
    }
}

/// What a degradation adds, or all of them together.
#[derive(Clone, Copy, Debug, Default)]
struct Added {
    /// Whether the message is lost.
    lost: bool,
    /// Whether it arrives twice.
    duplicated: bool,
    /// How much later it arrives.
    delay: Duration,
}

impl Added {
    fn draw(degradation: &Degradation, rng: &mut Rng) -> Self {
        Self {
            lost: rng.chance(degradation.loss),
            duplicated: rng.chance(degradation.duplication),
            delay: between_us(degradation.delay_us_min, degradation.delay_us_max, rng),
        }
    }
}

fn assert_probability(p: f64) {
    assert!((0.0..=1.0).contains(&p), "{p} is not a probability");
}

fn at_least_a_nanosecond(duration: Duration) -> Duration {
    duration.max(Duration::from_nanos(1))
}

fn between_us(min: u64, max: u64, rng: &mut Rng) -> Duration {
    Duration::from_nanos(rng.within(min * 1_000..=max * 1_000))
}

/// Up to `max`, falling off by half with each eighth of it: like an exponential distribution, but
/// from whole numbers alone, so that it is the same on every machine.
fn tail_us(max: u64, rng: &mut Rng) -> Duration {
    let eighth = u64::from(rng.seed().trailing_zeros()).min(7);
    let nanos = max * 1_000;
    Duration::from_nanos(rng.within(nanos / 8 * eighth..=nanos / 8 * (eighth + 1)))
}

#[cfg(test)]
mod tests;
