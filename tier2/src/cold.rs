//! Cold reads: what stands in a range of a log, from its segments, as a machine that is stepped.
//!
//! Whoever reads has pinned a part of the manifest: the segments it was told of. Their objects stay for a grace
//! period after they are dropped, so retention pulls nothing from under a reader that does not take longer. That an
//! object is missing all the same is an answer of its own ([`ColdError::Missing`]): look at the manifest again, or
//! in the other tier.
//!
//! A segment's tail is read once, and its blocks as they are wanted: a single record costs two calls, the tail and
//! a block. Neighbouring blocks come in one call. Both are kept in a cache that is bounded in bytes and gives up what
//! was used longest ago, but first what somebody has read past; what is on its way is not asked for twice. Everything
//! is checked before it is given: tail and block when they come, every record and the chain of them when a block is
//! told. A read that ends within a block leaves the rest of it to the one that goes on from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::vec;

use bytes::{Bytes, BytesMut};
use hstore_core::ports::object_store::{
    ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{LogId, Lsn, Offset, WallTime, probe};
use hstore_replicator::reader::Delivery;
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::manifest::SegmentRef;
use crate::segment::{Block, BlockEntry, Damage, Part, Segment, SegmentError};

/// A read.
#[derive(Clone, Debug)]
pub struct ColdRead {
    /// The log.
    pub log: LogId,
    /// The segments to read from, oldest first, each where the one before it ends.
    pub segments: VecDeque<SegmentRef>,
    /// From here.
    pub from: Lsn,
    /// To here, not included. A gap may reach beyond it.
    pub until: Lsn,
    /// Only from the first record of this time or a later one on.
    pub time: Option<WallTime>,
    /// No more once so many bytes of payload are there.
    pub limit_bytes: usize,
    /// No more records and gaps than this; at least one is told.
    pub limit: usize,
    /// So many bytes of blocks, decompressed, come in the same call though they are not needed yet: this read, or
    /// the next, may come to them. 0 for a single record. No more than the cache can hold.
    pub ahead_bytes: u64,
}

/// What came of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdAnswer {
    /// The number it was given.
    pub read: u64,
    /// What stands there, in order; the rest is to be read again from behind the last.
    pub told: Result<Vec<Delivery>, ColdError>,
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColdError {
    /// The segment's object is not there. It may have been dropped since.
    #[error("the segment `{key}` is not in the object store")]
    Missing {
        /// Which.
        key: ObjectKey,
        /// Up to here it should tell.
        last: Lsn,
    },
    /// The segment's object is not what was committed.
    #[error("`{key}`: {error}")]
    Damaged {
        /// Which.
        key: ObjectKey,
        /// What is wrong, and where.
        error: SegmentError,
        /// Up to here that part of it should tell.
        last: Lsn,
    },
    /// None of the segments tells of it.
    #[error("no segment that was named tells of {0}")]
    Elsewhere(Lsn),
    /// The store did not answer. Ask again later.
    #[error(transparent)]
    Store(ObjectError),
}

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdCall {
    /// Names it: see [`ColdReads::on_answer`].
    pub token: u64,
    /// What to ask the object store.
    pub ask: ObjectAsk,
}

/// What is put out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColdOutputs {
    /// Calls to make.
    pub calls: Vec<ColdCall>,
    /// Reads that are over.
    pub answers: Vec<ColdAnswer>,
}

/// The cold reads of a node.
#[derive(Debug)]
pub struct ColdReads {
    root: ObjectKey,
    cache: Cache,
    reads: BTreeMap<u64, Read>,
    next_read: u64,
    /// What is on its way, by token.
    calls: BTreeMap<u64, Call>,
    next_call: u64,
    /// The same, by what it is.
    under_way: BTreeSet<(ObjectKey, Piece)>,
}

/// A piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    Tail,
    Block(usize),
    /// What stands in a block from there on, if a read ended before it.
    Rest(Lsn),
}

