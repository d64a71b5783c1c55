//! The inside of a block: items and payloads. The layout is the module's documentation.

use bytes::{BufMut, Bytes, BytesMut};
use hstore_core::{Attributes, Chain, LogId, Lsn, Offset, Record, Stamp, Stamped, WallTime};
use hstore_replicator::reader::{Delivery, GapKind};

use super::error::Damage;
use super::layout::BlockEntry;

const RECORD: u8 = 0;
const RECORD_WITH_ATTRIBUTES: u8 = 1;
const ANCHOR: u8 = 2;
const PROOF: u8 = 3;
const HOLE: u8 = 4;
const BRIDGE: u8 = 5;
const LOSS: u8 = 6;

/// The length of the items stands before them.
const LENGTH_BYTES: usize = 4;
/// The most bytes an item other than of a record with attributes has.
const LEB128_MAX: usize = 10;

/// A block that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    items: Vec<u8>,
    payloads: Vec<u8>,
    /// The last record's stamp, where the chain goes on from it.
    link: Option<Stamp>,
    /// The time of the record before.
    time: WallTime,
    records: u32,
}

impl Items {
    /// How long the raw block is so far.
    pub(super) fn raw_bytes(&self) -> usize {
        LENGTH_BYTES + self.items.len() + self.payloads.len()
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Payloads so far.
    pub(super) fn payloads(&self) -> &[u8] {
        &self.payloads
    }

    pub(super) fn record(&mut self, stamped: &Stamped) {
        let Stamped { stamp, record } = stamped;
        if self.link.map(|it| it.own) != Some(stamp.previous) {
            self.prove();
            self.items.put_u8(ANCHOR);
            self.items.put_u32_le(stamp.previous.0);
        }
        let has_attributes = !record.attributes.is_none();
        self.items.put_u8(if has_attributes {
            RECORD_WITH_ATTRIBUTES
        } else {
            RECORD
        });
        let difference = stamp.time.0.wrapping_sub(self.time.0).cast_signed();
        put_number(&mut self.items, zigzag(difference));
        put_number(&mut self.items, record.payload.len() as u64);
        if has_attributes {
            self.items.extend_from_slice(&record.attributes.encode());
        }
        self.payloads.extend_from_slice(&record.payload);
        self.link = Some(*stamp);
        self.time = stamp.time;
        self.records += 1;
    }

    /// `kind` is none of a trim.
    pub(super) fn gap(&mut self, kind: GapKind, first: Lsn, last: Lsn) {
        self.prove();
        self.items.put_u8(match kind {
            GapKind::Hole => HOLE,
            GapKind::Bridge => BRIDGE,
            GapKind::DataLoss => LOSS,
            GapKind::Trim => unreachable!("what was given up is not written"),
        });
        put_number(&mut self.items, u64::from(last.offset.0 - first.offset.0));
    }

    /// Says what the chain has come to.
    fn prove(&mut self) {
        if let Some(stamp) = self.link.take() {
            self.items.put_u8(PROOF);
            self.items.put_u32_le(stamp.own.0);
        }
    }

    /// The raw block. What follows begins anew.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.prove();
        let it = std::mem::take(self);
        let mut raw = Vec::with_capacity(it.raw_bytes());
        raw.put_u32_le(u32::try_from(it.items.len()).expect("a block is shorter than 4 GiB"));
        raw.extend_from_slice(&it.items);
        raw.extend_from_slice(&it.payloads);
        raw
    }
}

/// A block, decompressed: what stands in its range, in order. Each is checked before it is given.
///
/// What the chain proves is known at the end of a run of records: take a block as a whole
/// ([`Block::deliveries`]) or not at all.
#[derive(Clone, Debug)]
pub struct Block {
    log: LogId,
    first: Lsn,
    last: Lsn,
    records: u32,
    raw: Bytes,
}

impl Block {
    pub(super) fn new(log: LogId, entry: &BlockEntry, raw: Bytes) -> Self {
        Self {
            log,
            first: entry.first,
            last: entry.last,
            records: entry.records,
            raw,
        }
    }

    /// Its memory, if nobody else has a part in it; if somebody has, the block again.
    pub(crate) fn into_room(self) -> Result<BytesMut, Self> {
        let raw = self.raw.try_into_mut();
        raw.map_err(|raw| Self { raw, ..self })
    }

