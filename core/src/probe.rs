//! Probes: places that are rare and matter, to show that the simulator reaches them.
//!
//! Product code marks such a place with [`probe!`](crate::probe), and in no other way; with a condition
//! where only a part of what passes there is meant:
//!
//! ```
//! # let attempt = 2;
//! hstore_core::probe!("recovery.fourth-attempt", attempt > 3);
//! ```
//!
//! Without the feature `probes` the macro is nothing: neither name nor condition is compiled. With it, each
//! probe is a bit of the thread that passes it. The simulator runs a seed on a thread of its own, so what
//! is set is what the seed has reached. A name that [`PROBES`] does not have does not compile.

/// A place to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its name, as in the code: `area.what`.
    pub name: &'static str,
    /// What has happened when it is reached, in a sentence.
    pub about: &'static str,
}

const fn probe(name: &'static str, about: &'static str) -> Probe {
    Probe { name, about }
}

/// All probes, by name.
pub const PROBES: &[Probe] = &[
    probe(
        "activation.out-of-patience",
        "an activation came to nothing in its time: the register or the nodeset did not answer",
    ),
    probe(
        "activation.refused-by-the-register",
        "another activation was first: the register refused this one",
    ),
    probe(
        "appends.fifth-wave",
        "four waves of a record failed, and a fifth was sent",
    ),
    probe(
        "appends.held-until-the-end",
        "a reign ended with a conditional append that had been sent to nobody",
    ),
    probe(
        "appends.pushed-back-by-a-move",
        "an append came while the log was about to move",
    ),
    probe(
        "appends.slow-node-avoided",
        "a node was so much slower than the others that copysets avoid it",
    ),
    probe(
        "checkpoint.has-to-wait",
        "a checkpoint was due, and another change of the register was on its way, or a move",
    ),
    probe(
        "client.asked-a-life-that-is-over",
        "a node refused what was asked of its earlier life, which may have taken it",
    ),
    probe(
        "client.must-not-ask-again",
        "an append had no answer in time, and asking again could append twice",
    ),
    probe(
        "client.named-append-in-doubt",
        "a sequencer that stopped did not know of a named append: it is asked again",
    ),
    probe(
        "client.trim-in-doubt",
        "a trim was refused after an earlier request of the same may have been taken",
    ),
    probe(
        "cold.asked-a-busy-node",
        "a node was asked for what lies in the second tier, and had too much to do",
    ),
    probe(
        "cold.goes-on-within-a-block",
        "a read went on with what the one before it had left of a block",
    ),
    probe(
        "cold.got-damaged-bytes",
        "bytes of a segment came back damaged, and were got once more",
    ),
    probe(
        "cold.segment-was-dropped",
        "a segment was given up while somebody read it",
    ),
    probe(
        "cold.too-many-reads",
        "a node had as many reads of the second tier as it takes",
    ),
    probe(
        "decide.bridge-of-an-earlier-attempt",
        "an earlier attempt had left its bridge",
    ),
    probe(
        "decide.copies-beyond-the-bridge",
        "a node held something beyond the end that was decided",
    ),
    probe("decide.hole", "a hole was decided below the last record"),
    probe(
        "decide.hole-of-an-earlier-attempt",
        "an earlier attempt had left a hole",
    ),
    probe(
        "decide.unreadable-copy",
        "a copy that could not be read might have been the record that is missing",
    ),
    probe(
        "dedup.after-failover",
        "an append was repeated after another sequencer had taken over, and was known",
    ),
    probe(
        "dedup.joins-the-record-in-flight",
        "an append was repeated while its record was on its way",
    ),
    probe(
        "detector.cut-off-and-keeps-still",
        "a log was orphaned, and a node that did not reach a majority kept still",
    ),
    probe(
        "detector.second-choice-steps-in",
        "the best-placed node did not manage, and the next one stepped in",
    ),
    probe(
        "model-store.checkpoint-half-written",
        "a crash fell into the writing of a checkpoint",
    ),
    probe(
        "model-store.torn-end-cut",
        "a crash had torn the last batch of the write-ahead file",
    ),
    probe(
        "model-store.two-generations",
        "a crash fell between a new generation and the removal of the old",
    ),
    probe(
        "move.ended-by-a-rival",
        "a reign that was about to move learned of a later epoch",
    ),
    probe(
        "move.given-up-in-doubt",
        "a hand-over or an activation timed out: it may yet happen",
    ),
    probe(
        "move.is-so-already",
        "a move was asked for that had been made: its answer was lost, or it had nothing to do",
    ),
    probe(
        "move.joins-one-under-way",
        "a move was asked for that was under way unasked",
    ),
    probe(
        "move.late-hand-over",
        "a log was handed over when a later epoch was known",
    ),
    probe(
        "move.old-reign-goes-on",
        "a move came to nothing, and the old reign placed records again",
    ),
    probe(
        "move.refused-by-the-register",
        "a reign on its way to the next epoch found that another had begun it",
    ),
    probe(
        "node.request-seen-before",
        "the network duplicated a request",
    ),
    probe(
        "purge.decision-of-a-loser",
        "a node was clean by an attempt that had lost",
    ),
    probe(
        "purge.epoch-of-others",
        "a node caught up over an epoch that had been moved away from it",
    ),
    probe(
        "purge.keeps-more-than-it-knew-good",
        "a purge kept what the node itself did not know to be replicated",
    ),
    probe(
        "purge.several-epochs-behind",
        "a node that purged was several epochs behind",
    ),
    probe(
        "reader.answer-of-an-earlier-round",
        "an answer came to a question that had been given up",
    ),
    probe(
        "reader.asks-everyone",
        "the node whose turn it was had nothing, and everyone was asked",
    ),
    probe(
        "reader.cold-entry-does-not-continue",
        "what the second tier told does not continue the chain of the record before",
    ),
    probe(
        "reader.forgets-what-was-told-ahead",
        "a node had told so much ahead that it had no room for what was missed",
    ),
    probe(
        "reader.looks-in-the-second-tier-before-it-tells-of-loss",
        "no node holds a record, and the second tier was asked for it",
    ),
    probe(
        "reader.lost-in-the-second-tier",
        "the second tier should tell of a record, and cannot",
    ),
    probe(
        "reader.passes-over-the-silent",
        "a silent node was passed over",
    ),
    probe(
        "reader.reads-from-the-second-tier",
        "a record came from the second tier",
    ),
    probe(
        "reader.unreadable-copy",
        "a reader met a copy that could not be read, and reported it",
    ),
    probe(
        "rebuild.answer-of-another-reign",
        "a sequencer that read its past got an answer to another reign's question",
    ),
    probe(
        "recovery.amnesiac-sealed",
        "a node sealed that may have lost copies",
    ),
    probe(
        "recovery.digest-repeated",
        "an answer to a digest came twice",
    ),
    probe(
        "recovery.digested-without-all",
        "some sealed node did not tell what it holds in time, and a quorum went on",
    ),
    probe(
        "recovery.expired-while-cleaning",
        "a member of the mutation set was lost before it was clean",
    ),
    probe(
        "recovery.expired-while-mutating",
        "a member of the mutation set was lost before it held the decision",
    ),
    probe(
        "recovery.fourth-attempt",
        "three attempts of a recovery came to nothing",
    ),
    probe(
        "recovery.needs-more-nodes",
        "what was told was not enough to decide by",
    ),
    probe(
        "recovery.preempted-by-a-later-epoch",
        "a node had sealed for a later activation",
    ),
    probe(
        "recovery.sealed-without-all",
        "some node did not seal in time, and a quorum went on",
    ),
    probe(
        "register.accept-refused",
        "an acceptor had promised a higher ballot between prepare and accept",
    ),
    probe(
        "register.change-left-to-itself-by-a-move",
        "a move began while a change of the register was on its way",
    ),
    probe(
        "register.change-refused",
        "a change of the register told its sequencer that it was deposed",
    ),
    probe(
        "register.fate-unknown",
        "a change was preempted after some acceptor may have taken it",
    ),
    probe(
        "reign.check-of-an-earlier-reign",
        "an answer to a check of the seal came to a later reign",
    ),
    probe(
        "reign.deposed-by-a-check",
        "a check of the seal told a sequencer that it was deposed",
    ),
    probe(
        "reign.deposed-by-a-store",
        "a refused store told a sequencer that it was deposed",
    ),
    probe(
        "reign.deposed-by-the-register",
        "the register told a sequencer that it was deposed",
    ),
    probe(
        "reign.deposed-while-recovering",
        "a recovery told a sequencer that it was deposed",
    ),
    probe(
        "reign.out-of-patience",
        "a reign gave up before it was open: its recovery took too long",
    ),
    probe(
        "reign.several-epochs-to-recover",
        "a reign had more than one epoch to recover",
    ),
    probe(
        "reign.tail-waits-for-recovery",
        "the tail was asked for before the older epochs were clean",
    ),
    probe(
        "repair.copy-was-in-order",
        "a reported copy could be read after all",
    ),
    probe(
        "repair.given-up",
        "nobody had a good copy for a bad one in time",
    ),
    probe("repair.replaced", "a good copy took the place of a bad one"),
    probe(
        "storage.clean-preempted",
        "a clean came after another attempt had sealed",
    ),
    probe(
        "storage.digest-overtaken-by-a-seal",
        "another attempt sealed while a digest was read",
    ),
    probe(
        "storage.digest-preempted",
        "a digest was asked for under an attempt that was over",
    ),
    probe(
        "storage.mutate-after-clean",
        "a mutate came to a node that was clean by that attempt or a later one",
    ),
    probe(
        "storage.mutate-of-what-is-given-up",
        "a recovery wanted to write what had been given up",
    ),
    probe(
        "storage.mutate-preempted",
        "a mutate came after another attempt had sealed",
    ),
    probe(
        "storage.seal-preempted",
        "a seal came after another attempt's, or a later activation's",
    ),
    probe(
        "storage.seal-voids-a-decision",
        "a node that was clean was sealed by a higher attempt",
    ),
    probe(
        "store.amend-missing",
        "a node was asked to amend a copy that it had lost",
    ),
    probe(
        "store.dirty-of-an-earlier-life",
        "a node that may have lost copies of an epoch stored more of it",
    ),
    probe(
        "store.of-what-is-given-up",
        "a store came for what had been given up",
    ),
    probe("store.refused-by-a-seal", "a store came after the seal"),
    probe(
        "store.refused-by-a-soft-seal",
        "a store came to a node that had not sealed, and knew of a later epoch",
    ),
    probe(
        "store.released-before-clean",
        "a node heard of records that may be read before it had caught up with their epoch",
    ),
    probe(
        "trim.beyond-what-is-clean-here",
        "a node gave up what it had not caught up with",
    ),
    probe(
        "trim.not-released",
        "a trim was asked for beyond what may be read",
    ),
    probe(
        "trim.waits-for-the-past",
        "a trim had to wait until the sequencer knew what older records had done",
    ),
    probe(
        "world.crash-while-restarting",
        "the power failed again while a process restarted",
    ),
    probe(
        "world.damage-refused",
        "the atlas refused damage that could not be survived",
    ),
    probe(
        "world.store-beyond-opening",
        "a node's store was damaged so that it could not be opened",
    ),
    probe(
        "world.suffix-lost",
        "a power failure took copies that had been said to be stored",
    ),
];

