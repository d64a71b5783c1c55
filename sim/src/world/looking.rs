//! Looking at the world from outside: where it is to stop, and what it looks like there.

use hstore_core::LogId;
use hstore_replicator::wire;

use super::{Next, Scheduled, Stopped, World};
use crate::host::Host;
use crate::log;
use crate::picture::{ClientPicture, LogPicture, MessagePicture, NodePicture, Picture};
use crate::shrink::items::Item;
use crate::until::Until;

impl World {
    /// Stops as soon as it comes to a place. [`World::picture`] shows it there.
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.until = Some(until);
        self.attended = true;
        self
    }

    /// Has what is logged tell the time of the world.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.logged = true;
        self.attended = true;
        self
    }

    /// Does what somebody wants before the next event. Says whether to stop.
    pub(super) fn attend(&mut self) -> bool {
        if self.logged
            && let Some(next) = self.agenda.next_at()
        {
            log::set_now(next);
        }
        if let Some((events, salt)) = self.heals
            && self.trace.events() >= events
        {
            self.heal_early(salt);
        }
        self.has_come()
    }

    /// Whether it came to the place where it is to stop.
    #[must_use]
    pub fn has_come(&self) -> bool {
        match self.until {
            None => false,
            Some(Until::Event(event)) => self.trace.events() >= event,
            Some(Until::Time(at)) => self.agenda.next_at().is_none_or(|next| next > at),
            Some(Until::Acked(count)) => self.counts.appends_acked >= count,
            Some(Until::Epoch(epoch)) => {
                let mut nodes = self.hosts.iter().filter_map(Host::node);
                nodes.any(|node| {
                    let mut logs = self.config.logs.keys();
                    logs.any(|&log| node.epoch(log).is_some_and(|it| it.0 >= epoch))
                })
            }
            Some(Until::Fault(index)) => self.faults.get(index).is_some_and(|it| it.begun),
            Some(Until::Crash(count)) => self.counts.crashes >= count,
            Some(Until::Phase(phase)) => self.phase >= phase,
            Some(Until::Violation) => self.stopped.is_some(),
        }
    }

    /// What the world looks like now.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let scheduled = self.agenda.in_order();
        let held = self.held.values().flatten().map(|it| (self.now, it));
        let in_flight = scheduled.into_iter().chain(held);
        Picture {
            event: self.trace.events(),
            t_us: self.now.0 / 1_000,
            phase: format!("{:?}", self.phase),
            nodes: self
                .hosts
                .iter()
                .map(|host| self.node_picture(host))
                .collect(),
            in_flight: in_flight
                .filter_map(|(at, it)| self.message_picture(at, it))
                .collect(),
            faults: self.faults_in_force(),
            clients: self.client_pictures(),
            violation: self.stopped.as_ref().map(|stopped| {
                let (Stopped::Safety(it)
                | Stopped::Liveness(it)
                | Stopped::Excused(it)
                | Stopped::Vacuous(it)) = stopped;
                format!(
                    "{} ({}): {}; {}",
                    it.property, it.checker, it.expected, it.seen
                )
            }),
        }
    }

    fn node_picture(&self, host: &Host) -> NodePicture {
        let node = host.node();
        let state = match node {
            Some(_) if host.paused => "paused",
            Some(_) => "up",
            None if host.is_damaged() => "down, its store is damaged",
            None => "down",
        };
        let logs = self.config.logs.keys().filter_map(|&log| {
            let node = node?;
            let (sealed, clean) = node.bounds(log);
            let described = node.describe().find(|(it, _)| *it == log);
            Some(LogPicture {
                log: log.to_string(),
                sequencer: described.map_or_else(String::new, |it| it.1),
                sealed: sealed.to_string(),
                clean: clean.to_string(),
                readable: node.readable(log).to_string(),
                trim: node.trim(log).to_string(),
                copies: host.copies(log),
            })
        });
        let registers = node.into_iter().flat_map(|node| node.describe_registers());
        let queues = node.into_iter().flat_map(|node| node.queues());
        let timer = host.timer.filter(|_| node.is_some());
        NodePicture {
            node: host.id.to_string(),
            state: state.to_owned(),
            life: host.life(),
            incarnation: node.map(|node| node.incarnation().to_string()),
            clock_ms: host.clock.wall(self.now).0,
            timer_us: timer.map(|at| at.since(self.now).as_micros() as u64),
            logs: logs.collect(),
            registers: registers
                .map(|(log, state): (LogId, String)| format!("{log}: {state}"))
                .collect(),
            queues: queues
                .filter(|queue| queue.length > 0)
                .map(|queue| (queue.name.to_owned(), queue.length, queue.bound))
                .collect(),
            disk: host.disk_picture(),
            held: self.held.get(&host.id).map_or(0, Vec::len),
        }
    }

    fn message_picture(
        &self,
        at: hstore_core::Timestamp,
        scheduled: &Scheduled,
    ) -> Option<MessagePicture> {
        let Next::Deliver {
            from,
            to,
            message,
            frame,
            ..
        } = &scheduled.next
        else {
            return None;
        };
        Some(MessagePicture {
            message: *message,
            from: from.to_string(),
            to: to.to_string(),
            arrives_us: at.since(self.now).as_micros() as u64,
            says: match wire::decode(frame) {
                Ok(message) => format!("{message:?}"),
                Err(error) => format!("damaged: {error}"),
            },
        })
    }

    fn faults_in_force(&self) -> Vec<String> {
        let faults = self.plan.faults.iter().zip(&self.faults).enumerate();
        let in_force = faults.filter(|(_, (_, struck))| struck.begun && !struck.ended);
        let words = in_force.map(|(index, (fault, struck))| {
            let what = Item::Fault(fault.clone());
            let effect = if struck.effective {
                "it took effect"
            } else if struck.waits || struck.countdown.is_some() {
                "it waits for its moment"
            } else {
                "no effect so far"
            };
            format!("{index}: {what}; it is on {}: {effect}", struck.nodes)
        });
        words.collect()
    }

    fn client_pictures(&self) -> Vec<ClientPicture> {
        let slots = self.slots.iter().enumerate();
        slots
            .map(|(client, slot)| ClientPicture {
                client,
                process: slot.client.id().to_string(),
                operation: slot.running.map(|running| {
                    let op = self.recorder.history().op(running.op);
                    let since = self.now.0.saturating_sub(op.invoked().time_ns) / 1_000;
                    (format!("{} of {}", op.call(), running.log), since)
                }),
            })
            .collect()
    }
}
