//! The simulator: a whole HStore cluster in one thread of virtual time.
//!
//! [`run::run`] builds a cluster from a seed, runs clients against it while a fault plan hurts it,
//! heals it, waits for it to converge, reads everything back, and judges. The same seed gives the same
//! run, byte for byte, on any machine.
//!
//! | module | what it is |
//! |---|---|
//! | [`seeds`] | one root seed, many named streams of randomness |
//! | [`profile`] | what seeds draw from, as data |
//! | [`options`] | what a seed draws: the whole configuration of a run |
//! | [`plan`], [`nemesis`], [`moves`] | the fault plan as data, moves of logs included; drawing it |
//! | [`world`] | the cluster, its clients and faults, in one queue of events |
//! | [`host`] | the host of one node: process, store, group commit |
//! | [`disk`], [`net`], [`clock`] | the simulated disk, network and clocks |
//! | [`next`] | the next version of the product, made for the tests |
//! | [`atlas`] | which damage to durable data may strike |
//! | [`clients`] | client processes that record what they did and saw |
//! | [`invariants`] | what must hold at every moment, seen from inside |
//! | [`trace`] | every event under a rolling hash |
//! | [`run`], [`outcome`], [`report`] | one run from seed to verdict |
//! | [`signature`] | when two failures are the same |
//! | [`capsule`] | a run as a file, to be made again, edited and shrunk |
//! | [`shrink`], [`explain`] | the least that still fails, and what it is that makes it fail |
//! | [`events`], [`clocks`] | the trace read back, in words; what could have caused what |
//! | [`extend`] | faults, invariants, workloads and stores of one's own |
//! | [`log`] | what a run logs, on demand |
//! | [`until`], [`picture`] | where to stop a run, and the state of every machine there |
//! | [`diff`], [`export`] | where two traces part; traces for other tools |
//! | [`mutants`] | the planted bugs that can be turned on |
//! | [`coverage`], [`guide`] | which abstract states runs went through, and plans that reach new ones |
//! | [`hunt`] | how many seeds it takes to find each of them |
//! | [`settings`], [`seed_range`], [`shard`] | what a person chooses: what to run, and which seeds |
//! | [`signature`] | what failures have in common |
//! | [`campaign`], [`ordered`] | many seeds on many threads, one summary |
//! | [`probes`], [`canary`] | whether a campaign went where it should, and would have noticed |
//! | [`quorums`] | the protocol on many quorum systems, one table |
//! | [`determinism`] | each seed twice, in fresh processes |
//! | [`run_dir`], [`fresh_dir`], [`provenance`] | what is kept of a run, whole or not at all, and where it comes from |
//! | [`stopwatch`], [`memory`] | what a run cost |

#[cfg(not(madsim))]
compile_error!(
    "the simulator needs the flag `--cfg madsim`: it is set in .cargo/config.toml, which a RUSTFLAGS \
     variable replaces; unset RUSTFLAGS, or add `--cfg madsim` to it"
);

pub mod atlas;
pub mod campaign;
pub mod canary;
pub mod capsule;
pub mod clients;
pub mod clock;
pub mod clocks;
pub mod coverage;
pub mod determinism;
pub mod diff;
pub mod disk;
pub mod events;
pub mod explain;
pub mod export;
pub mod extend;
pub mod findings;
pub mod fresh_dir;
pub mod guide;
pub mod host;
pub mod hunt;
pub mod invariants;
pub mod log;
pub mod lost;
#[cfg(test)]
mod made_up;
pub mod memory;
pub mod moves;
pub mod mutants;
pub mod nemesis;
pub mod net;
pub mod next;
pub mod objects;
pub mod options;
pub mod ordered;
pub mod outcome;
pub mod page;
pub mod picture;
pub mod plan;
mod plan_check;
pub mod probes;
pub mod profile;
pub mod provenance;
pub mod quorums;
pub mod recoverability;
pub mod report;
pub mod run;
pub mod run_dir;
pub mod seed_range;
pub mod seeds;
pub mod settings;
pub mod shard;
pub mod shrink;
pub mod signature;
pub mod stopwatch;
pub mod store;
pub mod tiering;
pub mod tiers;
mod told;
pub mod trace;
pub mod until;
pub mod world;
