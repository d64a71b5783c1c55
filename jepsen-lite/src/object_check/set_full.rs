//! Set, read by read: what is known to be in it stays in it.
//!
//! An element is *known* from when its addition was acknowledged, or the first read that shows it
//! returned, whichever came first. Then it is one of these:
//!
//! - *stable*: the last read that shows it was invoked after every read that lacks it;
//! - *lost*: the last read that lacks it was invoked after it was known, and after every read that shows it;
//! - *never read*: neither; no later read says what became of it.
//!
//! A stable element is *stale* too if a read lacks it that was invoked after it was known. Reads that
//! returned before an element was first added do not count for it.
//!
//! Lost elements are an anomaly, and so are *duplicates*: elements that one read shows several times. Stale
//! ones are an anomaly of a set that must be linearizable. Where nothing is wrong but nothing is stable
//! either, the verdict is unknown. An element that is read but was never added is counted, no more:
//! the set may not have begun empty.
//!
//! Counted: `attempts`, `stable`, `lost`, `never-read`, `stale`, `duplicated`, `unexpected`.
//!
//! The cost is proportional to the sizes of all reads together, and to the additions times the reads that
//! are open at once.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Judged, Part, Tally, Unfit, elements_of, unknown_function};
use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Words};
use crate::history::{OpId, Status};
use crate::object::Value;
use crate::verdict::{Findings, UnknownCause, Verdict};

/// A read that returned, numbered in the order of invocation.
#[derive(Clone, Copy, Debug)]
struct Read<'h> {
    op: OpId,
    begins: u64,
    returns: u64,
    items: &'h [Value],
}

#[derive(Clone, Debug)]
struct Element<'h> {
    value: &'h Value,
    /// The first addition, with the edge of its invocation.
    added: Option<(u64, OpId)>,
    /// From which edge on it is known, and by what.
    known: Option<(u64, OpId)>,
    /// The reads that show it, rising.
    present: Vec<u32>,
    /// The last read that lacks it.
    absent: Option<u32>,
    /// The last read that was seen to show it, and how often it does.
    latest: Option<(u32, u64)>,
    /// The read that shows it most often, and how often that is, if it is more than once.
    most: Option<(u32, u64)>,
}

impl Element<'_> {
    fn new(value: &Value) -> Element<'_> {
        Element {
            value,
            added: None,
            known: None,
            present: Vec::new(),
            absent: None,
            latest: None,
            most: None,
        }
    }

    fn know(&mut self, edge: u64, by: OpId) {
        if self.known.is_none_or(|(before, _)| edge < before) {
            self.known = Some((edge, by));
        }
    }
}

/// What became of an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stable,
    /// A read lacks it that began after it was known, with what made it known.
    Stale(OpId),
    Lost(OpId),
    NeverRead,
}

/// Judges one set.
///
/// # Errors
///
/// If it is asked for anything but `add` and `read`, or a read returned no collection.
pub fn check(part: &Part<'_>, linearizable: bool) -> Result<Judged, Unfit> {
    let mut elements: Vec<Element<'_>> = Vec::new();
    // Where the elements are; the order of the table is never observed.
    let mut at: HashMap<&Value, usize, FxBuildHasher> = HashMap::default();
    let mut reads: Vec<Read<'_>> = Vec::new();
    for op in part.ops() {
        match op.function() {
            "add" => {
                let at = *at.entry(op.argument()).or_insert_with(|| {
                    elements.push(Element::new(op.argument()));
                    elements.len() - 1
                });
                let element = &mut elements[at];
                element.added = element.added.or(Some((op.invocation_edge(), op.id())));
                if op.status() == Status::Ok {
                    element.know(op.deadline(), op.id());
                }
            }
            "read" if op.status() == Status::Ok => {
                if let Some(items) = elements_of(op)? {
                    reads.push(Read {
                        op: op.id(),
                        begins: op.invocation_edge(),
                        returns: op.deadline(),
                        items,
                    });
                }
            }
            "read" => {}
            _ => return Err(unknown_function(op, "add, read")),
        }
    }
    for (number, read) in (0..).zip(&reads) {
        for item in read.items {
            let at = *at.entry(item).or_insert_with(|| {
                elements.push(Element::new(item));
                elements.len() - 1
            });
            show(&mut elements[at], number, read);
        }
    }
    find_absences(&mut elements, &reads);
    Ok(conclude(part, &elements, &reads, linearizable))
}

/// A read shows an element, once more. It counts for it, unless it had returned before the element was
/// first added.
fn show(element: &mut Element<'_>, number: u32, read: &Read<'_>) {
    if let Some((latest, times)) = &mut element.latest
        && *latest == number
    {
        *times += 1;
        if element.most.is_none_or(|(_, most)| most < *times) {
            element.most = Some((number, *times));
        }
        return;
    }
    element.latest = Some((number, 1));
    if element.added.is_some_and(|(added, _)| added < read.returns) {
        element.present.push(number);
        element.know(read.returns, read.op);
    }
}

