//! The clients that have a connection to this node, and the numbers that clients have had.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hstore_core::{ClientId, Timestamp};
use hstore_replicator::sessions::{IDLE, SESSIONS_MAX};

use super::outbox::{Outbox, Outgoing, outbox};

/// How many numbers are remembered; as many as the node's sessions.
const REMEMBERED_MAX: usize = SESSIONS_MAX;

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clients: BTreeMap<ClientId, Known>,
    connections: u64,
}

#[derive(Debug)]
struct Known {
    token: u128,
    last: Timestamp,
    /// Its latest connection, by number.
    connection: Option<(u64, Outbox)>,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single insertion or removal.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has connected. It is answered on its latest connection. Returns the connection's number.
    ///
    /// # Errors
    /// If another client has the number, or there are too many.
    pub fn connect(
        &self,
        id: ClientId,
        token: u128,
        now: Timestamp,
    ) -> Result<(u64, Outgoing), String> {
        let mut inner = self.lock();
        if let Some(known) = inner.clients.get(&id) {
            if known.token != token {
                return Err(format!(
                    "another client has drawn the number {} too: start again, to draw another",
                    id.0
                ));
            }
        } else if inner.clients.len() >= REMEMBERED_MAX {
            let keep = |known: &Known| known.connection.is_some() || now.since(known.last) < IDLE;
            inner.clients.retain(|_, known| keep(known));
            if inner.clients.len() >= REMEMBERED_MAX {
                return Err("this node remembers too many clients: try again later".to_owned());
            }
        }
        inner.connections += 1;
        let number = inner.connections;
        let (outbox, outgoing) = outbox();
        let known = Known {
            token,
            last: now,
            connection: Some((number, outbox)),
        };
        inner.clients.insert(id, known);
        Ok((number, outgoing))
    }

    /// A connection has ended.
    pub fn disconnect(&self, id: ClientId, number: u64, now: Timestamp) {
        if let Some(known) = self.lock().clients.get_mut(&id) {
            known.last = now;
            known.connection.take_if(|(latest, _)| *latest == number);
        }
    }

    /// Sends a frame to a client. False if it has no connection, or too much waits already.
    #[must_use]
    pub fn send(&self, id: ClientId, frame: Bytes) -> bool {
        let inner = self.lock();
        let connection = inner.clients.get(&id).and_then(|it| it.connection.as_ref());
        connection.is_some_and(|(_, outbox)| outbox.push(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_belongs_to_the_first_who_drew_it() {
        let clients = Clients::default();
        let (id, now) = (ClientId(5), Timestamp::ZERO);
        let (first, _kept) = clients.connect(id, 1, now).expect("new");
        assert!(clients.connect(id, 2, now).is_err());
        let (second, _kept_too) = clients.connect(id, 1, now).expect("the same client again");
        // The end of the old connection does not close the new one.
        clients.disconnect(id, first, now);
        assert!(clients.send(id, Bytes::from_static(b"frame")));
        clients.disconnect(id, second, now);
        assert!(!clients.send(id, Bytes::from_static(b"frame")));
        assert!(clients.connect(id, 2, now).is_err(), "it is remembered");
    }
}
