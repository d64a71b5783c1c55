//! Where is a time in the log? A node's part: the first record that it holds of that time or a later one.
//!
//! The answer may be early and is never late: a copy that cannot be read counts as one that is meant,
//! and a node tells how far it may look. The reader takes the least answer of a seal quorum, which meets
//! the copies of every record.

use hstore_core::{Address, LogId, Lsn, WallTime};

use super::{Continuation, StorageNode};
use crate::effects::{DiskWork, Env};
use crate::message::{FoundTime, Message, StorageAnswer};

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
            first: state.bounds.forgotten().successor(),
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
            told: FoundTime {
                nonce,
                first: None,
                passed: last,
                authoritative,
                handed: state.bounds.handed,
            },
        };
        self.request(work, then, env);
    }
}

pub(super) fn answer(to: Address, log: LogId, told: FoundTime, first: Option<Lsn>, env: &mut Env) {
    let answer = StorageAnswer::FoundTime(FoundTime { first, ..told });
    env.out.send(to, Message::Stored { log, answer });
}
