//! The second tier: history in an object store.
//!
//! What is here so far is the byte layout that segments will have, fixed before any code writes one.
//! A *segment* is an open, dense, immutable file with the released records of a contiguous range of
//! one log's LSNs.
//!
//! ```text
//! segment
//! +--------------------------------------------------------------------------------------+
//! | magic "HSTSEG01"                                                             8 bytes |
//! +--------------------------------------------------------------------------------------+
//! | dictionary                       zstd dictionary shared by all blocks; may be empty  |
//! +--------------------------------------------------------------------------------------+
//! | block 0 | block 1 | ... | block n-1                                                  |
//! +--------------------------------------------------------------------------------------+
//! | index                            one fixed-size entry a block                        |
//! +--------------------------------------------------------------------------------------+
//! | footer                                                                               |
//! +--------------------------------------------------------------------------------------+
//! | footer length u32 | footer CRC32C u32 | magic "HSTSEGFT"                    16 bytes |
//! +--------------------------------------------------------------------------------------+
//! ```
//!
//! All integers are little-endian. An LSN is a `u64`: epoch in the high half, offset in the low.
//!
//! ```text
//! block, compressed as a whole by the codec that the footer names (0 none, 1 lz4, 2 zstd)
//! | entry | entry | ...
//!
//! entry
//! | LSN u64 | kind u8 | append time, microseconds u64 | CRC32C of payload u32 | length u32 | payload |
//!   kind: 0 record, 1 hole, 2 bridge, 3 data loss; all but 0 have length 0
//!
//! index entry, 48 bytes
//! | first LSN u64 | first time u64 | offset u64 | stored length u32 | raw length u32 |
//! | count u32 | CRC32C of the stored bytes u32 | CRC32C of bytes 0..40 of this entry u32 | 0 u32 |
//!
//! footer, schema version 1
//! | schema version u16 | codec u8 | 0 u8 | log u32 |
//! | first LSN u64 | last LSN u64 | first time u64 | last time u64 |
//! | records u64 | raw bytes u64 |
//! | dictionary offset u64 | dictionary length u32 | dictionary CRC32C u32 |
//! | index offset u64 | index count u32 | index CRC32C u32 |
//! | xxh3-128 of everything before the footer, 16 bytes |
//! ```
//!
//! One ranged read of the tail yields footer and index, one more yields the block of any LSN: a point
//! read is two requests. Every byte lies under some checksum, and each checksum under the next, up to
//! the footer's, so damage is found and can be placed.
//!
//! The layout states what the range holds *entirely*: each LSN from first to last is an entry or lies
//! beyond a bridge. Gaps are entries, so a reader sees the same typed gaps from either tier.

#![deny(missing_docs)]
