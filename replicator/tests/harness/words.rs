//! Messages, copies and events in the field's words: one short line each, the same in the scripts'
//! outputs, in their patterns, and in the traces of the exploration.

use hstore_core::{Attributes, Entry, Lsn, Offset, Precedence, Record, StoredCopy};
use hstore_replicator::effects::Event;
use hstore_replicator::message::{
    ClientAnswer, ClientAsk, ColdTold, Conditions, Fetched, FoundTime, Message, RecoveryAnswer,
    RecoveryMetadata, RecoveryStep, RegisterStep, StorageAnswer, StorageAsk, StoreOutcome,
    TokenSeen,
};
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_replicator::register::{Annex, Checkpoint, RegisterValue, Vote};

/// A message, without sender and receiver.
pub(crate) fn message(message: &Message) -> String {
    match message {
        Message::Request(request) => {
            let number = request.number;
            match &request.ask {
                ClientAsk::Append {
                    record: it,
                    conditions: only_if,
                } => format!("append #{number} {}{}", record(it), conditions(only_if)),
                ClientAsk::Tail => format!("tail? #{number}"),
                ClientAsk::Move(it) => {
                    let to = it.to.map_or(String::new(), |to| format!(" to {to}"));
                    let quorums = it.quorums.as_ref();
                    let quorums = quorums.map_or(String::new(), |it| format!(" with {it}"));
                    format!("move #{number}{to}{quorums}")
                }
                ClientAsk::Poll => format!("poll? #{number}"),
                ClientAsk::Trim(upto) => format!("trim {upto} #{number}"),
                ClientAsk::IsEmpty => format!("empty? #{number}"),
            }
        }
        Message::Reply(reply) => {
            format!("reply #{}: {}", reply.number, client_answer(&reply.answer))
        }
        Message::Heartbeat(it) => {
            let claims: Vec<String> = it
                .pulse
                .sequencing
                .iter()
                .map(|it| {
                    let released = it.released.map(|it| format!(" released {it}"));
                    let released = released.unwrap_or_default();
                    format!(" sequencing {}{released}{}", it.epoch, trim(it.trim))
                })
                .collect();
            format!("heartbeat{}", claims.concat())
        }
        Message::Register { ballot, step, .. } => match step {
            RegisterStep::Prepare => format!("prepare {ballot}"),
            RegisterStep::Promise(None) => format!("promise {ballot}: nothing accepted"),
            RegisterStep::Promise(Some(Vote { ballot: at, value })) => {
                format!(
                    "promise {ballot}: accepted at {at} {}",
                    register_value(value)
                )
            }
            RegisterStep::Accept(value) => format!("accept {ballot} {}", register_value(value)),
            RegisterStep::Accepted => format!("accepted {ballot}"),
            RegisterStep::Refused(higher) => format!("refused {ballot}: promised {higher}"),
        },
        Message::HandOver { epoch, quorums, .. } => format!("hand over {epoch} with {quorums}"),
        Message::Storage { ask, .. } => storage_ask(ask),
        Message::Stored { answer, .. } => storage_answer(answer),
    }
}

fn storage_ask(ask: &StorageAsk) -> String {
    match ask {
        StorageAsk::Probe { .. } => "probe".to_owned(),
        StorageAsk::Store {
            lsn,
            wave,
            copyset,
            last_known_good,
            record: it,
        } => format!(
            "store {lsn} w{wave} {copyset} lng {last_known_good} {}",
            record(&it.record)
        ),
        StorageAsk::Amend {
            lsn,
            wave,
            copyset,
            last_known_good,
        } => format!("amend {lsn} w{wave} {copyset} lng {last_known_good}"),
        StorageAsk::Release {
            released,
            trim: it,
            handed: over,
        } => format!("release {released}{}{}", trim(*it), handed(*over)),
        StorageAsk::CheckSeal { epoch, nonce } => format!("sealed? {epoch} ({nonce})"),
        StorageAsk::Recovered { after } => format!("recovered? after {after}"),
        StorageAsk::RecoveryMetadata { epoch, ballot } => format!("metadata? {epoch} @{ballot}"),
        StorageAsk::Fetch(it) => {
            let round = match (it.single, it.round) {
                (Some(single), _) if single.down.is_empty() => String::new(),
                (Some(single), _) => format!(" without {}", single.down),
                (None, _) => " all".to_owned(),
            };
            format!("fetch{round} {}..{}", it.first, it.last)
        }
        StorageAsk::FetchCold(it) => format!("fetch cold {}..{}", it.first, it.last),
        StorageAsk::BadCopy { lsn } => format!("bad copy {lsn}"),
        StorageAsk::Copy { lsn } => format!("copy? {lsn}"),
        StorageAsk::FindTime { time, last, .. } => format!("time? {time} up to {last}"),
        StorageAsk::Recovery {
            epoch,
            ballot,
            step,
        } => {
            let (name, detail) = match step {
                RecoveryStep::Seal => ("seal", String::new()),
                RecoveryStep::Digest { after } => ("digest", format!(" after {after}")),
                RecoveryStep::Mutate { copies, .. } => {
                    let copies: Vec<String> = copies
                        .iter()
                        .map(|(offset, copy)| format!("{offset} {}", entry(&copy.entry)))
                        .collect();
                    ("mutate", format!(" [{}]", copies.join(", ")))
                }
                RecoveryStep::Clean(it) => ("clean", format!(" {}", metadata(it))),
            };
            format!("{name} {epoch} @{ballot}{detail}")
        }
    }
}

