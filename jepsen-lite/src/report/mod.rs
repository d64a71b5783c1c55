//! Reports for people: each anomaly as a story, and the whole as text, as JSON and as a page.
//!
//! A [`Document`] is made of a [`Report`](crate::check::Report) and the history that it judges. It adds to a
//! certificate what makes it convincing:
//!
//! - a *minimal sub-history*, which is judged illegal once more, by brute force over all orders;
//! - the *nearest legal outcome*: what one operation could have been answered, all others being as they are;
//! - the operations around it, and whatever the caller knows of the run.
//!
//! The page is one file that needs nothing else. It shows each anomaly in lanes, one for each client, and
//! logs on a plane of LSN and time too, where the log's possible ends form a corridor: what is wrong lies
//! outside of it.
//!
//! Nothing here changes a verdict. What cannot be judged again is told with the reason.
//!
//! # The JSON
//!
//! It is a [`Document`] with the fields of that type, in an object whose `format` is
//! `jepsen-lite/report/1`. LSNs are text (`e3:17`), operations numbers, times nanoseconds. Fields may be
//! added; where one changes its meaning, the number at the end of `format` rises.

mod document;
mod exhaustive;
mod html;
mod nearest;
mod part;
mod plot;
mod scope;
mod shrink;
mod statement;
mod story;
mod tell;
mod text;

pub use document::{
    CheckSummary, Context, ContextFact, Document, Extent, Lane, MAX_STORIES, ObjectProof,
    PartSummary, Span, SpanKind,
};
pub use story::{Arrow, Minimal, Nearest, Proof, Story, StoryOp};
pub use tell::legal_answers;
