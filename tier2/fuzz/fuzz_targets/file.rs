//! Any bytes as a segment: an error, and never a panic.
//!
//! `cargo +nightly fuzz run file` in `tier2`

#![no_main]

use hstore_tier2::segment::Segment;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A file with a right checksum at its end is not found by chance.
    let _ = Segment::verify(&bytes.to_vec().into());
});