#[derive(Debug)]
struct Call {
    log: LogId,
    key: ObjectKey,
    segment: SegmentRef,
    /// `None` for the tail.
    blocks: Option<(Arc<Segment>, Range<usize>)>,
}

#[derive(Debug)]
struct Read {
    asked: ColdRead,
    next: Lsn,
    told: Vec<Delivery>,
    told_bytes: usize,
    /// The segment it is in, and its key.
    place: Option<(SegmentRef, ObjectKey)>,
    /// Its tail: the cache may not keep it until the block is there.
    tail: Option<Arc<Segment>>,
    waits_for: Option<(ObjectKey, Piece)>,
}

#[derive(Clone, Debug)]
enum Cached {
    Tail(Arc<Segment>),
    Block(Block),
    Rest(Rest),
}

/// What stands in a block, or what a read left of it: checked already, and told once.
#[derive(Clone, Debug)]
struct Rest {
    coming: vec::IntoIter<Delivery>,
    /// What it takes: all of its own memory, and the block's, as its payloads are there.
    bytes: usize,
}

impl Rest {
    fn new(deliveries: Vec<Delivery>, raw: u32) -> Self {
        let bytes = raw as usize + deliveries.capacity() * size_of::<Delivery>();
        Self {
            coming: deliveries.into_iter(),
            bytes,
        }
    }
}

/// Pieces, bounded in bytes.
#[derive(Debug)]
struct Cache {
    pieces: LruCache<(ObjectKey, Piece), (Cached, usize), FxBuildHasher>,
    bytes: usize,
    bytes_max: usize,
    /// Blocks that were given up, oldest first, and their bytes: once nobody has a part in one any more, another
    /// takes its memory, and need not clear it. See [`RETIRED_PART`].
    retired: VecDeque<(Block, usize)>,
    retired_bytes: usize,
}

/// A piece takes about so much beside its own bytes and those of its key.
const PLACE_BYTES: usize = size_of::<((ObjectKey, Piece), (Cached, usize))>() + 64;

/// Beside what the cache holds, this part of it may wait for being used again.
const RETIRED_PART: usize = 4;

/// So many of those that wait for it are looked at for memory to use again.
const RETIRED_TRIED: usize = 16;

/// What is left of one block takes no more than this part of the cache.
const REST_PART: usize = 4;

impl Cache {
    fn get(&mut self, key: &ObjectKey, piece: Piece) -> Option<Cached> {
        let (cached, _) = self.pieces.get(&(key.clone(), piece))?;
        Some(cached.clone())
    }

    fn has(&self, key: &ObjectKey, piece: Piece) -> bool {
        self.pieces.contains(&(key.clone(), piece))
    }

    /// What is left of a block from `next` on, and no longer here.
    fn take_rest(&mut self, key: &ObjectKey, next: Lsn) -> Option<Rest> {
        let (rest, bytes) = self.pieces.pop(&(key.clone(), Piece::Rest(next)))?;
        probe!("cold.goes-on-within-a-block");
        self.bytes -= bytes;
        match rest {
            Cached::Rest(rest) => Some(rest),
            Cached::Tail(_) | Cached::Block(_) => unreachable!("it is kept as a rest"),
        }
    }

    /// Keeps what a read left of a block.
    fn put_rest(&mut self, key: &ObjectKey, next: Lsn, rest: Rest) {
        let bytes = rest.bytes;
        // What is much for the cache would drive out what is needed before it.
        if bytes * REST_PART > self.bytes_max {
            return;
        }
        self.put(key, Piece::Rest(next), Cached::Rest(rest), bytes);
    }

    /// What was used just now is given up first.
    fn demote(&mut self, key: &ObjectKey, piece: Piece) {
        self.pieces.demote(&(key.clone(), piece));
    }

