//! An invariant of one's own: the epochs that a node opens only rise. And one that does not hold, to see how that
//! is told.
//!
//!     cargo run --release -p hstore-sim --example own_invariant

use std::collections::BTreeMap;

use hstore_core::{Epoch, LogId, NodeId, Timestamp};
use hstore_replicator::effects::Event;
use hstore_sim::extend::Invariant;
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::PROFILES;
use hstore_sim::report::Violation;
use hstore_sim::run::{RunRequest, View, run_extended};

/// The newest epoch that may open. More would be too many.
#[derive(Debug)]
struct EpochsRise {
    opened: BTreeMap<(NodeId, LogId), Epoch>,
    most: Epoch,
}

impl Invariant for EpochsRise {
    fn on_event(&mut self, now: Timestamp, node: NodeId, event: &Event) -> Option<Violation> {
        let Event::Opened { log, epoch } = event else {
            return None;
        };
        let before = self.opened.insert((node, *log), *epoch);
        let rises = before.is_none_or(|before| before < *epoch);
        (!rises || *epoch > self.most).then(|| Violation {
            property: "epochs-rise".to_owned(),
            checker: "own invariant".to_owned(),
            expected: format!(
                "{node} opens an epoch of {log} above {before:?}, up to {}",
                self.most
            ),
            seen: format!("it opens {epoch}"),
            operations: Vec::new(),
            at: now,
        })
    }
}

fn outcome(most: Epoch) -> (Outcome, Option<Violation>) {
    let course = RunRequest::of(&PROFILES[0], 1).draw();
    let invariant = EpochsRise {
        opened: BTreeMap::new(),
        most,
    };
    let ran = run_extended(course, View::default(), |world| {
        world.with_invariant(Box::new(invariant))
    });
    (ran.report.outcome, ran.report.violation)
}

pub(crate) fn main() {
    let (sound, violation) = outcome(Epoch(u32::MAX));
    assert_eq!(sound, Outcome::Passed, "{violation:#?}");
    let (broken, violation) = outcome(Epoch(1));
    assert_eq!(broken, Outcome::Safety);
    let violation = violation.expect("a failure says what is violated");
    assert_eq!(violation.property, "epochs-rise");
    println!(
        "{sound} as it is; {broken} if more than one epoch is too many: {}",
        violation.seen
    );
}
