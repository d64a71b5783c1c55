//! Short histories by hand.

use hstore_core::{Epoch, LogId, Lsn};
use jepsen_lite::history::{
    Call, Gap, GapKind, History, Mismatch, OpId, Outcome, ProcessId, ReadOutcome, RecordId,
    Recorder, Terms,
};

/// A history in the making: time rises by itself.
#[derive(Default)]
pub(crate) struct Script {
    recorder: Recorder,
    now_ns: u64,
    pub(crate) log: LogId,
}

/// `lsn("e1:3")`.
pub(crate) fn lsn(text: &str) -> Lsn {
    text.parse().expect("an LSN")
}

impl Script {
    pub(crate) fn invoke(&mut self, process: u32, call: Call) -> OpId {
        self.now_ns += 500_000;
        let op = self
            .recorder
            .invoke(ProcessId(process), self.log, call, self.now_ns);
        op.expect("a well-formed script")
    }

    pub(crate) fn ok(&mut self, op: OpId, outcome: Outcome) {
        self.now_ns += 500_000;
        self.recorder
            .answer(op, outcome, self.now_ns)
            .expect("a well-formed script");
    }

    pub(crate) fn fail(&mut self, op: OpId) {
        self.recorder
            .fail(op, self.now_ns)
            .expect("a well-formed script");
    }

    pub(crate) fn info(&mut self, op: OpId) {
        self.recorder
            .info(op, self.now_ns)
            .expect("a well-formed script");
    }

    pub(crate) fn invoke_append(&mut self, process: u32, record: u64) -> OpId {
        let record = RecordId(record);
        self.invoke(process, Call::append(record))
    }

    pub(crate) fn appended(&mut self, op: OpId, at: &str) {
        self.ok(op, Outcome::Append { lsn: lsn(at) });
    }

    /// A whole append.
    pub(crate) fn append(&mut self, process: u32, record: u64, at: &str) -> OpId {
        let op = self.invoke_append(process, record);
        self.appended(op, at);
        op
    }

    /// A whole append that demands or sets something; where it is refused, `at` is what it was told.
    pub(crate) fn append_if(
        &mut self,
        process: u32,
        record: u64,
        terms: Terms,
        at: Result<&str, Mismatch>,
    ) -> OpId {
        let record = RecordId(record);
        let op = self.invoke(process, Call::Append { record, terms });
        match at {
            Ok(at) => self.appended(op, at),
            Err(mismatch) => self.ok(op, Outcome::Mismatch(mismatch)),
        }
        op
    }

    /// A whole trim.
    pub(crate) fn trim(&mut self, process: u32, upto: &str) -> OpId {
        let op = self.invoke(process, Call::Trim { upto: lsn(upto) });
        self.ok(op, Outcome::Trim);
        op
    }

    /// A whole seal.
    pub(crate) fn seal(&mut self, process: u32, epoch: u32, tail: &str) -> OpId {
        let epoch = Epoch(epoch);
        let op = self.invoke(process, Call::Seal { epoch });
        self.ok(op, Outcome::Seal { tail: lsn(tail) });
        op
    }

    /// A whole poll of everything.
    pub(crate) fn poll(&mut self, process: u32, entries: &[&str]) -> OpId {
        let call = Call::Poll {
            from: Lsn::FIRST,
            limit: 1_000,
            subscription: None,
        };
        let op = self.invoke(process, call);
        self.returned(op, entries, "e1:1");
        op
    }

    /// A whole tail.
    pub(crate) fn tail(&mut self, process: u32, tail: &str) -> OpId {
        let op = self.invoke(process, Call::Tail);
        self.ok(op, Outcome::Tail { tail: lsn(tail) });
        op
    }

    pub(crate) fn invoke_read(
        &mut self,
        process: u32,
        from: &str,
        limit: u32,
        is_final: bool,
    ) -> OpId {
        let from = lsn(from);
        self.invoke(process, Call::read(from, limit, is_final))
    }

    /// `entries` are records (`"e1:1 #7"`) and gaps (`"hole e1:2..e1:3"`).
    pub(crate) fn returned(&mut self, op: OpId, entries: &[&str], tail: &str) {
        let mut read = ReadOutcome {
            tail: lsn(tail),
            ..ReadOutcome::default()
        };
        for entry in entries {
            let (one, two) = entry.split_once(' ').expect("two words");
            if let Some(record) = two.strip_prefix('#') {
                let record = record.parse().expect("a record id");
                read.records.push((lsn(one), RecordId(record)));
                continue;
            }
            let kind = match one {
                "hole" => GapKind::Hole,
                "bridge" => GapKind::Bridge,
                "loss" => GapKind::DataLoss,
                "trim" => GapKind::Trim,
                other => panic!("no gap is a {other}"),
            };
            let (first, last) = two.split_once("..").unwrap_or((two, two));
            read.gaps.push(Gap {
                kind,
                first: lsn(first),
                last: lsn(last),
            });
        }
        self.ok(op, Outcome::Read(read));
    }

    /// A whole read of everything.
    pub(crate) fn read(&mut self, process: u32, entries: &[&str], tail: &str) -> OpId {
        let op = self.invoke_read(process, "e1:1", 1_000, false);
        self.returned(op, entries, tail);
        op
    }

    /// The same, at the end.
    pub(crate) fn final_read(&mut self, process: u32, entries: &[&str], tail: &str) -> OpId {
        let op = self.invoke_read(process, "e1:1", 1_000, true);
        self.returned(op, entries, tail);
        op
    }

    pub(crate) fn finish(self) -> History {
        self.recorder.finish().expect("a well-formed script")
    }
}