    fn put(&mut self, key: &ObjectKey, piece: Piece, cached: Cached, bytes: usize) {
        let bytes = bytes + PLACE_BYTES + key.as_str().len();
        let before = self.pieces.put((key.clone(), piece), (cached, bytes));
        self.bytes += bytes;
        self.bytes -= before.map_or(0, |(_, bytes)| bytes);
        while self.bytes > self.bytes_max {
            let (_, (given_up, bytes)) = self.pieces.pop_lru().expect("there are bytes in it");
            self.bytes -= bytes;
            if let Cached::Block(block) = given_up {
                self.retired_bytes += bytes;
                self.retired.push_back((block, bytes));
            }
        }
        while self.retired_bytes * RETIRED_PART > self.bytes_max {
            let (_, bytes) = self.retired.pop_front().expect("there are bytes in it");
            self.retired_bytes -= bytes;
        }
    }

    /// Where a block of so many bytes is to lie: it has to take about as much memory as it is counted for.
    fn room(&mut self, bytes: usize) -> BytesMut {
        for _ in 0..self.retired.len().min(RETIRED_TRIED) {
            let (block, retired) = self.retired.pop_front().expect("there is one");
            match block.into_room() {
                Ok(room) => {
                    self.retired_bytes -= retired;
                    if (bytes..=bytes + bytes / 4).contains(&room.capacity()) {
                        return room;
                    }
                }
                // It is being told, or a part of it is kept.
                Err(block) => self.retired.push_back((block, retired)),
            }
        }
        // The next one may be a little longer.
        BytesMut::zeroed(bytes + bytes / 8)
    }

    /// Opens what has come, checks it and keeps it.
    fn open(&mut self, call: &Call, bytes: &Bytes) -> Result<Vec<Fresh>, ColdError> {
        let damaged = |error, last| ColdError::Damaged {
            key: call.key.clone(),
            error,
            last,
        };
        let Some((tail, blocks)) = &call.blocks else {
            let last = call.segment.intent.last;
            let tail = open_tail(call.log, &call.segment, bytes);
            let tail = tail.map_err(|error| damaged(error, last))?;
            let size = bytes.len() + size_of::<Segment>() + size_of_val(tail.blocks());
            let cached = Cached::Tail(Arc::new(tail));
            self.put(&call.key, Piece::Tail, cached.clone(), size);
            return Ok(vec![(Piece::Tail, cached)]);
        };
        let start = tail.range(blocks.start).start;
        let mut reader = tail.reader();
        let mut opened = Vec::new();
        for number in blocks.clone() {
            let range = tail.range(number);
            let (from, to) = ((range.start - start) as usize, (range.end - start) as usize);
            // What was cut short is found out by its length.
            let stored = &bytes[from.min(bytes.len())..to.min(bytes.len())];
            let size = tail.blocks()[number].raw as usize;
            match reader.block(number, stored, self.room(size)) {
                Ok(block) => {
                    let (piece, cached) = (Piece::Block(number), Cached::Block(block));
                    self.put(&call.key, piece, cached.clone(), size);
                    opened.push((piece, cached));
                }
                Err(error) if opened.is_empty() => {
                    return Err(damaged(error, tail.blocks()[number].last));
                }
                // Whoever wants it asks for it, and hears so.
                Err(_) => break,
            }
        }
        Ok(opened)
    }
}

/// The tail of a segment, if it is that of the one that the manifest tells of.
fn open_tail(log: LogId, segment: &SegmentRef, bytes: &Bytes) -> Result<Segment, SegmentError> {
    let tail = Segment::open(bytes, segment.file_bytes)?;
    let info = tail.info();
    if !segment.intent.is_of(log, info) {
        let why = "it holds another log, or another range of it, than the manifest says";
        let part = Part::File {
            bytes: info.file_bytes,
        };
        let damage = Damage::Contradiction(why);
        return Err(SegmentError { part, damage });
    }
    Ok(tail)
}

impl ColdReads {
    /// For objects below `root`, with so many bytes of cache. A quarter of that may be taken beside it, by blocks whose
    /// memory waits for being used again.
    #[must_use]
    pub fn new(root: ObjectKey, cache_bytes: usize) -> Self {
        Self {
            root,
            cache: Cache {
                pieces: LruCache::unbounded_with_hasher(FxBuildHasher),
                bytes: 0,
                bytes_max: cache_bytes,
                retired: VecDeque::new(),
                retired_bytes: 0,
            },
            reads: BTreeMap::new(),
            next_read: 0,
            calls: BTreeMap::new(),
            next_call: 0,
            under_way: BTreeSet::new(),
        }
    }

