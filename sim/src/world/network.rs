//! The network's side of the world: from a sent message to a delivered one.

use bytes::Bytes;
use hstore_core::Address;
use hstore_node::Input;
use hstore_replicator::client::ClientOutputs;
use hstore_replicator::wire;
use serde_json::json;

use super::{Next, World, number};
use crate::trace::Kind;

impl World {
    pub(super) fn send(
        &mut self,
        from: Address,
        to: Address,
        frame: Bytes,
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
                "crc32c": format!("{:08x}", crc32c::crc32c(&frame)),
                "says": describe(),
            })
        });
        let fate = self
            .net
            .route(now, from, to, frame.len(), &mut self.rng_net);
        for at in fate.arrivals() {
            let frame = frame.clone();
            self.schedule(
                at,
                Next::Deliver {
                    from,
                    to,
                    message,
                    frame,
                },
            );
        }
    }

    pub(super) fn deliver(&mut self, from: Address, to: Address, message: u64, frame: &[u8]) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Deliver,
            [message, number(to)],
            &[],
            || json!({"message": message, "to": to.to_string()}),
        );
        let decoded = wire::decode(frame).expect("the network does not damage frames");
        match to {
            Address::Node(node) => {
                let message = decoded;
                self.step(node, Input::Message { from, message });
            }
            Address::Client(client) => {
                let (Some(&slot), Address::Node(node)) = (self.slot_of.get(&client), from) else {
                    return;
                };
                let mut out = ClientOutputs::default();
                let it = &mut self.slots[slot];
                it.client.on_message(now, node, &decoded, &mut out);
                self.carry_out_client(slot, out);
            }
        }
    }
}
