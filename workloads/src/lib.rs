//! What clients do: workloads as data, the generator that draws one from a specification, and the script
//! that plays one that was written down.
//!
//! The same for a simulated and a real cluster: nothing here knows how an operation is carried out.
//! Every record carries an id that is never used twice, so that checkers can tell records apart.
//!
//! A [`Workload`] says what a client asks for next, as an [`Ask`]: it names places in a log by what is known of
//! it ("the third last record that is known"), not by LSN. [`Knowledge`] turns that into an [`Operation`]. So
//! what was asked for in one run still makes sense in another, where the same record stands elsewhere.

#![deny(missing_docs)]

mod ask;
mod generator;
mod knowledge;
mod operation;
mod script;
mod spec;
mod workload;

pub use ask::{Ask, Fence, Place};
pub use generator::Generator;
pub use knowledge::Knowledge;
pub use operation::{Operation, record_id};
pub use script::{Script, Step};
pub use spec::{Mix, Spec};
pub use workload::Workload;