    /// How many bytes the cache holds, about, without what waits for being used again.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.cache.bytes
    }

    /// Reads that are not over.
    #[must_use]
    pub fn open_reads(&self) -> usize {
        self.reads.len()
    }

    /// Begins a read, and says what number it has.
    pub fn read(&mut self, asked: ColdRead, out: &mut ColdOutputs) -> u64 {
        let number = self.next_read;
        self.next_read += 1;
        let from = asked.from;
        let read = Read {
            // Nothing ever stands at offset 0.
            next: Lsn::at(from.epoch, from.offset.max(Offset::FIRST)),
            asked,
            told: Vec::new(),
            told_bytes: 0,
            place: None,
            tail: None,
            waits_for: None,
        };
        self.reads.insert(number, read);
        self.go_on(number, None, out);
        number
    }

    /// The object store has answered a call.
    pub fn on_answer(
        &mut self,
        token: u64,
        answer: Result<ObjectAnswer, ObjectError>,
        out: &mut ColdOutputs,
    ) {
        let Some(call) = self.calls.remove(&token) else {
            return;
        };
        let pieces = pieces(&call);
        for piece in &pieces {
            self.under_way.remove(&(call.key.clone(), *piece));
        }
        let answer = match answer {
            Ok(ObjectAnswer::Got(bytes)) => Ok(bytes),
            Ok(_) => unreachable!("a get is answered with bytes"),
            // It was cut short: nothing of the piece is left.
            Err(error) if error.kind == ObjectErrorKind::BehindEnd => Ok(Bytes::new()),
            Err(error) if error.kind == ObjectErrorKind::NotFound => Err(ColdError::Missing {
                key: call.key.clone(),
                last: call.segment.intent.last,
            }),
            Err(error) => Err(ColdError::Store(error)),
        };
        let got = answer.and_then(|bytes| self.cache.open(&call, &bytes));
        let waiting = self.reads.iter().filter(|(_, read)| {
            let waits_for = read.waits_for.as_ref();
            waits_for.is_some_and(|(key, piece)| *key == call.key && pieces.contains(piece))
        });
        let waiting = waiting.map(|(number, read)| {
            let waits_for = read.waits_for.as_ref().map(|(_, piece)| *piece);
            (*number, waits_for == pieces.first().copied())
        });
        let waiting: Vec<(u64, bool)> = waiting.collect();
        match got {
            Ok(got) => {
                for (number, _) in waiting {
                    self.go_on(number, Some((&call.key, &got)), out);
                }
            }
            Err(error) => {
                for (number, is_first) in waiting {
                    if is_first || !matches!(error, ColdError::Damaged { .. }) {
                        let read = self.reads.remove(&number).expect("it waits");
                        out.answers.push(read.ended(number, Some(error.clone())));
                    } else {
                        // What is damaged is another piece: it asks for its own.
                        self.go_on(number, None, out);
                    }
                }
            }
        }
    }

    /// Goes on with a read as far as what is there allows. `fresh` is what has just come: it may be too much for the
    /// cache.
    fn go_on(&mut self, number: u64, fresh: Option<(&ObjectKey, &[Fresh])>, out: &mut ColdOutputs) {
        let mut read = self.reads.remove(&number).expect("it is not over");
        read.waits_for = None;
        let mut failed = None;
        while let Some((segment, key)) = read.place(&self.root) {
            let find = |cache: &mut Cache, piece| {
                let fresh = fresh.filter(|(it, _)| **it == key);
                let fresh = fresh.and_then(|(_, got)| got.iter().find(|(it, _)| *it == piece));
                match fresh {
                    Some((_, cached)) => Some(cached.clone()),
                    None => cache.get(&key, piece),
                }
            };
            let tail = match (read.tail.take(), find(&mut self.cache, Piece::Tail)) {
                (Some(tail), _) | (None, Some(Cached::Tail(tail))) => tail,
                _ => {
                    self.ask_for_tail(read.asked.log, &key, segment, out);
                    read.waits_for = Some((key, Piece::Tail));
                    break;
                }
            };
            read.tail = Some(Arc::clone(&tail));
            if let Some(time) = read.asked.time {
                let block = tail.block_at(time).map(|it| tail.blocks()[it].first);
                // None of its records is of the time: the next segment may have one.
                let next = block.unwrap_or(segment.intent.last.successor());
                read.next = read.next.max(next);
                if block.is_none() {
                    continue;
                }
            }
            let block = tail
                .block_of(read.next)
                .expect("the segment's range is its blocks'");
            let BlockEntry { last, raw, .. } = tail.blocks()[block];
            let rest = self.cache.take_rest(&key, read.next);
            let mut rest = if let Some(rest) = rest {
                rest
            } else {
                let Some(Cached::Block(opened)) = find(&mut self.cache, Piece::Block(block)) else {
                    let ahead = read.asked.ahead_bytes;
                    self.ask_for_blocks(&key, segment, tail, block, ahead, out);
                    read.waits_for = Some((key, Piece::Block(block)));
                    break;
                };
                match opened.deliveries() {
                    Ok(deliveries) => Rest::new(deliveries, raw),
                    Err(damage) => {
                        let error = damage.of(tail.blocks()[block].part(block));
                        failed = Some(ColdError::Damaged { key, error, last });
                        break;
                    }
                }
            };
            read.take(&mut rest.coming);
            // Whoever reads ahead goes on from here, and does not come back to what it has read: that need not drive
            // out what others read.
            if read.asked.ahead_bytes > 0 {
                if read.next > last {
                    self.cache.demote(&key, Piece::Block(block));
                } else if read.next < read.asked.until {
                    self.cache.put_rest(&key, read.next, rest);
                }
            }
        }
        if read.waits_for.is_some() {
            self.reads.insert(number, read);
        } else {
            out.answers.push(read.ended(number, failed));
        }
    }

    fn ask_for_tail(
        &mut self,
        log: LogId,
        key: &ObjectKey,
        segment: SegmentRef,
        out: &mut ColdOutputs,
    ) {
        let start = segment.file_bytes - u64::from(segment.tail_bytes);
        let range = start..segment.file_bytes;
        let call = Call {
            log,
            key: key.clone(),
            segment,
            blocks: None,
        };
        self.ask(call, range, out);
    }

    /// Asks for a block, and for those behind it that are not there, as far as `ahead` bytes go.
    fn ask_for_blocks(
        &mut self,
        key: &ObjectKey,
        segment: SegmentRef,
        tail: Arc<Segment>,
        first: usize,
        ahead: u64,
        out: &mut ColdOutputs,
    ) {
        let start = tail.range(first).start;
        let mut left = ahead;
        let is_wanted = |it: &usize| {
            let (piece, raw) = (Piece::Block(*it), u64::from(tail.blocks()[*it].raw));
            let is_near = raw <= left;
            left = left.saturating_sub(raw);
            let is_there = self.cache.has(key, piece);
            is_near && !is_there && !self.under_way.contains(&(key.clone(), piece))
        };
        let more = (first + 1..tail.blocks().len())
            .take_while(is_wanted)
            .count();
        let blocks = first..first + 1 + more;
        let range = start..tail.range(blocks.end - 1).end;
        let call = Call {
            log: tail.info().log,
            key: key.clone(),
            segment,
            blocks: Some((tail, blocks)),
        };
        self.ask(call, range, out);
    }

    fn ask(&mut self, call: Call, range: Range<u64>, out: &mut ColdOutputs) {
        let pieces = pieces(&call);
        if self.under_way.contains(&(call.key.clone(), pieces[0])) {
            return;
        }
        let token = self.next_call;
        self.next_call += 1;
        let key = call.key.clone();
        self.under_way
            .extend(pieces.into_iter().map(|piece| (key.clone(), piece)));
        self.calls.insert(token, call);
        let ask = ObjectAsk::Get { key, range };
        out.calls.push(ColdCall { token, ask });
    }
}

