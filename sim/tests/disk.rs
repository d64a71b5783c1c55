//! The simulated disk keeps what it promises, breaks what it may break, and the model store on it
//! survives every power failure.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::ports::file_system::{FileErrorKind, FileSystem};
use hstore_core::ports::log_store::{LogStore, StoreError, StoreOp};
use hstore_core::{Entry, LogId, Lsn, NodeSet, Offset, Precedence, Record, Rng, StoredCopy};
use hstore_sim::disk::{FileOp, FileOpKind, MountedDisk, PowerLoss, SharedDisk, SimDisk};
use hstore_tier1::contract::{
    Backend, Intercepted, Interceptor, Verdict, check_file_system, check_store,
};
use hstore_tier1::model::{ModelState, ModelStore, ModelStoreOptions};

// --- Contracts -----------------------------------------------------------------------------------

/// A model store on a disk whose power fails at each crash.
struct OnSimDisk {
    disk: SharedDisk,
    options: ModelStoreOptions,
    rng: Rng,
}

impl OnSimDisk {
    fn new(options: ModelStoreOptions, seed: u64) -> Self {
        Self {
            disk: SharedDisk::new(SimDisk::new()),
            options,
            rng: Rng::from_seed(seed),
        }
    }
}

impl Backend for OnSimDisk {
    type Store = ModelStore<MountedDisk>;

    fn open(&mut self) -> Result<Self::Store, StoreError> {
        ModelStore::open_with(self.disk.mount(), "node/store", self.options)
    }

    fn crash(&mut self, store: Self::Store) {
        let mut disk = self.disk.lock();
        disk.power_fail(&mut self.rng);
        disk.drain_ops();
        drop(store);
    }
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    check_file_system(SimDisk::new);
    check_file_system(|| SharedDisk::new(SimDisk::new()).mount());
}

#[test]
fn the_model_store_keeps_the_contract_through_power_failures() {
    for seed in 0..20 {
        let mut backends = seed * 1_000;
        for wal_bytes_max in [2_000, 64 << 20] {
            check_store(|| {
                backends += 1;
                OnSimDisk::new(ModelStoreOptions { wal_bytes_max }, backends)
            });
        }
    }
}

// --- Names ---------------------------------------------------------------------------------------

/// A file whose content, its own path, is durable, whatever becomes of its name.
fn synced_file(disk: &mut SimDisk, path: &str) {
    let file = disk.create(path).expect("the name is free");
    disk.append(file, path.as_bytes()).expect("appends succeed");
    disk.sync(file).expect("syncs succeed");
    disk.close(file);
}

fn content(disk: &mut SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path).expect("the file is there");
    let content = disk.read_at(file, 0, usize::MAX).expect("it can be read");
    disk.close(file);
    content.to_vec()
}

/// The names in a directory, with what they lead to.
fn tree(disk: &mut SimDisk, directory: &str) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list(directory).expect("the directory is there");
    names
        .into_iter()
        .map(|name| {
            let content = content(disk, &format!("{directory}/{name}"));
            (name, content)
        })
        .collect()
}

/// Runs `check` for many seeds on disks made by `make`, after a power failure. Returns in how many
/// it held.
fn how_often(
    make: impl Fn(&mut SimDisk),
    check: impl Fn(&mut SimDisk, PowerLoss) -> bool,
) -> usize {
    (0..300)
        .filter(|seed| {
            let mut disk = SimDisk::new();
            make(&mut disk);
            let loss = disk.power_fail(&mut Rng::from_seed(*seed));
            check(&mut disk, loss)
        })
        .count()
}

#[test]
fn a_synced_file_whose_name_was_not_synced_may_vanish() {
    let there = how_often(
        |disk| synced_file(disk, "file"),
        |disk, loss| {
            let there = disk.list("").expect("the root is there") == ["file"];
            assert_eq!(loss.unsynced_names, 1);
            assert_eq!(loss.lost_names, u64::from(!there));
            assert_eq!(loss.lost_anything(), !there);
            there
        },
    );
    assert!((50..250).contains(&there), "{there}");

    let there = how_often(
        |disk| {
            synced_file(disk, "file");
            disk.sync_dir("").expect("the root can be synced");
            assert_eq!((disk.unsynced_names(), disk.unsynced_bytes()), (0, 0));
        },
        |disk, loss| {
            assert_eq!(loss, PowerLoss::default());
            content(disk, "file") == b"file"
        },
    );
    assert_eq!(there, 300);
}

