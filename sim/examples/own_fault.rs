//! A fault of one's own: the sequencer of a log is cut off from all nodes but one, and that one loses power.
//!
//!     cargo run --release -p hstore-sim --example own_fault

use std::time::Duration;

use hstore_core::{LogId, NodeId, NodeSet};
use hstore_sim::extend::{Fault, Hurt};
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::Profile;
use hstore_sim::run::{RunRequest, View, run_extended};

#[derive(Debug, Default)]
struct LastFriend {
    /// Who lost power for it.
    friend: Option<NodeId>,
}

impl Fault for LastFriend {
    fn name(&self) -> &str {
        "last-friend"
    }

    fn strikes(&mut self, hurt: &mut dyn Hurt) -> bool {
        let Some(sequencer) = hurt.sequencer(LogId(1)) else {
            return false;
        };
        let alone = NodeSet::only(sequencer);
        let mut others = hurt.nodes().difference(alone);
        let friend = others.iter().next();
        if let Some(friend) = friend {
            others.remove(friend);
        }
        hurt.cut(alone, others);
        hurt.cut(others, alone);
        self.friend = friend.filter(|friend| hurt.lose_power(*friend));
        self.friend.is_some()
    }

    fn is_undone(&mut self, hurt: &mut dyn Hurt) {
        // What was cut is mended by itself.
        if let Some(friend) = self.friend.take() {
            hurt.start(friend);
        }
    }
}

pub(crate) fn main() {
    let request = RunRequest::of(Profile::by_name("calm").expect("a profile"), 1);
    let mut hurt = 0;
    for seed in 1..=10 {
        let course = RunRequest {
            seed,
            ..request.clone()
        }
        .draw();
        let ran = run_extended(course, View::default(), |world| {
            let (at, until) = (Duration::from_secs(2), Duration::from_secs(5));
            world.with_fault(at, until, Box::<LastFriend>::default())
        });
        assert_eq!(
            ran.report.outcome,
            Outcome::Passed,
            "{:#?}",
            ran.report.violation
        );
        hurt += ran.report.counts.effective_faults;
        println!(
            "seed {seed}: {}, {} epochs",
            ran.report.outcome, ran.report.counts.epochs
        );
    }
    assert!(hurt > 0, "the fault never struck");
}
