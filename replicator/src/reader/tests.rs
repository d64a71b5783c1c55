use hstore_core::quorum::QuorumSystem;
use hstore_core::{Record, Stamp, WallTime};

use super::*;
use crate::message::ColdTold;

const LOG: LogId = LogId(1);
const START: Timestamp = Timestamp::from_millis(1);
const GRACE: Timestamp = Timestamp::from_millis(10_000);

/// Three nodes that hold a log of five records, two copies each, and what they are asked.
struct Nodes {
    reader: Reader,
    timing: Timing,
    records: Vec<Stamped>,
    asked: Vec<(NodeId, StorageAsk)>,
}

fn records(count: u32) -> Vec<Stamped> {
    let mut stamp = Stamp::default();
    let mut records = Vec::new();
    for offset in 1..=count {
        let record = Record::new(offset.to_le_bytes().to_vec().into());
        stamp = Stamp::after(stamp, LOG, Lsn::new(1, offset), WallTime(0), &record);
        records.push(Stamped { stamp, record });
    }
    records
}

fn at(offset: u32) -> Lsn {
    Lsn::new(1, offset)
}

impl Nodes {
    fn new(until: u32) -> Self {
        let spans = vec![EpochSpan {
            first: Epoch(1),
            quorums: QuorumSystem::flat(3, 2).expect("valid"),
        }];
        let range = Range {
            from: Lsn::FIRST,
            until: at(until),
            limit: 10_000,
            trim: Lsn::MIN,
            down: NodeSet::EMPTY,
            second_tier: None,
            is_tiered: false,
        };
        let mut nodes = Self {
            reader: Reader::new(LOG, spans, &range, 7),
            timing: Timing::default(),
            records: records(until - 1),
            asked: Vec::new(),
        };
        nodes.at(START);
        nodes
    }

    fn at(&mut self, now: Timestamp) {
        let asked = &mut self.asked;
        self.reader
            .on_time(now, &self.timing, &mut |node, message| match message {
                Message::Storage { ask, .. } => asked.push((node, ask)),
                other => panic!("a reader sends no {other:?}"),
            });
    }

    /// A node tells that it holds these, and nothing else up to `passed`.
    fn tell(&mut self, node: u8, entries: &[(u32, Option<Entry>)], passed: u32, now: Timestamp) {
        let told = Fetched {
            nonce: 7,
            round: self.reader.round,
            entries: entries.iter().map(|(o, it)| (at(*o), it.clone())).collect(),
            passed: at(passed),
            authoritative: true,
            trim: Lsn::MIN,
            handed: Lsn::MIN,
        };
        self.reader
            .on_fetched(NodeId(node), &told, now, &self.timing);
        self.at(now);
    }

    fn record(&self, offset: u32) -> (u32, Option<Entry>) {
        let record = self.records[offset as usize - 1].clone();
        (offset, Some(Entry::Record(record)))
    }

    /// What was delivered: offsets of records, negative for the first of a gap.
    fn delivered(&mut self) -> Vec<i64> {
        let taken = self.reader.take().into_iter();
        taken
            .map(|it| match it {
                Delivery::Record(lsn, _) => i64::from(lsn.offset.0),
                Delivery::Gap { first, .. } => -i64::from(first.offset.0),
            })
            .collect()
    }

    fn reports(&self) -> Vec<(NodeId, Lsn)> {
        let bad = |(node, ask): &(NodeId, StorageAsk)| match ask {
            StorageAsk::BadCopy { lsn } => Some((*node, *lsn)),
            _ => None,
        };
        self.asked.iter().filter_map(bad).collect()
    }
}