#[test]
fn a_rename_happens_whole_or_not_and_brings_back_what_it_replaced() {
    let renamed = how_often(
        |disk| {
            disk.create_dir("a").expect("directories can be created");
            disk.create_dir("b").expect("directories can be created");
            synced_file(disk, "a/from");
            synced_file(disk, "b/to");
            for directory in ["", "a", "b"] {
                disk.sync_dir(directory).expect("directories can be synced");
            }
            disk.rename("a/from", "b/to").expect("the file is there");
        },
        |disk, loss| {
            assert_eq!(loss.unsynced_names, 1);
            match disk.open("a/from") {
                Ok(_) => {
                    assert_eq!(content(disk, "a/from"), b"a/from");
                    assert_eq!(content(disk, "b/to"), b"b/to");
                    false
                }
                Err(_) => {
                    assert_eq!(content(disk, "b/to"), b"a/from");
                    true
                }
            }
        },
    );
    assert!((50..250).contains(&renamed), "{renamed}");
}

#[test]
fn syncing_one_directory_of_a_rename_leaves_no_half_of_it() {
    for synced in ["a", "b"] {
        how_often(
            |disk| {
                disk.create_dir("a").expect("directories can be created");
                disk.create_dir("b").expect("directories can be created");
                disk.sync_dir("").expect("directories can be synced");
                synced_file(disk, "a/x");
                disk.remove("a/x").expect("the file is there");
                synced_file(disk, "b/y");
                disk.rename("b/y", "a/x").expect("the file is there");
                disk.sync_dir(synced).expect("directories can be synced");
                assert_eq!(
                    disk.unsynced_names(),
                    0,
                    "what the rename rests on is synced"
                );
            },
            |disk, _| {
                assert_eq!(content(disk, "a/x"), b"b/y");
                assert!(tree(disk, "b").is_empty());
                true
            },
        );
    }
}

#[test]
fn a_directory_whose_own_name_was_not_synced_may_go_with_all_in_it() {
    let there = how_often(
        |disk| {
            disk.create_dir("a").expect("directories can be created");
            synced_file(disk, "a/file");
            disk.sync_dir("a").expect("directories can be synced");
            assert_eq!(disk.unsynced_names(), 1);
        },
        |disk, _| match disk.list("a") {
            Ok(names) => {
                assert_eq!(names, ["file"]);
                true
            }
            Err(error) => {
                assert_eq!(error.kind, FileErrorKind::NotFound);
                false
            }
        },
    );
    assert!((50..250).contains(&there), "{there}");
}

#[test]
fn a_removed_file_comes_back_with_its_content_until_the_removal_is_synced() {
    for synced in [false, true] {
        let there = how_often(
            |disk| {
                synced_file(disk, "file");
                disk.sync_dir("").expect("the root can be synced");
                disk.remove("file").expect("the file is there");
                if synced {
                    disk.sync_dir("").expect("the root can be synced");
                }
            },
            |disk, _| {
                let there = !disk.list("").expect("the root is there").is_empty();
                assert!(!there || content(disk, "file") == b"file");
                there
            },
        );
        assert_eq!(there > 50, !synced, "{there}");
    }
}

#[test]
fn what_is_left_of_a_directory_is_what_it_once_was_since_it_was_synced() {
    let directories = ["a", "b"];
    let mut lost = 0;
    for seed in 0..400 {
        let mut rng = Rng::from_seed(seed);
        let mut disk = SimDisk::new();
        for directory in directories {
            disk.create_dir(directory).expect("the name is free");
        }
        disk.sync_dir("").expect("the root can be synced");
        // What each directory was, since it was last synced.
        let mut histories = [(); 2].map(|()| vec![BTreeMap::new()]);
        for step in 0..rng.within(1..=40) {
            let which = rng.below(2) as usize;
            let directory = directories[which];
            let names = disk.list(directory).expect("the directory is there");
            let picked = rng.pick(&names).map(|name| format!("{directory}/{name}"));
            match (rng.below(6), picked) {
                (0, _) => {
                    disk.sync_dir(directory).expect("it can be synced");
                    let last = histories[which].len() - 1;
                    histories[which].drain(..last);
                }
                (1, Some(path)) => disk.remove(&path).expect("the file is there"),
                (2, Some(path)) => {
                    let to = format!("{directory}/{}", rng.below(6));
                    disk.rename(&path, &to).expect("the file is there");
                }
                _ => synced_file(&mut disk, &format!("{directory}/new{step}")),
            }
            let now = tree(&mut disk, directory);
            histories[which].push(now);
        }
        let loss = disk.power_fail(&mut rng);
        lost += loss.lost_names;
        for (directory, history) in directories.iter().zip(&histories) {
            let left = tree(&mut disk, directory);
            assert!(
                history.contains(&left),
                "seed {seed}: `{directory}` was never {left:?}"
            );
            if loss.lost_names == 0 {
                assert_eq!(Some(&left), history.last(), "seed {seed}");
            }
        }
        assert_eq!(disk.unsynced_names(), 0);
    }
    assert!(lost > 500, "{lost}");
}

