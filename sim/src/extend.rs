//! What others add to a world: faults, invariants, workloads and stores of their own.
//!
//! A [`World`](crate::world::World) takes each as a value. What is added follows the rules that everything here
//! follows: it asks for no time and no randomness but what it is given, so that the same seed gives the same run.
//!
//! | what | how | example |
//! |---|---|---|
//! | a fault | [`Fault`], with [`World::with_fault`](crate::world::World::with_fault) | `sim/examples/own_fault.rs` |
//! | an invariant | [`Invariant`], with [`World::with_invariant`](crate::world::World::with_invariant) | `sim/examples/own_invariant.rs` |
//! | a workload | [`Workload`](hstore_workloads::Workload), with [`World::with_workload`](crate::world::World::with_workload) | `sim/examples/own_workload.rs` |
//! | a store | [`OpenStore`], with [`World::with_store`](crate::world::World::with_store) | `sim/examples/own_store.rs` |
//! | a planted bug | `planted!` where the decision is, turned on by its name | `sim/examples/own_planted_bug.rs` |

use std::fmt::Debug;
use std::sync::Arc;

use hstore_core::ports::log_store::{LogStore, StoreError};
use hstore_core::{LogId, NodeId, NodeSet, Timestamp};
use hstore_replicator::effects::Event;

use crate::disk::MountedDisk;
use crate::report::Violation;

/// A fault of one's own. It counts like those of the plan: a run in which it is the only one, and changes nothing,
/// is vacuous.
pub trait Fault: Debug {
    /// Its name, for the trace.
    fn name(&self) -> &str;

    /// It strikes. Says whether that changed anything.
    fn strikes(&mut self, hurt: &mut dyn Hurt) -> bool;

    /// It is undone: whatever it did that does not undo itself.
    fn is_undone(&mut self, hurt: &mut dyn Hurt);
}

/// What a fault of one's own can do to a world.
pub trait Hurt {
    /// All nodes.
    fn nodes(&self) -> NodeSet;

    /// The node that reigns over the newest epoch of a log.
    fn sequencer(&self, log: LogId) -> Option<NodeId>;

    /// Whether the process of a node runs.
    fn is_up(&self, node: NodeId) -> bool;

    /// Takes the power from a node: what it has not synced is lost or torn. False if it is down already.
    fn lose_power(&mut self, node: NodeId) -> bool;

    /// Starts a node that is down, unless a fault of the plan keeps it there.
    fn start(&mut self, node: NodeId);

    /// Lets a process stand still. False if there is none.
    fn pause(&mut self, node: NodeId) -> bool;

    /// Lets it go on.
    fn resume(&mut self, node: NodeId);

    /// Loses all messages from some nodes to others, until this fault is undone.
    fn cut(&mut self, from: NodeSet, to: NodeSet);
}

/// An invariant of one's own: it sees every event of every node, in order.
pub trait Invariant: Debug {
    /// Something happened at a node. What is violated by it, if anything is.
    fn on_event(&mut self, now: Timestamp, node: NodeId, event: &Event) -> Option<Violation>;
}

/// A store of one's own, on the simulated disk of a node: it is opened whenever the node starts.
pub trait OpenStore: Debug {
    /// Opens what the disk holds.
    ///
    /// # Errors
    /// If a file operation fails, or the store cannot make sense of what it finds.
    fn open(&self, disk: MountedDisk) -> Result<Box<dyn LogStore>, StoreError>;
}

/// A store of one's own as hosts share it.
pub type SharedOpenStore = Arc<dyn OpenStore>;
