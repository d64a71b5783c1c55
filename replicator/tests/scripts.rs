//! Runs the scripts under `testdata/`: the protocol, case by case, in the manner of etcd-io/raft's
//! `rafttest`. `REWRITE=1` records the outputs anew; review them against the protocol before you
//! keep them.
//!
//! A script is a sequence of commands, each followed by `----` and by what it led to. Operands that
//! are not plain words stand on lines of their own. The nodes are the real machines on model disks.
//! Nothing moves by itself: messages wait until they are delivered, timers until time advances.
//!
//! | command | |
//! |---|---|
//! | `cluster nodes=3 copies=2` | starts afresh; `stores=2`: the configuration puts the log on the first two; without `copies`: on the quorum system in the line below; `sticky=9`: blocks of 9 records; `detector`: with failure detectors, which activate; `memory`: copies count once they are written; `checkpoint=4`: sequencers make a checkpoint every 4 records |
//! | `activate n0` | n0 tries to become the sequencer |
//! | `append c1 to=n0 record=a` | client c1 sends a request; `times=9`; `life=1`: meant for n0's first life; `last=1.2`, `token=7`: only if the last record is e1:2 (`0.0`: if there is none), if the token is 7; `sets=8`: sets the token; `producer=5 sequence=3`: under this name |
//! | `tail c1 to=n0` | the same for a tail |
//! | `move c1 to=n0 lead=n1 on=0.1.3 copies=2` | the same for a move: n1 is to lead, on these nodes; each may be left out |
//! | `poll c1 to=n0`, `is-empty c1 to=n0`, `trim c1 to=n0 upto=1.2` | the same for other questions |
//! | `find-time c1 time=7 last=1.9` | client c1 asks where the time of 7 ms begins, up to e1:9 |
//! | `read c1 from=1.1 until=2.1` | client c1 begins to read `[e1:1, e2:1)`, from the nodes that its last tail told |
//! | `deliver` | delivers what is in flight now and matches one of the lines below (`n0->n1 store`); without any, all of it; `one`: only the first that matches each line |
//! | `settle` | delivers until nothing moves; `messages`: tells each; `quietly`: counts answers |
//! | `drop`, `duplicate`, `hold` | loses, doubles, holds back what matches |
//! | `let-go` | holds nothing back any more |
//! | `in-flight` | what is on its way |
//! | `disk n0 manual` | disk work of n0 waits for `write n0` and `sync n0`; `auto` again |
//! | `crash n0`, `start n0` | a power failure: what is not synced is lost |
//! | `corrupt n0 at=1.1` | damages n0's copy of e1:1 |
//! | `misplace n0 from=1.1 to=1.2` | n0's copy of e1:1 is also where that of e1:2 should be |
//! | `advance 60ms` | lets time pass; `settle`: and delivers all after each timer |
//! | `state n0`, `sequencer n0` | what a node holds; what its sequencer does |
//!
//! Words in outputs: `w2` wave 2, `@1.1` recovery ballot (seal epoch 1, attempt 1), `lng` last known
//! good.

mod harness;

use std::time::Duration;

use datadriven::{TestCase, TestFile};
use harness::{Cluster, Pattern, Telling};
use hstore_core::quorum::{Names, QuorumSystem};
use hstore_core::{
    Attributes, ClientId, Lsn, NodeId, NodeSet, ProducerId, ProducerSequence, Token, WallTime,
};
use hstore_replicator::config::{CopyDurability, LogSpec, Timing};
use hstore_replicator::message::{ClientAsk, Conditions, Move};
use hstore_replicator::placement::copyset::CopysetSelector;

#[test]
fn scripts() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata");
    datadriven::walk(directory, |file: &mut TestFile| {
        let mut cluster: Option<Cluster> = None;
        file.run(|case| run(&mut cluster, case));
    });
}

