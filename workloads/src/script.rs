//! A workload that was written down: each client does what it says, in its order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::knowledge::Knowledge;
use crate::workload::Workload;

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Whose operation it is. Clients are numbered from 0.
    pub client: u32,
    /// How long the client pauses before it, in microseconds.
    pub pause_us: u64,
    /// What it asks for.
    pub ask: Ask,
}

/// Steps to be played. Only the order of the steps of one client matters.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: BTreeMap<u32, VecDeque<Step>>,
}

impl Script {
    /// A script of these steps.
    #[must_use]
    pub fn new(all: impl IntoIterator<Item = Step>) -> Self {
        let mut steps: BTreeMap<u32, VecDeque<Step>> = BTreeMap::new();
        for step in all {
            steps.entry(step.client).or_default().push_back(step);
        }
        Self { steps }
    }
}

impl Workload for Script {
    fn pause(&mut self, client: u32) -> Duration {
        let next = self.steps.get(&client).and_then(VecDeque::front);
        next.map_or(Duration::ZERO, |step| Duration::from_micros(step.pause_us))
    }

    fn next(&mut self, client: u32, _: &Knowledge) -> Option<Ask> {
        let step = self.steps.get_mut(&client)?.pop_front()?;
        Some(step.ask)
    }

    fn is_exhausted(&self) -> bool {
        self.steps.values().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::{LogId, Lsn, Rng};

    use super::*;
    use crate::{Generator, Operation, Spec};

    /// Plays a workload with three clients in turn. Returns what was asked for, and the operations.
    fn play(workload: &mut dyn Workload) -> (Vec<Step>, Vec<Operation>) {
        let mut knowledge = Knowledge::default();
        let (mut steps, mut operations) = (Vec::new(), Vec::new());
        for turn in 0.. {
            let client = turn % 3;
            let pause_us = workload.pause(client).as_micros() as u64;
            let Some(ask) = workload.next(client, &knowledge) else {
                break;
            };
            let operation = knowledge.operation(&ask);
            if let Operation::Append { log, id, .. } = operation {
                knowledge.observe(log, Lsn::new(1 + turn / 100, id as u32));
            }
            operations.push(operation);
            steps.push(Step {
                client,
                pause_us,
                ask,
            });
        }
        assert!(workload.is_exhausted());
        (steps, operations)
    }

    #[test]
    fn a_script_of_what_was_drawn_plays_the_same_operations() {
        let mut rng = Rng::from_seed(5);
        let mut spec = Spec::draw(600, &mut rng);
        spec.demand(&mut rng);
        spec.poll_and_trim();
        let (steps, operations) = play(&mut Generator::new(spec, rng));
        assert_eq!(operations.len(), 600);
        let (again, played) = play(&mut Script::new(steps.clone()));
        assert_eq!(again, steps);
        assert_eq!(played, operations);
    }

    #[test]
    fn a_client_without_a_step_has_nothing_to_do() {
        let ask = Ask::Tail { log: LogId(1) };
        let step = Step {
            client: 2,
            pause_us: 7,
            ask: ask.clone(),
        };
        let (mut script, knowledge) = (Script::new([step]), Knowledge::default());
        assert_eq!(script.next(0, &knowledge), None);
        assert_eq!(script.pause(2), Duration::from_micros(7));
        assert!(!script.is_exhausted());
        assert_eq!(script.next(2, &knowledge), Some(ask));
        assert!(script.is_exhausted());
    }
}
