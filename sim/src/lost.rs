//! What a cluster may tell as lost: records that went bad where damage goes beyond what must be survived.
//!
//! Whoever damages a record looks at it first, so it is known what stood where a reader is told of a loss.
//! The history tells such a read as if nothing had struck: then checkers can judge it like any other, and
//! whatever is not as it was without the loss is a wrong answer. A loss of anything else stays a gap, which
//! excuses nothing, and so does a loss that is told as something else.

use std::collections::BTreeMap;

use hstore_core::{LogId, Lsn, Offset};
use jepsen_lite::history::{Gap, GapKind, RecordId};

/// Records that may be told as lost.
#[derive(Clone, Debug, Default)]
pub struct Lost {
    records: BTreeMap<(LogId, Lsn), RecordId>,
    told: u64,
}

impl Lost {
    /// Every copy of this record may be bad from now on.
    pub fn insert(&mut self, log: LogId, lsn: Lsn, record: RecordId) {
        self.records.insert((log, lsn), record);
    }

    /// How many records were told as lost, each as often as it was.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Tells what stood in a gap: records that went bad, and gaps of what is left of it.
    pub fn restore(&mut self, log: LogId, gap: Gap) -> (Vec<(Lsn, RecordId)>, Vec<Gap>) {
        let range = (log, gap.first)..=(log, gap.last);
        if gap.kind != GapKind::DataLoss || gap.first > gap.last {
            return (Vec::new(), vec![gap]);
        }
        let lost = self.records.range(range);
        let records: Vec<(Lsn, RecordId)> = lost.map(|(&(_, lsn), &id)| (lsn, id)).collect();
        self.told += records.len() as u64;
        let mut gaps = Vec::new();
        let mut first = gap.first;
        for (lsn, _) in &records {
            if first < *lsn {
                let last = before(*lsn);
                gaps.push(Gap { first, last, ..gap });
            }
            first = after(*lsn);
        }
        if first <= gap.last {
            gaps.push(Gap { first, ..gap });
        }
        (records, gaps)
    }
}

fn before(lsn: Lsn) -> Lsn {
    Lsn::at(lsn.epoch, Offset(lsn.offset.0 - 1))
}

fn after(lsn: Lsn) -> Lsn {
    Lsn::at(lsn.epoch, Offset(lsn.offset.0 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId(1);

    fn gap(kind: GapKind, first: u32, last: u32) -> Gap {
        Gap {
            kind,
            first: Lsn::new(1, first),
            last: Lsn::new(1, last),
        }
    }

    #[test]
    fn records_that_went_bad_are_told_in_the_place_of_a_loss() {
        let mut lost = Lost::default();
        for offset in [3, 5, 9] {
            lost.insert(LOG, Lsn::new(1, offset), RecordId(u64::from(offset)));
        }
        lost.insert(LogId(2), Lsn::new(1, 4), RecordId(4));
        let (records, gaps) = lost.restore(LOG, gap(GapKind::DataLoss, 2, 5));
        let found: Vec<u64> = records.iter().map(|(_, id)| id.0).collect();
        assert_eq!(found, [3, 5]);
        let loss = |first, last| gap(GapKind::DataLoss, first, last);
        assert_eq!(gaps, [loss(2, 2), loss(4, 4)]);
        assert_eq!(lost.restore(LOG, loss(9, 9)).1, []);
        assert_eq!(lost.told(), 3);
    }

    #[test]
    fn another_gap_and_another_loss_stay_what_they_are() {
        let mut lost = Lost::default();
        lost.insert(LOG, Lsn::new(1, 3), RecordId(3));
        for gap in [
            gap(GapKind::Hole, 3, 3),
            gap(GapKind::Bridge, 2, 9),
            gap(GapKind::Trim, 1, 9),
            gap(GapKind::DataLoss, 4, 9),
        ] {
            assert_eq!(lost.restore(LOG, gap), (Vec::new(), vec![gap]));
        }
        assert_eq!(lost.told(), 0);
    }
}
