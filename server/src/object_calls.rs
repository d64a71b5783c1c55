//! A node's calls to the object store: each a task of its own, all answered.
//!
//! How many there are at a time is bounded by the node: some for each log that it moves, and one for each read.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use hstore_core::ports::object_store::{
    CannotOffload, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind,
};
use hstore_replicator::effects::{ObjectRequest, ObjectToken};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::objects::{Objects, OpenError, plain};

/// Why nothing can be moved to an object store.
#[derive(Debug, thiserror::Error)]
pub enum CallsError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot do what is needed.
    #[error("`{url}`: {why}")]
    Cannot {
        /// Which.
        url: String,
        /// What is missing.
        why: CannotOffload,
    },
}

/// An answer, and what it is to.
pub type Answer = (ObjectToken, Result<ObjectAnswer, ObjectError>);

/// The calls of a node. They end with it.
#[derive(Debug)]
pub struct ObjectCalls {
    objects: Objects,
    under_way: JoinSet<()>,
    answered: mpsc::UnboundedSender<Answer>,
    /// What comes back. As many answers wait as the node has calls open.
    pub answers: mpsc::UnboundedReceiver<Answer>,
}

impl ObjectCalls {
    /// To the store that `url` names, with what the environment says of it.
    ///
    /// # Errors
    /// If it cannot be opened, or history cannot be moved to it.
    pub fn open(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, CallsError> {
        let objects = Objects::open(url, environment)?;
        let can = objects.capabilities().check_offload();
        can.map_err(|why| CallsError::Cannot {
            url: plain(url),
            why,
        })?;
        let (answered, answers) = mpsc::unbounded_channel();
        Ok(Self {
            objects,
            under_way: JoinSet::new(),
            answered,
            answers,
        })
    }

    /// Makes a call.
    pub fn make(&mut self, request: ObjectRequest) {
        let ObjectRequest { token, ask } = request;
        // Those that are over are forgotten.
        while self.under_way.try_join_next().is_some() {}
        let (objects, answered) = (self.objects.clone(), self.answered.clone());
        self.under_way.spawn(async move {
            let answer = answer(&objects, &ask).await;
            // The node may be gone.
            let _ = answered.send((token, answer));
        });
    }
}

async fn answer(objects: &Objects, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
    // A client of a store that fails so must not leave the node without an answer.
    let call = AssertUnwindSafe(objects.call(ask)).catch_unwind();
    call.await.unwrap_or_else(|_| {
        let why = "the client of the store failed";
        Err(ObjectError::of(ask, ObjectErrorKind::Unavailable, why))
    })
}
