//! What every object store must do, as a suite that runs against any of them.
//!
//! It panics with a sentence that says what was expected. It tests the contract of
//! [`hstore_core::ports::object_store`] and nothing of how a store meets it.

use bytes::Bytes;
use hstore_core::Rng;
use hstore_core::ports::object_store::{
    Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};

/// Longer than what stores take in one piece of a put in several.
const LONG_BYTES: usize = 11 << 20;
/// More than fit on a page of most stores.
const MANY: usize = 1_010;

/// Runs the suite against a store that can offload. It puts objects below `root` only, which is empty.
///
/// # Panics
/// If the store breaks the contract.
pub fn check_object_store(store: &mut impl ObjectStore, root: &ObjectKey) {
    let can = store.capabilities().check_offload();
    assert_eq!(
        can,
        Ok(()),
        "the suite is of stores that history can be moved to"
    );
    for (name, check) in [
        ("get", parts_are_got as fn(&mut Suite)),
        ("put", nothing_is_overwritten),
        ("delete", what_is_deleted_is_gone),
        ("list", what_lies_below_is_listed),
        ("long", long_objects_are_whole),
        ("many", lists_go_on_page_by_page),
    ] {
        let root = root.child(name).expect("it is short and plain");
        check(&mut Suite { store, root });
    }
}

struct Suite<'a> {
    store: &'a mut dyn ObjectStore,
    root: ObjectKey,
}

impl Suite<'_> {
    fn key(&self, rest: &str) -> ObjectKey {
        self.root.child(rest).expect("it is short and plain")
    }

    fn put(&mut self, key: &ObjectKey, bytes: impl Into<Bytes>) -> Result<(), ObjectErrorKind> {
        let key = key.clone();
        let bytes = bytes.into();
        let answer = self.store.call(&ObjectAsk::PutIfAbsent { key, bytes });
        done(answer, &ObjectAnswer::Put)
    }

    fn get(
        &mut self,
        key: &ObjectKey,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ObjectErrorKind> {
        let key = key.clone();
        match self.store.call(&ObjectAsk::Get { key, range }) {
            Ok(ObjectAnswer::Got(bytes)) => Ok(bytes),
            Ok(other) => panic!("a get was answered with {other:?}"),
            Err(error) => Err(error.kind),
        }
    }

    fn delete(&mut self, key: &ObjectKey) {
        let key = key.clone();
        let answer = self.store.call(&ObjectAsk::Delete { key });
        assert_eq!(
            done(answer, &ObjectAnswer::Deleted),
            Ok(()),
            "deleting succeeds"
        );
    }

    fn list(&mut self, prefix: &ObjectKey, mut after: Option<ObjectKey>) -> Vec<Listed> {
        let mut all = Vec::new();
        loop {
            let prefix = prefix.clone();
            match self.store.call(&ObjectAsk::List { prefix, after }) {
                Ok(ObjectAnswer::Listed { objects, more }) => {
                    after = objects.last().map(|it| it.key.clone());
                    all.extend(objects);
                    if !more {
                        return all;
                    }
                    assert!(after.is_some(), "a page before the last has objects on it");
                }
                other => panic!("a list was answered with {other:?}"),
            }
        }
    }

    fn keys(&mut self, prefix: &ObjectKey, after: Option<ObjectKey>) -> Vec<ObjectKey> {
        let listed = self.list(prefix, after);
        listed.into_iter().map(|it| it.key).collect()
    }
}

fn done(
    answer: Result<ObjectAnswer, ObjectError>,
    expected: &ObjectAnswer,
) -> Result<(), ObjectErrorKind> {
    let answer = answer.map_err(|error| error.kind)?;
    assert_eq!(&answer, expected, "the answer fits the question");
    Ok(())
}

fn parts_are_got(suite: &mut Suite) {
    let key = suite.key("a");
    assert_eq!(
        suite.get(&key, 0..1),
        Err(ObjectErrorKind::NotFound),
        "what was not put is not found"
    );
    suite.put(&key, "0123456789").expect("nothing is there");
    for (range, expected) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (9..10, "9"),
        (3..7, "3456"),
        (8..20, "89"),
        (0..u64::from(u32::MAX), "0123456789"),
    ] {
        let got = suite.get(&key, range.clone()).expect("it is there");
        assert_eq!(got, expected, "bytes {range:?} of ten");
    }
    for range in [10..11, 99..200] {
        assert_eq!(
            suite.get(&key, range),
            Err(ObjectErrorKind::BehindEnd),
            "nothing is behind the end"
        );
    }
}

