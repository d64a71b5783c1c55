//! The queues of machines, by name: how long each is, and may become.
//!
//! Whatever is asked of a machine, and whoever does not answer it, none of its queues grows past its
//! bound: what does not fit is pushed back where that is an answer, and otherwise dropped as if the
//! network had lost it.

/// A queue as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// What waits in it, and where.
    pub name: &'static str,
    /// How many wait.
    pub length: usize,
    /// How many may.
    pub bound: usize,
}
