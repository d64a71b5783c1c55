//! Frames over TCP.
//!
//! A connection begins with a handshake ([`handshake`]): who speaks, to whom, of which cluster. After it
//! come frames of messages only, or, if a status was asked for, one frame with the status.
//!
//! - A node sends to a node on connections that it dials ([`peers`]), one for each other node. Nothing
//!   comes back on them.
//! - A client dials, and is answered on the connection it opened ([`clients`]).
//! - [`listener`] takes connections and refuses what is not right: its sender loses the connection, and
//!   the node loses nothing.
//!
//! The protocol expects a network that loses, delays, repeats and reorders. So a message that finds no
//! connection, or a full queue ([`outbox`]), is dropped; nothing is sent again here. Messages that an
//! ended process had sent may still come in beside those of the process that follows it: also that is
//! expected. A process that ended loses what was sent to it and not taken, with its sockets.

pub mod clients;
pub mod frame;
pub mod handshake;
pub mod listener;
pub mod outbox;
pub mod peers;

use std::time::Duration;

use hstore_replicator::message::{ClientAsk, Message, Request};
use hstore_replicator::storage::COPIES_PER_ANSWER;
use hstore_replicator::wire::BODY_BYTES_MAX;
use tokio::net::TcpStream;

/// A connection must be made and shake hands within this.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);
/// A frame that began must be whole within this.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(10);
/// A connection on which nothing came for this long is closed. Nodes send heartbeats far more often;
/// clients close theirs earlier, and dial again when they have something to say.
pub const SILENCE_DEADLINE: Duration = Duration::from_secs(15);
/// The other side must take something of what is written within this.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// The longest record, in bytes. A message may carry [`COPIES_PER_ANSWER`] of them.
pub const RECORD_BYTES_MAX: usize = 256 << 10;
const _: () = assert!(COPIES_PER_ANSWER * (RECORD_BYTES_MAX + 1024) <= BODY_BYTES_MAX);

/// The length of the record that a message asks to append, if that is too long.
#[must_use]
fn too_long(message: &Message) -> Option<usize> {
    match message {
        Message::Request(Request {
            ask: ClientAsk::Append { record, .. },
            ..
        }) => Some(record.payload.len()).filter(|length| *length > RECORD_BYTES_MAX),
        _ => None,
    }
}

/// Sets a connection up: no waiting for more to send, and an end to connections whose other side is
/// gone without a word.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(WRITE_DEADLINE))
}
