//! What clients are told about times and emptiness, judged by what nodes had served before they asked.
//!
//! No history has a word for these questions, so the world judges the answers itself. A record that a node
//! served to a reader was released, and stays, unless it is trimmed.

use std::collections::BTreeMap;

use hstore_core::{Entry, LogId, Lsn, Timestamp, WallTime};
use hstore_replicator::message::{Fetched, Message, StorageAnswer};

use crate::invariants::violation;
use crate::report::Violation;

/// The records that readers were served.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    served: BTreeMap<(LogId, Lsn), Served>,
    /// Up to where each log may have been given up.
    trims: BTreeMap<LogId, Lsn>,
}

#[derive(Clone, Copy, Debug)]
struct Served {
    /// When that was first.
    at: Timestamp,
    /// The time that the record carries.
    time: WallTime,
}

impl Findings {
    /// Learns from what a node sends.
    pub fn on_message(&mut self, at: Timestamp, message: &Message) {
        let Message::Stored { log, answer } = message else {
            return;
        };
        let StorageAnswer::Fetched(Fetched { entries, .. }) = answer else {
            return;
        };
        for (lsn, entry) in entries {
            if let Some(Entry::Record(record)) = entry {
                let time = record.stamp.time;
                let served = Served { at, time };
                self.served.entry((*log, *lsn)).or_insert(served);
            }
        }
    }

    /// Somebody asks for a trim: from now on what is given up may be gone.
    pub fn on_trim(&mut self, log: LogId, upto: Lsn) {
        let known = self.trims.entry(log).or_default();
        *known = (*known).max(upto);
    }

    /// The time of some record of a log: what `pick` is reduced to.
    #[must_use]
    pub fn some_time(&self, log: LogId, pick: u64) -> Option<WallTime> {
        let of_log = || self.served.range((log, Lsn::MIN)..=(log, Lsn::MAX));
        let index = pick.checked_rem(of_log().count() as u64)?;
        of_log().nth(index as usize).map(|(_, it)| it.time)
    }

    /// Records that were served before `since` and that nobody gave up.
    fn known(&self, log: LogId, since: Timestamp) -> impl Iterator<Item = (Lsn, WallTime)> {
        let trim = self.trims.get(&log).copied().unwrap_or(Lsn::MIN);
        let of_log = self.served.range((log, Lsn::MIN)..=(log, Lsn::MAX));
        of_log
            .filter(move |((_, lsn), it)| *lsn > trim && it.at <= since)
            .map(|((_, lsn), it)| (*lsn, it.time))
    }

    /// Who asked at `since` for `time` was told `found`: no record of that time or a later one lies before.
    #[must_use]
    pub fn judge_found(
        &self,
        (since, now): (Timestamp, Timestamp),
        log: LogId,
        time: WallTime,
        found: Lsn,
    ) -> Option<Violation> {
        let mut known = self.known(log, since);
        let (lsn, its) = known.find(|(lsn, its)| *lsn < found && *its >= time)?;
        Some(violation(
            now,
            "times-are-found",
            format!("no record of {log} before {found} is of {time} or later"),
            format!("the record at {lsn} is of {its}, and was served before that was asked"),
        ))
    }

    /// Who asked at `since` was told that a log is empty.
    #[must_use]
    pub fn judge_empty(
        &self,
        (since, now): (Timestamp, Timestamp),
        log: LogId,
    ) -> Option<Violation> {
        let (lsn, _) = self.known(log, since).next()?;
        Some(violation(
            now,
            "empty-is-true",
            format!("{log} is empty, as a client was told"),
            format!("the record at {lsn} was served before that was asked"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::{Record, Stamp, Stamped};

    use super::*;

    const LOG: LogId = LogId(1);
    const SERVED: Timestamp = Timestamp::from_millis(10);
    const LATER: (Timestamp, Timestamp) = (SERVED, Timestamp::from_millis(20));

    /// Records at offsets 1 to 3, of the times 100, 200 and 300.
    fn findings() -> Findings {
        let record = |offset: u32| {
            let stamp = Stamp {
                time: WallTime(u64::from(offset) * 100),
                ..Stamp::default()
            };
            let record = Record::new(vec![offset as u8].into());
            let entry = Entry::Record(Stamped { stamp, record });
            (Lsn::new(1, offset), Some(entry))
        };
        let told = Fetched {
            nonce: 1,
            round: 0,
            entries: (1..4).map(record).collect(),
            passed: Lsn::new(1, 3),
            authoritative: true,
            trim: Lsn::MIN,
            handed: Lsn::MIN,
        };
        let answer = StorageAnswer::Fetched(told);
        let mut findings = Findings::default();
        findings.on_message(SERVED, &Message::Stored { log: LOG, answer });
        findings
    }

    #[test]
    fn a_time_that_is_found_too_late_is_told() {
        let findings = findings();
        let judge = |time, offset| {
            let found = Lsn::new(1, offset);
            findings.judge_found(LATER, LOG, WallTime(time), found)
        };
        assert_eq!(judge(150, 2), None);
        assert_eq!(judge(150, 1), None, "early is allowed");
        assert_eq!(judge(301, 4), None);
        let said = judge(150, 3).expect("the record at 2 is of 200").seen;
        assert!(said.contains("e1:2"), "{said}");
        let before = (Timestamp::from_millis(9), SERVED);
        let found = Lsn::new(1, 3);
        assert_eq!(
            findings.judge_found(before, LOG, WallTime(150), found),
            None
        );
    }

    #[test]
    fn a_log_that_was_read_and_not_trimmed_is_not_empty() {
        let mut findings = findings();
        assert!(findings.judge_empty(LATER, LOG).is_some());
        assert_eq!(findings.judge_empty(LATER, LogId(2)), None);
        findings.on_trim(LOG, Lsn::new(1, 3));
        assert_eq!(findings.judge_empty(LATER, LOG), None);
    }

    #[test]
    fn times_are_picked_from_those_there_are() {
        let findings = findings();
        assert_eq!(findings.some_time(LOG, 4), Some(WallTime(200)));
        assert_eq!(findings.some_time(LogId(2), 4), None);
    }
}