fn run(slot: &mut Option<Cluster>, case: &mut TestCase) -> Result<String, String> {
    if case.directive == "cluster" {
        let nodes = number(case, "nodes")?.ok_or("how many nodes?")?;
        let stores = number(case, "stores")?.unwrap_or(nodes);
        let mut spec = spec(case, stores as u8)?;
        if flag(case, "memory") {
            spec.durability = CopyDurability::Memory;
        }
        let with_detector = flag(case, "detector");
        let mut timing = Timing::default();
        if let Some(records) = number(case, "checkpoint")? {
            timing.checkpoint_records = records as u32;
        }
        *slot = Some(Cluster::start(nodes as u8, spec, with_detector, timing));
        return finish(slot, case);
    }
    let cluster = slot.as_mut().ok_or("a script begins with `cluster`")?;
    cluster.set_telling(Telling::Events);
    match case.directive.as_str() {
        "activate" => {
            let node = node(case)?;
            cluster.activate(node);
        }
        "append" => {
            let (client, to) = (client(case)?, target(case)?);
            let record = word(case, "record")?.ok_or("which record?")?;
            let life = number(case, "life")?;
            let producer = number(case, "producer")?.map(ProducerId);
            let sequence = number(case, "sequence")?.unwrap_or(0);
            let attributes = Attributes {
                producer: producer.map(|producer| ProducerSequence { producer, sequence }),
                sets_token: number(case, "sets")?.map(Token),
            };
            let conditions = Conditions {
                last_record: optional_lsn(case, "last")?,
                token: number(case, "token")?.map(Token),
            };
            for _ in 0..number(case, "times")?.unwrap_or(1) {
                cluster.append(client, to, life, &record, attributes, conditions);
            }
        }
        "tail" => {
            let (client, to) = (client(case)?, target(case)?);
            let life = number(case, "life")?;
            cluster.request(client, to, life, ClientAsk::Tail);
        }
        "move" => {
            let (client, to) = (client(case)?, target(case)?);
            let lead = word(case, "lead")?.map(|word| node_of(&word)).transpose()?;
            let on = word(case, "on")?;
            let copies = number(case, "copies")?;
            let on = on.map(|nodes| {
                let ids = nodes.split('.').map(|id| node_of(&format!("n{id}")));
                ids.collect::<Result<NodeSet, String>>()
            });
            let quorums = cluster.quorums(on.transpose()?, copies);
            let wanted = Move { to: lead, quorums };
            cluster.request(client, to, None, ClientAsk::Move(wanted));
        }
        "poll" => {
            let (client, to) = (client(case)?, target(case)?);
            cluster.request(client, to, None, ClientAsk::Poll);
        }
        "is-empty" => {
            let (client, to) = (client(case)?, target(case)?);
            cluster.request(client, to, None, ClientAsk::IsEmpty);
        }
        "trim" => {
            let (client, to) = (client(case)?, target(case)?);
            let upto = lsn(case, "upto")?;
            cluster.request(client, to, None, ClientAsk::Trim(upto));
        }
        "find-time" => {
            let client = client(case)?;
            let time = number(case, "time")?.ok_or("which time?")?;
            let last = lsn(case, "last")?;
            cluster.find_time(client, WallTime(time), last);
        }
        "read" => {
            let client = client(case)?;
            let from = lsn(case, "from")?;
            let until = lsn(case, "until")?;
            cluster.read(client, from, until);
        }
        "deliver" => {
            cluster.set_telling(Telling::Messages);
            if flag(case, "one") {
                each_pattern(cluster, &case.input, Cluster::deliver_one);
            } else {
                each_pattern(cluster, &case.input, Cluster::deliver);
            }
        }
        "drop" => each_pattern(cluster, &case.input, Cluster::lose),
        "duplicate" => each_pattern(cluster, &case.input, Cluster::duplicate),
        "hold" => case
            .input
            .lines()
            .for_each(|line| cluster.hold(Pattern::parse(line))),
        "let-go" => cluster.let_go(),
        "settle" => {
            if flag(case, "messages") {
                cluster.set_telling(Telling::Messages);
            }
            if flag(case, "quietly") {
                cluster.set_telling(Telling::Counts);
            }
            cluster.settle();
        }
        "in-flight" => cluster.tell_in_flight(),
        "disk" => {
            let node = node(case)?;
            let manual = flag(case, "manual");
            if !manual && !flag(case, "auto") {
                return Err("manual or auto?".to_owned());
            }
            cluster.set_manual(node, manual);
        }
        "write" => {
            let node = node(case)?;
            cluster.set_telling(Telling::Messages);
            cluster.write(node);
        }
        "sync" => {
            let node = node(case)?;
            cluster.set_telling(Telling::Messages);
            cluster.sync(node);
        }
        "crash" => {
            let node = node(case)?;
            cluster.crash(node);
        }
        "start" => {
            let node = node(case)?;
            cluster.boot(node);
        }
        "corrupt" => {
            let (node, at) = (node(case)?, lsn(case, "at")?);
            cluster.corrupt(node, at);
        }
        "misplace" => {
            let node = node(case)?;
            let (from, to) = (lsn(case, "from")?, lsn(case, "to")?);
            cluster.misplace(node, from, to);
        }
        "advance" => {
            let settle = flag(case, "settle");
            let by = duration(case)?;
            cluster.advance(by, settle);
            let now = cluster.now();
            cluster.tell(format_args!("it is {now}"));
        }
        "state" => {
            for node in nodes(case) {
                cluster.tell_state(node);
            }
        }
        "sequencer" => {
            for node in nodes(case) {
                cluster.tell_sequencer(node);
            }
        }
        other => return Err(format!("there is no command `{other}`")),
    }
    finish(slot, case)
}

