//! How fast the general search is: on histories made here, and on the public ones where
//! `JEPSEN_LITE_CORPORA` says where they are.

use std::fs;
use std::path::PathBuf;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jepsen_lite::formats::{self, Format, guess, read};
use jepsen_lite::history::{EventIndex, Intervals, Moment, OpId, ProcessId, Status};
use jepsen_lite::models::{
    ModelKind, ObjectFault, ObjectOptions, PartVerdict, Parts, Settings, check_object, fold,
};
use jepsen_lite::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value};
use jepsen_lite::search::unwatched;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A real object, which makes what clients see linearizable.
trait Real {
    /// A function, its key and its argument.
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, number: i64) -> (&'static str, Value, Value);
    fn answer(&mut self, function: &str, key: &Value, argument: &Value) -> Value;
}

/// How clients use it.
struct Load {
    clients: u32,
    ops: i64,
    /// Of a thousand operations, how many have an unknown outcome.
    unknown: u32,
}

fn record(real: &mut dyn Real, load: &Load) -> Recording {
    enum Client {
        Idle,
        Asked(OpId, &'static str, Value, Value),
        Done(OpId, Value),
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut recorder = ObjectRecorder::new(Intervals::Open, AfterInfo::GoOn);
    let mut clients: Vec<Client> = (0..load.clients).map(|_| Client::Idle).collect();
    let mut events = Vec::new();
    let mut number = 0;
    let mut index = 0;
    while number < load.ops || clients.iter().any(|client| !matches!(client, Client::Idle)) {
        let at = Moment {
            index: EventIndex(index),
            time_ns: 0,
        };
        index += 1;
        let client = rng.random_range(0..clients.len());
        clients[client] = match std::mem::replace(&mut clients[client], Client::Idle) {
            Client::Idle if number == load.ops => Client::Idle,
            Client::Idle => {
                let (function, key, argument) = real.ask(&mut rng, number);
                number += 1;
                let asked = Asked {
                    function: recorder.function(function),
                    key: recorder.value(key.clone()),
                    argument: recorder.value(argument.clone()),
                };
                let process = ProcessId(u32::try_from(client).expect("a few clients"));
                let op = recorder.invoke(process, asked, at).expect("well-formed");
                events.push((process, asked, op));
                if rng.random_range(0..1000) < load.unknown {
                    if rng.random_bool(0.5) {
                        real.answer(function, &key, &argument);
                    }
                    index += 1;
                    let at = Moment {
                        index: EventIndex(index - 1),
                        time_ns: 0,
                    };
                    let nil = recorder.value(Value::Nil);
                    recorder
                        .complete(op, Status::Info, nil, at)
                        .expect("it is open");
                    Client::Idle
                } else {
                    Client::Asked(op, function, key, argument)
                }
            }
            Client::Asked(op, function, key, argument) => {
                let answer = real.answer(function, &key, &argument);
                Client::Done(op, answer)
            }
            Client::Done(op, answer) => {
                let answer = recorder.value(answer);
                recorder
                    .complete(op, Status::Ok, answer, at)
                    .expect("it is open");
                Client::Idle
            }
        };
    }
    Recording {
        history: recorder.finish(),
    }
}

struct Recording {
    history: ObjectHistory,
}

impl Recording {
    /// The same, but for the answer of one operation.
    fn with_answer(&self, changed: OpId, answer: &Value) -> ObjectHistory {
        let mut recorder = ObjectRecorder::new(Intervals::Open, AfterInfo::GoOn);
        for (op, is_invocation) in self.history.events() {
            let op = self.history.op(op);
            if is_invocation {
                let asked = Asked {
                    function: recorder.function(op.function()),
                    key: recorder.value(op.key().clone()),
                    argument: recorder.value(op.argument().clone()),
                };
                recorder
                    .invoke(op.process(), asked, op.invoked())
                    .expect("well-formed");
            } else {
                let answer = if op.id() == changed {
                    answer
                } else {
                    op.result()
                };
                let answer = recorder.value(answer.clone());
                let at = op.completed().expect("it returned");
                recorder
                    .complete(op.id(), op.status(), answer, at)
                    .expect("well-formed");
            }
        }
        recorder.finish()
    }

    /// The last operation of a function that was answered.
    fn last(&self, function: &str) -> OpId {
        let ops = self.history.ops();
        let answered = ops.filter(|op| op.function() == function && op.status() == Status::Ok);
        answered.last().expect("there are some").id()
    }
}

/// Ten keys with strings, appended to and read.
#[derive(Default)]
struct RealKv(std::collections::BTreeMap<Value, String>);

impl Real for RealKv {
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, number: i64) -> (&'static str, Value, Value) {
        let key = Value::text(&rng.random_range(0..10).to_string());
        match rng.random_range(0..20) {
            0..11 => ("append", key, Value::text(&format!("x {number} y"))),
            11 => ("put", key, Value::text(&format!("x {number} y"))),
            _ => ("get", key, Value::Nil),
        }
    }

    fn answer(&mut self, function: &str, key: &Value, argument: &Value) -> Value {
        let value = self.0.entry(key.clone()).or_default();
        match function {
            "get" => return Value::text(value),
            "put" => value.clear(),
            _ => {}
        }
        value.push_str(argument.as_name().expect("a string"));
        argument.clone()
    }
}

#[derive(Default)]
struct RealRegister(i64);

impl Real for RealRegister {
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, _: i64) -> (&'static str, Value, Value) {
        let mut value = || Value::Int(rng.random_range(0..5));
        let values = [value(), value()];
        match rng.random_range(0..3) {
            0 => ("read", Value::Nil, Value::Nil),
            1 => ("write", Value::Nil, values[0].clone()),
            _ => ("cas", Value::Nil, Value::list(values)),
        }
    }

    fn answer(&mut self, function: &str, _: &Value, argument: &Value) -> Value {
        match (function, argument.items()) {
            ("read", _) => Value::Int(self.0),
            ("write", _) => {
                self.0 = argument.as_int().expect("a number");
                Value::Nil
            }
            (_, Some([from, to])) => {
                let is_it = from.as_int() == Some(self.0);
                if is_it {
                    self.0 = to.as_int().expect("a number");
                }
                Value::Bool(is_it)
            }
            _ => unreachable!("a cas has two values"),
        }
    }
}