/// A piece that has just come.
type Fresh = (Piece, Cached);

/// The pieces that a call brings.
fn pieces(call: &Call) -> Vec<Piece> {
    match &call.blocks {
        None => vec![Piece::Tail],
        Some((_, blocks)) => blocks.clone().map(Piece::Block).collect(),
    }
}

impl Read {
    /// It is over, or goes no further. What was told counts; whoever reads on from there hears the rest.
    fn ended(self, read: u64, failed: Option<ColdError>) -> ColdAnswer {
        let is_short = !self.is_over();
        let elsewhere = is_short.then_some(ColdError::Elsewhere(self.next));
        let told = match failed.or(elsewhere) {
            Some(error) if self.told.is_empty() => Err(error),
            _ => Ok(self.told),
        };
        ColdAnswer { read, told }
    }

    /// The segment to go on with, and its key; `None` if the read is over.
    fn place(&mut self, root: &ObjectKey) -> Option<(SegmentRef, ObjectKey)> {
        if self.is_over() {
            return None;
        }
        let is_over = |(segment, _): &(SegmentRef, _)| segment.intent.last < self.next;
        if self.place.as_ref().is_none_or(is_over) {
            (self.place, self.tail) = (None, None);
            let segments = &mut self.asked.segments;
            while segments
                .front()
                .is_some_and(|it| it.intent.last < self.next)
            {
                segments.pop_front();
            }
            let segment = segments.pop_front()?;
            let key = segment.intent.key(root, self.asked.log);
            self.place = Some((segment, key));
        }
        let (segment, _) = self.place.as_ref()?;
        (segment.intent.first <= self.next).then(|| self.place.clone())?
    }

