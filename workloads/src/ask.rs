//! What a client asks for, said so that it makes sense in more than one run.

use hstore_core::{LogId, Lsn, ProducerSequence, Token};
use serde::{Deserialize, Serialize};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Append a record.
    Append {
        /// To this log.
        log: LogId,
        /// The record's id. No other has it.
        id: u64,
        /// How many bytes its content has.
        bytes: u32,
        /// What its content is made from, beside the id.
        #[serde(default, skip_serializing_if = "is_zero")]
        salt: u64,
        /// Which record of which producer it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        producer: Option<ProducerSequence>,
        /// The token that it sets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sets_token: Option<Token>,
        /// Only if the last record is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<Place>,
        /// Only if this token was set last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Fence>,
    },
    /// Read.
    Read {
        /// This log.
        log: LogId,
        /// From here.
        from: Place,
        /// At most so many records.
        limit: u32,
    },
    /// Ask where the log ends.
    Tail {
        /// Which log.
        log: LogId,
    },
    /// Read what is released.
    Poll {
        /// This log.
        log: LogId,
        /// From here.
        from: Place,
        /// At most so many records.
        limit: u32,
    },
    /// Give up the oldest records.
    Trim {
        /// Of this log.
        log: LogId,
        /// The last to be given up.
        upto: Place,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(salt: &u64) -> bool {
    *salt == 0
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Before every record.
    Nothing,
    /// Where the first record can stand.
    First,
    /// Where a record was learnt to stand, from 0 for the one learnt of last. The first, if so many are not
    /// known.
    Back(u32),
    /// The last record, for all that is known.
    Last,
    /// The place after the last record, for all that is known.
    AfterLast,
    /// This one, whatever stands there.
    At(Lsn),
}

/// A fencing token to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// The one of the log, for all that is known.
    Current,
    /// This one.
    Of(Token),
}

impl Ask {
    /// The log it is about.
    #[must_use]
    pub fn log(&self) -> LogId {
        match self {
            Self::Append { log, .. }
            | Self::Read { log, .. }
            | Self::Tail { log }
            | Self::Poll { log, .. }
            | Self::Trim { log, .. } => *log,
        }
    }

    /// The same about another log.
    #[must_use]
    pub fn about(mut self, another: LogId) -> Self {
        match &mut self {
            Self::Append { log, .. }
            | Self::Read { log, .. }
            | Self::Tail { log }
            | Self::Poll { log, .. }
            | Self::Trim { log, .. } => *log = another,
        }
        self
    }
}
