//! Clients that work on real nodes and record what they did and saw.

use std::sync::{Arc, Mutex};

use hstore_core::{LogId, Lsn, Offset, Record, Rng};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::message::Conditions;
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_server::client::Session;
use hstore_server::clock::Clock;
use hstore_server::config::cluster::Cluster;
use hstore_workloads::{Generator, Knowledge, Mix, Operation, Spec, Workload, record_id};
use jepsen_lite::check::{CheckOptions, Report, check};
use jepsen_lite::history::{self, ProcessId, ReadOutcome, RecordId, Recorder};
use jepsen_lite::verdict::VerdictKind;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// So many operations in a row without an acknowledgement are no progress.
const FRUITLESS_MAX: u64 = 200;

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    acknowledged: watch::Receiver<u64>,
}

struct Shared {
    cluster: Arc<Cluster>,
    clock: Clock,
    book: Mutex<Book>,
    acknowledged: watch::Sender<u64>,
    stop: watch::Sender<bool>,
}

struct Book {
    recorder: Recorder,
    generator: Generator,
    knowledge: Knowledge,
    next_process: u32,
    fruitless: u64,
}

impl Load {
    /// Sets clients to work.
    pub(crate) fn start(cluster: &Arc<Cluster>, clients: u32) -> Self {
        let logs = cluster.config.logs.len() as u32;
        let spec = Spec {
            clients,
            logs,
            operations: u32::MAX,
            mix: Mix {
                append: 18,
                read: 1,
                tail: 1,
                conditional: 0,
                token: 0,
                idempotent: 0,
                poll: 0,
                trim: 0,
            },
            payload_bytes_min: 9,
            payload_bytes_max: 1000,
            read_limit: 20,
            think_us_max: 0,
        };
        let shared = Arc::new(Shared {
            cluster: Arc::clone(cluster),
            clock: Clock::start(),
            book: Mutex::new(Book {
                recorder: Recorder::new(),
                generator: Generator::new(spec, Rng::from_seed(1)),
                knowledge: Knowledge::default(),
                next_process: 0,
                fruitless: 0,
            }),
            acknowledged: watch::channel(0).0,
            stop: watch::channel(false).0,
        });
        let acknowledged = shared.acknowledged.subscribe();
        let mut load = Self {
            shared,
            clients: JoinSet::new(),
            acknowledged,
        };
        for _ in 0..clients {
            let shared = Arc::clone(&load.shared);
            load.clients.spawn(async move { shared.work().await });
        }
        load
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until so many more appends were acknowledged.
    pub(crate) async fn progress(&mut self, more: u64) {
        let until = self.acknowledged() + more;
        self.reach(until).await;
    }

    /// Waits until so many appends were acknowledged in all.
    pub(crate) async fn reach(&mut self, until: u64) {
        tokio::select! {
            biased;
            reached = self.acknowledged.wait_for(|count| *count >= until) => {
                reached.expect("the load is there");
            }
            Some(ended) = self.clients.join_next() => {
                ended.expect("a client works on");
                panic!("a client stopped working");
            }
        }
    }

    /// Stops, reads everything back, and has the checkers judge what was recorded.
    pub(crate) async fn finish(mut self) -> Report {
        self.shared.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client ends well");
        }
        let session = self.shared.session(&mut self.clients);
        let process = self.shared.new_process();
        for &log in self.shared.cluster.config.logs.keys() {
            let from = Lsn::FIRST;
            let limit = u32::MAX;
            let read = Operation::Read { log, from, limit };
            let certain = self.shared.carry_out(&session, process, read, true).await;
            assert!(certain, "{log} cannot be read back");
        }
        let shared = Arc::into_inner(self.shared).expect("all clients have ended");
        let book = shared.book.into_inner().expect("no client panicked");
        let history = book.recorder.finish().expect("the recording is sound");
        check(&history, &CheckOptions::default())
    }
}

/// Fails unless the report is good and has so many acknowledged appends.
pub(crate) fn assert_valid(report: &Report, acknowledged: u64) {
    println!("{report}");
    assert_eq!(report.verdict, VerdictKind::Valid, "{report}");
    assert!(
        report.counts.of_kind("append").ok >= acknowledged,
        "{report}"
    );
    assert_eq!(report.counts.final_reads as usize, report.parts.len());
}

impl Shared {
    fn session(&self, tasks: &mut JoinSet<()>) -> Session {
        let made = Session::new(Arc::clone(&self.cluster), self.clock);
        let (session, driver) = made.expect("random numbers");
        tasks.spawn(async move { driver.await.expect("nodes take this client") });
        session
    }

