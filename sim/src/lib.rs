//! The simulator: a whole HStore cluster in one thread of virtual time.
//!
//! [`run::run`] builds a cluster from a seed, runs clients against it while a fault plan hurts it,
//! heals it, waits for it to converge, reads everything back, and judges. The same seed gives the same
//! run, byte for byte, on any machine.
//!
//! | module | what it is |
//! |---|---|
//! | [`seeds`] | one root seed, many named streams of randomness |
//! | [`options`] | what a seed draws: the whole configuration of a run |
//! | [`plan`], [`nemesis`] | the fault plan as data; drawing it |
//! | [`world`] | the cluster, its clients and faults, in one queue of events |
//! | [`host`] | the host of one node: process, store, group commit |
//! | [`disk`], [`net`] | the simulated disk and network |
//! | [`clients`] | client processes that record what they did and saw |
//! | [`invariants`] | what must hold at every moment, seen from inside |
//! | [`trace`] | every event under a rolling hash |
//! | [`run`], [`outcome`], [`report`] | one run from seed to verdict |
//! | [`mutants`] | the planted bugs that can be turned on |

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs the flag `--cfg madsim`: it is set in .cargo/config.toml, which a RUSTFLAGS \
     variable replaces; unset RUSTFLAGS, or add `--cfg madsim` to it"
);

pub mod clients;
pub mod disk;
pub mod host;
pub mod invariants;
pub mod mutants;
pub mod nemesis;
pub mod net;
pub mod options;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod run;
pub mod seeds;
pub mod trace;
pub mod world;
