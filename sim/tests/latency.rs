//! What an append costs, in virtual time: a number that has nothing to do with the machine it is run on.

use hstore_core::quorum::Replication;
use hstore_sim::net::NetOptions;
use hstore_sim::options::{DiskOptions, SimOptions};
use hstore_sim::plan::FaultPlan;
use hstore_sim::profile::Profile;
use hstore_sim::seeds::SimSeeds;
use hstore_sim::world::World;
use jepsen_lite::history::{OpKind, Status};

/// Nothing fails, links take 1 ms one way, disks no time, and clients stand beside the nodes.
fn one_millisecond_links(seed: u64) -> SimOptions {
    let calm = Profile::by_name("calm").expect("a profile");
    let options = calm.draw(SimSeeds(seed));
    SimOptions {
        replication: Replication::copies(3),
        net: NetOptions {
            latency_us_min: 1_000,
            latency_us_max: 1_000,
            tail_probability: 0.0,
            tail_us_max: 0,
            loss: 0.0,
            duplication: 0.0,
            clients_beside_nodes: true,
            links: None,
            bandwidth: None,
        },
        disk: DiskOptions {
            sync_us_min: 0,
            sync_us_max: 0,
            read_us: 0,
        },
        ..options
    }
}

/// Microseconds from the call to the ack of every append.
fn append_latencies_us(options: SimOptions) -> Vec<u64> {
    let remains = World::new(options, FaultPlan::default(), false).run(|_| {});
    assert!(remains.stopped.is_none(), "{:?}", remains.stopped);
    let history = remains.recorder.finish().expect("well-formed");
    history
        .ops()
        .filter(|op| op.kind() == OpKind::Append && op.status() == Status::Ok)
        .map(|op| op.completed().expect("acked").time_ns - op.invoked().time_ns)
        .map(|nanos| nanos / 1_000)
        .collect()
}

#[test]
fn an_append_costs_one_round_trip_from_its_sequencer_to_the_storage_nodes() {
    for seed in 1..=5 {
        let options = one_millisecond_links(seed);
        assert_eq!(options.locations.len(), 5);
        let mut latencies = append_latencies_us(options);
        latencies.sort_unstable();
        let median = latencies[latencies.len() / 2];
        println!(
            "seed {seed}: {} appends, median {median} us",
            latencies.len()
        );
        assert!(latencies.len() > 300, "only {} appends", latencies.len());
        // One round trip is 2,000 us; the way to the sequencer and back on its own machine is 2.
        assert!(
            (2_000..2_500).contains(&median),
            "the median is {median} us"
        );
    }
}
