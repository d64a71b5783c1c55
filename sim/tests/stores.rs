//! Both stores on the simulated disk survive every power failure: the same operations, the same
//! questions, for RocksDB and for the model store.

use std::cell::Cell;
use std::collections::BTreeSet;

use bytes::Bytes;
use hstore_core::ports::file_system::FileSystem;
use hstore_core::ports::log_store::{LogStore, StoreError, StoreOp};
use hstore_core::{
    Entry, LogId, Lsn, NodeSet, Offset, Precedence, Record, Rng, Stamp, Stamped, StoredCopy,
    Timestamp,
};
use hstore_sim::disk::{
    DiskFault, FaultId, FileClass, FileOp, FileOpKind, MountedDisk, Operations, PowerLoss,
    SharedDisk, SimDisk,
};
use hstore_tier1::contract::{Backend, Intercepted, Interceptor, Verdict, check_store, contents};
use hstore_tier1::model::{ModelState, ModelStore, ModelStoreOptions};
use hstore_tier1::rocks::hosted::env::Host;
use hstore_tier1::rocks::{RocksSettings, RocksStore};

// --- The engines ---------------------------------------------------------------------------------

/// How to open an engine's store, which draws its settings.
trait Engine: Copy + Sync {
    type Store<F: FileSystem + Send + 'static>: LogStore;

    /// An open, and the work that follows, has fewer file operations than this most of the time.
    const OPERATIONS: u64;

    fn open<F: FileSystem + Send + 'static>(
        self,
        files: F,
        rng: &mut Rng,
    ) -> Result<Self::Store<F>, StoreError>;
}

#[derive(Clone, Copy)]
struct Model;

impl Engine for Model {
    type Store<F: FileSystem + Send + 'static> = ModelStore<F>;
    const OPERATIONS: u64 = 70;

    fn open<F: FileSystem + Send + 'static>(
        self,
        files: F,
        rng: &mut Rng,
    ) -> Result<ModelStore<F>, StoreError> {
        let options = ModelStoreOptions {
            wal_bytes_max: rng.within(500..=20_000),
        };
        ModelStore::open_with(files, "node/store", options)
    }
}

#[derive(Clone, Copy)]
struct Rocks;

impl Engine for Rocks {
    type Store<F: FileSystem + Send + 'static> = RocksStore;
    const OPERATIONS: u64 = 300;

    fn open<F: FileSystem + Send + 'static>(
        self,
        files: F,
        rng: &mut Rng,
    ) -> Result<RocksStore, StoreError> {
        let settings = RocksSettings {
            flush_bytes: rng.within(1..=20_000),
            level0_tables: rng.within(2..=4) as u16,
            cache_bytes: 1 << 20,
        };
        let host = Host {
            now: Timestamp::from_millis(rng.below(1_000_000)),
            identity: rng.seed() | 1,
        };
        RocksStore::open_hosted(files, "node/store", settings, host)
    }
}

// --- The contract --------------------------------------------------------------------------------

/// A store on a disk whose power fails at each crash.
struct OnSimDisk<E> {
    engine: E,
    disk: SharedDisk,
    rng: Rng,
}

impl<E: Engine> Backend for OnSimDisk<E> {
    type Store = E::Store<MountedDisk>;

    fn open(&mut self) -> Result<Self::Store, StoreError> {
        self.engine.open(self.disk.mount(), &mut self.rng)
    }

    fn crash(&mut self, store: Self::Store) {
        let mut disk = self.disk.lock();
        disk.power_fail(&mut self.rng);
        disk.drain_ops();
        drop(disk);
        drop(store);
    }
}

fn check_contract<E: Engine>(engine: E, suites: u64) {
    let mut seed = 0;
    for _ in 0..suites {
        check_store(|| {
            seed += 1;
            OnSimDisk {
                engine,
                disk: SharedDisk::new(SimDisk::new()),
                rng: Rng::from_seed(seed),
            }
        });
    }
}

#[test]
fn the_model_store_keeps_the_contract_through_power_failures() {
    check_contract(Model, 40);
}

#[test]
fn rocksdb_keeps_the_contract_through_power_failures() {
    check_contract(Rocks, 10);
}

// --- Crashed at any operation --------------------------------------------------------------------

/// The logs that trials write to.
const LOGS: [LogId; 2] = [LogId(0), LogId(1)];

/// What a trial did, to show that trials do what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trial {
    /// The record of all operations.
    ops: Vec<FileOp>,
    /// What the power failures did, one for each life.
    losses: Vec<PowerLoss>,
    /// Lives that ended while the store was opened.
    ended_in_open: usize,
    /// Lives that ended in an apply or sync.
    ended_in_use: usize,
    /// Batches that were applied, not synced, and survived.
    survived_unsynced: usize,
    /// Batches that were applied and did not survive.
    lost_batches: usize,
}