fn storage_answer(answer: &StorageAnswer) -> String {
    match answer {
        StorageAnswer::Here { .. } => "here".to_owned(),
        StorageAnswer::Store { lsn, wave, outcome } => match outcome {
            StoreOutcome::Stored => format!("stored {lsn} w{wave}"),
            StoreOutcome::Sealed(epoch) => format!("refused {lsn} w{wave}: sealed {epoch}"),
            StoreOutcome::Missing => format!("missing {lsn} w{wave}"),
        },
        StorageAnswer::Seals {
            epoch,
            nonce,
            sealed,
        } => format!("sealed! {epoch} ({nonce}): up to {sealed}"),
        StorageAnswer::Recovered(epochs) => {
            let epochs: Vec<String> = epochs
                .iter()
                .map(|it| format!(" {} @{} on {}", it.epoch, it.ballot, it.nodes))
                .collect();
            format!("recovered!{}", epochs.concat())
        }
        StorageAnswer::RecoveryMetadata {
            epoch,
            ballot,
            metadata: it,
        } => {
            let it = it.as_ref().map_or("unknown".to_owned(), metadata);
            format!("metadata! {epoch} @{ballot} {it}")
        }
        StorageAnswer::Copy { lsn, copy } => format!("copy! {lsn} {}", stored_copy(copy)),
        StorageAnswer::FoundTime(FoundTime { first, passed, .. }) => match first {
            Some(first) => format!("time! {first} passed {passed}"),
            None => format!("time! none passed {passed}"),
        },
        StorageAnswer::Cold(it) => match &it.told {
            ColdTold::Entries(entries) => {
                let entries: Vec<String> = entries.iter().map(delivery).collect();
                format!("cold! {}", entries.join(", "))
            }
            ColdTold::Lost(last) => format!("cold! {}..{last} is lost", it.first),
            ColdTold::Nothing(upto) => format!("cold! nothing to {upto}"),
            ColdTold::Elsewhere(Some(node)) => format!("cold! ask {node}"),
            ColdTold::Elsewhere(None) => "cold! ask another".to_owned(),
            ColdTold::Busy => "cold! not now".to_owned(),
        },
        StorageAnswer::Fetched(Fetched {
            entries,
            passed,
            authoritative,
            trim: given_up,
            ..
        }) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(lsn, it)| {
                    let it = it.as_ref().map_or("unreadable".to_owned(), entry);
                    format!("{lsn} {it}")
                })
                .collect();
            let sure = authority(*authoritative);
            let given_up = trim(*given_up);
            format!(
                "fetched [{}] passed {passed}{given_up}{sure}",
                entries.join(", ")
            )
        }
        StorageAnswer::Recovery {
            epoch,
            ballot,
            answer,
        } => match answer {
            RecoveryAnswer::Sealed {
                last_known_good,
                authoritative,
            } => {
                let sure = authority(*authoritative);
                format!("sealed {epoch} @{ballot} lng {last_known_good}{sure}")
            }
            RecoveryAnswer::Digest {
                last_known_good,
                authoritative,
                copies,
                passed,
                ..
            } => {
                let copies: Vec<String> = copies
                    .iter()
                    .map(|(offset, it)| match it {
                        Some(copy) => format!("{offset} {}", stored_copy(copy)),
                        None => format!("{offset} unreadable"),
                    })
                    .collect();
                let end = if *passed == Offset::MAX {
                    String::new()
                } else {
                    format!(" up to {passed}")
                };
                let copies = copies.join(", ");
                let sure = authority(*authoritative);
                format!("digested {epoch} @{ballot} [{copies}]{end} lng {last_known_good}{sure}")
            }
            RecoveryAnswer::Mutated { count } => format!("mutated {epoch} @{ballot} {count}"),
            RecoveryAnswer::Cleaned => format!("cleaned {epoch} @{ballot}"),
            RecoveryAnswer::Preempted { sealed } => {
                format!("preempted {epoch} @{ballot}: sealed {sealed}")
            }
        },
    }
}

