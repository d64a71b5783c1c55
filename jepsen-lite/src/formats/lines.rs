//! The lines of an input, each of bounded length, with their numbers.

use std::io::{BufRead, Read};

use super::error::{Place, ReadError, ReadErrorReason};
use super::forms::MAX_VALUE_BYTES;

/// The lines of an input.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The next line without its end, and where it begins; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&str, Place)>, ReadError> {
        self.number += 1;
        let place = Place {
            line: self.number,
            column: 1,
        };
        self.buffer.clear();
        let read = (&mut self.input)
            .take(MAX_VALUE_BYTES as u64 + 1)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| place.error(error))?;
        if read == 0 {
            return Ok(None);
        }
        if read > MAX_VALUE_BYTES {
            return Err(place.error(ReadErrorReason::TooLong));
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|error| {
            let place = place.within(&self.buffer, error.valid_up_to());
            place.syntax("the text is not UTF-8")
        })?;
        Ok(Some((text.trim_end_matches(['\n', '\r']), place)))
    }
}
