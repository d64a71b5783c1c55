//! The simulated network: decides what becomes of each message, and when it arrives.
//!
//! It is a value that is asked once for each message, when it is sent. It holds no messages: the
//! host queues them for the times that [`SimNet::route`] names. Reordering needs no rule of its own:
//! each message draws its own latency.
//!
//! Two layers decide. The *weather* ([`NetOptions`]) holds for all links and for the whole run.
//! *Causes* come and go on top of it: each is one fault, which blocks directed links or degrades
//! them, and is lifted without touching what other causes do to the same links. A link from `a` to
//! `b` is not the link from `b` to `a`, so partitions can be one-sided.
//!
//! # Invariants
//!
//! - A message draws once on the caller's generator, whatever becomes of it, and from that one draw
//!   everything about it follows. So a fault that is left out of a plan changes the fate of the
//!   messages that it would have affected, and of no other.
//! - A cause that has affected no message was inert: without it, every fate would have been the
//!   same, as far as other causes did not hide it.
//! - Messages that stay on one machine do not touch the network: they arrive after [`TO_SELF_DELAY`],
//!   always. These are messages to oneself and, if asked for, those of clients.
//! - Nothing arrives at the very time that it was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hstore_core::{Address, Rng, Timestamp};
use serde::{Deserialize, Serialize};

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
    /// Messages that arrive twice.
    pub duplicated: u64,
    /// Messages that arrive later than the weather's usual latency: in its tail, or delayed by a
    /// degradation.
    pub delayed: u64,
}

/// Directed links: from each of some addresses to each of others.
#[derive(Clone, Debug)]
struct Links {
    /// The senders.
    from: BTreeSet<Address>,
    /// The receivers.
    to: BTreeSet<Address>,
}