#[derive(Default)]
struct RealStream {
    tail: i64,
    hash: u64,
}

impl Real for RealStream {
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, number: i64) -> (&'static str, Value, Value) {
        match rng.random_range(0..10) {
            0..6 => {
                let records: i64 = rng.random_range(1..4);
                let hashes = (0..records).map(|record| Value::Int(4 * number + record));
                let batch = [
                    (Value::text("num_records"), Value::Int(records)),
                    (Value::text("record_hashes"), Value::list(hashes)),
                ];
                ("append", Value::Nil, Value::map(batch))
            }
            6..8 => ("read", Value::Nil, Value::Nil),
            _ => ("check-tail", Value::Nil, Value::Nil),
        }
    }

    fn answer(&mut self, function: &str, _: &Value, argument: &Value) -> Value {
        if function == "append" {
            let hashes = argument.field("record_hashes").and_then(Value::items);
            let hashes = hashes.expect("there are some").iter();
            let hashes: Vec<u64> = hashes
                .map(|hash| hash.as_int().expect("a number").cast_unsigned())
                .collect();
            self.tail += i64::try_from(hashes.len()).expect("a few");
            self.hash = fold(self.hash, &hashes);
        }
        let tail = (Value::text("tail"), Value::Int(self.tail));
        let hash = Value::Int(self.hash.cast_signed());
        match function {
            "read" => Value::map([tail, (Value::text("stream_hash"), hash)]),
            _ => Value::map([tail]),
        }
    }
}

#[derive(Default)]
struct RealQueue(std::collections::VecDeque<i64>);

#[derive(Default)]
struct RealStack(Vec<i64>);

/// No value comes twice.
fn ask_container(
    rng: &mut Xoshiro256PlusPlus,
    number: i64,
    [put, take]: [&'static str; 2],
) -> (&'static str, Value, Value) {
    if rng.random_bool(0.5) {
        (put, Value::Nil, Value::Int(number))
    } else {
        (take, Value::Nil, Value::Nil)
    }
}

impl Real for RealQueue {
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, number: i64) -> (&'static str, Value, Value) {
        ask_container(rng, number, ["enqueue", "dequeue"])
    }

    fn answer(&mut self, _: &str, _: &Value, argument: &Value) -> Value {
        match argument.as_int() {
            Some(value) => {
                self.0.push_back(value);
                Value::Nil
            }
            None => self.0.pop_front().map_or(Value::Nil, Value::Int),
        }
    }
}