#[test]
fn what_nobody_sent_alone_is_asked_of_everyone_and_only_that_can_be_loss() {
    let mut nodes = Nodes::new(2);
    for node in 0..3 {
        nodes.tell(node, &[], 1, START);
    }
    assert_eq!(nodes.reader.round, 1, "it rewinds");
    assert_eq!(nodes.delivered(), []);
    nodes.tell(0, &[], 1, START);
    nodes.tell(1, &[], 1, START);
    assert_eq!(nodes.delivered(), []);
    nodes.at(GRACE);
    assert_eq!(nodes.delivered(), [-1], "a seal quorum, and a grace");
}

/// The record is on nodes 0 and 2. Node 0 cannot read its copy, node 2 is slow.
#[test]
fn an_unreadable_copy_is_reported_and_no_evidence_of_loss() {
    let mut nodes = Nodes::new(2);
    nodes.tell(0, &[(1, None)], 1, START);
    assert_eq!(nodes.reader.round, 1, "it rewinds at once");
    nodes.tell(0, &[(1, None)], 1, START);
    nodes.tell(1, &[], 1, START);
    nodes.at(GRACE);
    assert_eq!(nodes.delivered(), []);
    let record = nodes.record(1);
    nodes.tell(2, &[record], 1, GRACE);
    assert_eq!(nodes.delivered(), [1]);
    assert_eq!(nodes.reports(), [(NodeId(0), at(1))], "once");
}

impl Nodes {
    /// The same nodes, where node 1 sequences the log and its history may have moved.
    fn tiered(until: u32) -> Self {
        let mut nodes = Self::new(until);
        nodes.reader.is_tiered = true;
        nodes.reader.second_tier = Some(SecondTier::new(NodeId(1)));
        nodes
    }

    /// All nodes tell that they hold nothing up to an offset: it was handed over.
    fn hand_over(&mut self, upto: u32, last: u32) {
        for node in 0..3 {
            let told = Fetched {
                nonce: 7,
                round: self.reader.round,
                entries: Vec::new(),
                passed: at(last),
                authoritative: true,
                trim: Lsn::MIN,
                handed: at(upto),
            };
            self.reader
                .on_fetched(NodeId(node), &told, START, &self.timing);
        }
        self.at(START);
    }

    /// Whom it asks for what in the second tier, since the last call.
    fn asked_cold(&mut self) -> Vec<(NodeId, Lsn)> {
        let asked = std::mem::take(&mut self.asked).into_iter();
        let first = |(node, ask)| match ask {
            StorageAsk::FetchCold(it) => Some((node, it.first)),
            _ => None,
        };
        asked.filter_map(first).collect()
    }

    fn tell_cold(&mut self, node: u8, first: u32, told: ColdTold, now: Timestamp) {
        let answer = Cold {
            nonce: 7,
            first: at(first),
            trim: Lsn::MIN,
            told,
        };
        self.reader
            .on_cold(NodeId(node), &answer, now, &self.timing);
        self.at(now);
    }

    fn entries(&self, offsets: std::ops::RangeInclusive<u32>) -> ColdTold {
        let record =
            |offset: u32| Delivery::Record(at(offset), self.records[offset as usize - 1].clone());
        ColdTold::Entries(offsets.map(record).collect())
    }
}

#[test]
fn what_was_handed_over_is_read_from_the_second_tier_and_the_rest_from_nodes() {
    let mut nodes = Nodes::tiered(6);
    nodes.hand_over(3, 3);
    assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))]);
    // It is another that sequences it now.
    nodes.tell_cold(1, 1, ColdTold::Elsewhere(Some(NodeId(2))), START);
    assert_eq!(nodes.asked_cold(), [(NodeId(2), at(1))]);
    let entries = nodes.entries(1..=2);
    nodes.tell_cold(2, 1, entries, START);
    assert_eq!(nodes.delivered(), [1, 2]);
    assert_eq!(nodes.asked_cold(), [(NodeId(2), at(3))]);
    let entries = nodes.entries(3..=3);
    nodes.tell_cold(2, 3, entries, START);
    assert_eq!(nodes.delivered(), [3]);
    let all: Vec<_> = (4..6).map(|offset| nodes.record(offset)).collect();
    nodes.tell(0, &all, 5, START);
    assert_eq!(nodes.delivered(), [4, 5]);
    assert!(nodes.reader.is_complete());
}