impl Links {
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
    blocks: Vec<Links>,
    /// The links it degrades, and how.
    degradations: Vec<(Links, Degradation)>,
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
        }
    }

    /// Blocks the links from each of `from` to each of `to`, besides whatever the cause does already.
    /// Messages under way arrive.
    pub fn block(&mut self, cause: Cause, from: &[Address], to: &[Address]) {
        let effects = self.causes.entry(cause).or_default();
        effects.blocks.push(Links::new(from, to));
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
            .push((Links::new(from, to), degradation));
    }

    /// Undoes all that a cause does. What others do to the same links stays.
    pub fn lift(&mut self, cause: Cause) {
        self.causes.remove(&cause);
    }

    /// Undoes what all causes do.
    pub fn lift_all(&mut self) {
        self.causes.clear();
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
        let weather = Weather::draw(&self.options, &mut rng);
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
        let at = now + weather.latency + added.delay;
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
mod tests {
    use hstore_core::{ClientId, NodeId};

    use super::*;

    const BYTES: usize = 100;
    const NOW: Timestamp = Timestamp::from_millis(5);

    fn node(n: u8) -> Address {
        NodeId(n).into()
    }

    fn client(c: u32) -> Address {
        ClientId(c).into()
    }

    fn calm() -> NetOptions {
        NetOptions {
            latency_us_min: 100,
            latency_us_max: 500,
            tail_probability: 0.0,
            tail_us_max: 8_000,
            loss: 0.0,
            duplication: 0.0,
            clients_beside_nodes: false,
        }
    }

    fn routes(net: &mut SimNet, from: Address, to: Address, count: usize) -> Vec<Fate> {
        let mut rng = Rng::from_seed(7);
        (0..count)
            .map(|_| net.route(NOW, from, to, BYTES, &mut rng))
            .collect()
    }

    fn latency(fate: &Fate) -> u64 {
        let at = fate.arrivals().next().expect("the message arrives");
        at.since(NOW).as_micros() as u64
    }

    #[test]
    fn latencies_fill_their_range_and_reorder() {
        let mut net = SimNet::new(calm());
        let fates = routes(&mut net, node(0), node(1), 1_000);
        let latencies: Vec<u64> = fates.iter().map(latency).collect();
        assert!(latencies.iter().all(|us| (100..=500).contains(us)));
        assert!(latencies.iter().any(|us| *us < 120) && latencies.iter().any(|us| *us > 480));
        assert!(
            !latencies.is_sorted(),
            "later messages overtake earlier ones"
        );
        let counts = NetCounts {
            sent: 1_000,
            sent_bytes: 100_000,
            ..NetCounts::default()
        };
        assert_eq!(net.counts(), counts);
    }

    #[test]
    fn the_tail_is_long_and_thin() {
        let mut net = SimNet::new(NetOptions {
            tail_probability: 1.0,
            ..calm()
        });
        let fates = routes(&mut net, node(0), node(1), 4_000);
        let beyond = |us: u64| fates.iter().filter(|fate| latency(fate) > us).count();
        assert_eq!(beyond(500 + 8_000), 0);
        assert!((1_500..2_500).contains(&beyond(1_300)));
        assert!((100..900).contains(&beyond(3_400)));
        assert!(beyond(7_000) > 0);
        assert_eq!(net.counts().delayed, 4_000);
    }

    #[test]
    fn the_weather_loses_and_duplicates_at_its_rates() {
        let mut net = SimNet::new(NetOptions {
            loss: 0.25,
            duplication: 0.5,
            ..calm()
        });
        let fates = routes(&mut net, node(0), node(1), 4_000);
        let lost = fates
            .iter()
            .filter(|fate| **fate == Fate::Lost(Loss::Weather))
            .count();
        assert!((800..1_200).contains(&lost), "{lost}");
        let mut twice = 0;
        for fate in &fates {
            if let Fate::Twice(at, again) = fate {
                assert!(at < again, "the copy is the later one");
                assert_eq!(fate.arrivals().collect::<Vec<_>>(), [*at, *again]);
                twice += 1;
            }
        }
        assert!((1_300..1_700).contains(&twice), "{twice}");
        assert_eq!(net.counts().dropped, lost as u64);
        assert_eq!(net.counts().duplicated, twice);
        assert_eq!(Fate::Lost(Loss::Weather).arrivals().count(), 0);
    }

    #[test]
    fn a_block_is_directed_and_reaches_clients() {
        let mut net = SimNet::new(calm());
        net.block(Cause(1), &[node(0), client(9)], &[node(1), node(2)]);
        for (from, to, blocked) in [
            (node(0), node(1), true),
            (node(0), node(2), true),
            (client(9), node(2), true),
            (node(1), node(0), false),
            (node(2), client(9), false),
            (node(0), node(3), false),
            (client(8), node(1), false),
        ] {
            assert_eq!(net.is_blocked(from, to), blocked, "{from} to {to}");
            let fate = routes(&mut net, from, to, 1)[0];
            assert_eq!(fate == Fate::Lost(Loss::Blocked(Cause(1))), blocked);
        }
        assert_eq!(net.affected(Cause(1)), 3);
        assert_eq!(net.counts().blocked, 3);
    }

    #[test]
    fn overlapping_causes_are_lifted_independently() {
        let mut net = SimNet::new(calm());
        let all = [node(0), node(1), node(2)];
        net.block(Cause(1), &all[..2], &all[2..]);
        net.block(Cause(1), &all[2..], &all[..2]);
        net.block(Cause(2), &all[1..], &all);
        assert!(net.is_blocked(node(1), node(2)));
        assert!(
            !net.is_blocked(node(1), node(1)),
            "nobody is cut off from itself"
        );
        routes(&mut net, node(1), node(2), 5);
        assert_eq!((net.affected(Cause(1)), net.affected(Cause(2))), (5, 5));
        net.lift(Cause(1));
        assert!(net.is_blocked(node(1), node(2)));
        assert!(!net.is_blocked(node(0), node(2)));
        routes(&mut net, node(1), node(2), 5);
        assert_eq!((net.affected(Cause(1)), net.affected(Cause(2))), (5, 10));
        net.lift(Cause(2));
        net.lift(Cause(3));
        assert!(!net.is_blocked(node(1), node(2)));
        assert_eq!(net.affected(Cause(3)), 0, "a cause without effect is inert");
        net.block(Cause(4), &all, &all);
        net.lift_all();
        assert!(!net.is_blocked(node(0), node(1)));
    }

    #[test]
    fn a_degradation_loses_delays_and_duplicates_on_its_links_alone() {
        let mut net = SimNet::new(calm());
        let degrade = |net: &mut SimNet, cause, degradation| {
            net.degrade(cause, &[node(0)], &[node(1)], degradation);
        };
        let none = Degradation::default();
        degrade(&mut net, Cause(1), Degradation { loss: 0.5, ..none });
        let fates = routes(&mut net, node(0), node(1), 1_000);
        let lost = fates
            .iter()
            .filter(|fate| **fate == Fate::Lost(Loss::Degraded(Cause(1))))
            .count();
        assert!((400..600).contains(&lost), "{lost}");
        assert_eq!(net.affected(Cause(1)), lost as u64);
        net.lift(Cause(1));

        let late = Degradation {
            delay_us_min: 10_000,
            delay_us_max: 20_000,
            ..none
        };
        degrade(&mut net, Cause(2), late);
        degrade(&mut net, Cause(3), late);
        let fates = routes(&mut net, node(0), node(1), 100);
        assert!(
            fates
                .iter()
                .all(|fate| (20_100..=40_500).contains(&latency(fate))),
            "the delays of two causes add up"
        );
        assert_eq!((net.affected(Cause(2)), net.affected(Cause(3))), (100, 100));
        assert_eq!(net.counts().delayed, 100);
        net.lift(Cause(2));
        net.lift(Cause(3));

        let doubled = Degradation {
            duplication: 1.0,
            ..none
        };
        degrade(&mut net, Cause(4), doubled);
        degrade(&mut net, Cause(5), none);
        let fates = routes(&mut net, node(0), node(1), 10);
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Twice(..))));
        assert_eq!((net.affected(Cause(4)), net.affected(Cause(5))), (10, 0));
        let fates = routes(&mut net, node(1), node(0), 10);
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Once(_))));
    }

    #[test]
    fn messages_to_oneself_always_arrive_at_once() {
        let mut net = SimNet::new(NetOptions {
            loss: 1.0,
            ..calm()
        });
        net.block(Cause(1), &[node(0)], &[node(0)]);
        let fates = routes(&mut net, node(0), node(0), 10);
        assert!(
            fates
                .iter()
                .all(|fate| *fate == Fate::Once(NOW + TO_SELF_DELAY))
        );
        assert_eq!(net.affected(Cause(1)), 0);
        assert_eq!(net.counts(), NetCounts::default());
    }

    #[test]
    fn nothing_arrives_at_the_time_it_was_sent() {
        let mut net = SimNet::new(NetOptions {
            latency_us_min: 0,
            latency_us_max: 0,
            duplication: 1.0,
            ..calm()
        });
        for fate in routes(&mut net, node(0), node(1), 10) {
            let arrivals: Vec<Timestamp> = fate.arrivals().collect();
            assert!(NOW < arrivals[0] && arrivals[0] < arrivals[1]);
        }
    }

    #[test]
    fn fates_follow_from_the_seed_and_faults_change_only_what_they_affect() {
        let stormy = NetOptions {
            tail_probability: 0.1,
            loss: 0.1,
            duplication: 0.1,
            ..calm()
        };
        let run = |faulty: bool| {
            let mut net = SimNet::new(stormy);
            if faulty {
                net.block(Cause(1), &[node(0)], &[node(1)]);
                let degradation = Degradation {
                    loss: 0.5,
                    delay_us_max: 900,
                    ..Degradation::default()
                };
                net.degrade(Cause(2), &[node(1)], &[node(2)], degradation);
            }
            let mut rng = Rng::from_seed(3);
            let fates: Vec<(u8, Fate)> = (0..900)
                .map(|i| {
                    let from = (i % 3) as u8;
                    let to = (from + 1) % 3;
                    (from, net.route(NOW, node(from), node(to), BYTES, &mut rng))
                })
                .collect();
            fates
        };
        assert_eq!(run(false), run(false));
        assert_eq!(run(true), run(true));
        for (quiet, faulty) in run(false).iter().zip(&run(true)) {
            match quiet.0 {
                0 => assert!(matches!(faulty.1, Fate::Lost(_))),
                2 => assert_eq!(quiet, faulty),
                _ => {}
            }
        }
    }
}
