//! The vocabulary of HStore: identifiers, records, quorums, and the ports to the outside.
//!
//! No protocol is here, and no I/O. The words, each defined once:
//!
//! - **Log**: a sequence of records. **LSN** ([`Lsn`]): (epoch, offset), a record's place in it.
//! - **Epoch** ([`Epoch`]): the reign of one *sequencer*, the node that gives records their LSNs.
//!   An **activation** starts an epoch.
//! - **Nodeset**: the nodes an epoch may write to. **Copyset**: those that one record went to.
//! - **Wave**: one round of sending a record to a copyset; a failed wave is followed by another.
//! - **Write quorum**: a node set that satisfies the replication property in all scopes. **Seal
//!   quorum**: a node set that meets every write quorum ([`quorum`]).
//! - **Seal**: a node's durable promise to store nothing more of an epoch. The *hard* seal is synced
//!   and answers questions; the *soft* seal only refuses stores.
//! - **LNG** (last known good): the end of the contiguous fully replicated prefix of an epoch.
//! - **Recovery**: finding out, after a seal, what an old epoch holds, and making it so. **LCE**
//!   (last clean epoch): the last one recovered.
//! - **Ballot** ([`Ballot`]): names a recovery attempt. **Precedence** ([`Precedence`]): which of
//!   two copies of one LSN prevails.
//! - **Hole**, **bridge** ([`Entry`]): recovery's word that no record stands at an LSN, or from an
//!   LSN to the end of its epoch.
//! - **Stamp** ([`Stamp`]): what the sequencer adds to a record: a time, and a link in the **chain** of
//!   its epoch.
//! - **Producer**, **sequence** ([`ProducerSequence`]): names a record that is appended *idempotently*:
//!   however often it is tried, it stands in the log once.
//! - **Fencing token** ([`Token`]): what a record set last, and a *conditional* append can demand.
//! - **Release pointer**: up to where readers may read.
//! - **Register**: the consensus value of a log that says which epochs there are and which are
//!   clean; agreed among the *metadata nodes*.
//! - **Authoritative**: a node that knows all it ever stored of what it is asked about.

#![deny(missing_docs)]

mod crc32c;
mod ids;
mod node_set;
pub mod planted;
pub mod ports;
pub mod probe;
pub mod quorum;
mod record;
mod rng;
mod time;

pub use crc32c::{crc32c, crc32c_append};
pub use ids::{
    Address, ClientId, Epoch, Incarnation, LogId, Lsn, NodeId, Offset, ParseLsnError, ProducerId,
    Token,
};
pub use node_set::NodeSet;
pub use record::{
    Attributes, Ballot, Chain, ChecksumError, Entry, Precedence, ProducerSequence, RareAttributes,
    Record, Stamp, Stamped, StoredCopy,
};
pub use rng::Rng;
pub use time::{Timestamp, WallTime};