    fn is_over(&self) -> bool {
        self.next >= self.asked.until
            || self.told_bytes >= self.asked.limit_bytes
            || self.told.len() >= self.asked.limit.max(1)
    }

    /// Takes what is wanted of what comes, until it is over.
    fn take(&mut self, coming: &mut vec::IntoIter<Delivery>) {
        let wanted = self.asked.limit.max(1).saturating_sub(self.told.len());
        self.told.reserve(coming.len().min(wanted));
        while !self.is_over()
            && let Some(mut delivery) = coming.next()
        {
            let last = delivery.last();
            if last < self.next {
                continue;
            }
            // Records are in the order of their times: behind the first of it all are.
            if let Some(time) = self.asked.time {
                let is_of_it =
                    matches!(&delivery, Delivery::Record(_, it) if it.stamp.time >= time);
                if !is_of_it {
                    self.next = last.successor();
                    continue;
                }
                self.asked.time = None;
            }
            match &mut delivery {
                Delivery::Record(_, it) => self.told_bytes += it.record.payload.len().max(1),
                Delivery::Gap { first, .. } => *first = self.next,
            }
            self.next = last.successor();
            self.told.push(delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::{Epoch, Record, Stamp, Stamped};

    use super::*;
    use crate::manifest::Manifest;
    use crate::segment::{Finished, SegmentWriter, WriterOptions};

    const LOG: LogId = LogId(3);

    /// A log of 40 records, in blocks of about six.
    fn segment() -> (SegmentRef, Finished) {
        let options = WriterOptions {
            block_bytes: 600,
            ..WriterOptions::default()
        };
        let mut writer = SegmentWriter::new(LOG, Lsn::FIRST, options);
        let mut stamp = Stamp::default();
        for number in 1..=40 {
            let record = Record::new(Bytes::from(vec![number as u8; 100]));
            let lsn = Lsn::new(1, number);
            stamp = Stamp::after(stamp, LOG, lsn, WallTime(5), &record);
            let record = Delivery::Record(lsn, Stamped { stamp, record });
            writer.push(&record).expect("it is in order");
        }
        let finished = writer.finish().expect("it is not empty");
        let mut manifest = Manifest::default();
        let (first, last) = (finished.info.first, finished.info.last);
        let intent = manifest.begin(Epoch(1), first, last).expect("the first");
        (SegmentRef::new(intent, &finished), finished)
    }

    impl Cache {
        fn rests(&self) -> Vec<(Lsn, usize, usize)> {
            let pieces = self.pieces.iter();
            let rests = pieces.filter_map(|((_, piece), (cached, bytes))| match (piece, cached) {
                (Piece::Rest(next), Cached::Rest(rest)) => Some((*next, rest.coming.len(), *bytes)),
                _ => None,
            });
            rests.collect()
        }

        fn check(&self) {
            let counted: usize = self.pieces.iter().map(|(_, (_, bytes))| bytes).sum();
            assert_eq!(self.bytes, counted);
            assert!(self.bytes <= self.bytes_max);
            assert!(self.bytes >= self.pieces.len() * PLACE_BYTES);
            let retired: usize = self.retired.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(self.retired_bytes, retired);
            assert!(retired * RETIRED_PART <= self.bytes_max);
        }
    }

    /// Reads the log four records at a time, and says what was left of blocks each time.
    fn read_on(cache_bytes: usize, ahead_bytes: u64) -> Vec<Vec<(Lsn, usize, usize)>> {
        let (segment, finished) = segment();
        let mut cold = ColdReads::new("history".parse().expect("a key"), cache_bytes);
        let mut left = Vec::new();
        for number in 0..10 {
            let mut out = ColdOutputs::default();
            let asked = ColdRead {
                log: LOG,
                segments: VecDeque::from([segment.clone()]),
                from: Lsn::new(1, 4 * number + 1),
                until: Lsn::new(1, 41),
                time: None,
                limit_bytes: usize::MAX,
                limit: 4,
                ahead_bytes,
            };
            cold.read(asked, &mut out);
            while let Some(call) = out.calls.pop() {
                let ObjectAsk::Get { range, .. } = call.ask else {
                    unreachable!("nothing else is asked");
                };
                let range = range.start as usize..range.end as usize;
                let got = ObjectAnswer::Got(finished.bytes.slice(range));
                cold.on_answer(call.token, Ok(got), &mut out);
            }
            let told = out.answers.remove(0).told.expect("it is there");
            let lsns: Vec<Lsn> = told.iter().map(Delivery::last).collect();
            let expected: Vec<Lsn> = (1..=4).map(|it| Lsn::new(1, 4 * number + it)).collect();
            assert_eq!(lsns, expected);
            cold.cache.check();
            left.push(cold.cache.rests());
        }
        left
    }

    #[test]
    fn what_an_answer_leaves_of_a_block_is_kept_counted_and_used_once() {
        let first = segment().1;
        let tail = Segment::verify(&first.bytes).expect("it is in order");
        let left = read_on(1 << 20, 1);
        for (number, rests) in left.iter().enumerate() {
            let next = Lsn::new(1, 4 * number as u32 + 5);
            let block = tail.block_of(next).map(|it| tail.blocks()[it]);
            // An answer that ends with a block leaves nothing.
            let Some(block) = block.filter(|it| it.first < next) else {
                assert_eq!(rests[..], []);
                continue;
            };
            let [(at, count, bytes)] = rests[..] else {
                panic!("{rests:?}");
            };
            let expected = block.last.offset.0 - next.offset.0 + 1;
            assert_eq!((at, count), (next, expected as usize));
            assert!(bytes >= block.raw as usize + count * size_of::<Delivery>());
        }
        assert!(left.iter().any(|it| !it.is_empty()));
    }

    #[test]
    fn no_rests_are_kept_by_a_small_cache_nor_of_those_who_do_not_read_on() {
        assert!(read_on(2_000, 1).iter().all(Vec::is_empty));
        assert!(read_on(1 << 20, 0).iter().all(Vec::is_empty));
    }
}
