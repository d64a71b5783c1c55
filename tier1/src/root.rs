//! The directory that a store lives in.

use hstore_core::ports::file_system::{FileError, FileSystem};

/// Creates the directory and makes its name and those of all above it durable, also if they exist
/// already: the life that created them may have ended before it synced them.
pub(crate) fn create_durable_directory(
    files: &mut impl FileSystem,
    directory: &str,
) -> Result<(), FileError> {
    if directory.is_empty() {
        return Ok(());
    }
    files.create_dir(directory)?;
    files.sync_dir("")?;
    for (end, _) in directory.match_indices('/') {
        files.sync_dir(&directory[..end])?;
    }
    Ok(())
}
