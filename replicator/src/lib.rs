//! The replication protocol of HStore, as machines that are stepped.
//!
//! Flexible Paxos applied to a log, in the shape that LogDevice gave it: a sequencer per log orders
//! records, each record goes to a copyset drawn from the epoch's nodeset, and a change of leader seals
//! and recovers the old epoch. Consensus proper is in the [`register`], one small value per log.
//!
//! A machine owns no socket, file, clock, thread or random source. It takes an input and the time, and
//! puts out messages, disk work and events ([`effects`]). Answers that promise durability are outputs
//! of the step that takes the disk's completion.
//!
//! | module | machine | where it runs |
//! |---|---|---|
//! | [`client`] | [`client::Client`]: append, tail, read, poll, trim, find a time | clients |
//! | [`reader`] | [`reader::Reader`]: a range, as records and typed gaps | clients |
//! | [`find_time`] | [`find_time::Search`]: a time, as an LSN | clients |
//! | [`sequencer`] | [`sequencer::Sequencer`]: activation, then a reign | any node |
//! | [`recovery`] | [`recovery::EpochRecovery`]: one old epoch | the sequencer's node |
//! | [`storage`] | [`storage::StorageNode`]: copies, seals, serving | storage nodes |
//! | [`register`] | [`register::Proposer`], [`register::Acceptor`] | sequencers; metadata nodes |
//! | [`placement`] | copysets, nodesets, whom to avoid | sequencers; where clusters are planned |
//! | [`detector`] | [`detector::Detector`]: who is alive, who steps in | every node |
//! | [`sessions`] | [`sessions::Sessions`]: drops duplicate requests | every node |
//!
//! # Limits
//!
//! A log's nodeset and replication are those of the configuration; epochs are recovered one after the
//! other.

#![deny(missing_docs)]

pub mod boot;
pub mod client;
mod cold;
pub mod config;
pub mod detector;
pub mod effects;
pub mod find_time;
pub mod keys;
pub mod message;
mod patience;
pub mod placement;
pub mod producers;
pub mod queue;
pub mod reader;
pub mod recovery;
pub mod register;
pub mod sequencer;
pub mod sequences;
pub mod sessions;
pub mod storage;
pub mod wire;
