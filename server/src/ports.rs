//! Finds ports of this machine that nobody listens on.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that operating systems give to outgoing connections: a node that starts again must
/// not find its port taken by one of those.
const FIRST: u32 = 10_000;
const LAST: u32 = 31_999;
/// Ports that are tried before giving up.
const TRIES: usize = 1000;

/// `count` different free ports, drawn at random. Somebody may take one before it is used.
///
/// # Errors
/// If there are none to be found.
pub fn free(count: usize) -> io::Result<Vec<u16>> {
    let mut found = BTreeSet::new();
    for _ in 0..TRIES {
        if found.len() == count {
            return Ok(found.into_iter().collect());
        }
        let port =
            (FIRST + getrandom::u32().map_err(io::Error::other)? % (LAST - FIRST + 1)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            found.insert(port);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("{count} free ports from {FIRST} to {LAST} were not found in {TRIES} tries"),
    ))
}