fn random_batch(rng: &mut Rng, number: u64) -> Vec<StoreOp> {
    let mut batch = vec![StoreOp::PutMeta {
        key: Bytes::from_static(b"number"),
        value: number.to_le_bytes().to_vec().into(),
    }];
    for _ in 0..rng.below(4) {
        let log = LOGS[rng.below(2) as usize];
        let lsn = Lsn::new(1, rng.within(1..=9) as u32);
        batch.push(match rng.below(5) {
            0 => StoreOp::DeleteRange {
                log,
                first: Lsn::MIN,
                last: lsn,
            },
            1 => StoreOp::Amend {
                log,
                lsn,
                wave: rng.within(1..=3) as u32,
                copyset: NodeSet::EMPTY,
            },
            _ => StoreOp::Put {
                log,
                lsn,
                copy: StoredCopy {
                    precedence: Precedence::of_wave(rng.within(1..=3) as u32),
                    copyset: NodeSet::EMPTY,
                    last_known_good: Offset(0),
                    entry: Entry::Record(Stamped {
                        stamp: Stamp::default(),
                        record: Record::new(random_payload(rng)),
                    }),
                },
            },
        });
    }
    batch
}

fn random_payload(rng: &mut Rng) -> Bytes {
    let length = rng.below(1_500);
    (0..length).map(|_| rng.below(256) as u8).collect()
}

/// Whether the store holds exactly this.
fn holds(store: &mut impl LogStore, state: &ModelState) -> Result<bool, StoreError> {
    let held = contents(store, &LOGS, 4)?;
    Ok(held == contents(&mut state.clone(), &LOGS, 9).expect("a state cannot fail"))
}

/// The newest of these states that the store holds exactly, if it holds one.
fn survivor(store: &mut impl LogStore, states: &[ModelState]) -> Result<Option<usize>, StoreError> {
    for (index, state) in states.iter().enumerate().rev() {
        if holds(store, state)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Lives of one store, each ended by a power failure at a random file operation. `wrap` stands
/// between the store and the disk.
///
/// After each, the store must hold the outcome of the first so many batches, among them all that
/// were synced. So nothing synced is lost, nothing is there that was never written, and no batch is
/// there in part. A batch whose apply failed may count as applied.
fn trial<E: Engine, F: FileSystem + Send + 'static>(
    engine: E,
    seed: u64,
    wrap: impl Fn(MountedDisk) -> F,
) -> Result<Trial, String> {
    let mut rng = Rng::from_seed(seed);
    let disk = SharedDisk::new(SimDisk::new());
    let mut trial = Trial::default();
    // The state that was synced, then those after it, in order.
    let mut states = vec![ModelState::default()];
    let mut number = 0;
    for life in 0..8 {
        let context = |what: &str| format!("seed {seed}, life {life}: {what}");
        disk.lock().arm_crash(rng.below(E::OPERATIONS));
        let crashed = || disk.lock().crashed();
        let ended = 'life: {
            let mut store = match engine.open(wrap(disk.mount()), &mut rng) {
                Ok(store) => store,
                Err(error) => break 'life Err(error),
            };
            let survived = match survivor(&mut store, &states) {
                Ok(survived) => survived,
                Err(error) => break 'life Err(error),
            };
            let survived =
                survived.ok_or_else(|| context("this is not the outcome of the first batches"))?;
            trial.survived_unsynced += survived;
            trial.lost_batches += states.len() - 1 - survived;
            // The open wrote what it found anew, so all of that is durable.
            states = vec![states.swap_remove(survived)];
            Ok(use_until_it_fails(
                &mut store,
                &mut states,
                &mut number,
                &mut rng,
                &disk,
                crashed,
            ))
        };
        let error = match ended {
            Ok(error) => {
                trial.ended_in_use += 1;
                error
            }
            Err(error) => {
                trial.ended_in_open += 1;
                Some(error)
            }
        };
        if !crashed() {
            let error = error.map_or_else(String::new, |error| error.to_string());
            return Err(context(&format!(
                "only the armed crash ends a life: {error}"
            )));
        }
        let mut disk = disk.lock();
        if rng.chance(0.1) {
            disk.process_exit();
        } else {
            trial.losses.push(disk.power_fail(&mut rng));
        }
        trial.ops.extend(disk.drain_ops());
    }
    Ok(trial)
}

