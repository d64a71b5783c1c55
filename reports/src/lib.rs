//! What a run or a campaign left behind, in words.
//!
//! The files are the boundary: this crate knows nothing of the simulator, only the directories that
//! it writes. So it reads the run of any host, and of any version that still has the fields below.
//!
//! A **run directory** has five files, and a page if clients saw what cannot be:
//!
//! | file | content |
//! |---|---|
//! | `options.json` | what the seed drew |
//! | `plan.json` | the faults that were planned |
//! | `history.jsonl` | what clients asked and were answered ([`jepsen_lite::history`]) |
//! | `trace.jsonl` | every event under the trace hash, one JSON object a line |
//! | `verdict.json` | the outcome and all figures ([`verdict::Verdict`]) |
//! | `report.html` | what clients saw that cannot be, drawn; for people only |
//!
//! A **campaign directory** has `campaign.json` (what was asked for), `runs.jsonl` (a line for each run), a run
//! directory `seed-N` for each of the first failures of each kind, and, once the campaign is complete,
//! `summary.json` ([`campaign::Campaign`]). Without that it is [`unfinished::Unfinished`]. Complete ones are told to
//! people ([`campaign::summary`]) and to what runs them: [`junit`], [`markdown`].
//!
//! A field that is not known here is left alone; one that is missing, or is no JSON, is
//! [`damage::Damage`] with its place.

#![deny(missing_docs)]

pub mod campaign;
pub mod command_line;
pub mod damage;
pub mod directory;
pub mod failures;
pub mod findability;
pub mod junit;
pub mod markdown;
pub mod provenance;
pub mod text;
pub mod unfinished;
pub mod verdict;