impl Real for RealStack {
    fn ask(&mut self, rng: &mut Xoshiro256PlusPlus, number: i64) -> (&'static str, Value, Value) {
        ask_container(rng, number, ["push", "pop"])
    }

    fn answer(&mut self, _: &str, _: &Value, argument: &Value) -> Value {
        match argument.as_int() {
            Some(value) => {
                self.0.push(value);
                Value::Nil
            }
            None => self.0.pop().map_or(Value::Nil, Value::Int),
        }
    }
}

/// Twenty values go in at once, and come out one by one in an order that nobody could know before.
fn burst(put: &str, take: &str) -> ObjectHistory {
    let mut text = String::new();
    let mut event = |process: i64, kind: &str, function: &str, value: &str| {
        let what = format!(":process {process} :type :{kind} :f :{function} :value {value}");
        text.push_str(&format!("{{{what}}}\n"));
    };
    for kind in ["invoke", "ok"] {
        for value in 0..20 {
            event(value, kind, put, &value.to_string());
        }
    }
    for turn in 0..20 {
        event(0, "invoke", take, "nil");
        event(0, "ok", take, &((7 * turn + 3) % 20).to_string());
    }
    match read(text.as_bytes(), Format::Edn) {
        Ok(formats::Recording::Object(read)) => read.history,
        other => panic!("{other:?}"),
    }
}

/// Queues and stacks in which no value comes twice.
fn containers() -> Vec<Case> {
    let load = Load {
        clients: 5,
        ops: 1_000,
        unknown: 0,
    };
    let mut queue = RealQueue::default();
    let mut stack = RealStack::default();
    let containers: [(&mut dyn Real, ModelKind, [&str; 2]); 2] = [
        (&mut queue, ModelKind::Queue, ["enqueue", "dequeue"]),
        (&mut stack, ModelKind::Stack, ["push", "pop"]),
    ];
    let mut cases = Vec::new();
    for (real, kind, [put, take]) in containers {
        let recording = record(real, &load);
        let twice = recording.history.ops().find(|op| op.function() == put);
        let twice = twice.expect("there are some").argument().clone();
        let bad = recording.with_answer(recording.last(take), &twice);
        let parts = Parts::ByKey;
        let mut case = |what: &str, history, is_ok| {
            let name = format!("{} {what}", kind.name());
            cases.push(Case::new(&name, history, kind, parts, is_ok));
        };
        case("1000 ok", recording.history.clone(), true);
        case("1000 bad", bad, false);
        case("20 at once", burst(put, take), true);
    }
    cases
}

struct Case {
    name: String,
    history: ObjectHistory,
    kind: ModelKind,
    settings: Settings,
    parts: Parts,
    /// What the verdict must be.
    is_ok: bool,
}

impl Case {
    fn new(name: &str, history: ObjectHistory, kind: ModelKind, parts: Parts, is_ok: bool) -> Self {
        Self {
            name: name.to_owned(),
            history,
            kind,
            settings: Settings::default(),
            parts,
            is_ok,
        }
    }

    fn steps(&self) -> u64 {
        let options = ObjectOptions {
            parts: self.parts,
            ..ObjectOptions::default()
        };
        let verdict = check_object(
            &self.history,
            self.kind,
            &self.settings,
            &options,
            &unwatched,
        )
        .expect("a history of this model");
        let mut is_ok = true;
        let mut steps = 0;
        for part in &verdict.parts {
            steps += match &part.verdict {
                PartVerdict::Valid { steps, .. } => *steps,
                PartVerdict::Invalid(fault) => {
                    is_ok = false;
                    match **fault {
                        ObjectFault::Search { ref blame, .. } => blame.steps,
                        ObjectFault::Stream(_) => 0,
                    }
                }
                unknown => panic!("{}: {unknown:?}", self.name),
            };
        }
        assert_eq!(is_ok, self.is_ok, "{}", self.name);
        steps
    }
}

