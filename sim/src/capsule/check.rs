//! Whether a capsule can be run. It may have been edited by hand: what is wrong is said with its place.

use std::collections::BTreeSet;
use std::fmt;

use hstore_core::{LogId, NodeSet};
use hstore_workloads::{Ask, Step};

use super::{Capsule, FORMAT};
use crate::mutants::MUTANTS;
use crate::net::Bandwidth;
use crate::options::SimOptions;
use crate::outcome::Outcome;
use crate::plan::FaultPlan;
use crate::plan_check::{TIME_US_MAX, check_share};

/// More bytes than this in a record are certainly a mistake.
const RECORD_BYTES_MAX: u32 = 1 << 20;
/// More bytes than this on a link are certainly a mistake.
const BYTES_MAX: u64 = 1 << 40;
/// More clients or logs than this are certainly a mistake.
const COUNT_MAX: u32 = 1_000;

/// What is wrong with a capsule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where: `plan.faults[3]`.
    pub place: String,
    /// What, and what would do.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

fn flaw(place: impl Into<String>, what: impl Into<String>) -> Flaw {
    Flaw {
        place: place.into(),
        what: what.into(),
    }
}

impl Capsule {
    /// Checks that it can be run.
    ///
    /// # Errors
    /// Says the first flaw.
    pub fn check(&self) -> Result<(), Flaw> {
        if self.format != FORMAT {
            let what = format!("this build reads version {FORMAT}, not {}", self.format);
            return Err(flaw("format", what));
        }
        match &self.signature {
            Some(signature) if signature.outcome != self.outcome => {
                let what = "its outcome is not the one beside it";
                return Err(flaw("signature", what));
            }
            None if self.outcome != Outcome::Passed => {
                return Err(flaw("signature", "a failure has one"));
            }
            _ => {}
        }
        check_course(&self.options, &self.plan, self.operations.as_deref())
    }
}

/// Checks that what a run follows from makes sense.
///
/// # Errors
/// Says the first flaw.
pub fn check_course(
    options: &SimOptions,
    plan: &FaultPlan,
    steps: Option<&[Step]>,
) -> Result<(), Flaw> {
    check_options(options)?;
    plan.check(options)
        .map_err(|what| match what.split_once(": ") {
            Some((place, what)) => flaw(format!("plan.{place}"), what),
            None => flaw("plan", what),
        })?;
    let cluster = Cluster::of(options);
    let mut ids = BTreeSet::new();
    for (index, step) in steps.into_iter().flatten().enumerate() {
        let at = |what: String| flaw(format!("operations[{index}]"), what);
        cluster.check_step(step, &mut ids).map_err(at)?;
    }
    Ok(())
}

fn check_options(options: &SimOptions) -> Result<(), Flaw> {
    if options.locations.is_empty() || options.locations.len() > NodeSet::MAX_NODES {
        let what = format!("a cluster has 1 to {} nodes", NodeSet::MAX_NODES);
        return Err(flaw("options.locations", what));
    }
    let workload = &options.workload;
    for (name, count) in [("clients", workload.clients), ("logs", workload.logs)] {
        if !(1..=COUNT_MAX).contains(&count) {
            let what = format!("there are 1 to {COUNT_MAX}, not {count}");
            return Err(flaw(format!("options.workload.{name}"), what));
        }
    }
    if workload.mix.total() == 0 {
        return Err(flaw(
            "options.workload.mix",
            "one share has to be more than 0",
        ));
    }
    let nodes = options.locations.len();
    if !(1..=nodes).contains(&usize::from(options.metadata_nodes)) {
        let what = format!("there are 1 to {nodes}, as there are nodes");
        return Err(flaw("options.metadata_nodes", what));
    }
    check_ranges(options)?;
    let links = options.net.links.as_ref();
    for (name, share) in [
        ("tail_probability", options.net.tail_probability),
        ("loss", options.net.loss),
        ("duplication", options.net.duplication),
        ("links.far", links.map_or(0.0, |it| it.far)),
        ("links.detour", links.map_or(0.0, |it| it.detour)),
    ] {
        check_share(share).map_err(|what| flaw(format!("options.net.{name}"), what))?;
    }
    if options
        .net
        .bandwidth
        .is_some_and(|it| it.bytes_per_second == 0)
    {
        let what = "nothing would ever arrive: leave `bandwidth` out for links without a limit";
        return Err(flaw("options.net.bandwidth.bytes_per_second", what));
    }
    if let Some(name) = &options.mutant
        && !MUTANTS.iter().any(|mutant| mutant.name == name)
    {
        let what = format!("there is no planted bug {name}: see `hstore-sim list mutants`");
        return Err(flaw("options.mutant", what));
    }
    let cluster = options.try_cluster().and_then(|it| it.validate());
    cluster.map_err(|error| flaw("options", error.to_string()))
}

