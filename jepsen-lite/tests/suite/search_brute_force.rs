//! The search, for every model, against a judge that tries every order.

use std::fmt::Debug;

use jepsen_lite::history::{EventIndex, Intervals, Moment, OpId, ProcessId, Status};
use jepsen_lite::models::{
    CasRegister, Kv, Log, MultiRegister, Mutex, NilReads, Queue, QueueOp, Register, S2, Set,
    Settings, Stack, StackOp, fold,
};
use jepsen_lite::object::{
    AfterInfo, Asked, ObjectHistory, ObjectOp, ObjectRecorder, Value, ValueId,
};
use jepsen_lite::search::{
    Blame, Budget, Decoded, Model, Searched, Timed, Undecodable, replay, search, shrink, unwatched,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const HISTORIES: u64 = 4_000;

/// Whether some of the optional operations and all others can be put in order.
fn is_legal<M: Model>(model: &M, ops: &[Timed<M::Op>]) -> bool {
    let optional: Vec<usize> = (0..ops.len()).filter(|&op| ops[op].optional).collect();
    (0..1_u32 << optional.len()).any(|chosen| {
        let is_chosen = |op: &usize| match optional.iter().position(|other| other == op) {
            Some(bit) => chosen >> bit & 1 == 1,
            None => true,
        };
        let left: Vec<&Timed<M::Op>> = (0..ops.len())
            .filter(is_chosen)
            .map(|op| &ops[op])
            .collect();
        can_be_ordered(model, &model.initial(), &left)
    })
}

fn can_be_ordered<M: Model>(model: &M, state: &M::State, left: &[&Timed<M::Op>]) -> bool {
    left.is_empty()
        || (0..left.len()).any(|first| {
            let op = left[first];
            let is_first = left.iter().all(|other| other.deadline > op.invoked);
            let mut rest = left.to_vec();
            rest.remove(first);
            let next = is_first.then(|| model.step(state, &op.op)).flatten();
            next.is_some_and(|next| can_be_ordered(model, &next, &rest))
        })
}

/// The operations of a history that ends before the return of one of them, or with it.
fn beginning<O: Clone>(ops: &[Timed<O>], end: usize, with_end: bool) -> Vec<Timed<O>> {
    let rank = |op: usize| (ops[op].deadline, op);
    let begun = (0..ops.len()).filter(|&op| ops[op].invoked < ops[end].deadline);
    begun
        .map(|op| {
            let has_returned = rank(op) < rank(end) || with_end && op == end;
            let mut timed = ops[op].clone();
            if !has_returned {
                timed.optional = true;
                timed.deadline = u64::MAX;
            }
            timed
        })
        .collect()
}

struct Pool<O> {
    /// Operations as they can be answered.
    effects: Vec<O>,
    /// Operations of unknown outcome.
    optional: Vec<O>,
}

type Recorded = (&'static str, Value, Value, Value);

/// Reads operations by the model, each as answered and as of unknown outcome.
fn pool<M: Model>(model: &M, recorded: &[Recorded]) -> Pool<M::Op> {
    let mut pool = Pool {
        effects: Vec::new(),
        optional: Vec::new(),
    };
    for status in [Status::Ok, Status::Info, Status::Fail, Status::Open] {
        let history = record(recorded, status);
        for op in history.ops() {
            match model.decode(op).expect("an operation of this model") {
                Decoded::Effect(what) => {
                    assert_eq!(status, Status::Ok, "{what:?}");
                    pool.effects.push(what);
                }
                Decoded::Optional(what) => {
                    assert!(matches!(status, Status::Info | Status::Open), "{what:?}");
                    assert!(!model.observes(&what), "{what:?}");
                    pool.optional.push(what);
                }
                Decoded::Nothing => assert_ne!(status, Status::Ok, "{op:?}"),
            }
        }
    }
    pool
}

fn record(recorded: &[Recorded], status: Status) -> ObjectHistory {
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn);
    for ((function, key, argument, result), index) in recorded.iter().zip(0..) {
        let asked = Asked {
            function: recorder.function(function),
            key: recorder.value(key.clone()),
            argument: recorder.value(argument.clone()),
        };
        let at = |index| Moment {
            index: EventIndex(index),
            time_ns: 0,
        };
        let process = ProcessId(u32::try_from(index).expect("a few operations"));
        let op = recorder
            .invoke(process, asked, at(2 * index))
            .expect("well-formed");
        if status != Status::Open {
            let ok = status == Status::Ok;
            let result = recorder.value(if ok { result.clone() } else { Value::Nil });
            let ended = recorder.complete(op, status, result, at(2 * index + 1));
            ended.expect("well-formed");
        }
    }
    recorder.finish()
}

/// Operations around points in time, mostly as the model answers in the order of the points.
fn history<M: Model>(
    rng: &mut Xoshiro256PlusPlus,
    model: &M,
    pool: &Pool<M::Op>,
) -> Vec<Timed<M::Op>> {
    let count: u64 = rng.random_range(2..=7);
    let (is_closed, slip) = (rng.random_bool(0.5), rng.random_range(0..=4_u64));
    let is_wrong = if rng.random_bool(0.4) { 0.0 } else { 0.6 };
    let mut points: Vec<u64> = (0..count).map(|_| rng.random_range(4..4 + count)).collect();
    points.sort_unstable();
    let mut state = model.initial();
    let mut ops = Vec::new();
    for (point, id) in points.into_iter().zip(0..) {
        let optional = rng.random_bool(0.2) && !pool.optional.is_empty();
        let from = if optional {
            &pool.optional
        } else {
            &pool.effects
        };
        let mut op = from[rng.random_range(0..from.len())].clone();
        for _ in 0..30 {
            if model.step(&state, &op).is_some() || rng.random_bool(is_wrong) {
                break;
            }
            op = from[rng.random_range(0..from.len())].clone();
        }
        if !optional || rng.random_bool(0.5) {
            state = model.step(&state, &op).unwrap_or(state);
        }
        let before = rng.random_range(0..=slip.min(point));
        let after = rng.random_range(0..=slip);
        let returns = !optional || rng.random_bool(0.3);
        // Open intervals take time, and have their point in the middle.
        let (invoked, deadline) = if is_closed {
            (2 * (point - before), 2 * (point + after) + 1)
        } else {
            (2 * (point - before) + 1, 2 * (point + after) + 2)
        };
        ops.push(Timed {
            id: OpId(id),
            op,
            optional,
            invoked,
            deadline: if returns { deadline } else { u64::MAX },
        });
    }
    ops
}

#[derive(Default)]
struct Counts {
    legal: u64,
    illegal: u64,
    with_optional: u64,
    steps_max: u64,
    required_max: usize,
}

fn compare<M: Model>(name: &str, model: &M, recorded: &[Recorded]) {
    let pool = pool(model, recorded);
    let mut counts = Counts::default();
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let ops = history(&mut rng, model, &pool);
        let found = search(model, &ops, Budget::default(), &unwatched);
        counts.with_optional += u64::from(ops.iter().any(|op| op.optional));
        let case = || format!("{name}, seed {seed}: {found:?} of {ops:#?}");
        let steps = match &found {
            Searched::Linearizable { order, steps } => {
                assert!(is_legal(model, &ops), "false witness: {}", case());
                assert_eq!(replay(model, &ops, order), Ok(()), "{}", case());
                counts.legal += 1;
                *steps
            }
            Searched::Illegal(blame) => {
                assert!(!is_legal(model, &ops), "false alarm: {}", case());
                check_blame(model, &ops, blame, &case);
                counts.required_max = counts
                    .required_max
                    .max(check_core(model, &ops, blame, &case));
                counts.illegal += 1;
                blame.steps
            }
            other => panic!("{other:?} {}", case()),
        };
        check_budget(model, &ops, &found, steps);
        counts.steps_max = counts.steps_max.max(steps);
    }
    let Counts {
        legal,
        illegal,
        with_optional,
        steps_max,
        required_max,
    } = counts;
    println!(
        "{name}: {HISTORIES} histories, {illegal} illegal, {with_optional} with unknown outcomes, \
         {steps_max} steps and {required_max} operations in a core at most"
    );
    assert!(
        illegal * 10 >= HISTORIES,
        "{name}: only {illegal} illegal ones"
    );
    assert!(legal * 10 >= HISTORIES, "{name}: only {legal} legal ones");
    assert!(
        with_optional * 10 >= HISTORIES,
        "{name}: only {with_optional} with unknown outcomes"
    );
}

