//! Segments: open, dense, immutable files, each with what stands in a range of one log.
//!
//! A segment *tiles* its range: every LSN from its first to its last is a record or lies in a gap that says
//! why there is none, so that a reader sees the same from either tier.
//!
//! # The file
//!
//! ```text
//! +----------------------------------------------------------------------------+
//! | magic "HSTSEG01"                                                   8 bytes |
//! +----------------------------------------------------------------------------+
//! | block 0 | block 1 | ... | block n-1                                        |
//! +----------------------------------------------------------------------------+  \
//! | dictionary                       shared by all blocks; may be empty        |   |
//! +----------------------------------------------------------------------------+   |
//! | index                            48 bytes a block                          |    > the tail
//! +----------------------------------------------------------------------------+   |
//! | footer                                                            96 bytes |   |
//! +----------------------------------------------------------------------------+   |
//! | CRC32C of footer and length u32 | tail length u32 | magic "HSTSEGFT"       |   |
//! +----------------------------------------------------------------------------+  /
//! ```
//!
//! Whoever knows the length of the tail (a manifest says it) needs two ranged reads for any record: the tail,
//! and a block. All integers are little-endian. An LSN is a `u64`: epoch in the high half, offset in the low.
//! Times are milliseconds since 1970, as the sequencers' clocks showed them.
//!
//! ```text
//! index entry
//! | first LSN u64 | last LSN u64 | latest time u64 | offset in the file u64 |
//! | stored length u32 | raw length u32 | records u32 | CRC32C of the stored bytes u32 |
//!   latest time: of all records of the segment up to the end of the block, so it never falls
//!
//! footer, schema version 1
//! | schema version u16 | codec u8 | 0 u8 | log u32 |
//! | first LSN u64 | last LSN u64 | earliest time u64 | latest time u64 |     of no records: 0 and 0
//! | records u64 | bytes of payload u64 | raw bytes of all blocks u64 |
//! | blocks u32 | CRC32C of the index u32 | dictionary length u32 | CRC32C of the dictionary u32 |
//! | XXH3-128 of everything before the footer, 16 bytes |
//!   codec: 0 none, 1 lz4 (block format), 2 zstd (frame)
//! ```
//!
//! # A block
//!
//! A block is compressed as a whole. Its items come first, then the payloads of its records, one after the
//! other. As a segment tiles its range, no LSN is written: an item begins where the one before it ended.
//!
//! ```text
//! block, raw
//! | length of the items u32 | item | item | ... | payload | payload | ...
//!
//! item
//! | 0 | time | length |                        a record
//! | 1 | time | length | attributes |           a record with attributes (see `Attributes::encode`)
//! | 2 | chain value u32 |                      the record before the next item had this chain value
//! | 3 | chain value u32 |                      what the chain has come to here
//! | 4 | more |  | 5 | more |  | 6 | more |     a hole, a bridge, a loss: `more` LSNs after the first
//!   numbers without a width are LEB128; a time is the difference to the record before in the block (or to 0),
//!   zigzag
//! ```
//!
//! # What guards it
//!
//! Every byte lies under a checksum: blocks under the index's, index and dictionary under the footer's, the
//! footer under the last one. Beyond that, a record's own checksum and its place in the chain are *not* stored:
//! both follow from what is. A reader computes them anew, from payload to payload, and arrives at the chain
//! value that the sequencers gave (item 3), or the block is wrong. So what was checked by the client that
//! appended a record is checked by the one who reads it, whatever lay between, and costs four bytes a run of
//! records instead of twelve a record.
//!
//! # Companion
//!
//! A segment's [`info`](SegmentInfo) is the footer and the length of the tail, as a line of JSON. Many such lines in one
//! file open many segments at once. For what is part of a log its manifest says as much, so none is put beside it.

mod block;
mod codec;
mod error;
mod info;
mod layout;
mod reader;
mod writer;

pub use block::Block;
pub use codec::Codec;
pub use error::{Damage, Part, SegmentError};
pub use info::{InfoError, SegmentInfo};
pub use layout::{BlockEntry, TRAILER_BYTES};
pub use reader::{BlockReader, Segment};
pub use writer::{Finished, NotInOrder, SegmentWriter, WriterOptions};