fn authority(authoritative: bool) -> &'static str {
    if authoritative { "" } else { ", amnesiac" }
}

/// An answer to a client.
pub(crate) fn client_answer(answer: &ClientAnswer) -> String {
    match answer {
        ClientAnswer::Appended(lsn) => format!("appended {lsn}"),
        ClientAnswer::Moved(epoch) => format!("moved {epoch}"),
        ClientAnswer::Tail { lsn, trim: it, .. } => format!("tail {lsn}{}", trim(*it)),
        ClientAnswer::Released {
            released, trim: it, ..
        } => format!("released {released}{}", trim(*it)),
        ClientAnswer::Trimmed => "trimmed".to_owned(),
        ClientAnswer::NotReleased { released } => format!("not released, only {released}"),
        ClientAnswer::Empty(true) => "empty".to_owned(),
        ClientAnswer::Empty(false) => "not empty".to_owned(),
        ClientAnswer::Again => "again".to_owned(),
        ClientAnswer::Redirect(Some(node)) => format!("redirect to {node}"),
        ClientAnswer::Redirect(None) => "redirect".to_owned(),
        ClientAnswer::WrongIncarnation(it) => format!("wrong incarnation, this is {it}"),
        ClientAnswer::Busy => "busy".to_owned(),
        ClientAnswer::Unknown => "unknown".to_owned(),
        ClientAnswer::Mismatch(it) => {
            let token = match it.token {
                TokenSeen::Unasked => String::new(),
                TokenSeen::NeverSet => ", no token".to_owned(),
                TokenSeen::Set(token) => format!(", {token}"),
            };
            format!("mismatch: last is {}{token}", it.last_record)
        }
        ClientAnswer::Refused(why) => format!("refused: {why:?}"),
    }
}

fn conditions(only_if: &Conditions) -> String {
    let last = only_if.last_record.map(|it| format!(" if last is {it}"));
    let token = only_if.token.map(|it| format!(" if {it}"));
    [last, token].into_iter().flatten().collect()
}

/// A register's value.
pub(crate) fn register_value(value: &RegisterValue) -> String {
    let owner = value.activation.map_or("nobody".to_owned(), |it| {
        format!("{}{}.{}", it.node, it.incarnation, it.number)
    });
    let winners: Vec<String> = value.winners.iter().map(|it| format!(" @{it}")).collect();
    format!(
        "({} by {owner}, clean {}{}, tail {}{}{})",
        value.epoch,
        value.last_clean(),
        winners.concat(),
        value.clean_tail,
        trim(value.trim),
        annex(&value.annex) + &checkpoint(&value.checkpoint)
    )
}

fn annex(it: &Annex) -> String {
    if it.version == 0 {
        return String::new();
    }
    format!(", annex {}{}", it.version, handed(it.handed))
}

/// Up to where what was not given up lies in the second tier, if anything does.
fn handed(upto: Lsn) -> String {
    if upto == Lsn::MIN {
        String::new()
    } else {
        format!(" handed {upto}")
    }
}

fn checkpoint(it: &Checkpoint) -> String {
    if it.as_of == Lsn::MIN {
        return String::new();
    }
    let token = it.judgement.token.map(|token| format!(", {token}"));
    let producers = it.judgement.producers.len();
    let token = token.unwrap_or_default();
    format!(", checkpoint at {}: {producers} producers{token}", it.as_of)
}

/// Up to where everything was given up, if anything was.
fn trim(upto: Lsn) -> String {
    if upto == Lsn::MIN {
        String::new()
    } else {
        format!(" trim {upto}")
    }
}

