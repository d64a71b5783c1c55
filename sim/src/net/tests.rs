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
        links: None,
        bandwidth: None,
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

#[test]
fn each_directed_link_has_weather_of_its_own() {
    let options = NetOptions {
        links: Some(LinkOptions {
            seed: 11,
            far: 0.5,
            far_us_min: 20_000,
            far_us_max: 40_000,
            detour: 0.3,
        }),
        ..calm()
    };
    let mut net = SimNet::new(options);
    let mut least = |from: u8, to: u8| {
        let fates = routes(&mut net, node(from), node(to), 200);
        let latencies: Vec<u64> = fates.iter().map(latency).collect();
        assert!(latencies.iter().any(|us| *us != latencies[0]), "it jitters");
        latencies.into_iter().min().expect("some")
    };
    let (mut far, mut even) = (0, 0);
    for from in 0..8 {
        for to in 0..from {
            let (there, back) = (least(from, to), least(to, from));
            far += u32::from(there.min(back) >= 20_000);
            even += u32::from(there.abs_diff(back) < 100);
        }
    }
    assert!((7..=21).contains(&far), "{far} of 28 pairs are far apart");
    assert!((7..=24).contains(&even), "{even} of 28 are alike both ways");

    let again = routes(&mut SimNet::new(options), node(3), node(4), 5);
    assert_eq!(again, routes(&mut net, node(3), node(4), 5), "it lasts");
    let uniform = routes(&mut SimNet::new(calm()), node(3), node(4), 5);
    let uniform: Vec<u64> = uniform.iter().map(latency).collect();
    assert!(uniform.iter().all(|us| *us <= 500));
}

#[test]
fn what_passes_a_narrow_link_waits_for_what_was_before_and_some_finds_no_room() {
    let mut net = SimNet::new(NetOptions {
        latency_us_min: 0,
        latency_us_max: 0,
        bandwidth: Some(Bandwidth {
            // 100 bytes take a millisecond.
            bytes_per_second: 100_000,
            buffer_bytes: 300,
        }),
        ..calm()
    });
    let fates = routes(&mut net, node(0), node(1), 5);
    let passed: Vec<u64> = fates[..3].iter().map(latency).collect();
    assert_eq!(passed, [1_000, 2_000, 3_000]);
    assert_eq!(fates[3..], [Fate::Lost(Loss::Overflow); 2]);
    assert_eq!(net.counts().overflowed, 2);
    let other_way = routes(&mut net, node(1), node(0), 1);
    assert_eq!(latency(&other_way[0]), 1_000, "directions do not share");
    let mut rng = Rng::from_seed(1);
    let later = NOW + Duration::from_micros(2_500);
    let fate = net.route(later, node(0), node(1), BYTES, &mut rng);
    let at = fate.arrivals().next().expect("there is room again");
    assert_eq!(at.since(NOW).as_micros(), 4_000);
    let fate = net.route(NOW, node(0), node(2), 10_000, &mut rng);
    let at = fate.arrivals().next().expect("nobody waits: it passes");
    assert_eq!(at.since(NOW).as_millis(), 100);
}

#[test]
fn a_throttle_narrows_its_links_until_it_is_lifted() {
    let mut net = SimNet::new(calm());
    let band = Bandwidth {
        bytes_per_second: 10_000,
        buffer_bytes: 1_000,
    };
    net.throttle(Cause(1), &[node(0)], &[node(1)], band);
    net.throttle(Cause(2), &[node(0)], &[node(2)], band);
    let fates = routes(&mut net, node(0), node(1), 20);
    assert!(latency(&fates[0]) >= 10_000 && latency(&fates[9]) >= 100_000);
    let lost = fates.iter().filter(|fate| fate.arrivals().count() == 0);
    assert_eq!(lost.count(), 10);
    assert!(latency(&routes(&mut net, node(1), node(0), 1)[0]) <= 500);
    assert_eq!((net.affected(Cause(1)), net.affected(Cause(2))), (20, 0));
    net.lift(Cause(1));
    assert!(latency(&routes(&mut net, node(0), node(1), 1)[0]) <= 500);
    let wide = Bandwidth {
        bytes_per_second: 1 << 30,
        buffer_bytes: 100,
    };
    assert_eq!(
        wide.narrower(band),
        Bandwidth {
            bytes_per_second: 10_000,
            buffer_bytes: 100
        }
    );
}

#[test]
fn a_clog_holds_one_direction_or_both_of_all_links_of_its_nodes() {
    let mut net = SimNet::new(calm());
    let nodes: NodeSet = [NodeId(0), NodeId(1)].into_iter().collect();
    net.clog(Cause(1), nodes, Direction::Inbound);
    for (from, to, held) in [
        (node(2), node(0), true),
        (client(5), node(1), true),
        (node(0), node(1), true),
        (node(0), node(2), false),
        (node(1), client(5), false),
        (node(0), node(0), false),
        (node(2), node(3), false),
    ] {
        let by = net.clogged(from, to);
        assert_eq!(by.is_some(), held, "{from} to {to}");
    }
    assert_eq!(net.affected(Cause(1)), 3);
    net.clog(Cause(2), NodeSet::only(NodeId(0)), Direction::Outbound);
    assert_eq!(net.clogged(node(0), node(2)), Some(Cause(2)));
    net.lift(Cause(2));
    assert_eq!(net.clogged(node(0), node(2)), None);
    net.clog(Cause(3), nodes, Direction::Both);
    assert_eq!(net.clogged(node(1), client(5)), Some(Cause(3)));
    net.lift_all();
    assert_eq!(net.clogged(node(1), client(5)), None);
}

#[test]
fn damage_changes_a_frame_or_says_that_it_did_not() {
    let frame: Vec<u8> = (1..=60).collect();
    let mut rng = Rng::from_seed(4);
    for how in Damage::ALL {
        let mut changed = 0;
        for _ in 0..200 {
            if let Some(damaged) = how.inflict(&frame, &mut rng) {
                assert_ne!(damaged, frame);
                changed += 1;
            }
        }
        assert!(changed > 150, "{how:?} changed {changed}");
    }
    assert_eq!(Damage::Zeros.inflict(&[0; 40], &mut rng), None);
}