fn check_blame<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    blame: &Blame<M::State>,
    case: &dyn Fn() -> String,
) {
    let place = ops.iter().position(|op| op.id == blame.op);
    let place = place.expect("an operation of the history");
    let before = beginning(ops, place, false);
    assert!(is_legal(model, &before), "blamed too late: {}", case());
    let with = beginning(ops, place, true);
    assert!(!is_legal(model, &with), "blamed too early: {}", case());
    assert_eq!(replay(model, &before, &blame.order), Ok(()), "{}", case());
    assert!(blame.is_exact && !blame.possible.is_empty(), "{}", case());
    let rank = |op: &Timed<M::Op>| (op.deadline, op.id);
    let returned = ops
        .iter()
        .filter(|op| !op.optional && rank(op) < rank(&ops[place]));
    let last = returned.max_by_key(|op| rank(op)).map(|op| op.id);
    assert_eq!(blame.previous_ok, last, "{}", case());
}

fn check_core<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    blame: &Blame<M::State>,
    case: &dyn Fn() -> String,
) -> usize {
    let core = shrink(model, ops, blame, Budget::default());
    let part = core.ops(ops);
    assert!(core.is_minimal, "{}", case());
    assert!(
        !is_legal(model, &part),
        "{core:?} proves nothing: {}",
        case()
    );
    for needed in &core.required {
        let mut relaxed = part.clone();
        for op in relaxed.iter_mut().filter(|op| op.id == *needed) {
            op.optional = true;
        }
        assert!(
            is_legal(model, &relaxed),
            "{needed} is not needed in {core:?}: {}",
            case()
        );
    }
    core.required.len()
}