fn metadata(it: &RecoveryMetadata) -> String {
    let bridge = it
        .bridge
        .map_or("no bridge".to_owned(), |at| format!("bridge {at}"));
    format!("lng {} {bridge}", it.last_known_good)
}

/// A payload, quoted, and the record's attributes.
pub(crate) fn record(record: &Record) -> String {
    let Attributes {
        producer,
        sets_token,
    } = *record.attributes;
    let producer = producer.map(|it| format!(" {it}"));
    let token = sets_token.map(|it| format!(" sets {it}"));
    format!(
        "'{}'{}{}",
        String::from_utf8_lossy(&record.payload),
        producer.unwrap_or_default(),
        token.unwrap_or_default()
    )
}

/// What stands at an LSN.
pub(crate) fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Record(it) => record(&it.record),
        Entry::Hole => "hole".to_owned(),
        Entry::Bridge => "bridge".to_owned(),
    }
}

/// A copy: what stands there, and its precedence: a wave or a recovery ballot.
pub(crate) fn stored_copy(copy: &StoredCopy) -> String {
    format!("{} {}", entry(&copy.entry), precedence(copy.precedence))
}

fn precedence(precedence: Precedence) -> String {
    match precedence.recovery {
        Some(ballot) => format!("@{ballot}"),
        None => format!("w{}", precedence.wave),
    }
}

/// What a reader delivers.
pub(crate) fn delivery(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Record(lsn, it) => format!("{lsn} {}", record(&it.record)),
        Delivery::Gap { kind, first, last } => {
            let kind = match kind {
                GapKind::Bridge => "Bridge",
                GapKind::Hole => "Hole",
                GapKind::DataLoss => "DataLoss",
                GapKind::Trim => "Trim",
            };
            let last = if last.offset == Offset::MAX {
                format!("{}:max", last.epoch)
            } else {
                last.to_string()
            };
            format!("{first}..{last} {kind}")
        }
    }
}

/// What happened.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Started(incarnation) => format!("started, life {}", incarnation.0),
        Event::Activated { epoch, .. } => format!("activated {epoch}"),
        Event::Moved {
            epoch,
            leader_changed,
            nodeset_changed,
            quorums_changed,
            ..
        } => {
            let changed: Vec<&str> = [
                (*leader_changed, "another leader"),
                (*nodeset_changed, "other nodes"),
                (*quorums_changed, "other quorums"),
            ]
            .into_iter()
            .filter_map(|(changed, name)| changed.then_some(name))
            .collect();
            format!("moved to {epoch}: {}", changed.join(", "))
        }
        Event::Draining { epoch, .. } => format!("drains {epoch}"),
        Event::Resumed { epoch, .. } => format!("resumes {epoch}"),
        Event::Opened { epoch, .. } => format!("opened {epoch}"),
        Event::Stopped {
            epoch,
            why,
            in_flight,
            ..
        } => format!("stopped {epoch}: {why:?}, {in_flight} in flight"),
        Event::RecoveryBegan { epoch, ballot, .. } => {
            format!("recovery of {epoch} @{ballot} begins")
        }
        Event::RecoveryDecided {
            epoch,
            ballot,
            last_known_good,
            records,
            holes,
            bridge,
            members,
            ..
        } => {
            let bridge = bridge.map_or("no bridge".to_owned(), |at| format!("bridge {at}"));
            format!(
                "decided {epoch} @{ballot} with {members}: lng {last_known_good}, records {records}, \
                 holes {holes}, {bridge}"
            )
        }
        Event::EpochClean { epoch, ballot, .. } => format!("{epoch} is clean @{ballot}"),
        Event::Acked { lsn, stored, .. } => format!("acks {lsn}, stored on {stored}"),
        Event::Slow { node, .. } => format!("finds {node} slow"),
        Event::WaveFailed { lsn, wave, .. } => format!("wave {wave} of {lsn} failed"),
        Event::Checkpointed { as_of, .. } => format!("keeps a checkpoint as of {as_of}"),
        Event::Bounds { sealed, clean, .. } => format!("sealed {sealed}, clean {clean}"),
        Event::Purged { epoch, .. } => format!("purged {epoch}"),
        Event::Trimmed { upto, .. } => format!("gave up all to {upto}"),
        Event::Forgotten { upto, .. } => format!("holds nothing more to {upto}"),
        Event::Tier2 { what, .. } => format!("second tier: {what:?}"),
        Event::CopyRepaired { lsn, .. } => format!("repaired {lsn}"),
    }
}