    /// What stands in the block. The payloads share its memory.
    ///
    /// # Errors
    /// If it is not what was written.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, Damage> {
        let broken = |at| Damage::Items { at };
        let length = self.raw.first_chunk().ok_or(broken(0))?;
        let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
        let items = self.raw.get(LENGTH_BYTES..end).ok_or(broken(0))?;
        let mut walk = Walk {
            log: self.log,
            items,
            next: self.first,
            payload: end,
            time: WallTime(0),
            chain: None,
        };
        // An item is a byte at least: a record that is not there takes no memory.
        let room = items.len().min(self.records as usize + 1);
        let mut deliveries = Vec::with_capacity(room);
        while !walk.items.is_empty() {
            let at = end - walk.items.len();
            // Behind the last record comes the proof of its run.
            if walk.next > self.last && walk.items[0] != PROOF {
                return Err(Damage::Contradiction("more stands in it than in its range"));
            }
            walk.item(&self.raw, at, &mut deliveries)?;
        }
        if walk.chain.is_some() {
            return Err(Damage::Contradiction("a run of records ends without proof"));
        }
        if walk.payload != self.raw.len()
            || deliveries.last().map(Delivery::last) != Some(self.last)
        {
            return Err(Damage::Contradiction(
                "it does not fill its range, or its bytes",
            ));
        }
        Ok(deliveries)
    }
}

/// On the way through a block.
struct Walk<'a> {
    log: LogId,
    items: &'a [u8],
    next: Lsn,
    /// Where the next payload begins.
    payload: usize,
    time: WallTime,
    /// What the chain has come to, within a run.
    chain: Option<Chain>,
}

impl Walk<'_> {
    /// Goes past an item, and appends what it tells of.
    fn item(
        &mut self,
        raw: &Bytes,
        at: usize,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<(), Damage> {
        let broken = Damage::Items { at };
        let (&kind, rest) = self.items.split_first().ok_or(broken.clone())?;
        self.items = rest;
        match kind {
            RECORD | RECORD_WITH_ATTRIBUTES => {
                let delivery = self.record(raw, kind == RECORD_WITH_ATTRIBUTES);
                deliveries.push(delivery.ok_or(broken)?);
            }
            ANCHOR => {
                let value = self.chain_value().ok_or(broken)?;
                if self.chain.replace(value).is_some() {
                    return Err(Damage::Contradiction(
                        "a run of records begins within another",
                    ));
                }
            }
            PROOF => {
                let expected = self.chain_value().ok_or(broken.clone())?;
                let found = self.chain.take().ok_or(broken)?;
                if found != expected {
                    return Err(Damage::Chain {
                        before: self.next,
                        expected: expected.0,
                        found: found.0,
                    });
                }
            }
            HOLE | BRIDGE | LOSS => {
                let kind = match kind {
                    HOLE => GapKind::Hole,
                    BRIDGE => GapKind::Bridge,
                    _ => GapKind::DataLoss,
                };
                if self.chain.is_some() {
                    return Err(Damage::Contradiction("a run of records ends without proof"));
                }
                deliveries.push(self.gap(kind).ok_or(broken)?);
            }
            _ => return Err(broken),
        }
        Ok(())
    }

    fn record(&mut self, raw: &Bytes, has_attributes: bool) -> Option<Delivery> {
        let previous = self.chain?;
        let difference = unzigzag(self.number()?);
        self.time = WallTime(self.time.0.wrapping_add_signed(difference));
        let length = usize::try_from(self.number()?).ok()?;
        let mut attributes = Attributes::NONE;
        if has_attributes {
            (attributes, self.items) = Attributes::decode(self.items)?;
        }
        let end = self.payload.checked_add(length)?;
        if end > raw.len() {
            return None;
        }
        let record = Record::with(raw.slice(self.payload..end), attributes);
        self.payload = end;
        let lsn = self.next;
        let stamp = Stamp::linked(previous, self.log, lsn, self.time, &record);
        self.chain = Some(stamp.own);
        self.next = after(lsn)?;
        Some(Delivery::Record(lsn, Stamped { stamp, record }))
    }

    fn gap(&mut self, kind: GapKind) -> Option<Delivery> {
        let more = u32::try_from(self.number()?).ok()?;
        let first = self.next;
        let last = Lsn::at(first.epoch, Offset(first.offset.0.checked_add(more)?));
        self.next = after(last)?;
        Some(Delivery::Gap { kind, first, last })
    }

    fn chain_value(&mut self) -> Option<Chain> {
        let (value, rest) = self.items.split_first_chunk()?;
        self.items = rest;
        Some(Chain(u32::from_le_bytes(*value)))
    }

    /// LEB128, of the one form that has no byte too many.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        // Most are short.
        if let Some((&byte, rest)) = self.items.split_first()
            && byte < 0x80
        {
            self.items = rest;
            return Some(u64::from(byte));
        }
        let mut number = 0u64;
        for (place, &byte) in self.items.iter().take(LEB128_MAX).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * place);
            if shifted >> (7 * place) != bits {
                return None;
            }
            number |= shifted;
            if byte < 0x80 {
                self.items = &self.items[place + 1..];
                return (byte != 0 || place == 0).then_some(number);
            }
        }
        None
    }
}

/// What stands next. Nothing does at the last LSN there is.
fn after(lsn: Lsn) -> Option<Lsn> {
    (lsn != Lsn::MAX).then(|| lsn.successor())
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