fn check_budget<M: Model>(model: &M, ops: &[Timed<M::Op>], found: &Searched<M::State>, steps: u64) {
    let with = |steps| {
        let budget = Budget {
            steps,
            ..Budget::default()
        };
        search(model, ops, budget, &unwatched)
    };
    let again = with(Budget::default().steps);
    assert_eq!(format!("{again:?}"), format!("{found:?}"), "the same again");
    match (found, with(steps)) {
        (Searched::Linearizable { order, .. }, Searched::Linearizable { order: again, .. }) => {
            assert_eq!(*order, again, "just enough");
        }
        // What to blame may need more.
        (Searched::Illegal(_), Searched::Illegal(again)) => assert_eq!(again.steps, steps),
        (_, other) => panic!("just enough, but {other:?}"),
    }
    for fewer in [0, steps / 2, steps.saturating_sub(1)] {
        if fewer < steps {
            let end = with(fewer);
            assert!(
                matches!(end, Searched::OutOfBudget { steps } if steps == fewer),
                "{end:?}"
            );
        }
    }
}

fn int(number: i64) -> Value {
    Value::Int(number)
}

fn list<const N: usize>(values: [Value; N]) -> Value {
    Value::list(values)
}

fn registers() -> Vec<Recorded> {
    let mut recorded = Vec::new();
    for value in 0..3 {
        recorded.push(("read", Value::Nil, Value::Nil, int(value)));
        recorded.push(("write", Value::Nil, int(value), int(value)));
    }
    recorded
}

#[test]
fn a_register() {
    compare(
        "register",
        &Register::new(&Settings::default()),
        &registers(),
    );
}

#[test]
fn a_register_with_compare_and_set() {
    let mut recorded = registers();
    for from in 0..3 {
        let pair = list([int(from), int((from + 1) % 3)]);
        recorded.push(("cas", Value::Nil, pair.clone(), pair.clone()));
        recorded.push(("cas", Value::Nil, pair, Value::Bool(false)));
    }
    recorded.push(("read", Value::Nil, Value::Nil, Value::Nil));
    let settings = Settings {
        initial: Some(Value::Nil),
        nil_reads: NilReads::Nil,
    };
    compare("cas-register", &CasRegister::new(&settings), &recorded);
}

