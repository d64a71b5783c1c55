//! Where histories come from: files, and standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jepsen_lite::formats::{Format, Recording, guess, read, split_head};

use super::job::Watch;

/// A source of a history.
#[derive(Clone, Debug)]
pub(crate) struct Source(PathBuf);

/// What was read.
pub(crate) struct Loaded {
    pub(crate) recording: Recording,
    pub(crate) format: Format,
    /// Whether nobody had said the format.
    pub(crate) guessed: bool,
}

impl Source {
    /// The file of this name; `-` is standard input.
    pub(crate) fn new(name: &Path) -> Self {
        Self(name.to_owned())
    }

    fn is_standard_input(&self) -> bool {
        self.0.as_os_str() == "-"
    }

    /// Reads it; `watch` learns how far it is.
    pub(crate) fn load(
        &self,
        format: Option<Format>,
        watch: &Arc<Watch>,
    ) -> Result<Loaded, String> {
        if self.is_standard_input() {
            return load(io::stdin().lock(), format, watch);
        }
        let file = File::open(&self.0).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if metadata.is_dir() {
            return Err("it is a directory; give a file".to_owned());
        }
        watch.expect_bytes(metadata.len());
        load(file, format, watch)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_standard_input() {
            true => f.write_str("standard input"),
            false => write!(f, "{}", self.0.display()),
        }
    }
}

fn load(input: impl Read, format: Option<Format>, watch: &Arc<Watch>) -> Result<Loaded, String> {
    let input = Counted {
        input,
        watch: Arc::clone(watch),
    };
    let input = BufReader::with_capacity(1 << 17, input);
    let (head, input) = split_head(input).map_err(|error| error.to_string())?;
    let guessed = format.is_none();
    let format = match format {
        Some(format) => format,
        None => guess(&head).map_err(|error| error.to_string())?,
    };
    let recording = read(input, format).map_err(|error| error.to_string())?;
    Ok(Loaded {
        recording,
        format,
        guessed,
    })
}

/// Counts the bytes that are read.
struct Counted<R> {
    input: R,
    watch: Arc<Watch>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.watch.add_bytes(read as u64);
        Ok(read)
    }
}