#[test]
fn what_the_second_tier_tells_is_checked_like_all_else() {
    let mut nodes = Nodes::tiered(4);
    nodes.hand_over(3, 3);
    let ColdTold::Entries(mut entries) = nodes.entries(1..=3) else {
        unreachable!("these are entries");
    };
    let Delivery::Record(_, it) = &mut entries[1] else {
        unreachable!("these are records");
    };
    it.record.payload = bytes::Bytes::from_static(b"other");
    nodes.tell_cold(1, 1, ColdTold::Entries(entries), START);
    assert_eq!(nodes.delivered(), [1], "up to what is wrong");
    nodes.asked.clear();
    nodes.tell_cold(1, 2, ColdTold::Entries(Vec::new()), START);
    assert_eq!(nodes.delivered(), [], "nothing is no answer");
}

#[test]
fn who_has_not_heard_of_what_was_handed_over_is_not_believed() {
    let mut nodes = Nodes::tiered(4);
    nodes.hand_over(3, 3);
    nodes.asked.clear();
    nodes.tell_cold(1, 1, ColdTold::Nothing(Lsn::MIN), START);
    assert_eq!(nodes.delivered(), []);
    let later = nodes.reader.deadline().expect("it asks again");
    assert!(later > START);
    nodes.at(later);
    assert_eq!(nodes.asked_cold().len(), 1);
}

/// Nobody holds the record: before it is told as lost, and not for ever, the second tier is asked for it.
#[test]
fn loss_is_told_once_neither_tier_has_it() {
    for found in [true, false] {
        let mut nodes = Nodes::tiered(2);
        for _ in 0..2 {
            for node in 0..2 {
                nodes.tell(node, &[], 1, START);
            }
            nodes.tell(2, &[(1, None)], 1, START);
        }
        assert_eq!(nodes.delivered(), []);
        assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))]);
        nodes.at(GRACE);
        assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))], "once more");
        let waits = nodes.reader.deadline().expect("for an answer");
        assert!(waits > GRACE, "it does not ask without end");
        if found {
            let entries = nodes.entries(1..=1);
            nodes.tell_cold(1, 1, entries, GRACE);
            assert_eq!(nodes.delivered(), [1]);
        } else {
            nodes.tell_cold(1, 1, ColdTold::Nothing(Lsn::MIN), GRACE);
            nodes.at(GRACE + nodes.timing.reader_grace);
            assert_eq!(nodes.delivered(), [-1]);
        }
    }
}

#[test]
fn while_the_second_tier_is_asked_the_reader_does_not_wake_without_end() {
    let mut nodes = Nodes::tiered(2);
    for _ in 0..3 {
        for node in 0..2 {
            nodes.tell(node, &[], 1, START);
        }
        nodes.at(nodes.reader.deadline().expect("it will not wait for ever"));
    }
    let mut now = START;
    for _ in 0..100 {
        now = nodes.reader.deadline().expect("for an answer").max(now);
        nodes.at(now);
        let next = nodes.reader.deadline().expect("for an answer");
        assert!(next > now, "{next} after {now}");
    }
    let asked = nodes.asked_cold().len();
    assert!((1..100).contains(&asked), "{asked}");
}

#[test]
fn what_the_second_tier_lost_is_looked_for_with_all_nodes_once_more() {
    let mut nodes = Nodes::tiered(3);
    nodes.hand_over(1, 1);
    nodes.asked.clear();
    nodes.tell_cold(1, 1, ColdTold::Lost(at(1)), START);
    assert_eq!(nodes.delivered(), []);
    // One node has not forgotten it yet.
    let one = nodes.record(1);
    nodes.tell(2, &[one], 1, START);
    assert_eq!(nodes.delivered(), [1]);
}

