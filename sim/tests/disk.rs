//! The simulated disk keeps what it promises, and breaks what it may break.

use std::collections::BTreeMap;

use hstore_core::ports::file_system::{FileErrorKind, FileSystem};
use hstore_core::{Rng, crc32c};
use hstore_sim::disk::{
    DiskFault, FaultId, FileClass, FileOpKind, Operations, PowerLoss, SharedDisk, SimDisk,
};
use hstore_tier1::contract::check_file_system;

// --- The contract --------------------------------------------------------------------------------

#[test]
fn the_simulated_disk_keeps_the_contract() {
    check_file_system(SimDisk::new);
    check_file_system(|| SharedDisk::new(SimDisk::new()).mount());
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
    let crc = |content: &[u8]| crc32c(content);
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

// --- Damage --------------------------------------------------------------------------------------

#[test]
fn a_power_failure_without_mercy_leaves_what_was_synced_and_nothing_else() {
    let mut disk = SimDisk::new();
    disk.create_dir("d").expect("the name is free");
    disk.sync_dir("").expect("syncs succeed");
    synced_file(&mut disk, "d/kept");
    disk.sync_dir("d").expect("syncs succeed");
    let file = disk.open("d/kept").expect("the file is there");
    disk.append(file, b" and more").expect("appends succeed");
    synced_file(&mut disk, "d/unnamed");
    let loss = disk.power_fail_to_synced();
    assert_eq!((loss.unsynced_bytes, loss.lost_names), (9, 1));
    let left = tree(&mut disk, "d");
    assert_eq!(
        left,
        BTreeMap::from([("kept".to_owned(), b"d/kept".to_vec())])
    );
}

#[test]
fn a_bit_flips_in_durable_bytes_only_and_stays_flipped() {
    let mut disk = SimDisk::new();
    synced_file(&mut disk, "file");
    disk.sync_dir("").expect("syncs succeed");
    let file = disk.open("file").expect("the file is there");
    disk.append(file, b"more").expect("appends succeed");
    disk.close(file);
    assert_eq!(disk.durable_files(), [("file".to_owned(), 4)]);
    assert!(!disk.flip_bit("file", 4, 0), "it is not durable");
    assert!(!disk.flip_bit("no-file", 0, 0));
    assert!(disk.flip_bit("file", 1, 0));
    assert_eq!(content(&mut disk, "file"), b"fhlemore");
    disk.power_fail_to_synced();
    assert_eq!(content(&mut disk, "file"), b"fhle");
}

#[test]
fn a_sector_that_went_astray_is_missed_here_and_found_there_once_the_cache_forgets() {
    for forgets in [false, true] {
        let mut disk = SimDisk::new();
        for (path, byte) in [("a", 1), ("b", 2)] {
            let file = disk.create(path).expect("the name is free");
            disk.append(file, &[byte; 1_400]).expect("appends succeed");
            disk.sync(file).expect("syncs succeed");
            disk.append(file, &[9; 600]).expect("appends succeed");
        }
        disk.sync_dir("").expect("the root can be synced");
        assert!(!disk.misdirect(("a", 3), ("b", 0), forgets), "not durable");
        assert!(!disk.misdirect(("a", 0), ("c", 0), forgets), "no file");
        assert!(!disk.misdirect(("a", 0), ("a", 0), forgets), "no change");
        assert!(disk.misdirect(("a", 0), ("b", 2), forgets));
        assert_eq!(content(&mut disk, "a")[..512] == [1; 512], !forgets);
        assert_eq!(content(&mut disk, "b")[1_024..1_400] == [2; 376], !forgets);
        disk.power_fail_to_synced();
        assert_eq!(
            content(&mut disk, "a"),
            [&[0; 512][..], &[1; 888]].concat(),
            "it was never written"
        );
        assert_eq!(
            content(&mut disk, "b"),
            [&[2; 1_024][..], &[1; 376]].concat(),
            "it was written here"
        );
    }
}

#[test]
fn a_sector_that_cannot_be_read_fails_its_readers_until_it_is_written_anew() {
    let mut disk = SimDisk::new();
    let file = disk.create("file").expect("the name is free");
    disk.append(file, &[1; 2_000]).expect("appends succeed");
    assert!(!disk.make_unreadable("file", 1), "it is not durable");
    disk.sync(file).expect("syncs succeed");
    assert!(disk.make_unreadable("file", 1));
    let error = disk.read_at(file, 0, 513).expect_err("a sector is bad");
    assert_eq!(error.kind, FileErrorKind::Io);
    assert_eq!(
        disk.read_at(file, 0, 512).expect("it is sound"),
        [1; 512][..]
    );
    assert_eq!(disk.read_at(file, 1_024, 9).expect("it is sound").len(), 9);
    let failed: Vec<_> = disk.failed().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(failed, [FileOpKind::Read]);
    disk.power_fail_to_synced();
    assert!(disk.failed().is_empty(), "nobody is told any more");
    let file = disk.create("file").expect("it is emptied");
    disk.append(file, &[2; 600]).expect("appends succeed");
    assert_eq!(disk.read_at(file, 0, 600).expect("it is new"), [2; 600][..]);
}

#[test]
fn another_disk_is_empty_and_open_files_are_not() {
    let disk = SharedDisk::new(SimDisk::new());
    let mut before = disk.mount();
    let file = before.create("file").expect("the name is free");
    before.sync(file).expect("syncs succeed");
    before.sync_dir("").expect("syncs succeed");
    disk.lock().wipe();
    assert!(before.len(file).is_err(), "its life is over");
    let mut after = disk.mount();
    assert!(after.list("").expect("the root is there").is_empty());
    disk.lock().power_fail_to_synced();
    assert!(
        disk.lock().durable_files().is_empty(),
        "it does not come back"
    );
}

// --- Operations that fail ------------------------------------------------------------------------

fn errors(operations: Operations, files: FileClass, passes: u32, count: u32) -> DiskFault {
    DiskFault::Error {
        operations,
        files,
        passes,
        count,
        keeps_cache: true,
        pick: 7,
    }
}

#[test]
fn errors_strike_the_operations_and_files_that_they_are_meant_for() {
    let mut disk = SimDisk::new();
    let wal = disk
        .create("wal-0000000000000001")
        .expect("the name is free");
    let other = disk.create("other").expect("the name is free");
    disk.drain_ops();
    disk.inject(FaultId(3), errors(Operations::Sync, FileClass::Log, 1, 2));
    disk.sync(other).expect("it is no log");
    disk.append(wal, b"x").expect("it is no sync");
    disk.sync(wal).expect("one passes");
    assert!(disk.drain_struck().is_empty());
    for _ in 0..2 {
        let error = disk.sync(wal).expect_err("two fail");
        assert_eq!(error.kind, FileErrorKind::Io);
    }
    disk.sync(wal).expect("it is over");
    assert_eq!(disk.drain_struck(), [FaultId(3)]);
    assert!(disk.drain_struck().is_empty(), "it is told once");
    let record: Vec<String> = disk.drain_ops().map(|op| op.to_string()).collect();
    assert!(
        record[3].ends_with(", failed by the device: Io"),
        "{record:?}"
    );
    assert_eq!(disk.failed().len(), 2);
    disk.process_exit();
    assert!(disk.failed().is_empty());

    // For ever, until it is lifted.
    disk.inject(
        FaultId(4),
        errors(Operations::Read, FileClass::Any, 0, u32::MAX),
    );
    for _ in 0..5 {
        assert!(disk.open("other").is_err() && disk.list("").is_err());
        assert!(disk.look_up("other").is_err());
    }
    disk.create("another").expect("it is no read");
    disk.lift(FaultId(4));
    disk.open("other").expect("it is over");
}

#[test]
fn a_failed_append_may_have_added_a_beginning() {
    let mut lengths = BTreeMap::new();
    for pick in 0..50 {
        let mut disk = SimDisk::new();
        let file = disk.create("file").expect("the name is free");
        disk.append(file, b"ab").expect("appends succeed");
        let fault = DiskFault::Error {
            operations: Operations::Write,
            files: FileClass::Any,
            passes: 0,
            count: 1,
            keeps_cache: true,
            pick,
        };
        disk.inject(FaultId(0), fault);
        assert!(disk.append(file, b"cdef").is_err());
        let left = content(&mut disk, "file");
        assert!(b"abcdef".starts_with(&left[..]) && left.len() >= 2);
        *lengths.entry(left.len()).or_insert(0) += 1;
    }
    assert_eq!(lengths.len(), 5, "{lengths:?}");
}

#[test]
fn a_sync_that_failed_is_not_made_good_by_one_that_succeeds() {
    for keeps_cache in [false, true] {
        let mut lost = 0;
        for pick in 0..100 {
            let mut disk = SimDisk::new();
            let file = disk.create("file").expect("the name is free");
            disk.sync_dir("").expect("the root can be synced");
            disk.append(file, &[1; 900]).expect("appends succeed");
            let fault = DiskFault::Error {
                operations: Operations::Sync,
                files: FileClass::Any,
                passes: 0,
                count: 1,
                keeps_cache,
                pick,
            };
            disk.inject(FaultId(0), fault);
            assert!(disk.sync(file).is_err());
            disk.sync(file).expect("it says that all is well");
            let read = disk.read_at(file, 0, 900).expect("it can be read");
            assert!(!keeps_cache || read == [1; 900][..]);
            disk.power_fail_to_synced();
            let left = content(&mut disk, "file");
            assert_eq!(left.len(), 900);
            assert!(keeps_cache || left == read, "what is read is what there is");
            lost += u32::from(left != [1; 900]);
        }
        assert!(lost > 30, "{lost}");
    }
}

#[test]
fn a_directory_sync_that_failed_leaves_names_as_they_were() {
    let mut disk = SimDisk::new();
    synced_file(&mut disk, "file");
    disk.inject(FaultId(0), errors(Operations::Sync, FileClass::Any, 0, 1));
    assert!(disk.sync_dir("").is_err());
    assert_eq!(disk.unsynced_names(), 1);
    disk.power_fail_to_synced();
    assert!(disk.list("").expect("the root is there").is_empty());
}

#[test]
fn a_full_device_takes_what_there_is_room_for() {
    let mut disk = SimDisk::new();
    let file = disk.create("file").expect("the name is free");
    disk.inject(FaultId(0), DiskFault::Full { room: 10 });
    disk.append(file, b"123456").expect("there is room");
    disk.create("other").expect("there is room");
    let error = disk.append(file, b"789abc").expect_err("there is none");
    assert_eq!(error.kind, FileErrorKind::NoSpace);
    assert_eq!(content(&mut disk, "file"), b"123456789a");
    let error = disk.create("more").expect_err("there is none");
    assert_eq!(error.kind, FileErrorKind::NoSpace);
    disk.sync(file).expect("it needs no room");
    disk.remove("other").expect("it needs no room");
    assert!(disk.append(file, b"x").is_err(), "others took it");
    disk.append(file, b"").expect("nothing needs no room");
    assert_eq!(disk.drain_struck(), [FaultId(0)]);
    disk.lift(FaultId(0));
    disk.append(file, b"x").expect("there is room again");
}