#[cfg(feature = "probes")]
mod active {
    use std::cell::Cell;

    use super::{PROBES, Probe};

    const WORDS: usize = PROBES.len().div_ceil(64);

    thread_local! {
        static REACHED: [Cell<u64>; WORDS] = const { [const { Cell::new(0) }; WORDS] };
    }

    /// The number of the probe of a name. Called by [`probe!`](crate::probe) alone, while it is compiled.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub const fn index(name: &str) -> usize {
        let mut at = 0;
        while at < PROBES.len() {
            if same(name.as_bytes(), PROBES[at].name.as_bytes()) {
                return at;
            }
            at += 1;
        }
        panic!("PROBES has no probe of this name")
    }

    const fn same(a: &[u8], b: &[u8]) -> bool {
        if a.len() != b.len() {
            return false;
        }
        let mut at = 0;
        while at < a.len() {
            if a[at] != b[at] {
                return false;
            }
            at += 1;
        }
        true
    }

    /// This thread has reached a probe. Called by [`probe!`](crate::probe) alone.
    #[inline]
    pub fn reach(index: usize) {
        REACHED.with(|words| {
            let word = &words[index / 64];
            word.set(word.get() | 1 << (index % 64));
        });
    }

    /// The probes that this thread has reached since this was asked last.
    pub fn take_reached() -> Vec<Probe> {
        REACHED.with(|words| {
            let is_set = |at: &usize| words[at / 64].get() >> (at % 64) & 1 == 1;
            let reached = (0..PROBES.len()).filter(is_set).map(|at| PROBES[at]);
            let reached = reached.collect();
            words.iter().for_each(|word| word.set(0));
            reached
        })
    }
}

