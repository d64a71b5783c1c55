//! The network's side of the world: from a sent message to a delivered one.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::{Address, Lsn, NodeId, Rng, Timestamp, crc32c};
use hstore_node::Input;
use hstore_replicator::client::ClientOutputs;
use hstore_replicator::message::{ColdTold, Message, RegisterStep, StorageAnswer};
use hstore_replicator::reader::Delivery;
use hstore_replicator::wire::{FrameError, VERSIONS};
use serde_json::json;

use super::{Next, World, number};
use crate::next::{Build, Greeting, Said};
use crate::plan::{FaultKind, Traffic};
use crate::report::Violation;
use crate::trace::Kind;

/// What a message is, as far as faults tell messages apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kinds {
    /// The kind that may be dropped.
    traffic: Option<Traffic>,
    /// An acceptor's answer.
    of_registers: bool,
}

impl Kinds {
    pub(super) fn of(message: &Message) -> Self {
        let answers = |step: &RegisterStep| {
            matches!(
                step,
                RegisterStep::Promise(_) | RegisterStep::Accepted | RegisterStep::Refused(_)
            )
        };
        Self {
            traffic: Traffic::of(message),
            of_registers: matches!(message, Message::Register { step, .. } if answers(step)),
        }
    }
}

impl World {
    /// Whether a fault loses a message of this kind.
    fn is_dropped(&mut self, from: Address, to: Address, kind: Traffic) -> bool {
        for (fault, struck) in self.plan.faults.iter().zip(&mut self.faults) {
            let FaultKind::DropMessages { which, .. } = fault.kind else {
                continue;
            };
            if which == kind && struck.messages_left > 0 && struck.touches(from, to) {
                struck.messages_left -= 1;
                struck.effective = true;
                return true;
            }
        }
        false
    }

    /// How much later the answers of a metadata node arrive.
    fn metadata_delay(&mut self, from: Address) -> Duration {
        let mut late = Duration::ZERO;
        for (fault, struck) in self.plan.faults.iter().zip(&mut self.faults) {
            if let FaultKind::StallMetadata { delay_us } = fault.kind
                && struck.touches(from, from)
            {
                struck.effective = true;
                late = late.max(Duration::from_micros(delay_us));
            }
        }
        late
    }

    /// When a message arrives once more, if a fault has it do so.
    fn echo(
        &mut self,
        from: Address,
        to: Address,
        message: u64,
        arrives: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let arrives = arrives?;
        let faults = self.plan.faults.iter().zip(&mut self.faults);
        for (index, (fault, struck)) in faults.enumerate() {
            let FaultKind::Echo {
                permille,
                delay_us_min,
                delay_us_max,
            } = fault.kind
            else {
                continue;
            };
            if !struck.touches(from, to) {
                continue;
            }
            // From the number of the message: no stream moves for what an echo does.
            let mut rng = Rng::from_seed(self.options.seed ^ message << 16 ^ index as u64);
            if rng.within(1..=1_000) <= u64::from(permille) {
                struck.effective = true;
                let delay = rng.within(delay_us_min..=delay_us_max);
                return Some(arrives + Duration::from_micros(delay));
            }
        }
        None
    }

    /// A message as a fault has it arrive, if one damages it.
    fn corrupt(
        &mut self,
        from: Address,
        to: Address,
        message: u64,
        frame: &Bytes,
    ) -> Option<Bytes> {
        let faults = self.plan.faults.iter().zip(&mut self.faults);
        for (index, (fault, struck)) in faults.enumerate() {
            let FaultKind::Corrupt { permille, damage } = fault.kind else {
                continue;
            };
            if !struck.touches(from, to) {
                continue;
            }
            // From the number of the message, as an echo.
            let mut rng = Rng::from_seed(!self.options.seed ^ message << 16 ^ index as u64);
            if rng.within(1..=1_000) <= u64::from(permille) {
                let damaged = damage.inflict(frame, &mut rng);
                struck.effective |= damaged.is_some();
                return damaged;
            }
        }
        None
    }

    /// The version of messages that a node and whoever it speaks to have agreed on.
    pub(super) fn agreed(&self, node: NodeId, to: Address) -> u8 {
        if !self.mixes {
            return VERSIONS.newest;
        }
        let other = match to {
            Address::Node(other) => self.host(other).runs().versions(),
            // Clients are upgraded last.
            Address::Client(_) => VERSIONS,
        };
        let agreed = self.host(node).runs().versions().agree(other);
        agreed.expect("builds that follow each other understand each other")
    }

    /// The next build says something more with each heartbeat, to its like.
    pub(super) fn greet(&mut self, node: NodeId, to: Address, said: &Message) {
        let (Message::Heartbeat(heartbeat), Address::Node(_)) = (said, to) else {
            return;
        };
        let greeting = Greeting {
            node,
            life: heartbeat.pulse.incarnation,
        };
        let frame = greeting.encode();
        let from = Address::Node(node);
        self.send(from, to, frame, Kinds::default(), || {
            format!("{greeting:?}")
        });
    }