// --- Lives and the record ------------------------------------------------------------------------

#[test]
fn the_end_of_a_process_loses_nothing_and_closes_everything() {
    let mut disk = SimDisk::new();
    let file = disk.create("file").expect("the name is free");
    disk.append(file, b"content").expect("appends succeed");
    disk.process_exit();
    let error = disk.append(file, b"x").expect_err("the file is not open");
    assert_eq!(error.kind, FileErrorKind::Io);
    assert_eq!(content(&mut disk, "file"), b"content");
    assert_eq!(disk.unsynced_bytes(), 7);
}

#[test]
fn a_mount_ends_with_its_life() {
    let disk = SharedDisk::new(SimDisk::new());
    let mut before = disk.mount();
    let file = before.create("file").expect("the name is free");
    disk.lock().power_fail(&mut Rng::from_seed(1));
    let mut after = disk.mount();
    let again = after.create("file").expect("the disk is there");
    let ops = disk.lock().op_count();
    assert!(before.create("other").is_err());
    assert!(before.append(file, b"x").is_err());
    assert!(before.append(again, b"x").is_err(), "nor by a later number");
    before.close(file);
    assert_eq!(disk.lock().op_count(), ops, "the disk was not touched");
    after.append(again, b"y").expect("the new life goes on");
}

#[test]
fn an_armed_crash_lets_so_many_operations_succeed() {
    for after in 0..5 {
        let mut disk = SimDisk::new();
        let file = disk.create("file").expect("the name is free");
        disk.arm_crash(after);
        for i in 0..8 {
            assert_eq!(disk.crashed(), i > after);
            let result = disk.append(file, b"x");
            assert_eq!(result.is_ok(), i < after);
        }
        let error = disk.sync(file).expect_err("there is no power");
        assert_eq!(error.detail, "the power failed");
        disk.process_exit();
        assert!(!disk.crashed());
        assert_eq!(
            content(&mut disk, "file").len() as u64,
            after + 1,
            "the operation that the crash met may have happened"
        );
    }
}

#[test]
fn a_sync_that_the_crash_met_did_not_happen() {
    let mut disk = SimDisk::new();
    let file = disk.create("file").expect("the name is free");
    disk.append(file, &[1; 1_000]).expect("appends succeed");
    disk.arm_crash(0);
    assert!(disk.sync(file).is_err());
    assert_eq!(disk.unsynced_bytes(), 1_000);
}

#[test]
fn every_operation_is_recorded_with_its_bytes() {
    let mut disk = SimDisk::new();
    disk.create_dir("a").expect("the name is free");
    let file = disk.create("a/f").expect("the name is free");
    disk.append(file, b"hello").expect("appends succeed");
    disk.sync(file).expect("syncs succeed");
    disk.read_at(file, 1, 3).expect("reads succeed");
    disk.truncate(file, 2).expect("cuts succeed");
    disk.len(file).expect("it is open");
    disk.close(file);
    disk.rename("a/f", "a/g").expect("the file is there");
    disk.list("a").expect("the directory is there");
    disk.sync_dir("a").expect("the directory is there");
    disk.remove("a/f").expect_err("the file was renamed");
    let record: Vec<String> = disk.drain_ops().map(|op| op.to_string()).collect();
    let crc = |content: &[u8]| crc32c::crc32c(content);
    assert_eq!(
        record,
        [
            "0 create directory a".to_owned(),
            "1 create a/f".to_owned(),
            format!("2 append to a/f at 0: 5 bytes, crc {:08x}", crc(b"hello")),
            "3 sync a/f: 5 bytes".to_owned(),
            format!("4 read a/f at 1: 3 bytes, crc {:08x}", crc(b"ell")),
            "5 truncate a/f at 2: 3 bytes".to_owned(),
            "6 measure a/f: 2 bytes".to_owned(),
            "7 close a/f".to_owned(),
            "8 rename a/f to a/g".to_owned(),
            format!("9 list a: 1 names, crc {:08x}", crc(b"g/")),
            "10 sync directory a: 2 names".to_owned(),
            "11 remove a/f, failed: NotFound".to_owned(),
        ]
    );
    assert_eq!(disk.drain_ops().count(), 0);
}