fn nothing_is_overwritten(suite: &mut Suite) {
    let key = suite.key("a");
    suite.put(&key, "first").expect("nothing is there");
    for again in ["second", "first", "f"] {
        assert_eq!(
            suite.put(&key, again),
            Err(ObjectErrorKind::Exists),
            "an object is put once"
        );
    }
    assert_eq!(suite.get(&key, 0..99).expect("it is there"), "first");
}

fn what_is_deleted_is_gone(suite: &mut Suite) {
    let (key, other) = (suite.key("a"), suite.key("b"));
    suite.delete(&key);
    suite.put(&key, "one").expect("nothing is there");
    suite.put(&other, "two").expect("nothing is there");
    suite.delete(&key);
    suite.delete(&key);
    assert_eq!(suite.get(&key, 0..1), Err(ObjectErrorKind::NotFound));
    let root = suite.root.clone();
    assert_eq!(
        suite.keys(&root, None),
        [other],
        "what was deleted is not listed"
    );
    suite.put(&key, "three").expect("it was deleted");
    assert_eq!(suite.get(&key, 0..9).expect("it is there"), "three");
}

fn what_lies_below_is_listed(suite: &mut Suite) {
    let root = suite.root.clone();
    assert_eq!(suite.list(&root, None), [], "nothing was put");
    let mut expected = Vec::new();
    for (number, name) in ["a/1", "a/2/x", "a/2/y", "a-b/1", "ab", "b/1"]
        .into_iter()
        .enumerate()
    {
        let key = suite.key(name);
        suite
            .put(&key, vec![7; number + 1])
            .expect("nothing is there");
        expected.push(key);
    }
    let listed = suite.list(&root, None);
    for it in &listed {
        let number = expected
            .iter()
            .position(|key| *key == it.key)
            .expect("it was put");
        assert_eq!(it.bytes, number as u64 + 1, "the length of {}", it.key);
    }
    expected.sort();
    let keys: Vec<ObjectKey> = listed.into_iter().map(|it| it.key).collect();
    assert_eq!(keys, expected, "all is listed, sorted by key");
    let below = [suite.key("a/1"), suite.key("a/2/x"), suite.key("a/2/y")];
    let prefix = suite.key("a");
    assert_eq!(
        suite.keys(&prefix, None),
        below,
        "a prefix is of whole parts"
    );
    let after = Some(suite.key("a/2/x"));
    assert_eq!(
        suite.keys(&prefix, after),
        below[2..],
        "only what comes after"
    );
    let after = Some(suite.key("a/2"));
    assert_eq!(
        suite.keys(&prefix, after),
        below[1..],
        "a key that is not there has a place"
    );
    let prefix = suite.key("none");
    assert_eq!(suite.list(&prefix, None), []);
}

fn long_objects_are_whole(suite: &mut Suite) {
    let mut rng = Rng::from_seed(1);
    let bytes: Vec<u8> = (0..LONG_BYTES / 8)
        .flat_map(|_| rng.seed().to_le_bytes())
        .collect();
    let bytes = Bytes::from(bytes);
    let key = suite.key("a");
    suite.put(&key, bytes.clone()).expect("nothing is there");
    let length = bytes.len() as u64;
    assert!(
        suite.get(&key, 0..length).expect("it is there") == bytes,
        "all of it is there"
    );
    let middle = suite.get(&key, 7_000_000..7_000_100).expect("it is there");
    assert_eq!(middle, bytes.slice(7_000_000..7_000_100));
    assert_eq!(
        suite.put(&key, bytes),
        Err(ObjectErrorKind::Exists),
        "an object is put once"
    );
}

fn lists_go_on_page_by_page(suite: &mut Suite) {
    let mut expected = Vec::new();
    for number in 0..MANY {
        let key = suite.key(&format!("{number:05}"));
        suite.put(&key, "x").expect("nothing is there");
        expected.push(key);
    }
    let root = suite.root.clone();
    assert_eq!(
        suite.keys(&root, None),
        expected,
        "page by page, all is listed once"
    );
}