#[test]
fn several_registers() {
    let (x, y) = (Value::keyword("x"), Value::keyword("y"));
    let read =
        |register: &Value, value: Value| list([Value::keyword("read"), register.clone(), value]);
    let write =
        |register: &Value, value: Value| list([Value::keyword("w"), register.clone(), value]);
    let mut recorded = Vec::new();
    for a in 0..2 {
        for b in 0..2 {
            let txn = list([read(&x, Value::Nil), read(&y, Value::Nil)]);
            let answer = list([read(&x, int(a)), read(&y, int(b))]);
            recorded.push(("txn", Value::Nil, txn, answer));
            let txn = list([write(&x, int(a)), read(&y, Value::Nil)]);
            let answer = list([write(&x, int(a)), read(&y, int(b))]);
            recorded.push(("txn", Value::Nil, txn, answer));
        }
        let map = Value::map([(y.clone(), int(a))]);
        recorded.push(("write", Value::Nil, map.clone(), Value::Nil));
        recorded.push(("read", Value::Nil, Value::Nil, map));
        recorded.push(("write", x.clone(), int(a), Value::Nil));
        recorded.push(("read", x.clone(), Value::Nil, int(a)));
    }
    compare(
        "multi-register",
        &MultiRegister::new(&Settings::default()),
        &recorded,
    );
}

#[test]
fn a_mutex() {
    let [acquire, release] =
        ["acquire", "release"].map(|name| (name, Value::Nil, Value::Nil, Value::Nil));
    compare("mutex", &Mutex, &[acquire, release]);
}

#[test]
fn strings_by_key() {
    let mut recorded = Vec::new();
    for key in ["k", "l"].map(Value::text) {
        for value in ["", "a", "b", "ab", "ba", "aa"] {
            recorded.push(("get", key.clone(), Value::Nil, Value::text(value)));
        }
        for value in ["a", "b"] {
            recorded.push(("append", key.clone(), Value::text(value), Value::Nil));
            recorded.push(("put", key.clone(), Value::text(value), Value::Nil));
        }
    }
    compare("kv", &Kv::new(&Settings::default()), &recorded);
}

#[test]
fn a_set() {
    let mut recorded = Vec::new();
    for value in 0..3 {
        recorded.push(("add", Value::Nil, int(value), Value::Nil));
    }
    for bits in 0..8 {
        let members = (0..3).filter(|bit| bits >> bit & 1 == 1).map(int);
        recorded.push(("read", Value::Nil, Value::Nil, Value::set(members)));
    }
    compare("set", &Set::new(&Settings::default()), &recorded);
}

fn container(put: &'static str, take: &'static str, values: i64) -> Vec<Recorded> {
    let mut recorded = Vec::new();
    for value in 0..values {
        recorded.push((put, Value::Nil, int(value), Value::Nil));
        recorded.push((take, Value::Nil, Value::Nil, int(value)));
    }
    recorded.push((take, Value::Nil, Value::Nil, Value::keyword("empty")));
    recorded
}

#[test]
fn a_queue() {
    let queue = Queue::new(&Settings::default());
    compare("queue", &queue, &container("enqueue", "dequeue", 2));
    compare("queue of 8", &queue, &container("enqueue", "dequeue", 8));
    let full = Queue::new(&full());
    compare("full queue", &full, &container("enqueue", "dequeue", 4));
}

#[test]
fn a_stack() {
    let stack = Stack::new(&Settings::default());
    compare("stack", &stack, &container("push", "pop", 2));
    compare("stack of 8", &stack, &container("push", "pop", 8));
    let full = Stack::new(&full());
    compare("full stack", &full, &container("push", "pop", 4));
}

/// A container that is not empty at first.
fn full() -> Settings {
    Settings {
        initial: Some(list([int(0), int(1)])),
        ..Settings::default()
    }
}

/// A model that foresees nothing.
struct Blind<M>(M);

impl<M: Model> Model for Blind<M> {
    type Op = M::Op;
    type State = M::State;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &M::State, op: &M::Op) -> Option<M::State> {
        self.0.step(state, op)
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<M::Op>, Undecodable> {
        self.0.decode(op)
    }

    fn observes(&self, op: &M::Op) -> bool {
        self.0.observes(op)
    }
}

/// How a container is used.
#[derive(Clone, Copy)]
struct Use {
    clients: usize,
    ops: usize,
    /// How many values there are; as many as operations for values that never come twice.
    values: usize,
    /// Of a hundred operations, how many have an unknown outcome.
    unknown: u32,
    /// Of a hundred operations, how many put something in while anything is to be put in.
    puts: u32,
    /// Whether two answers are exchanged, or one becomes `empty`.
    is_wrong: bool,
}

