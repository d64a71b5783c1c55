//! How often a failure shows itself, and how many clean runs it takes to believe that it is gone.
//!
//! A failure that strikes a share p of all runs stays away from n of them by chance with probability
//! (1-p)^n. So after a fix one wants ln 0.05 / ln(1-p) clean runs before chance is less than 1 in 20. What p is,
//! a campaign only estimates: seen once in 1,000 runs it may well be 1 in 10,000. So there are two answers, one for
//! the share that was seen, and one for the least share that what was seen speaks for: the lower end of the
//! one-sided 95 % confidence interval of C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial
//! limits illustrated in the case of the binomial", Biometrika 26 (1934), which never promises too much.

use serde::{Deserialize, Serialize};

/// What is left to chance.
const DOUBT: f64 = 0.05;

/// How often a failure shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findability {
    /// The share of runs that failed so, from 0 to 1.
    pub share: f64,
    /// With a confidence of 95 % it is at least this.
    pub share_at_least: f64,
    /// So many clean runs say that it is gone, if the share is what was seen.
    pub clean_runs: u64,
    /// So many say it, if the share is but the least it may be.
    pub clean_runs_to_be_sure: u64,
}

impl Findability {
    /// That of a failure of `failed` of `runs` runs.
    ///
    /// # Panics
    /// If none failed, or more than there are.
    #[must_use]
    pub fn of(failed: u64, runs: u64) -> Self {
        assert!((1..=runs).contains(&failed), "{failed} of {runs}");
        let share = failed as f64 / runs as f64;
        let share_at_least = share_at_least(failed, runs);
        Self {
            share,
            share_at_least,
            clean_runs: clean_runs(share),
            clean_runs_to_be_sure: clean_runs(share_at_least),
        }
    }
}

/// The share at which so many failures or more have a probability of [`DOUBT`].
fn share_at_least(failed: u64, runs: u64) -> f64 {
    let (mut low, mut high) = (0.0, failed as f64 / runs as f64);
    loop {
        let middle = f64::midpoint(low, high);
        // Until there is no number between them.
        if middle <= low || middle >= high {
            return low;
        }
        if 1.0 - fewer(failed, runs, middle) > DOUBT {
            high = middle;
        } else {
            low = middle;
        }
    }
}

/// The probability of fewer than `failed` failures of `runs` runs, each of which fails with probability `share`,
/// which is neither 0 nor 1.
fn fewer(failed: u64, runs: u64, share: f64) -> f64 {
    // In logarithms: the probability of none is too small a number where there are many.
    let odds = share.ln() - (-share).ln_1p();
    let mut term = runs as f64 * (-share).ln_1p();
    let mut sum = 0.0;
    for k in 0..failed {
        sum += term.exp();
        term += odds + ((runs - k) as f64 / (k + 1) as f64).ln();
    }
    sum
}

fn clean_runs(share: f64) -> u64 {
    if share >= 1.0 {
        return 1;
    }
    (DOUBT.ln() / (-share).ln_1p()).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_share_is_that_of_the_tables() {
        // The lower ends of two-sided intervals of 90 %.
        for (failed, runs, known) in [
            (1, 10, 0.0051),
            (5, 20, 0.1041),
            (10, 100, 0.0552),
            (50, 100, 0.4136),
            (19, 20, 0.7839),
        ] {
            let found = Findability::of(failed, runs).share_at_least;
            assert!(
                (found - known).abs() < 0.0001,
                "{failed} of {runs}: {found}"
            );
        }
        // The two ends have closed forms.
        for runs in [1, 20, 1_000_000] {
            let all = Findability::of(runs, runs).share_at_least;
            let one = Findability::of(1, runs).share_at_least;
            let n = runs as f64;
            assert!((all / DOUBT.powf(1.0 / n) - 1.0).abs() < 1e-9, "{all}");
            let exact = 1.0 - (1.0 - DOUBT).powf(1.0 / n);
            assert!((one / exact - 1.0).abs() < 1e-6, "{one} {exact}");
        }
        // Many are no trouble: it comes near to the share.
        let many = Findability::of(200_000, 1_000_000).share_at_least;
        assert!((many - 0.19934).abs() < 0.0001, "{many}");
    }

    #[test]
    fn so_many_clean_runs_leave_little_to_chance() {
        // The rule of three.
        assert_eq!(Findability::of(1, 1_000).clean_runs, 2_995);
        assert_eq!(Findability::of(5, 10).clean_runs, 5);
        assert_eq!(Findability::of(7, 7).clean_runs, 1);
        for (failed, runs) in [(1, 1), (1, 50_000), (5, 10), (700, 1_000)] {
            let found = Findability::of(failed, runs);
            let chance = |share: f64, n: u64| (1.0 - share).powf(n as f64);
            let n = found.clean_runs_to_be_sure;
            assert!(chance(found.share_at_least, n) <= DOUBT, "{found:?}");
            assert!(chance(found.share_at_least, n - 1) > DOUBT, "{found:?}");
            assert!(n >= found.clean_runs);
        }
    }
}