/// What lies between two bounds: none of it is so much that a run makes no sense, or times do not fit.
fn check_ranges(options: &SimOptions) -> Result<(), Flaw> {
    let (net, disk, workload) = (&options.net, &options.disk, &options.workload);
    let far = net.links.as_ref();
    let far = far.map_or((0, 0), |it| (it.far_us_min, it.far_us_max));
    let bandwidth = net.bandwidth.unwrap_or(Bandwidth {
        bytes_per_second: 1,
        buffer_bytes: 0,
    });
    for (place, min, max, most) in [
        (
            "workload.payload_bytes",
            u64::from(workload.payload_bytes_min),
            u64::from(workload.payload_bytes_max),
            u64::from(RECORD_BYTES_MAX),
        ),
        ("workload.think_us", 0, workload.think_us_max, TIME_US_MAX),
        (
            "net.latency_us",
            net.latency_us_min,
            net.latency_us_max,
            TIME_US_MAX,
        ),
        ("net.tail_us", 0, net.tail_us_max, TIME_US_MAX),
        ("net.links.far_us", far.0, far.1, TIME_US_MAX),
        (
            "net.bandwidth.bytes_per_second",
            0,
            bandwidth.bytes_per_second,
            BYTES_MAX,
        ),
        (
            "net.bandwidth.buffer_bytes",
            0,
            bandwidth.buffer_bytes,
            BYTES_MAX,
        ),
        (
            "disk.sync_us",
            disk.sync_us_min,
            disk.sync_us_max,
            TIME_US_MAX,
        ),
        ("disk.read_us", 0, disk.read_us, TIME_US_MAX),
        ("chaos_us", 0, options.chaos_us, TIME_US_MAX),
        ("quiet_us", 0, options.quiet_us, options.chaos_us),
    ] {
        if min > max {
            let what = format!("the least, {min}, is above the most, {max}");
            return Err(flaw(format!("options.{place}_min"), what));
        }
        if max > most {
            let what = format!("{max} is more than makes sense: {most} at most");
            return Err(flaw(format!("options.{place}"), what));
        }
    }
    Ok(())
}

/// What there is to be named.
struct Cluster {
    logs: u32,
    clients: u32,
}

impl Cluster {
    fn of(options: &SimOptions) -> Self {
        Self {
            logs: options.workload.logs,
            clients: options.workload.clients,
        }
    }

    fn check_log(&self, log: LogId) -> Result<(), String> {
        if (1..=self.logs).contains(&log.0) {
            return Ok(());
        }
        Err(format!(
            "there is no {log}: the logs are 1 to {}",
            self.logs
        ))
    }

    fn check_step(&self, step: &Step, ids: &mut BTreeSet<u64>) -> Result<(), String> {
        if step.client >= self.clients {
            return Err(format!(
                "there is no client {}: they are 0 to {}",
                step.client,
                self.clients - 1
            ));
        }
        if step.pause_us > TIME_US_MAX {
            return Err(format!("pause_us: {} is more than an hour", step.pause_us));
        }
        self.check_log(step.ask.log())?;
        if let Ask::Append { id, bytes, .. } = step.ask {
            if id == 0 || id >= u64::from(u32::MAX) || !ids.insert(id) {
                return Err(format!(
                    "id: {id} is taken, or no id: each record has its own, from 1"
                ));
            }
            if bytes > RECORD_BYTES_MAX {
                return Err(format!(
                    "bytes: a record has at most {RECORD_BYTES_MAX}, not {bytes}"
                ));
            }
        }
        Ok(())
    }
}