    fn new_process(&self) -> ProcessId {
        let mut book = self.book.lock().expect("no client panicked");
        book.next_process += 1;
        ProcessId(book.next_process)
    }

    async fn work(&self) {
        let mut drivers = JoinSet::new();
        let mut session = self.session(&mut drivers);
        let mut process = self.new_process();
        while !*self.stop.borrow() {
            let operation = {
                let mut book = self.book.lock().expect("no client panicked");
                let book = &mut *book;
                let ask = book.generator.next(0, &book.knowledge).expect("no end");
                book.knowledge.operation(&ask)
            };
            if !self.carry_out(&session, process, operation, false).await {
                // What a process does not know it never learns: another one goes on in its place.
                session = self.session(&mut drivers);
                process = self.new_process();
            }
        }
        drop(session);
        while let Some(ended) = drivers.join_next().await {
            ended.expect("a driver ends well");
        }
    }

    /// False if nobody knows how it ended.
    async fn carry_out(
        &self,
        session: &Session,
        process: ProcessId,
        operation: Operation,
        is_final: bool,
    ) -> bool {
        let (log, call, asked) = calls(operation, is_final);
        let op = {
            let mut book = self.book.lock().expect("no client panicked");
            let now = self.clock.now().0;
            let op = book.recorder.invoke(process, log, asked, now);
            op.expect("a process has one operation at a time")
        };
        let outcome = session.call(call).await.expect("the session goes on");
        let mut book = self.book.lock().expect("no client panicked");
        let now = self.clock.now().0;
        let ended = match &outcome {
            Outcome::Appended(lsn) => {
                let lsn = *lsn;
                book.knowledge.observe(log, lsn);
                book.recorder
                    .answer(op, history::Outcome::Append { lsn }, now)
            }
            Outcome::Tail(tail) => {
                let tail = *tail;
                book.recorder
                    .answer(op, history::Outcome::Tail { tail }, now)
            }
            Outcome::Read { deliveries, tail } => {
                let read = read_outcome(deliveries, *tail);
                book.recorder.answer(op, history::Outcome::Read(read), now)
            }
            Outcome::Moved(_) => unreachable!("clients under load move nothing"),
            Outcome::Failed | Outcome::Mismatch(_) | Outcome::Refused(_) => {
                book.recorder.fail(op, now)
            }
            Outcome::Unknown => book.recorder.info(op, now),
            other => unreachable!("nobody asked for {other:?}"),
        };
        ended.expect("an operation ends once, as its kind ends");
        if let Outcome::Appended(_) = outcome {
            book.fruitless = 0;
            self.acknowledged.send_modify(|count| *count += 1);
        } else {
            book.fruitless += 1;
            assert!(book.fruitless < FRUITLESS_MAX, "there is no progress");
        }
        outcome != Outcome::Unknown
    }
}

fn calls(operation: Operation, is_final: bool) -> (LogId, Call, history::Call) {
    match operation {
        Operation::Append {
            log,
            id,
            payload,
            attributes,
            last_record,
            token,
        } => {
            let call = Call::Append {
                log,
                record: Record::with(payload, attributes),
                conditions: Conditions { last_record, token },
            };
            (log, call, history::Call::append(RecordId(id)))
        }
        Operation::Read { log, from, limit } => {
            let asked = history::Call::read(from, limit, is_final);
            let limit = limit as usize;
            (log, Call::Read { log, from, limit }, asked)
        }
        Operation::Tail { log } => (log, Call::Tail { log }, history::Call::Tail),
        Operation::Poll { .. } | Operation::Trim { .. } => unreachable!("not in the mix"),
    }
}

/// A read as the history tells it. A record that is none of ours gets an id that no append has.
fn read_outcome(deliveries: &[Delivery], tail: Lsn) -> ReadOutcome {
    let mut read = ReadOutcome {
        tail,
        ..ReadOutcome::default()
    };
    for delivery in deliveries {
        match delivery {
            Delivery::Record(lsn, it) => {
                let id = record_id(&it.record.payload).unwrap_or(u64::MAX);
                read.records.push((*lsn, RecordId(id)));
            }
            Delivery::Gap { kind, first, last } => {
                let kind = match kind {
                    GapKind::Bridge => history::GapKind::Bridge,
                    GapKind::Hole => history::GapKind::Hole,
                    GapKind::DataLoss => history::GapKind::DataLoss,
                    GapKind::Trim => history::GapKind::Trim,
                };
                // The history tells a read up to its tail.
                let end = Lsn::at(tail.epoch, Offset(tail.offset.0 - 1));
                let last = if *last < tail { *last } else { end };
                let first = *first;
                read.gaps.push(history::Gap { kind, first, last });
            }
        }
    }
    read
}