fn made_here() -> Vec<Case> {
    let mut cases = Vec::new();
    for clients in [10, 50] {
        let load = Load {
            clients,
            ops: i64::from(clients) * 40,
            unknown: 0,
        };
        let kv = record(&mut RealKv::default(), &load);
        let bad = kv.with_answer(kv.last("get"), &Value::text("x 0 y"));
        let name = |what| format!("kv c{clients} {what}");
        let by_key = Parts::ByKey;
        cases.push(Case::new(
            &name("ok"),
            kv.history.clone(),
            ModelKind::Kv,
            by_key,
            true,
        ));
        cases.push(Case::new(
            &name("bad"),
            bad.clone(),
            ModelKind::Kv,
            by_key,
            false,
        ));
        if clients == 10 {
            let name = |what| format!("kv c{clients} whole {what}");
            cases.push(Case::new(
                &name("ok"),
                kv.history,
                ModelKind::Kv,
                Parts::Whole,
                true,
            ));
            cases.push(Case::new(
                &name("bad"),
                bad,
                ModelKind::Kv,
                Parts::Whole,
                false,
            ));
        }
    }
    for (ops, unknown) in [(10_000, 0), (1_000, 10)] {
        let load = Load {
            clients: 5,
            ops,
            unknown,
        };
        let register = record(&mut RealRegister::default(), &load);
        let bad = register.with_answer(register.last("read"), &Value::Int(9));
        let name = |what| format!("cas-register {ops}, {unknown} of 1000 unknown, {what}");
        let (kind, parts) = (ModelKind::CasRegister, Parts::ByKey);
        cases.push(Case::new(&name("ok"), register.history, kind, parts, true));
        cases.push(Case::new(&name("bad"), bad, kind, parts, false));
        let stream = record(&mut RealStream::default(), &load);
        let stale = Value::map([(Value::text("tail"), Value::Int(100))]);
        let bad = stream.with_answer(stream.last("check-tail"), &stale);
        let name = |what| format!("s2 {ops}, {unknown} of 1000 unknown, {what}");
        cases.push(Case::new(
            &name("ok"),
            stream.history,
            ModelKind::S2,
            parts,
            true,
        ));
        cases.push(Case::new(&name("bad"), bad, ModelKind::S2, parts, false));
    }
    cases.extend(containers());
    cases
}

fn public() -> Vec<Vec<Case>> {
    let Some(corpora) = std::env::var_os("JEPSEN_LITE_CORPORA").map(PathBuf::from) else {
        println!("without the public histories: JEPSEN_LITE_CORPORA does not say where they are");
        return Vec::new();
    };
    let porcupine = corpora.join("porcupine");
    let list = fs::read_to_string(porcupine.join("verdicts.tsv")).expect("the list of verdicts");
    let (mut etcd, mut kv) = (Vec::new(), Vec::new());
    for line in list.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let text = fs::read(porcupine.join(columns[0])).expect("a public history");
        let format = guess(&text).expect("a known format");
        let Ok(formats::Recording::Object(read)) = read(text.as_slice(), format) else {
            panic!("{} is no history of an object", columns[0]);
        };
        let is_ok = columns[3] == "ok";
        if columns[1] == "kv" {
            let history = read.history;
            for parts in [Parts::ByKey, Parts::Whole] {
                let name = format!("{} {parts:?}", columns[0]);
                let case = Case::new(&name, history.clone(), ModelKind::Kv, parts, is_ok);
                kv.push(vec![case]);
            }
        } else {
            let kind = ModelKind::CasRegister;
            let mut case = Case::new("all etcd", read.history, kind, Parts::ByKey, is_ok);
            case.settings = read.settings;
            etcd.push(case);
        }
    }
    kv.push(etcd);
    kv
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    group.sample_size(10);
    let made_here = made_here().into_iter().map(|case| vec![case]);
    for cases in made_here.chain(public()) {
        let ops: usize = cases.iter().map(|case| case.history.len()).sum();
        let steps: u64 = cases.iter().map(Case::steps).sum();
        println!("{}: {ops} operations, {steps} steps", cases[0].name);
        group.throughput(Throughput::Elements(ops as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(&cases[0].name),
            &cases,
            |b, cases| {
                b.iter(|| cases.iter().map(Case::steps).sum::<u64>());
            },
        );
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