/// Applies batches and syncs until the store fails, or it is over otherwise. An engine may get over an
/// operation that failed because the power did; its process does not.
fn use_until_it_fails(
    store: &mut impl LogStore,
    states: &mut Vec<ModelState>,
    number: &mut u64,
    rng: &mut Rng,
    disk: &SharedDisk,
    is_over: impl Fn() -> bool,
) -> Option<StoreError> {
    loop {
        let done = if rng.chance(0.3) {
            store.sync().map(|()| {
                let failed = disk.lock().failed().to_vec();
                let synced = failed.iter().all(|(kind, _)| !kind.makes_durable());
                assert!(synced, "it claims to have synced after {failed:?}");
                states.drain(..states.len() - 1);
            })
        } else {
            *number += 1;
            let batch = random_batch(rng, *number);
            let mut state = states.last().expect("there is one").clone();
            let expected = state.apply(&batch);
            states.push(state);
            store
                .apply(&batch)
                .map(|answers| assert_eq!(answers, expected))
        };
        if let Err(error) = done {
            assert_eq!(
                store.sync(),
                Err(StoreError::Poisoned),
                "a failed store goes on"
            );
            return Some(error);
        }
        if is_over() {
            return None;
        }
    }
}

/// Runs trials, and makes sure that they tried.
fn check_trials<E: Engine>(engine: E, seeds: u64) {
    let mut all = Trial::default();
    let mut torn = 0;
    for seed in 0..seeds {
        let trial = trial(engine, seed, |disk| disk).unwrap_or_else(|what| panic!("{what}"));
        all.ended_in_open += trial.ended_in_open;
        all.ended_in_use += trial.ended_in_use;
        all.survived_unsynced += trial.survived_unsynced;
        all.lost_batches += trial.lost_batches;
        torn += trial.losses.iter().filter(|l| l.torn_sectors > 0).count() as u64;
    }
    let told = format!("{all:?}, {torn} torn");
    assert!(all.ended_in_open as u64 > seeds / 2, "{told}");
    assert!(all.ended_in_use as u64 > seeds / 2, "{told}");
    assert!(torn > seeds / 2, "{told}");
    assert!(all.survived_unsynced as u64 > seeds / 20, "{told}");
    assert!(all.lost_batches as u64 > seeds / 20, "{told}");
}

#[test]
fn the_model_store_survives_power_failures_at_any_operation() {
    check_trials(Model, 2_000);
}

#[test]
fn rocksdb_survives_power_failures_at_any_operation() {
    check_trials(Rocks, 400);
}

// --- Failed by the device ------------------------------------------------------------------------

/// How often lives of stores ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Failures {
    /// The device failed an operation while the store was opened.
    in_open: u64,
    /// The device failed an operation in an apply, a sync or a read.
    in_use: u64,
    /// The device failed an operation that the store could go without.
    survived: u64,
    /// No operation failed.
    idle: u64,
}

fn random_fault<E: Engine>(rng: &mut Rng) -> DiskFault {
    if rng.chance(0.2) {
        let room = rng.below(20_000);
        return DiskFault::Full { room };
    }
    let operations = [Operations::Read, Operations::Write, Operations::Sync];
    DiskFault::Error {
        operations: *rng.pick(&operations).expect("not empty"),
        files: *rng.pick(&FileClass::ALL).expect("not empty"),
        passes: rng.below(E::OPERATIONS / 8) as u32,
        count: *rng.pick(&[1, 2, u32::MAX]).expect("not empty"),
        keeps_cache: rng.chance(0.5),
        pick: rng.seed(),
    }
}

/// Lives of one store, in each of which the device may fail operations. After a life the process ends, or
/// the power fails as well; then the device works until the store is open again, or does not.
///
/// A store that the device has not failed opens, and holds the outcome of the first so many batches, among
/// them all for which a sync succeeded.
fn device_trial<E: Engine>(engine: E, seed: u64, failures: &mut Failures) -> Result<(), String> {
    let mut rng = Rng::from_seed(seed);
    let disk = SharedDisk::new(SimDisk::new());
    let mut states = vec![ModelState::default()];
    let mut number = 0;
    for life in 0..12 {
        let context = |what: &str| format!("seed {seed}, life {life}: {what}");
        let failed = || !disk.lock().failed().is_empty();
        let fault = random_fault::<E>(&mut rng);
        let while_it_opens = rng.chance(0.4);
        if while_it_opens {
            disk.lock().inject(FaultId(0), fault);
        }
        let mut opened = false;
        let error = 'life: {
            let mut store = match engine.open(disk.mount(), &mut rng) {
                Ok(store) => store,
                Err(error) => break 'life Some(error),
            };
            let survived = match survivor(&mut store, &states) {
                Ok(survived) => survived,
                Err(error) => break 'life Some(error),
            };
            let survived =
                survived.ok_or_else(|| context("this is not the outcome of the first batches"))?;
            states = vec![states.swap_remove(survived)];
            opened = true;
            if !while_it_opens {
                disk.lock().inject(FaultId(0), fault);
            }
            let steps = Cell::new(0);
            let is_over = || {
                steps.set(steps.get() + 1);
                steps.get() > 40
            };
            use_until_it_fails(
                &mut store,
                &mut states,
                &mut number,
                &mut rng,
                &disk,
                is_over,
            )
        };
        match error {
            Some(error) if !failed() => {
                return Err(context(&format!("no operation failed: {error}")));
            }
            Some(_) if opened => failures.in_use += 1,
            Some(_) => failures.in_open += 1,
            None if failed() => failures.survived += 1,
            None => failures.idle += 1,
        }
        let mut disk = disk.lock();
        disk.lift(FaultId(0));
        if rng.chance(0.5) {
            disk.process_exit();
        } else {
            disk.power_fail(&mut rng);
        }
        disk.drain_ops();
    }
    Ok(())
}

