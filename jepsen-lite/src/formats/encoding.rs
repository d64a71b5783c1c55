//! What the bytes of a file are, before they are a format.

use std::io::{self, BufRead, Chain, Cursor, Read};

/// Says that UTF-8 follows; it is no part of the text.
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that are no text that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It is compressed.
    #[error("it is compressed by gzip: decompress it first, as by `gunzip`")]
    Gzip,
    /// It has characters of 16 bits.
    #[error("it is UTF-16: convert it to UTF-8 first, as by `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
}

/// Makes sure that text begins with `head`, and leaves out the mark that it is UTF-8.
pub(super) fn text(head: &[u8]) -> Result<&[u8], Foreign> {
    match head {
        [0x1f, 0x8b, ..] => Err(Foreign::Gzip),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(Foreign::Utf16),
        _ => Ok(head.strip_prefix(UTF8_MARK).unwrap_or(head)),
    }
}

/// An input whose beginning was looked at.
pub type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// Takes `count` bytes off the beginning of an input, and returns them with the rest.
pub(super) fn split_off<R: BufRead>(mut input: R, count: usize) -> io::Result<(Vec<u8>, R)> {
    let mut head = Vec::new();
    (&mut input).take(count as u64).read_to_end(&mut head)?;
    Ok((head, input))
}

/// The text of an input, without the mark that it is UTF-8; or what it is instead.
pub(super) fn open<R: BufRead>(input: R) -> io::Result<Result<Whole<R>, Foreign>> {
    let (head, rest) = split_off(input, UTF8_MARK.len())?;
    Ok(text(&head).map(|text| Cursor::new(text.to_vec()).chain(rest)))
}