// --- The model store, crashed at any operation ---------------------------------------------------

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
    /// Opens that cut a torn end.
    cuts: usize,
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
        let log = LogId(rng.below(2) as u32);
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
                    entry: Entry::Record(Record::new(
                        vec![rng.below(256) as u8; rng.below(1_500) as usize].into(),
                    )),
                },
            },
        });
    }
    batch
}

/// Lives of one store, each ended by a power failure at a random file operation. `wrap` stands
/// between the store and the disk.
///
/// After each, the store must hold the outcome of the first so many batches, among them all that
/// were synced. A batch whose apply failed may count as applied.
fn trial<F: FileSystem>(seed: u64, wrap: impl Fn(MountedDisk) -> F) -> Result<Trial, String> {
    let mut rng = Rng::from_seed(seed);
    let disk = SharedDisk::new(SimDisk::new());
    let mut trial = Trial::default();
    // The state that was synced, then those after it, in order.
    let mut states = vec![ModelState::default()];
    let mut number = 0;
    for life in 0..8 {
        let context = |what: &str| format!("seed {seed}, life {life}: {what}");
        disk.lock().arm_crash(rng.below(70));
        let options = ModelStoreOptions {
            wal_bytes_max: rng.within(500..=20_000),
        };
        match ModelStore::open_with(wrap(disk.mount()), "store", options) {
            Ok(mut store) => {
                trial.cuts += usize::from(store.recovered().cut_bytes > 0);
                let survived = states
                    .iter()
                    .rposition(|state| state == store.state())
                    .ok_or_else(|| context("this is not the outcome of the first batches"))?;
                trial.survived_unsynced += survived;
                trial.lost_batches += states.len() - 1 - survived;
                // The open wrote what it found anew, so all of that is durable.
                states = vec![states.swap_remove(survived)];
                loop {
                    let done = if rng.chance(0.3) {
                        store.sync().map(|()| {
                            states.drain(..states.len() - 1);
                        })
                    } else {
                        number += 1;
                        let batch = random_batch(&mut rng, number);
                        let mut state = states.last().expect("there is one").clone();
                        let expected = state.apply(&batch);
                        states.push(state);
                        store
                            .apply(&batch)
                            .map(|answers| assert_eq!(answers, expected))
                    };
                    match done {
                        Ok(()) => {}
                        Err(StoreError::File(_)) => break,
                        Err(other) => return Err(context(&other.to_string())),
                    }
                }
                if store.sync() != Err(StoreError::Poisoned) {
                    return Err(context("a failed store goes on"));
                }
                trial.ended_in_use += 1;
            }
            Err(StoreError::File(_)) => trial.ended_in_open += 1,
            Err(other) => return Err(context(&other.to_string())),
        }
        let mut disk = disk.lock();
        assert!(disk.crashed(), "only the armed crash ends a life");
        if rng.chance(0.1) {
            disk.process_exit();
        } else {
            let loss = disk.power_fail(&mut rng);
            trial.losses.push(loss);
        }
        trial.ops.extend(disk.drain_ops());
    }
    Ok(trial)
}

#[test]
fn the_model_store_survives_power_failures_at_any_operation() {
    let mut all = Trial::default();
    let mut torn = 0;
    for seed in 0..2_000 {
        let trial = trial(seed, |disk| disk).unwrap_or_else(|what| panic!("{what}"));
        all.ended_in_open += trial.ended_in_open;
        all.ended_in_use += trial.ended_in_use;
        all.cuts += trial.cuts;
        all.survived_unsynced += trial.survived_unsynced;
        all.lost_batches += trial.lost_batches;
        torn += trial.losses.iter().filter(|l| l.torn_sectors > 0).count();
    }
    assert!(all.ended_in_open > 1_000 && all.ended_in_use > 1_000);
    assert!(all.cuts > 100 && torn > 1_000);
    assert!(all.survived_unsynced > 100 && all.lost_batches > 100);
}

#[test]
fn a_trial_follows_from_its_seed() {
    for seed in 0..20 {
        let first = trial(seed, |disk| disk).expect("the store survives");
        let second = trial(seed, |disk| disk).expect("the store survives");
        assert_eq!(first, second);
        assert!(first.ops.iter().any(|op| op.kind == FileOpKind::Sync));
    }
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

#[test]
fn trials_notice_a_store_that_leaves_out_a_sync() {
    for operation in ["sync", "sync directory"] {
        let without = |files| Intercepted {
            files,
            interceptor: Without(operation),
        };
        let noticed = (0..50)
            .filter(|seed| trial(*seed, without).is_err())
            .count();
        assert!(noticed > 10, "{operation}: noticed in {noticed} of 50");
    }
}