fn check_device_trials<E: Engine>(engine: E, seeds: u64) {
    let mut failures = Failures::default();
    for seed in 0..seeds {
        device_trial(engine, seed, &mut failures).unwrap_or_else(|what| panic!("{what}"));
    }
    assert!(
        failures.in_open > seeds && failures.in_use > seeds,
        "{failures:?}"
    );
}

#[test]
fn the_model_store_survives_a_device_that_fails_operations() {
    check_device_trials(Model, 500);
}

#[test]
fn rocksdb_survives_a_device_that_fails_operations() {
    check_device_trials(Rocks, 150);
}

// --- The same again ------------------------------------------------------------------------------

fn check_repeats<E: Engine>(engine: E) {
    for seed in 0..20 {
        let first = trial(engine, seed, |disk| disk).expect("the store survives");
        // On another thread: what a thread remembers plays no part.
        let second = std::thread::scope(|scope| {
            let again = || trial(engine, seed, |disk| disk).expect("the store survives");
            std::thread::Builder::new()
                .spawn_scoped(scope, again)
                .expect("there is room for a thread")
                .join()
                .expect("it does not panic")
        });
        assert_eq!(first, second, "seed {seed}");
        assert!(first.ops.iter().any(|op| op.kind == FileOpKind::Sync));
    }
}

#[test]
fn a_trial_of_the_model_store_follows_from_its_seed() {
    check_repeats(Model);
}

#[test]
fn a_trial_of_rocksdb_follows_from_its_seed_to_the_byte() {
    check_repeats(Rocks);
}

/// Leaves out one kind of operation and says that it was done: what a store without it would do.
struct Without(&'static str);

impl Interceptor for Without {
    fn judge(&mut self, operation: &'static str) -> Verdict {
        if operation == self.0 {
            Verdict::Pretended
        } else {
            Verdict::Done
        }
    }
}

fn check_notices<E: Engine>(engine: E, operation: &'static str, seeds: u64, at_least: usize) {
    let without = |files| Intercepted {
        files,
        interceptor: Without(operation),
    };
    let noticed = (0..seeds)
        .filter(|seed| trial(engine, *seed, without).is_err())
        .count();
    assert!(
        noticed >= at_least,
        "{operation}: noticed in {noticed} of {seeds}"
    );
}

#[test]
fn trials_notice_a_model_store_that_leaves_out_a_sync() {
    check_notices(Model, "sync", 50, 10);
    check_notices(Model, "sync directory", 50, 10);
}

#[test]
fn trials_notice_a_rocksdb_that_leaves_out_a_sync() {
    check_notices(Rocks, "sync", 50, 10);
    check_notices(Rocks, "sync directory", 50, 10);
}

#[test]
fn rocksdb_writes_to_no_manifest_that_it_has_synced() {
    // It refuses to open with a manifest whose end is torn.
    let mut manifests = 0;
    for seed in 0..20 {
        let trial = trial(Rocks, seed, |disk| disk).expect("the store survives");
        let mut synced = BTreeSet::new();
        for op in trial.ops.iter().filter(|op| op.path.contains("/MANIFEST-")) {
            match op.kind {
                FileOpKind::Create => _ = synced.remove(&op.path),
                FileOpKind::Sync => _ = synced.insert(&op.path),
                FileOpKind::Append => assert!(!synced.contains(&op.path), "seed {seed}: {op}"),
                _ => {}
            }
        }
        manifests += synced.len();
    }
    assert!(manifests > 300, "{manifests}");
}
