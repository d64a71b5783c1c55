//! What networks, clocks and processes do wrong, one at a time, in clusters where nothing else does: each
//! takes effect, and the cluster gets over it.

use hstore_core::{LogId, NodeId, NodeSet};
use hstore_sim::net::{Bandwidth, Damage, LinkOptions, Release};
use hstore_sim::next::Build;
use hstore_sim::options::{Engine, SimOptions};
use hstore_sim::plan::{Direction, FaultKind, FaultPlan, Target, TimedFault};
use hstore_sim::profile::Profile;
use hstore_sim::report::Counts;
use hstore_sim::seeds::SimSeeds;
use hstore_sim::world::World;
use jepsen_lite::check::{CheckOptions, check};
use jepsen_lite::verdict::VerdictKind;

const LOG: LogId = LogId(1);

fn calm(seed: u64, engine: Engine) -> SimOptions {
    let calm = Profile::by_name("calm").expect("a profile");
    let options = calm.draw(SimSeeds(seed));
    SimOptions { engine, ..options }
}

/// From so many milliseconds of the chaos to so many.
fn fault(millis: std::ops::Range<u64>, target: Target, kind: FaultKind) -> TimedFault {
    TimedFault {
        at_us: millis.start * 1_000,
        until_us: millis.end * 1_000,
        target,
        kind,
    }
}

/// Runs some seeds with these faults and adds up what happened. All faults have to take effect, and all
/// checks to hold.
fn run(faults: &[TimedFault]) -> Counts {
    run_with(faults, |options| options)
}

fn run_with(faults: &[TimedFault], adapt: impl Fn(SimOptions) -> SimOptions) -> Counts {
    let mut sum = Counts::default();
    for engine in [Engine::Model, Engine::Rocksdb] {
        for seed in 1..=3 {
            let plan = FaultPlan {
                faults: faults.to_vec(),
                ..FaultPlan::default()
            };
            let options = adapt(calm(seed, engine));
            let remains = World::new(options, plan, false).run(|_| {});
            assert!(remains.stopped.is_none(), "{seed}: {:#?}", remains.stopped);
            let counts = remains.counts;
            assert_eq!(counts.effective_faults, faults.len() as u64, "{seed}");
            let history = remains.recorder.finish().expect("well-formed");
            let report = check(&history, &CheckOptions::default());
            assert_eq!(report.verdict, VerdictKind::Valid, "{seed}: {report}");
            sum.messages_held += counts.messages_held;
            sum.messages_lost += counts.messages_lost;
            sum.frames_damaged += counts.frames_damaged;
            sum.frames_outlived += counts.frames_outlived;
            sum.next_messages += counts.next_messages;
            sum.exits += counts.exits;
            sum.crashes += counts.crashes;
            sum.epochs += counts.epochs;
        }
    }
    sum
}

fn sequencer() -> Target {
    Target::Sequencer(LOG)
}

#[test]
fn clogged_links_hold_messages_and_let_them_go() {
    for release in [
        Release::Burst,
        Release::Reversed,
        Release::InOrder { gap_us: 300 },
    ] {
        for direction in [Direction::Both, Direction::Inbound, Direction::Outbound] {
            let clog = FaultKind::Clog { direction, release };
            let counts = run(&[
                fault(300..1_500, sequencer(), clog),
                fault(1_200..2_000, Target::Node(NodeId(1)), clog),
            ]);
            assert!(counts.messages_held > 100, "{counts:?}");
        }
    }
}

#[test]
fn damaged_frames_are_refused_whatever_happened_to_them() {
    for damage in Damage::ALL {
        let corrupt = FaultKind::Corrupt {
            permille: 200,
            damage,
        };
        let counts = run(&[fault(200..3_000, Target::Everyone, corrupt)]);
        assert!(counts.frames_damaged > 500, "{damage:?}: {counts:?}");
    }
}