#[cfg(feature = "probes")]
pub use active::{index, reach, take_reached};

/// This place is reached, if the condition holds: see [`probe`](mod@crate::probe).
#[cfg(feature = "probes")]
#[macro_export]
macro_rules! probe {
    ($name:literal) => {{
        const INDEX: usize = $crate::probe::index($name);
        $crate::probe::reach(INDEX);
    }};
    ($name:literal, $condition:expr) => {
        if $condition {
            $crate::probe!($name);
        }
    };
}

/// Nothing: probes are not compiled in.
#[cfg(not(feature = "probes"))]
#[macro_export]
macro_rules! probe {
    ($name:literal) => {{}};
    ($name:literal, $condition:expr) => {{}};
}

#[cfg(all(test, feature = "probes"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_area() {
        for probe in PROBES {
            let named = PROBES.iter().filter(|it| it.name == probe.name);
            assert_eq!(named.count(), 1, "{}", probe.name);
            assert!(probe.name.contains('.'), "{}", probe.name);
            assert!(!probe.about.is_empty());
        }
        assert!(PROBES.is_sorted_by_key(|probe| probe.name));
    }

    #[test]
    fn what_was_reached_is_told_once() {
        assert_eq!(take_reached(), []);
        probe!("decide.hole");
        probe!("decide.hole");
        probe!("recovery.fourth-attempt", 1 > 3);
        probe!("recovery.fourth-attempt", 5 > 3);
        let names: Vec<&str> = take_reached().iter().map(|it| it.name).collect();
        assert_eq!(names, ["decide.hole", "recovery.fourth-attempt"]);
        assert_eq!(take_reached(), []);
    }
}
