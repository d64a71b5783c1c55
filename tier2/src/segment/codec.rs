//! How blocks are compressed.

use std::fmt;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use zstd::bulk::{Compressor as ZstdCompressor, Decompressor as ZstdDecompressor};

use super::error::Damage;

/// How the blocks of a segment are compressed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4: fast.
    Lz4,
    /// Zstandard: dense.
    Zstd,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Lz4, Self::Zstd];

    /// As the footer has it.
    pub(super) fn as_u8(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    pub(super) fn from_u8(value: u8) -> Result<Self, Damage> {
        match value {
            0 => Ok(Self::None),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            other => Err(Damage::Codec(other)),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Why a text is not a codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a codec: expected none, lz4 or zstd")]
pub struct ParseCodecError(String);

impl FromStr for Codec {
    type Err = ParseCodecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|it| it.to_string() == text);
        named.ok_or_else(|| ParseCodecError(text.to_owned()))
    }
}

/// Compresses blocks with one dictionary.
pub(super) enum Compressor<'a> {
    None,
    Lz4(&'a [u8]),
    Zstd(ZstdCompressor<'a>),
}

impl<'a> Compressor<'a> {
    pub(super) fn new(codec: Codec, level: i32, dictionary: &'a [u8]) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Lz4 => Self::Lz4(dictionary),
            Codec::Zstd => {
                let compressor = ZstdCompressor::with_dictionary(level, dictionary);
                Self::Zstd(compressor.expect("there is memory for a compressor"))
            }
        }
    }

    pub(super) fn compress(&mut self, raw: &[u8]) -> Vec<u8> {
        match self {
            Self::None => raw.to_vec(),
            Self::Lz4([]) => lz4_flex::block::compress(raw),
            Self::Lz4(dictionary) => lz4_flex::block::compress_with_dict(raw, dictionary),
            Self::Zstd(it) => it.compress(raw).expect("a buffer of the bound is enough"),
        }
    }
}

/// Decompresses blocks with one dictionary.
pub(super) enum Decompressor<'a> {
    None,
    Lz4(&'a [u8]),
    Zstd(ZstdDecompressor<'a>),
}

impl<'a> Decompressor<'a> {
    /// Fails if it cannot be a dictionary of that codec.
    pub(super) fn new(codec: Codec, dictionary: &'a [u8]) -> Result<Self, Damage> {
        Ok(match codec {
            Codec::None => Self::None,
            Codec::Lz4 => Self::Lz4(dictionary),
            Codec::Zstd => {
                let decompressor = ZstdDecompressor::with_dictionary(dictionary);
                Self::Zstd(decompressor.map_err(|_| Damage::Dictionary)?)
            }
        })
    }

    /// The `raw` bytes that `stored` was made of, in `room`, whatever it held before: room that was used already
    /// need not be cleared.
    pub(super) fn decompress(
        &mut self,
        stored: &[u8],
        raw: u32,
        mut room: BytesMut,
    ) -> Result<Bytes, Damage> {
        let length = raw as usize;
        room.resize(length, 0);
        let written = match self {
            Self::None => {
                room.clear();
                room.extend_from_slice(stored);
                Some(stored.len())
            }
            Self::Lz4([]) => lz4_flex::block::decompress_into(stored, &mut room).ok(),
            Self::Lz4(dictionary) => {
                lz4_flex::block::decompress_into_with_dict(stored, &mut room, dictionary).ok()
            }
            Self::Zstd(it) => it.decompress_to_buffer(stored, &mut room[..]).ok(),
        };
        if written == Some(length) {
            Ok(room.freeze())
        } else {
            Err(Damage::Compression { raw })
        }
    }
}