/// The log's: so many copies, or a quorum system in the line below.
fn spec(case: &mut TestCase, stores: u8) -> Result<LogSpec, String> {
    let quorums = match number(case, "copies")? {
        Some(copies) => QuorumSystem::flat(stores, copies as u8).map_err(|error| error.to_string()),
        None => {
            QuorumSystem::parse(&case.input, &mut Names::open()).map_err(|error| error.to_string())
        }
    };
    let mut spec = LogSpec::new(quorums?);
    if let Some(records) = number(case, "sticky")? {
        spec.copysets = CopysetSelector::Sticky {
            records: records as u32,
            lasts: Duration::from_secs(1),
        };
    }
    Ok(spec)
}

fn finish(slot: &mut Option<Cluster>, case: &TestCase) -> Result<String, String> {
    case.expect_empty().map_err(|error| error.to_string())?;
    Ok(slot.as_mut().map(Cluster::take_told).unwrap_or_default())
}

fn each_pattern(
    cluster: &mut Cluster,
    lines: &str,
    what: impl Fn(&mut Cluster, &Pattern) -> usize,
) {
    let all = if lines.is_empty() { "->\n" } else { lines };
    for line in all.lines() {
        if what(cluster, &Pattern::parse(line)) == 0 {
            cluster.tell(format_args!("nothing in flight matches `{line}`"));
        }
    }
}

// Operands.

/// Takes the plain words that begin with `prefix` and a number, in order.
fn ids(case: &mut TestCase, prefix: char) -> Vec<u32> {
    let mut found: Vec<(u32, String)> = case
        .args
        .keys()
        .filter_map(|name| Some((name.strip_prefix(prefix)?.parse().ok()?, name.clone())))
        .collect();
    found.sort_unstable();
    for (_, name) in &found {
        case.args.remove(name);
    }
    found.into_iter().map(|(id, _)| id).collect()
}

fn nodes(case: &mut TestCase) -> Vec<NodeId> {
    let ids = ids(case, 'n');
    ids.into_iter().map(|id| NodeId(id as u8)).collect()
}

fn node(case: &mut TestCase) -> Result<NodeId, String> {
    nodes(case).first().copied().ok_or("which node?".to_owned())
}

fn client(case: &mut TestCase) -> Result<ClientId, String> {
    let id = ids(case, 'c').first().copied();
    id.map(ClientId).ok_or("which client?".to_owned())
}

fn target(case: &mut TestCase) -> Result<NodeId, String> {
    node_of(&word(case, "to")?.ok_or("to which node?")?)
}

fn node_of(word: &str) -> Result<NodeId, String> {
    let id = word.strip_prefix('n').and_then(|id| id.parse().ok());
    id.map(NodeId).ok_or(format!("`{word}` is no node"))
}

fn flag(case: &mut TestCase, name: &str) -> bool {
    case.args.remove(name).is_some()
}

fn word(case: &mut TestCase, name: &str) -> Result<Option<String>, String> {
    case.try_take_arg(name).map_err(|error| error.to_string())
}

fn number(case: &mut TestCase, name: &str) -> Result<Option<u64>, String> {
    case.try_take_arg(name).map_err(|error| error.to_string())
}

/// `from=1.2` is e1:2.
fn lsn(case: &mut TestCase, name: &str) -> Result<Lsn, String> {
    optional_lsn(case, name)?.ok_or(format!("{name} where?"))
}

fn optional_lsn(case: &mut TestCase, name: &str) -> Result<Option<Lsn>, String> {
    let Some(text) = word(case, name)? else {
        return Ok(None);
    };
    let parse = || {
        let (epoch, offset) = text.split_once('.')?;
        Some(Lsn::new(epoch.parse().ok()?, offset.parse().ok()?))
    };
    parse().map(Some).ok_or(format!("`{text}` is no LSN"))
}

fn duration(case: &mut TestCase) -> Result<Duration, String> {
    let found = case.args.keys().find_map(|name| {
        let millis = name.strip_suffix("ms")?.parse().ok()?;
        Some((name.clone(), Duration::from_millis(millis)))
    });
    let (name, duration) = found.ok_or("how long?")?;
    case.args.remove(&name);
    Ok(duration)
}