/// What clients of a container see that is linearizable, but for what `is_wrong` does.
fn contained<O: Clone + PartialEq>(
    rng: &mut Xoshiro256PlusPlus,
    usage: Use,
    takes_first: bool,
    [put, take]: [&dyn Fn(usize) -> O; 2],
    [take_any, empty]: [O; 2],
) -> Vec<Timed<O>> {
    /// What is open: the operation, and whether it took effect.
    type Open = Option<(usize, bool)>;
    let mut inside = std::collections::VecDeque::new();
    let mut open: Vec<Open> = vec![None; usage.clients];
    let mut ops: Vec<Timed<O>> = Vec::new();
    let (mut edge, mut puts) = (0, 0);
    // By operation, what it puts in.
    let mut given: Vec<Option<usize>> = Vec::new();
    while ops.len() < usage.ops || open.iter().any(Option::is_some) {
        edge += 1;
        let client = rng.random_range(0..usage.clients);
        open[client] = match open[client] {
            None if ops.len() == usage.ops => None,
            None => {
                let what = (rng.random_range(0..100) < usage.puts).then_some(puts % usage.values);
                puts += usize::from(what.is_some());
                given.push(what);
                let id = OpId(u32::try_from(ops.len()).expect("a few operations"));
                ops.push(Timed {
                    id,
                    op: what.map_or(take_any.clone(), put),
                    optional: rng.random_range(0..100) < usage.unknown,
                    invoked: edge,
                    deadline: u64::MAX,
                });
                let is_lost = ops[ops.len() - 1].optional && rng.random_bool(0.5);
                (!is_lost).then_some((ops.len() - 1, false))
            }
            Some((op, false)) => {
                let taken = match (given[op], takes_first) {
                    (Some(value), _) => {
                        inside.push_back(value);
                        None
                    }
                    (None, true) => Some(inside.pop_front()),
                    (None, false) => Some(inside.pop_back()),
                };
                if let Some(taken) = taken
                    && !ops[op].optional
                {
                    ops[op].op = taken.map_or(empty.clone(), take);
                }
                (!ops[op].optional).then_some((op, true))
            }
            Some((op, true)) => {
                ops[op].deadline = edge;
                None
            }
        };
    }
    let takes = (0..ops.len()).filter(|&op| given[op].is_none() && !ops[op].optional);
    let takes: Vec<usize> = takes.collect();
    if usage.is_wrong && takes.len() > 1 {
        let [a, b] = [0, 1].map(|_| takes[rng.random_range(0..takes.len())]);
        if rng.random_bool(0.3) {
            ops[a].op = empty;
        } else {
            let other = ops[b].op.clone();
            ops[b].op = std::mem::replace(&mut ops[a].op, other);
        }
    }
    ops
}

fn queued(rng: &mut Xoshiro256PlusPlus, usage: Use, queue: &Queue) -> Vec<Timed<QueueOp>> {
    let values = queue_ids(queue, usage.values);
    let put = |value: usize| QueueOp::Enqueue(values[value]);
    let take = |value: usize| QueueOp::Dequeue(values[value]);
    let others = [QueueOp::DequeueAny, QueueOp::Empty];
    contained(rng, usage, true, [&put, &take], others)
}

fn stacked(rng: &mut Xoshiro256PlusPlus, usage: Use, stack: &Stack) -> Vec<Timed<StackOp>> {
    let values = stack_ids(stack, usage.values);
    let put = |value: usize| StackOp::Push(values[value]);
    let take = |value: usize| StackOp::Pop(values[value]);
    let others = [StackOp::PopAny, StackOp::Empty];
    contained(rng, usage, false, [&put, &take], others)
}

fn queue_ids(queue: &Queue, count: usize) -> Vec<ValueId> {
    ids(queue, "enqueue", count, |op| match op {
        QueueOp::Enqueue(value) => *value,
        other => panic!("{other:?}"),
    })
}

fn stack_ids(stack: &Stack, count: usize) -> Vec<ValueId> {
    ids(stack, "push", count, |op| match op {
        StackOp::Push(value) => *value,
        other => panic!("{other:?}"),
    })
}

