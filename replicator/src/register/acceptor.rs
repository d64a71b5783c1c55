//! The durable side of the register's consensus: one acceptor per metadata node, for all logs.
//!
//! Invariant: an answer leaves only once the state it tells of is durable. All writes of a node are
//! made durable in order, so an answer waits for its own write alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use hstore_core::{Address, LogId, planted, probe};
use serde::{Deserialize, Serialize};

use super::{RegisterBallot, Vote};
use crate::effects::{DiskOwner, DiskRequest, DiskToken, DiskWork, Durability, Outputs};
use crate::keys::MetaKey;
use crate::message::{Message, RegisterStep};
use crate::queue::Queue;

/// How many writes an acceptor waits for at most. What is asked of it meanwhile is dropped, as if the
/// network had lost it.
const WAITING_MAX: usize = 1024;

/// A metadata node's side of all registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Acceptor {
    logs: BTreeMap<LogId, AcceptorState>,
    /// Answers that wait for their write.
    waiting: BTreeMap<u64, (Address, Message)>,
    next_write: u64,
}

/// What an acceptor remembers of one register, durably.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct AcceptorState {
    pub(crate) promised: RegisterBallot,
    pub(crate) accepted: Option<Vote>,
}

impl Acceptor {
    /// The acceptor as it was when the node stopped.
    pub(crate) fn restore(&mut self, log: LogId, state: AcceptorState) {
        self.logs.insert(log, state);
    }

    /// The queues of this machine.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        std::iter::once(Queue {
            name: "acceptor: writes under way",
            length: self.waiting.len(),
            bound: WAITING_MAX,
        })
    }

    /// What it remembers of each register, for people.
    pub fn describe(&self) -> impl Iterator<Item = (LogId, String)> {
        self.logs.iter().map(|(&log, state)| {
            let promised = state.promised;
            let accepted = match &state.accepted {
                None => "accepted nothing".to_owned(),
                Some(Vote { ballot, value }) => {
                    let (epoch, clean) = (value.epoch, value.winners.len());
                    let owner = value.activation.map_or_else(String::new, |it| {
                        format!(" of {}{}", it.node, it.incarnation)
                    });
                    format!("accepted {ballot}: {epoch}{owner}, {clean} clean")
                }
            };
            (log, format!("promised {promised}, {accepted}"))
        })
    }

    /// Takes a step of the consensus on `log`.
    pub fn on_step(
        &mut self,
        from: Address,
        log: LogId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        out: &mut Outputs,
    ) {
        if self.waiting.len() >= WAITING_MAX {
            return;
        }
        let state = self.logs.entry(log).or_default();
        let answer = |step| Message::Register { log, ballot, step };
        let promise = match step {
            RegisterStep::Prepare | RegisterStep::Accept(_) if ballot < state.promised => {
                probe!(
                    "register.accept-refused",
                    matches!(step, RegisterStep::Accept(_))
                );
                out.send(from, answer(RegisterStep::Refused(state.promised)));
                return;
            }
            RegisterStep::Prepare => RegisterStep::Promise(state.accepted.clone()),
            RegisterStep::Accept(value) => {
                let value = Arc::clone(value);
                state.accepted = Some(Vote { ballot, value });
                RegisterStep::Accepted
            }
            RegisterStep::Promise(_) | RegisterStep::Accepted | RegisterStep::Refused(_) => return,
        };
        state.promised = ballot;
        let put = MetaKey::Acceptor(log).put(state);
        let number = self.next_write;
        self.next_write += 1;
        self.waiting.insert(number, (from, answer(promise)));
        out.disk.push(DiskRequest {
            token: DiskToken {
                owner: DiskOwner::Acceptor,
                number,
            },
            work: DiskWork::Write {
                batch: vec![put],
                // An epoch that was begun must not be begun again.
                until: if planted!("epoch-reuse") {
                    Durability::Written
                } else {
                    Durability::Synced
                },
            },
        });
    }

    /// A write is durable: its answer may leave.
    pub fn on_durable(&mut self, number: u64, out: &mut Outputs) {
        if let Some(answer) = self.waiting.remove(&number) {
            out.messages.push(answer);
        }
    }
}
