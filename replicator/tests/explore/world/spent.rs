//! Messages that are *spent*: they can change nothing any more, neither now nor later.
//!
//! States that differ only in what is spent have the same future, and the invariants look at no message:
//! they are one state. So whatever is spent is taken out of the network after every step. Together with
//! forgetting what a powerless S1 knows it leaves between a sixth and three quarters of the states, a third
//! in most scopes. What is spent is said at [`World::is_spent`]; each rule rests on something that only
//! rises: durable seals, promises and last clean epochs of nodes (that these do not go back is an invariant
//! of its own), attempts and proposers of a sequencer, the newest epoch it has heard of.
//!
//! Where answers are messages like all others nothing is taken out: an answer that is on its way may be
//! heard long after its question is spent.

use hstore_core::{Address, Lsn, NodeId};
use hstore_replicator::effects::Env;
use hstore_replicator::message::{
    Fetched, Message, RecoveryAnswer, RecoveryStep, StorageAnswer, StorageAsk,
};
use hstore_replicator::sequencer::Sequencer;

use super::{NOTHING, NOW, NodeView, Part, Parts, World, sequencer_of};
use crate::explore::table::Image;

impl World {
    /// The network without what is spent. `may_crash`: whether a node may yet lose power.
    pub(crate) fn without_spent(&mut self, parts: &Parts, may_crash: bool) -> u32 {
        let network = parts.network;
        if !self.limits.prompt || self.limits.keeps_spent {
            return network;
        }
        let messages = self.network(network).len();
        let mut spent = 0_u128;
        assert!(messages <= 128, "a network has few messages");
        for i in 0..messages {
            let message = self.network(network)[i];
            spent |= u128::from(self.is_spent(message, parts, may_crash)) << i;
        }
        if spent == 0 {
            return network;
        }
        let place = network as usize;
        if self.of_spent.len() <= place {
            self.of_spent.resize_with(place + 1, Vec::new);
        }
        if let Some((_, left)) = self.of_spent[place].iter().find(|it| it.0 == spent) {
            return *left;
        }
        let all = self.network(network).iter().enumerate();
        let left = all.filter(|(i, _)| spent >> i & 1 == 0);
        let left: Vec<u16> = left.map(|(_, &message)| message).collect();
        let left = self.networks.intern(Image::of(&left), || left);
        self.of_spent[place].push((spent, left));
        left
    }

    fn is_spent(&mut self, message: u16, parts: &Parts, may_crash: bool) -> bool {
        let (from, part, said, _) = self.messages.get(message.into());
        let part = *part;
        match (part, said) {
            (Part::Node(node), Message::Storage { ask, .. }) => {
                let view = self.view(node, parts.nodes[node]);
                match ask {
                    // The refusal is not heard, see `World::loss`.
                    StorageAsk::Store { lsn, .. } | StorageAsk::Amend { lsn, .. } => {
                        lsn.epoch <= view.hard_seal
                    }
                    StorageAsk::CheckSeal { epoch, .. } => *epoch <= view.hard_seal,
                    StorageAsk::Recovery { .. } => {
                        let (asker, is_past) = (sequencer_of(*from), is_past(view, ask));
                        is_past && self.has_left(asker, parts.sequencers[asker], message)
                    }
                    // Asking has no effect but the answer.
                    StorageAsk::Fetch(_) => {
                        let asker = sequencer_of(*from);
                        self.has_left(asker, parts.sequencers[asker], message)
                    }
                    StorageAsk::RecoveryMetadata { epoch, .. } => {
                        let Address::Node(NodeId(asker)) = *from else {
                            unreachable!("nodes ask one another");
                        };
                        let asker = usize::from(asker);
                        *epoch <= self.view(asker, parts.nodes[asker]).last_clean
                    }
                    // A node that loses power forgets that it has heard it. What it caught up with, stays.
                    StorageAsk::Release { released, .. } => {
                        !may_crash
                            && released.epoch.prev() <= view.last_clean
                            && self.deliver_to_node(node, parts.nodes[node], message) == NOTHING
                    }
                    _ => false,
                }
            }
            // That a node does not know it is nothing to the one that asked.
            (
                Part::Node(node),
                Message::Stored {
                    answer:
                        StorageAnswer::RecoveryMetadata {
                            epoch, metadata, ..
                        },
                    ..
                },
            ) => metadata.is_none() || *epoch <= self.view(node, parts.nodes[node]).last_clean,
            // A proposer that is gone takes no answer, and its ballot is never used again. One that is not
            // comes to an end with this message.
            (Part::Register { asker }, _) => {
                let (state, register) = (parts.sequencers[asker], parts.register);
                self.deliver_to_register(asker, state, register, message) == NOTHING
            }
            // Only a successor at rest that has heard of no later epoch takes the log. One that does not
            // take it now has heard of one, or will have when it is at rest again.
            (Part::Sequencer(to), Message::HandOver { .. }) => {
                self.deliver_to_sequencer(to, parts.sequencers[to], message) == NOTHING
            }
            _ => false,
        }
    }

    /// Whether a sequencer takes no answer any more to what it asked: it has gone on to a later attempt or
    /// a later round, or has come to an end with it. It never goes back. Found out with an answer that would
    /// make a difference for sure.
    fn has_left(&mut self, sequencer: usize, state: u32, message: u16) -> bool {
        let column = u32::from(message);
        if let Some(known) = self.of_left[sequencer].get(state, column) {
            return known == 1;
        }
        let (_, part, said, _) = self.messages.get(column);
        let (Part::Node(node), Message::Storage { ask, .. }) = (part, said) else {
            unreachable!("nodes are asked");
        };
        let answer = match ask {
            // The end of the recovery, and of the reign.
            StorageAsk::Recovery { epoch, ballot, .. } => StorageAnswer::Recovery {
                epoch: *epoch,
                ballot: *ballot,
                answer: RecoveryAnswer::Preempted {
                    sealed: ballot.seal.next(),
                },
            },
            // The node has to be asked again for the rest.
            StorageAsk::Fetch(fetch) => StorageAnswer::Fetched(Fetched {
                nonce: fetch.nonce,
                round: fetch.round,
                entries: Vec::new(),
                passed: Lsn::MIN,
                authoritative: true,
                trim: Lsn::MIN,
                handed: Lsn::MIN,
            }),
            _ => unreachable!("not asked of other questions"),
        };
        let node = NodeId(*node as u8);
        let step = |machine: &mut Sequencer, env: &mut Env| machine.on_stored(node, &answer, env);
        let outcomes = self.step_sequencer(sequencer, state, NOW, step);
        let left = self.offer(state, outcomes) == NOTHING;
        self.of_left[sequencer].set(state, column, left.into());
        left
    }
}

/// Whether a step of a recovery has no effect on a node any more, but for the answer.
fn is_past(view: &NodeView, ask: &StorageAsk) -> bool {
    let StorageAsk::Recovery {
        epoch,
        ballot,
        step,
    } = ask
    else {
        return false;
    };
    let promised = view.promised(*epoch);
    match step {
        RecoveryStep::Seal => *ballot <= promised && ballot.seal <= view.hard_seal,
        RecoveryStep::Digest { .. } => true,
        RecoveryStep::Mutate { .. } | RecoveryStep::Clean(_) => *ballot < promised,
    }
}