    pub(super) fn send(
        &mut self,
        from: Address,
        to: Address,
        frame: Bytes,
        kinds: Kinds,
        describe: impl FnOnce() -> String,
    ) {
        self.messages += 1;
        let message = self.messages;
        let now = self.now;
        let numbers = [message, number(from), number(to)];
        self.trace.event(now, Kind::Send, numbers, &frame, || {
            json!({
                "message": message,
                "from": from.to_string(),
                "to": to.to_string(),
                "bytes": frame.len(),
                "crc32c": format!("{:08x}", crc32c(&frame)),
                "says": describe(),
            })
        });
        let fate = self
            .net
            .route(now, from, to, frame.len(), &mut self.rng_net);
        let (mut late, mut echo, mut damaged) = (Duration::ZERO, None, None);
        if self.meddles && from != to {
            let dropped = kinds
                .traffic
                .is_some_and(|kind| self.is_dropped(from, to, kind));
            if dropped {
                return;
            }
            if kinds.of_registers {
                late = self.metadata_delay(from);
            }
            echo = self.echo(from, to, message, fate.arrivals().next());
            damaged = self.corrupt(from, to, message, &frame);
        }
        let life = match to {
            Address::Node(node) => self.host(node).life(),
            Address::Client(_) => 0,
        };
        for at in fate.arrivals().map(|at| at + late).chain(echo) {
            // Copies are whole.
            let (frame, damaged) = match damaged.take() {
                Some(damaged) => (damaged, true),
                None => (frame.clone(), false),
            };
            self.schedule(
                at,
                Next::Deliver {
                    from,
                    to,
                    message,
                    frame,
                    damaged,
                    life,
                },
            );
        }
    }

    pub(super) fn deliver(
        &mut self,
        from: Address,
        to: Address,
        message: u64,
        frame: &[u8],
        damaged: bool,
        life: u64,
    ) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Deliver,
            [message, number(to)],
            &[],
            || json!({"message": message, "to": to.to_string()}),
        );
        let Some(decoded) = self.decode(to, message, frame, damaged, life) else {
            return;
        };
        tracing::debug!(seed = self.options.seed, %from, %to, number = message, message = ?decoded);
        match to {
            Address::Node(node) => {
                let message = decoded;
                self.step(node, Input::Message { from, message });
            }
            Address::Client(client) => {
                let (Some(&slot), Address::Node(node)) = (self.slot_of.get(&client), from) else {
                    return;
                };
                if let Some(upto) = cold_upto(&decoded) {
                    self.counts.cold_answers += 1;
                    let known = &mut self.slots[slot].cold;
                    *known = (*known).max(Some(upto));
                }
                let mut out = ClientOutputs::default();
                let it = &mut self.slots[slot];
                it.client.on_message(now, node, &decoded, &mut out);
                self.carry_out_client(slot, out);
            }
        }
    }

    /// What a frame says to its receiver; `None` if that refuses it, or has nobody to tell it to.
    fn decode(
        &mut self,
        to: Address,
        message: u64,
        frame: &[u8],
        damaged: bool,
        life: u64,
    ) -> Option<Message> {
        let (build, replaced) = match to {
            Address::Node(node) => {
                let host = self.host(node);
                if !host.is_up() {
                    return None;
                }
                (host.runs(), host.life() != life)
            }
            Address::Client(_) => (Build::Current, false),
        };
        let said = build.decode(frame);
        let (property, expected) = if damaged {
            if said.is_err() {
                self.counts.frames_damaged += 1;
                self.refuse(to, message);
                return None;
            }
            (
                "damaged-frames-are-refused",
                "a frame with damaged bytes is refused",
            )
        } else {
            match said {
                Ok(Said::Message(said) | Said::Extended(said, true)) => return Some(said),
                Ok(Said::Greeting(_)) => {
                    self.counts.next_messages += 1;
                    return None;
                }
                Err(FrameError::Version { .. } | FrameError::Body(_)) if replaced => {
                    self.counts.frames_outlived += 1;
                    self.refuse(to, message);
                    return None;
                }
                Ok(Said::Extended(_, false)) | Err(_) => (
                    "builds-understand-each-other",
                    "a frame says to its receiver, if it was there when it was sent, what its sender said",
                ),
            }
        };
        self.violate(Violation {
            property: property.to_owned(),
            checker: "invariant".to_owned(),
            expected: expected.to_owned(),
            seen: format!("message {message} to {to}: {:?}", build.decode(frame)),
            operations: Vec::new(),
            at: self.now,
        });
        None
    }

    fn refuse(&mut self, to: Address, message: u64) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Deliver,
            [message, number(to), 1],
            &[],
            || json!({"message": message, "to": to.to_string(), "refused": true}),
        );
    }
}

/// Up to where a message tells a client of the second tier, if it does.
fn cold_upto(message: &Message) -> Option<Lsn> {
    let Message::Stored {
        answer: StorageAnswer::Cold(cold),
        ..
    } = message
    else {
        return None;
    };
    match &cold.told {
        ColdTold::Entries(entries) => entries.last().map(Delivery::last),
        _ => None,
    }
}
