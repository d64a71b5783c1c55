//! How RocksDB is set up: the same under a host and on its own environment.
//!
//! What is not here is RocksDB's default. Four settings make runs under a host repeat to the byte, and
//! cost nothing elsewhere:
//!
//! - The write buffer is so large that RocksDB never flushes by itself: how full a memtable is depends
//!   on random heights of its skip list. The store flushes by its own count of bytes.
//! - Tables have format 5: from 6 on, each has a random number in its footer.
//! - The block cache is one shard: with several, which blocks share one depends on the host's name.
//! - RocksDB starts no thread to try failed background work again; the store fails at its next sync,
//!   and is to be opened anew. (On its own environment RocksDB may still wait for room on a full
//!   device; the store fails all the same.)

use std::sync::OnceLock;

use hstore_core::ports::log_store::StoreError;
use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LruCacheOptions, Options,
};

use super::store::engine_error;

/// What may be chosen when a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksSettings {
    /// A sync that finds at least so many bytes of batches since the last flush begins one, and so does
    /// a batch that makes it twice as many. Bounds the write-ahead log, and with it memory and the time
    /// to open.
    pub flush_bytes: u64,
    /// So many flushed tables lead to a compaction, from 2.
    pub level0_tables: u16,
    /// The size of the block cache, in bytes.
    pub cache_bytes: usize,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self {
            flush_bytes: 64 << 20,
            level0_tables: 4,
            cache_bytes: 64 << 20,
        }
    }
}

/// Far above [`RocksSettings::flush_bytes`]; RocksDB allows no more.
const WRITE_BUFFER_BYTES: usize = 64 << 30;

/// Memtables at a time: one is written to, one is flushed, and writes go on when a third begins.
const MEMTABLES: i32 = 4;

/// Flushed tables at which writes are slowed, and stopped.
const LEVEL0_SLOW: i32 = 40;
const LEVEL0_STOP: i32 = 60;

/// How much of RocksDB's own log is kept, in files and bytes each.
const LOG_FILES: usize = 4;
const LOG_FILE_BYTES: usize = 16 << 20;

impl RocksSettings {
    /// The options of the database and of its one column family.
    pub(super) fn options(&self, env: Option<&rocksdb::Env>) -> Result<Options, StoreError> {
        let mut options = base()?;
        options.create_if_missing(true);
        // After a power failure the unsynced end of the log may be torn anywhere. What lies behind the
        // first record that is not whole was not synced, or it would be whole.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        // One edit fills a manifest, so the next one goes into a new file, which becomes the current
        // one when it is durable. RocksDB reads a manifest to its end and refuses a record that is torn
        // there, so an edit at the end of the current manifest would not survive every power failure.
        options.set_max_manifest_file_size(1);
        options.set_max_file_opening_threads(1);
        options.set_max_background_jobs(2);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_max_total_wal_size(self.wal_bytes());
        options.set_ttl(0);
        options.set_periodic_compaction_seconds(0);
        options.set_bytes_per_sync(1 << 20);
        options.set_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_write_buffer_number(MEMTABLES);
        // Memory is taken in steps of this.
        options.set_arena_block_size(64 << 10);
        options.set_level_zero_file_num_compaction_trigger(i32::from(self.level0_tables));
        options.set_level_zero_slowdown_writes_trigger(LEVEL0_SLOW);
        options.set_level_zero_stop_writes_trigger(LEVEL0_STOP);
        options.set_compression_type(DBCompressionType::Lz4);
        let mut tables = BlockBasedOptions::default();
        tables.set_format_version(5);
        tables.set_block_cache(&one_shard_cache(self.cache_bytes));
        // Each append looks for a copy at its LSN, which is hardly ever there.
        tables.set_bloom_filter(10.0, false);
        options.set_block_based_table_factory(&tables);
        match env {
            Some(env) => options.set_env(env),
            None => {
                options.set_keep_log_file_num(LOG_FILES);
                options.set_max_log_file_size(LOG_FILE_BYTES);
                // Counts only: what takes the time of day is left out.
                options.enable_statistics();
                options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
            }
        }
        Ok(options)
    }

    /// RocksDB sets aside a little more than a write buffer for each file of the write-ahead log, but no
    /// more than this, which is what the file will have when the store flushes.
    fn wal_bytes(&self) -> u64 {
        self.flush_bytes.saturating_mul(2).max(16 << 20)
    }
}

/// Options that differ from RocksDB's default by what there are no methods for. Each set of defaults has a
/// block cache of its own that nobody uses, and is made once for that.
fn base() -> Result<Options, StoreError> {
    static BASE: OnceLock<Result<Options, StoreError>> = OnceLock::new();
    let make = || {
        Options::default()
            .get_options_from_string("max_bgerror_resume_count=0;max_manifest_space_amp_pct=0")
            .map_err(|error| engine_error(&error))
    };
    BASE.get_or_init(make).clone()
}

fn one_shard_cache(bytes: usize) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes);
    options.set_num_shard_bits(0);
    Cache::new_lru_cache_opts(&options)
}
