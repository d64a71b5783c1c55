//! A directory that appears whole or not at all.
//!
//! It is filled beside its place under a hidden name and renamed at the end. What is there already is
//! never touched: the place must be free, or an empty directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory under construction. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct FreshDir {
    target: PathBuf,
    staging: PathBuf,
    published: bool,
}

/// Why a directory or a file in it cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refuses.
    #[error("{path} cannot be written: {error}", path = path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// Why it could not be.
        error: io::Error,
    },
    /// Something else is there.
    #[error("{path} is not empty: name another directory, or remove it first", path = .0.display())]
    NotEmpty(PathBuf),
    /// A place without a name of its own, such as `..`.
    #[error("{path:?} does not name a directory", path = .0)]
    NoName(PathBuf),
}

impl WriteError {
    /// For `map_err` after an operation on `path`.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

impl FreshDir {
    /// Begins the directory `target`. Its parents are made if they are missing.
    ///
    /// # Errors
    /// If something is there already, or the system refuses: known before any work is done.
    pub fn stage(target: &Path) -> Result<Self, WriteError> {
        let Some(name) = target.file_name() else {
            return Err(WriteError::NoName(target.to_owned()));
        };
        match fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(WriteError::NotEmpty(target.to_owned()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(WriteError::at(target)(error)),
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".partial-{}", std::process::id()));
        let staging = target.with_file_name(hidden);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(WriteError::at(parent))?;
        }
        fs::create_dir(&staging).map_err(WriteError::at(&staging))?;
        Ok(Self {
            target: target.to_owned(),
            staging,
            published: false,
        })
    }

    /// Where to write its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Makes it appear.
    ///
    /// # Errors
    /// If the place was taken meanwhile, or the system refuses.
    pub fn publish(mut self) -> Result<(), WriteError> {
        fs::rename(&self.staging, &self.target).map_err(WriteError::at(&self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for FreshDir {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is at least not under the name that was asked for.
            let _ = fs::remove_dir_all(&self.staging);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.into_string().expect("plain names"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let root = tempfile::tempdir().expect("a directory");
        let target = root.path().join("a/b/target");
        let fresh = FreshDir::stage(&target).expect("a free place");
        fs::write(fresh.path().join("file"), "x").expect("written");
        assert!(!target.exists());
        fresh.publish().expect("still free");
        assert_eq!(names(&target), ["file"]);
        assert_eq!(names(&root.path().join("a/b")), ["target"]);

        let other = root.path().join("other");
        drop(FreshDir::stage(&other).expect("a free place"));
        assert_eq!(names(root.path()), ["a"]);

        fs::create_dir(&other).expect("made");
        let fresh = FreshDir::stage(&other).expect("an empty directory is a free place");
        fresh.publish().expect("still free");
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("file");
        fs::write(&file, "x").expect("written");
        let message = |target: &Path| {
            let error = FreshDir::stage(target).expect_err("the place is taken");
            error.to_string()
        };
        assert!(message(root.path()).ends_with("name another directory, or remove it first"));
        assert!(message(&file).contains("cannot be written"));
        assert!(message(&file.join("below")).contains("cannot be written"));
        assert!(message(Path::new("..")).contains("does not name a directory"));
        assert_eq!(names(root.path()), ["file"]);
    }
}