#[test]
fn loss_is_certain_once_everyone_has_told() {
    let mut nodes = Nodes::new(2);
    nodes.tell(0, &[(1, None)], 1, START);
    nodes.tell(0, &[(1, None)], 1, START);
    nodes.tell(1, &[], 1, START);
    nodes.tell(2, &[], 1, START);
    assert_eq!(nodes.delivered(), [-1]);
}

#[test]
fn a_silent_node_is_passed_over_after_a_while_and_nothing_comes_twice() {
    let mut nodes = Nodes::new(6);
    let (one, three) = (nodes.record(1), nodes.record(3));
    nodes.tell(0, &[one, three], 5, START);
    nodes.tell(1, &[], 5, START);
    assert_eq!(nodes.delivered(), [1]);
    let later = nodes.reader.deadline().expect("it will not wait for ever");
    assert!(later < START + nodes.timing.resend);
    nodes.at(later);
    assert_eq!(nodes.reader.down(), NodeSet::only(NodeId(2)));
    let all: Vec<_> = (1..6).map(|offset| nodes.record(offset)).collect();
    nodes.tell(0, &[all[2].clone(), all[3].clone()], 5, later);
    assert_eq!(nodes.delivered(), []);
    nodes.tell(1, &all, 5, later);
    assert_eq!(nodes.delivered(), [2, 3, 4, 5]);
    assert!(nodes.reader.is_complete());
}

#[test]
fn an_answer_of_an_earlier_round_proves_nothing() {
    let mut nodes = Nodes::new(2);
    let early = Fetched {
        nonce: 7,
        round: 0,
        entries: Vec::new(),
        passed: at(1),
        authoritative: true,
        trim: Lsn::MIN,
        handed: Lsn::MIN,
    };
    for node in 0..3 {
        nodes.tell(node, &[], 1, START);
    }
    for node in 0..3 {
        let timing = Timing::default();
        nodes
            .reader
            .on_fetched(NodeId(node), &early, START, &timing);
    }
    nodes.at(GRACE);
    assert_eq!(nodes.delivered(), []);
}

/// Node 0 is down. Node 1, which holds the second copy of what is missed, told much beyond it.
#[test]
fn who_told_much_ahead_is_asked_for_what_is_missed() {
    let mut nodes = Nodes::new(201);
    let ahead: Vec<_> = (2..=200).map(|offset| nodes.record(offset)).collect();
    nodes.tell(1, &ahead, 200, START);
    nodes.tell(2, &[], 200, START);
    assert_eq!(nodes.delivered(), []);
    nodes.asked.clear();
    let later = nodes.reader.deadline().expect("it will not wait for ever");
    nodes.at(later);
    assert!(nodes.asked.iter().any(|(node, _)| *node == NodeId(1)));
    let first = nodes.record(1);
    nodes.tell(1, &[first], 1, later);
    assert_eq!(nodes.delivered(), [1]);
}

/// Each copy is in order by itself; the second is of another life of the log.
#[test]
fn a_copy_that_does_not_continue_the_chain_is_not_taken() {
    let mut nodes = Nodes::new(3);
    let record = Record::new(bytes::Bytes::from_static(b"other"));
    let stamp = Stamp::after(Stamp::default(), LOG, at(2), WallTime(0), &record);
    let other = (2, Some(Entry::Record(Stamped { stamp, record })));
    let (one, two) = (nodes.record(1), nodes.record(2));
    nodes.tell(0, &[one, other.clone()], 2, START);
    assert_eq!(nodes.delivered(), [1]);
    assert_eq!(nodes.reports(), [(NodeId(0), at(2))]);
    nodes.tell(0, &[other], 2, START);
    nodes.tell(1, &[two], 2, START);
    assert_eq!(nodes.delivered(), [2]);
}