/// Finds the last read that lacks each element.
fn find_absences(elements: &mut [Element<'_>], reads: &[Read<'_>]) {
    let mut order: Vec<(OpId, u64, usize)> = elements
        .iter()
        .enumerate()
        .filter_map(|(at, element)| element.added.map(|(edge, add)| (add, edge, at)))
        .collect();
    order.sort_unstable();
    // The reads that were invoked before the addition at hand, and had not returned then.
    let mut open: Vec<u32> = Vec::new();
    let mut invoked = 0;
    for (add, edge, at) in order {
        while reads.get(invoked).is_some_and(|read| read.op < add) {
            open.push(invoked as u32);
            invoked += 1;
        }
        open.retain(|&read| reads[read as usize].returns > edge);
        let element = &mut elements[at];
        let later = (invoked as u32..reads.len() as u32).rev();
        let mut counting = later.chain(open.iter().rev().copied());
        // Each step but the last is a read that shows the element.
        let mut present = element.present.iter().rev().peekable();
        element.absent = counting.find(|read| present.next_if(|shown| *shown == read).is_none());
    }
}

fn fate(element: &Element<'_>, reads: &[Read<'_>]) -> Fate {
    let shown = element.present.last().copied();
    let missed_when_known = element.absent.and_then(|read| {
        let (known, by) = element.known?;
        (known < reads[read as usize].begins).then_some(by)
    });
    match (shown, missed_when_known) {
        (Some(_), Some(by)) if element.absent < shown => Fate::Stale(by),
        (Some(_), _) if element.absent < shown => Fate::Stable,
        (_, Some(by)) => Fate::Lost(by),
        (_, None) => Fate::NeverRead,
    }
}

fn conclude(
    part: &Part<'_>,
    elements: &[Element<'_>],
    reads: &[Read<'_>],
    linearizable: bool,
) -> Judged {
    let mut findings = Findings::default();
    let names = [
        "attempts",
        "stable",
        "lost",
        "never-read",
        "stale",
        "duplicated",
        "unexpected",
    ];
    let mut tally: Tally = names.into_iter().map(|name| (name, 0)).collect();
    let mut note = |name| *tally.get_mut(name).expect("it is among the names") += 1;
    for element in elements {
        if let Some((read, times)) = element.most {
            note("duplicated");
            let read = reads[read as usize].op;
            findings.add(AnomalyKind::Duplicated, || {
                duplicated(part, element, read, times)
            });
        }
        if element.added.is_none() {
            note("unexpected");
            continue;
        }
        note("attempts");
        let absent = element.absent.map(|read| reads[read as usize].op);
        let lacks = || absent.expect("a read lacks what is lost or stale");
        match fate(element, reads) {
            Fate::Stable => note("stable"),
            Fate::NeverRead => note("never-read"),
            Fate::Lost(by) => {
                note("lost");
                findings.add(AnomalyKind::Lost, || lost(part, element, by, lacks()));
            }
            Fate::Stale(by) => {
                note("stable");
                note("stale");
                if linearizable {
                    let shown = element.present.last().expect("it is stable");
                    let shown = reads[*shown as usize].op;
                    findings.add(AnomalyKind::Stale, || {
                        stale(part, element, by, lacks(), shown)
                    });
                }
            }
        }
    }
    let (attempts, stable) = (tally["attempts"], tally["stable"]);
    Judged {
        verdict: findings.verdict_or(|| match stable {
            0 => Verdict::Unknown(UnknownCause::NeverRead { attempts }),
            _ => Verdict::Valid(()),
        }),
        tally,
    }
}

fn lacks(read: OpId, known_by: OpId) -> Link {
    Link {
        from: read,
        to: known_by,
        reason: Reason::Lacks { by: read },
    }
}

fn lost(part: &Part<'_>, element: &Element<'_>, known_by: OpId, absent: OpId) -> Anomaly {
    let value = element.value;
    let mut ops = vec![known_by, absent];
    ops.extend(element.added.map(|(_, add)| add));
    part.anomaly(
        AnomalyKind::Lost,
        &ops,
        &[value],
        vec![part.real_time(known_by, absent), lacks(absent, known_by)],
        Words {
            expected: format!(
                "{} shows {value}, which is in the set since {}",
                part.name(absent),
                part.name(known_by)
            ),
            seen: "it returned without it, and no read that began later shows it".to_owned(),
        },
    )
}

fn stale(
    part: &Part<'_>,
    element: &Element<'_>,
    known_by: OpId,
    absent: OpId,
    shown: OpId,
) -> Anomaly {
    let value = element.value;
    let mut ops = vec![known_by, absent, shown];
    ops.extend(element.added.map(|(_, add)| add));
    part.anomaly(
        AnomalyKind::Stale,
        &ops,
        &[value],
        vec![
            part.real_time(known_by, absent),
            lacks(absent, known_by),
            Link {
                from: absent,
                to: shown,
                reason: Reason::Shows {
                    by: shown,
                    times: 1,
                },
            },
        ],
        Words {
            expected: format!(
                "{} shows {value}, which is in the set since {}",
                part.name(absent),
                part.name(known_by)
            ),
            seen: format!("it returned without it; {} shows it", part.name(shown)),
        },
    )
}

fn duplicated(part: &Part<'_>, element: &Element<'_>, read: OpId, times: u64) -> Anomaly {
    let value = element.value;
    let mut ops = vec![read];
    ops.extend(element.added.map(|(_, add)| add));
    let from = element.added.map_or(read, |(_, add)| add);
    part.anomaly(
        AnomalyKind::Duplicated,
        &ops,
        &[value],
        vec![Link {
            from,
            to: read,
            reason: Reason::Shows { by: read, times },
        }],
        Words {
            expected: format!("{} shows {value} once at most", part.name(read)),
            seen: format!("it shows it {times} times"),
        },
    )
}
