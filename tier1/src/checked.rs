//! The check of a copy as it is read.

use hstore_core::ports::log_store::CorruptCopy;
use hstore_core::{Entry, StoredCopy};

/// Whether a copy may be returned: a record whose payload does not match its checksum may not.
pub(crate) fn checked(copy: &StoredCopy) -> Result<(), CorruptCopy> {
    match &copy.entry {
        Entry::Record(it)
            if it.record.verify().is_err() && !hstore_core::planted!("torn-record-accepted") =>
        {
            Err(CorruptCopy)
        }
        _ => Ok(()),
    }
}