/// The values 0, 1 and so on as a model knows them.
fn ids<M: Model>(
    model: &M,
    put: &'static str,
    count: usize,
    value: impl Fn(&M::Op) -> ValueId,
) -> Vec<ValueId> {
    let count = i64::try_from(count).expect("a few values");
    let recorded: Vec<Recorded> = (0..count)
        .map(|value| (put, Value::Nil, int(value), Value::Nil))
        .collect();
    pool(model, &recorded).effects.iter().map(value).collect()
}

/// Searches with and without foresight, and shrinks what is illegal.
fn compare_blind<M: Model>(
    name: &str,
    sighted: M,
    history: impl Fn(&mut Xoshiro256PlusPlus, Use, &M) -> Vec<Timed<M::Op>>,
) {
    let blind = Blind(sighted);
    let sighted = &blind.0;
    let (mut legal, mut illegal, mut steps, mut blind_steps) = (0_u32, 0_u32, 0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let ops = rng.random_range(6..=13);
        let usage = Use {
            clients: rng.random_range(2..=5),
            ops,
            values: if rng.random_bool(0.7) { ops } else { 3 },
            unknown: if rng.random_bool(0.5) { 0 } else { 15 },
            puts: rng.random_range(40..=60),
            is_wrong: rng.random_bool(0.5),
        };
        let ops = history(&mut rng, usage, sighted);
        let found = search(sighted, &ops, Budget::default(), &unwatched);
        let expected = search(&blind, &ops, Budget::default(), &unwatched);
        let case = || format!("{name}, seed {seed}: {found:?}, {expected:?} of {ops:#?}");
        match (&found, &expected) {
            (
                Searched::Linearizable { order, steps: some },
                Searched::Linearizable { steps: more, .. },
            ) => {
                assert_eq!(replay(sighted, &ops, order), Ok(()), "{}", case());
                (steps, blind_steps) = (steps + some, blind_steps + more);
                legal += 1;
            }
            (Searched::Illegal(blame), Searched::Illegal(same)) => {
                assert!(blame.is_exact && !blame.possible.is_empty(), "{}", case());
                assert_eq!(
                    (blame.op, blame.previous_ok),
                    (same.op, same.previous_ok),
                    "{}",
                    case()
                );
                (steps, blind_steps) = (steps + blame.steps, blind_steps + same.steps);
                let core = shrink(sighted, &ops, blame, Budget::default());
                let again = search(&blind, &core.ops(&ops), Budget::default(), &unwatched);
                assert!(matches!(again, Searched::Illegal(_)), "{}", case());
                illegal += 1;
            }
            _ => panic!("{}", case()),
        }
    }
    println!(
        "{name}: {legal} legal and {illegal} illegal histories; {steps} steps, {blind_steps} blind"
    );
    assert!(u64::from(legal.min(illegal)) * 10 >= HISTORIES, "{name}");
    assert!(steps * 2 < blind_steps, "{name}");
}

/// Values go in at once, and come out one by one in an order that nobody could know before.
fn burst<O>(
    values: &[ValueId],
    put: impl Fn(ValueId) -> O,
    take: impl Fn(ValueId) -> O,
) -> Vec<Timed<O>> {
    let count = values.len();
    let id = |index: usize| OpId(u32::try_from(index).expect("a few operations"));
    let timed = |index, op, invoked, deadline| Timed {
        id: id(index),
        op,
        optional: false,
        invoked,
        deadline,
    };
    let end = u64::try_from(2 * count).expect("a few operations");
    let puts = values.iter().zip(0..);
    let puts =
        puts.map(|(&value, at)| timed(usize::try_from(at).expect("few"), put(value), at, end + at));
    let takes = (0..count).map(|turn| {
        let at = 2 * end + 2 * u64::try_from(turn).expect("few");
        timed(
            count + turn,
            take(values[(7 * turn + 3) % count]),
            at,
            at + 1,
        )
    });
    puts.chain(takes).collect()
}