#[test]
fn narrow_links_and_links_that_differ_only_slow_things_down() {
    let narrow = FaultKind::Throttle(Bandwidth {
        bytes_per_second: 20_000,
        buffer_bytes: 4_000,
    });
    let counts = run_with(&[fault(200..2_000, sequencer(), narrow)], |mut options| {
        options.net.links = Some(LinkOptions {
            seed: options.seed,
            far: 0.5,
            far_us_min: 5_000,
            far_us_max: 30_000,
            detour: 0.5,
        });
        options.net.bandwidth = Some(Bandwidth {
            bytes_per_second: 500_000,
            buffer_bytes: 50_000,
        });
        options
    });
    assert!(counts.messages_lost > 0, "{counts:?}");
}

#[test]
fn roles_are_struck() {
    let cut = FaultKind::Partition {
        direction: Direction::Both,
        bridge: NodeSet::EMPTY,
    };
    let counts = run(&[
        fault(300..900, Target::WriteQuorum { log: LOG, pick: 3 }, cut),
        fault(1_200..1_800, Target::MetadataMajority { pick: 5 }, cut),
        fault(2_100..2_700, Target::LastCopyset(LOG), cut),
        fault(2_900..3_500, sequencer(), cut),
        fault(2_900..6_000, Target::Coordinator(LOG), cut),
    ]);
    assert!(counts.epochs > 6, "a log got another leader: {counts:?}");
}

#[test]
fn clocks_drift_step_and_leap() {
    let mut faults = Vec::new();
    for (node, ppm) in [-300_000, 200, 400_000, -50, 100_000]
        .into_iter()
        .enumerate()
    {
        let node = Target::Node(NodeId(node as u8));
        faults.push(fault(0..4_000, node, FaultKind::ClockDrift { ppm }));
    }
    for (at, by_ms) in [(500, -3_600_000), (1_000, 86_400_000), (1_500, -700)] {
        let step = FaultKind::ClockStep { by_ms };
        faults.push(fault(at..at + 800, sequencer(), step));
    }
    let leap = FaultKind::ClockLeap { by_us: 30_000_000 };
    faults.push(fault(2_500..2_500, sequencer(), leap));
    run(&faults);
}

#[test]
fn processes_end_without_their_machines_and_again_and_again() {
    let looping = |power| FaultKind::Loop {
        up_us: 150_000,
        down_us: 80_000,
        power,
    };
    let counts = run(&[
        fault(300..800, sequencer(), FaultKind::Exit),
        fault(900..1_900, Target::Node(NodeId(2)), looping(false)),
        fault(2_000..3_000, sequencer(), looping(true)),
        fault(3_100..3_200, Target::Everyone, FaultKind::Exit),
    ]);
    assert!(counts.exits > 6 * 8 && counts.crashes > 6 * 2, "{counts:?}");
}

/// All nodes of a rack lose power at once, as often as one likes: it takes nothing that was synced.
#[test]
fn a_rack_fails_as_a_whole() {
    let crash = FaultKind::Crash {
        trigger: hstore_sim::plan::Trigger::AtOnce,
        in_restart: None,
        restart_us: None,
    };
    let counts = run(&[
        fault(300..900, Target::Rack(0), crash),
        fault(1_500..2_100, Target::Rack(0), crash),
    ]);
    assert!(counts.crashes >= 6 * 2, "{counts:?}");
}

/// One by one; then back, one by one.
#[test]
fn a_cluster_is_upgraded_and_rolled_back_under_load() {
    let mut faults = Vec::new();
    for (round, to) in [(0, Build::Next), (1, Build::Current)] {
        for node in 0..5 {
            let at = 200 + round * 2_500 + node * 450;
            let node = Target::Node(NodeId(node as u8));
            faults.push(fault(at..at + 60, node, FaultKind::Upgrade { to }));
        }
    }
    let counts = run(&faults);
    assert_eq!(counts.exits, 6 * 10);
    assert!(counts.next_messages > 100, "{counts:?}");
}
