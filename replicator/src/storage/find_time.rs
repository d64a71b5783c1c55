//! Where is a time in the log? A node's part: the first record that it holds of that time or a later one.
//!
//! The answer may be early and is never late: a copy that cannot be read counts as one that is meant,
//! and a node tells how far it may look. The reader takes the least answer of a seal quorum, which meets
//! the copies of every record.

use hstore_core::{Address, LogId, Lsn, WallTime};

use super::{Continuation, StorageNode};
use crate::effects::{DiskWork, Env};
use crate::message::{Message, StorageAnswer};

impl StorageNode {
    pub(super) fn on_find_time(
        &mut self,
        from: Address,
        log: LogId,
        nonce: u64,
        time: WallTime,
        last: Lsn,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let last = last.min(state.readable());
        let work = DiskWork::FindTime {
            log,
            first: state.bounds.trim.successor(),
            last,
            time,
        };
        let authoritative = state
            .epochs
            .values()
            .all(|it| it.is_authoritative(env.incarnation));
        let then = Continuation::AnswerFindTime {
            to: from,
            log,
            nonce,
            passed: last,
            authoritative,
        };
        self.request(work, then, env);
    }
}

pub(super) fn answer(
    to: Address,
    log: LogId,
    nonce: u64,
    first: Option<Lsn>,
    passed: Lsn,
    authoritative: bool,
    env: &mut Env,
) {
    let answer = StorageAnswer::FoundTime {
        nonce,
        first,
        passed,
        authoritative,
    };
    env.out.send(to, Message::Stored { log, answer });
}