/// Searches a burst, and one in which the last value to come out is another one.
fn search_burst<M: Model>(model: &M, mut ops: Vec<Timed<M::Op>>) {
    let few = 20 * ops.len() as u64;
    match search(model, &ops, Budget::default(), &unwatched) {
        Searched::Linearizable { steps, .. } => assert!(steps <= few, "{steps} steps"),
        other => panic!("{other:?}"),
    }
    let last = ops.len() - 1;
    ops[last].op = ops[ops.len() / 2].op.clone();
    match search(model, &ops, Budget::default(), &unwatched) {
        Searched::Illegal(blame) => {
            assert_eq!(blame.op, ops[last].id);
            assert!(blame.is_exact && !blame.possible.is_empty(), "{blame:?}");
            let budget = Budget {
                steps: 20_000,
                ..Budget::default()
            };
            let core = shrink(model, &ops, &blame, budget);
            assert!(core.required.len() < ops.len() / 2, "{core:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn many_values_that_go_in_at_once_take_few_steps() {
    for count in [10, 16, 20, 60] {
        let queue = Queue::new(&Settings::default());
        let values = queue_ids(&queue, count);
        search_burst(&queue, burst(&values, QueueOp::Enqueue, QueueOp::Dequeue));
        let stack = Stack::new(&Settings::default());
        let values = stack_ids(&stack, count);
        search_burst(&stack, burst(&values, StackOp::Push, StackOp::Pop));
    }
}

#[test]
fn long_histories_of_containers_take_few_steps() {
    for (unknown, is_wrong) in [(0, false), (0, true), (1, false), (1, true)] {
        let usage = Use {
            clients: 5,
            ops: 1_000,
            values: 1_000,
            unknown,
            puts: 55,
            is_wrong,
        };
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let queue = Queue::new(&Settings::default());
        let ops = queued(&mut rng, usage, &queue);
        is_quick(&queue, &ops, is_wrong);
        let stack = Stack::new(&Settings::default());
        let ops = stacked(&mut rng, usage, &stack);
        is_quick(&stack, &ops, is_wrong);
    }
}

fn is_quick<M: Model>(model: &M, ops: &[Timed<M::Op>], is_wrong: bool) {
    let budget = Budget {
        steps: 100_000,
        ..Budget::default()
    };
    match search(model, ops, budget, &unwatched) {
        Searched::Linearizable { .. } => assert!(!is_wrong),
        Searched::Illegal(blame) => assert!(is_wrong && blame.is_exact, "{blame:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_does_not_begin_as_it_is_read_is_given_up_early() {
    const COUNT: i64 = 12;
    let log = Log::default();
    let at = |(position, value)| list([int(position), int(value)]);
    let read: Vec<Value> = (0..COUNT)
        .map(|at| 7 * at % COUNT)
        .enumerate()
        .map(|(index, value)| at((i64::try_from(index).expect("few"), value)))
        .collect();
    let mut recorded: Vec<Recorded> = Vec::new();
    for value in 0..COUNT {
        recorded.push(("append", Value::Nil, int(value), Value::Nil));
    }
    recorded.push(("read", Value::Nil, int(0), Value::list(read)));
    let mut ops = Vec::new();
    for (op, index) in pool(&log, &recorded).effects.into_iter().zip(0..) {
        let is_read = log.observes(&op);
        let (invoked, deadline) = if is_read {
            (100, 101)
        } else {
            (index, 50 + index)
        };
        ops.push(Timed {
            id: OpId(u32::try_from(index).expect("few")),
            op,
            optional: false,
            invoked,
            deadline,
        });
    }
    match search(&log, &ops, Budget::default(), &unwatched) {
        Searched::Linearizable { steps, .. } => assert!(steps < 1_000, "{steps} steps"),
        other => panic!("{other:?}"),
    }
}

/// That the first value goes to whoever tells is known only later: up to then somebody else may have taken it.
#[test]
fn what_is_concluded_from_later_answers_is_not_blamed_on_earlier_ones() {
    let queue = Queue::new(&Settings::default());
    let values = queue_ids(&queue, 2);
    let (first, second) = (values[0], values[1]);
    let ops = [
        (QueueOp::Enqueue(first), false, 0, 1),
        (QueueOp::Enqueue(second), false, 2, 3),
        (QueueOp::DequeueAny, true, 0, u64::MAX),
        (QueueOp::Dequeue(second), false, 4, 5),
        (QueueOp::DequeueAny, true, 4, u64::MAX),
        (QueueOp::Dequeue(first), false, 6, 9),
        (QueueOp::Enqueue(second), false, 4, 9),
    ];
    let ops: Vec<Timed<QueueOp>> = ops
        .into_iter()
        .zip(0..)
        .map(|((op, optional, invoked, deadline), id)| Timed {
            id: OpId(id),
            op,
            optional,
            invoked,
            deadline,
        })
        .collect();
    match search(&queue, &ops, Budget::default(), &unwatched) {
        Searched::Illegal(blame) => assert_eq!((blame.op, blame.is_exact), (OpId(5), true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn foresight_of_a_queue_loses_nothing() {
    compare_blind("queue", Queue::new(&Settings::default()), queued);
}

#[test]
fn foresight_of_a_stack_loses_nothing() {
    compare_blind("stack", Stack::new(&Settings::default()), stacked);
}

#[test]
fn a_log() {
    let mut recorded = Vec::new();
    let at = |position: i64, value: i64| list([int(position), int(value)]);
    for value in 0..2 {
        recorded.push(("append", Value::Nil, int(value), Value::Nil));
        for position in 0..4 {
            recorded.push(("append", Value::Nil, int(value), int(position)));
        }
        recorded.push(("read", Value::Nil, int(0), list([at(0, value)])));
        recorded.push(("read", Value::Nil, int(1), list([at(1, value)])));
        recorded.push(("read", Value::Nil, int(0), list([at(0, value), at(1, 1)])));
    }
    recorded.push(("read", Value::Nil, int(1), list([])));
    recorded.push(("read", Value::Nil, int(0), list([at(0, 0), at(0, 1)])));
    for tail in 0..4 {
        recorded.push(("tail", Value::Nil, Value::Nil, int(tail)));
    }
    compare("log", &Log::default(), &recorded);
}

#[test]
fn a_stream_of_s2() {
    let map = |entries: Vec<(&str, Value)>| {
        let entries = entries.into_iter();
        Value::map(entries.map(|(name, value)| (Value::text(name), value)))
    };
    let token = |token: Option<&str>| token.map_or(Value::Nil, Value::text);
    let mut recorded = Vec::new();
    let mut hashes = vec![vec![0_u64], vec![]];
    for records in 1..3_i64 {
        for (set, needed, at) in [
            (None, None, None),
            (Some("t"), None, None),
            (None, Some("t"), None),
            (None, None, Some(1)),
        ] {
            let batch = map(vec![
                ("num_records", int(records)),
                ("record_hashes", Value::list((0..records).map(int))),
                ("set_fencing_token", token(set)),
                ("fencing_token", token(needed)),
                ("match_seq_num", at.map_or(Value::Nil, int)),
            ]);
            for tail in 1..4 {
                let answer = map(vec![("tail", int(tail))]);
                recorded.push(("append", Value::Nil, batch.clone(), answer));
            }
        }
    }
    for tail in 0..4_i64 {
        recorded.push((
            "check-tail",
            Value::Nil,
            Value::Nil,
            map(vec![("tail", int(tail))]),
        ));
        let known = hashes[0].clone();
        for hash in known {
            let answer = map(vec![
                ("tail", int(tail)),
                ("stream_hash", int(hash.cast_signed())),
            ]);
            recorded.push(("read", Value::Nil, Value::Nil, answer));
        }
        // Streams of one record more, or of two.
        let longer = hashes[0].iter().map(|&stream| fold(stream, &[0]));
        let longer: Vec<u64> = longer.chain(hashes[1].iter().copied()).collect();
        let two = hashes[0].iter().map(|&stream| fold(stream, &[0, 1]));
        hashes = vec![longer, two.collect()];
    }
    compare("s2", &S2, &recorded);
}

/// A model that lies about what observes is caught.
#[derive(Debug)]
struct Liar;

impl Model for Liar {
    type Op = ();
    type State = u32;

    fn initial(&self) -> u32 {
        0
    }

    fn step(&self, state: &u32, (): &()) -> Option<u32> {
        Some(state + 1)
    }

    fn decode(&self, _: ObjectOp<'_>) -> Result<Decoded<()>, Undecodable> {
        Ok(Decoded::Nothing)
    }

    fn observes(&self, (): &()) -> bool {
        true
    }
}

#[test]
#[should_panic(expected = "says that it observes")]
fn an_observer_that_changes_a_state_is_caught() {
    let op = Timed {
        id: OpId(0),
        op: (),
        optional: false,
        invoked: 0,
        deadline: 1,
    };
    let found: Searched<u32> = search(&Liar, &[op], Budget::default(), &unwatched);
    panic!("{found:?}");
}