/// The first copy that came is of another life of the log; all others agree.
#[test]
fn one_wrong_copy_makes_no_loss_of_those_that_agree() {
    let mut nodes = Nodes::new(4);
    let record = Record::new(bytes::Bytes::from_static(b"other"));
    let stamp = Stamp::after(
        Stamp::default(),
        LOG,
        at(1),
        hstore_core::WallTime(0),
        &record,
    );
    let other = (1, Some(Entry::Record(Stamped { stamp, record })));
    let other = [other];
    nodes.tell(0, &other, 3, START);
    assert_eq!(nodes.delivered(), [1]);
    let all: Vec<_> = (1..4).map(|offset| nodes.record(offset)).collect();
    for round in 0..2 {
        nodes.tell(0, &other[round..], 3, START);
        nodes.tell(1, &all, 3, START);
        nodes.tell(2, &all, 3, START);
    }
    assert_eq!(nodes.delivered(), [2, 3]);
}

#[test]
fn after_a_hole_the_chain_is_anchored_anew() {
    let mut nodes = Nodes::new(4);
    let (one, three) = (nodes.record(1), nodes.record(3));
    nodes.tell(0, &[one, (2, Some(Entry::Hole)), three], 3, START);
    assert_eq!(nodes.delivered(), [1, -2, 3]);
}

#[test]
fn a_copy_of_another_place_is_as_good_as_unreadable() {
    let mut nodes = Nodes::new(3);
    let (one, two) = (nodes.record(1), nodes.record(2));
    nodes.tell(0, &[(1, two.1.clone())], 2, START);
    assert_eq!(nodes.delivered(), []);
    assert_eq!(nodes.reports(), [(NodeId(0), at(1))]);
    nodes.tell(1, &[one, two], 2, START);
    assert_eq!(nodes.delivered(), [1, 2]);
}

#[test]
fn whoever_takes_nothing_makes_it_ask_nothing() {
    let mut nodes = Nodes::new(1001);
    let mut passed = 0;
    for _ in 0..1000 {
        let asked = std::mem::take(&mut nodes.asked);
        let Some((node, _)) = asked.last() else { break };
        let entries: Vec<_> = (1..=64).map(|more| nodes.record(passed + more)).collect();
        passed += 64;
        nodes.tell(node.0, &entries, passed, START);
    }
    assert_eq!(passed, 128, "as much as there is room for");
    assert_eq!(nodes.reader.deadline(), None);
    assert_eq!(nodes.delivered().len(), 128);
    nodes.at(START);
    assert_ne!(nodes.asked, [], "there is room again");
}

#[test]
fn what_was_given_up_is_a_gap_up_to_the_trim() {
    let mut nodes = Nodes::new(6);
    let told = Fetched {
        nonce: 7,
        round: 0,
        entries: Vec::new(),
        passed: at(3),
        authoritative: true,
        trim: at(3),
        handed: Lsn::MIN,
    };
    let timing = Timing::default();
    nodes.reader.on_fetched(NodeId(0), &told, START, &timing);
    let gap = Delivery::Gap {
        kind: GapKind::Trim,
        first: at(1),
        last: at(3),
    };
    assert_eq!(nodes.reader.take(), [gap]);
    assert_eq!(nodes.reader.next(), at(4));
}

/// Of what moved before, one record is lost, and all else is in order: also where nothing moves any more.
#[test]
fn of_what_has_moved_no_more_is_told_lost_than_is() {
    for is_tiered in [true, false] {
        let mut nodes = Nodes::tiered(6);
        nodes.reader.is_tiered = is_tiered;
        nodes.hand_over(5, 5);
        assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))]);
        nodes.tell_cold(1, 1, ColdTold::Lost(at(1)), START);
        // All nodes are asked once more.
        nodes.hand_over(5, 5);
        let lost = Delivery::Gap {
            kind: GapKind::DataLoss,
            first: at(1),
            last: at(1),
        };
        assert_eq!(nodes.reader.take(), [lost]);
        nodes.at(START);
        assert_eq!(nodes.asked_cold(), [(NodeId(1), at(2))]);
    }
}
