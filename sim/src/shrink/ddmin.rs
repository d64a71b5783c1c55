//! Delta debugging: the algorithm *ddmin* of Zeller and Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input" (2002).
//!
//! It takes a list of which something is known to need some items, and leaves items out in ever smaller groups
//! as long as what remains still does. What is left is 1-minimal: without any single item it does not.

use std::ops::Range;

/// Which groups are tried before those that are left when a group is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Each group alone, too: good where a few items do.
    AloneToo,
    /// None: where most groups alone do nothing, that saves half of the work.
    LeftOutOnly,
}

/// The smallest part of `items`, in their order, that `first` was seen to find good. It gets some candidates, of
/// which it names one that is good, or says that none is. All items together are known to be.
pub fn ddmin<T: Clone>(
    items: Vec<T>,
    groups: Groups,
    mut first: impl FnMut(&[Vec<T>]) -> Option<usize>,
) -> Vec<T> {
    if items.is_empty() {
        return items;
    }
    if first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut items = items;
    let mut parts = 2;
    while items.len() > 1 {
        parts = parts.min(items.len());
        let ranges = split(items.len(), parts);
        if groups == Groups::AloneToo || parts == 2 {
            let alone: Vec<Vec<T>> = ranges.iter().map(|it| items[it.clone()].to_vec()).collect();
            if let Some(found) = first(&alone) {
                items.clone_from(&alone[found]);
                parts = 2;
                continue;
            }
        }
        // Of two groups, one alone is what is left without the other.
        if parts > 2 {
            let without = |range: &Range<usize>| {
                let (before, after) = (&items[..range.start], &items[range.end..]);
                [before, after].concat()
            };
            let left: Vec<Vec<T>> = ranges.iter().map(without).collect();
            if let Some(found) = first(&left) {
                items.clone_from(&left[found]);
                parts = (parts - 1).max(2);
                continue;
            }
        }
        if parts == items.len() {
            break;
        }
        parts *= 2;
    }
    items
}

/// `count` items in so many groups of about the same size.
fn split(count: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts)
        .map(|part| part * count / parts..(part + 1) * count / parts)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `0..count` if all of `needed` are, and how many candidates were looked at.
    fn left(count: u32, groups: Groups, needed: &[u32]) -> (Vec<u32>, usize) {
        let mut looked_at = 0;
        let left = ddmin((0..count).collect(), groups, |candidates| {
            candidates.iter().position(|candidate| {
                looked_at += 1;
                needed.iter().all(|it| candidate.contains(it))
            })
        });
        (left, looked_at)
    }

    #[test]
    fn what_is_needed_is_left_and_nothing_else() {
        for groups in [Groups::AloneToo, Groups::LeftOutOnly] {
            for needed in [&[][..], &[0], &[99], &[3, 77], &[0, 50, 51, 98], &[1, 2, 3]] {
                let (left, looked_at) = left(100, groups, needed);
                assert_eq!(left, needed, "{groups:?}");
                assert!(looked_at <= 400, "{needed:?}: {looked_at}");
            }
            let all: Vec<u32> = (0..9).collect();
            assert_eq!(left(9, groups, &all).0, all);
            assert_eq!(left(1, groups, &[0]).0, [0]);
            assert!(left(0, groups, &[]).0.is_empty());
        }
    }

    /// Items that can stand in for each other: one of them is left.
    #[test]
    fn what_is_left_is_minimal_where_several_would_do() {
        let good = |candidate: &Vec<u32>| {
            candidate.contains(&5) && (candidate.contains(&8) || candidate.contains(&13))
        };
        let left = ddmin((0..20).collect(), Groups::AloneToo, |candidates| {
            candidates.iter().position(good)
        });
        assert!(good(&left));
        for out in 0..left.len() {
            let mut without = left.clone();
            without.remove(out);
            assert!(!good(&without));
        }
    }
}
