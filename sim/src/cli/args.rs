//! What can be asked.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use hstore_core::quorum::{Names, QuorumSystem};
use hstore_sim::campaign::request::{ALL_SEEDS, CampaignRequest};
use hstore_sim::mutants::{MUTANTS, Mutant};
use hstore_sim::options::Engine;
use hstore_sim::profile::{PROFILES, Profile};
use hstore_sim::seed_range::SeedRange;
use hstore_sim::settings::{DEFAULT_ENGINE, Settings};
use hstore_sim::shard::Shard;
use hstore_sim::until::Until;

/// The profile that planted bugs are searched for in.
const MUTANTS_PROFILE: &str = "nightly";
/// More threads than this are certainly a mistake.
const JOBS_MAX: u64 = 1024;

/// Of more random systems each new one is mostly one that was there.
const RANDOM_MAX: u64 = 5_000;

const EXIT_CODES: &str = "\
Exit codes:
  0  passed
  1  safety: something happened that never may
  2  bad input: wrong arguments, a place that a run never comes to, or a file that cannot be read or written
  3  inconclusive: a checker could not tell
  4  liveness: the cluster did not come to work again after it was healed
  5  panic: an assertion of the product failed
  6  non-deterministic: two runs of one seed differed
  7  vacuous: the run did too little to mean anything
A campaign ends with the lowest code of its runs that is not 0; with 7, if it did not notice its canary or \
reach the probes that it owes; one that passed so far and is not complete with 130.";

const MUTANTS_EXIT_CODES: &str = "\
Exit codes:
  0  each was found by a checker that its row names
  1  some were not: survived, unreached, noticed by other checkers only, or interrupted
  2  bad input";

const SHRINK_EXIT_CODES: &str = "\
Exit codes:
  0  done
  2  bad input: no capsule, one that passed, or one whose failure does not come again";

const DIFF_EXIT_CODES: &str = "\
Exit codes:
  0  they mean the same
  1  they part
  2  bad input";

const DIRECTORIES: &str = "\
Directories: --out makes the directory, and its parents. It must not exist yet, or be empty: nothing is \
ever overwritten. A run's appears when it is complete, or not at all. A campaign's grows, and is complete once it \
has a summary.json; interrupted or killed at any moment, it goes on with the same command, or with --resume. \
`hstore-reports show DIR` reads both.";

/// Runs a simulated HStore cluster, hurts it, and checks what its clients saw.
///
/// The same seed gives the same run, byte for byte.
#[derive(Debug, Parser)]
#[command(
    name = "hstore-sim",
    version,
    arg_required_else_help = false,
    subcommand_required = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one seed and say what happened
    #[command(after_help = EXIT_CODES, after_long_help = help_with_directories())]
    Run(RunArgs),
    /// Make the run of a capsule again, and say whether it ends as it did
    #[command(after_help = EXIT_CODES)]
    Replay(ReplayArgs),
    /// Find the least that still fails in the same way as a capsule
    #[command(after_help = SHRINK_EXIT_CODES)]
    Shrink(ShrinkArgs),
    /// Say which faults a capsule's failure needs, and since when it was inevitable
    #[command(after_help = SHRINK_EXIT_CODES)]
    Explain(ExplainArgs),
    /// Run many seeds and sum up
    #[command(after_help = EXIT_CODES, after_long_help = help_with_directories())]
    Campaign(CampaignArgs),
    /// Unite what the shards of a campaign found
    #[command(after_help = EXIT_CODES, after_long_help = help_with_directories())]
    Merge(MergeArgs),
    /// Run each seed twice, in two fresh processes, and compare
    #[command(after_help = EXIT_CODES)]
    Determinism(DeterminismArgs),
    /// Run seeds on the quorum systems of the literature with at most 7 nodes, and on random ones
    #[command(after_help = EXIT_CODES)]
    Quorums(QuorumsArgs),
    /// Search for each planted bug, and say how many seeds that takes and who finds it
    #[command(after_help = MUTANTS_EXIT_CODES)]
    Mutants(MutantsArgs),
    /// Say in words where two traces part
    #[command(after_help = DIFF_EXIT_CODES)]
    Diff(DiffArgs),
    /// Write a trace for Perfetto or ShiViz
    Export(ExportArgs),
    /// List what there is to choose from
    List(ListArgs),
    /// Check or show a profile: what seeds draw from
    #[command(subcommand)]
    Profile(ProfileCommand),
}

fn help_with_directories() -> String {
    format!("{EXIT_CODES}\n\n{DIRECTORIES}")
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The root of all randomness
    #[arg(long, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Run with the faults of this file, such as the plan.json of a run directory, instead of those that the seed draws
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Write a run directory: options, plan, history, trace, verdict
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Stop at an event's number, a time such as `12.5ms`, `acked N`, `epoch N`, `fault N`, `crash N`,
    /// `phase NAME` or `violation`, and print the state of every machine there
    #[arg(long, value_name = "EVENT|TIME", conflicts_with_all = ["out", "capsule", "log"])]
    pub(crate) until: Option<Until>,
    /// Write the run as a capsule, whether it failed or not: `replay`, `shrink` and `explain` take it
    #[arg(long, value_name = "FILE")]
    pub(crate) capsule: Option<PathBuf>,
    /// Write what the run logs, at level DEBUG, with virtual time; into the run directory, too, if there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The revision that the run is known from; if this build is another, a note says so
    #[arg(long, value_name = "REV")]
    pub(crate) revision: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The capsule
    #[arg(value_name = "CAPSULE")]
    pub(crate) capsule: PathBuf,
    /// Stop at an event's number, a time such as `12.5ms`, `acked N`, `epoch N`, `fault N`, `crash N`,
    /// `phase NAME` or `violation`, and print the state of every machine there
    #[arg(long, value_name = "EVENT|TIME", conflicts_with_all = ["out", "capsule_now"])]
    pub(crate) until: Option<Until>,
    /// Write a run directory: options, plan, history, trace, verdict
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write the run, as it went now, as a capsule of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) capsule_now: Option<PathBuf>,
    /// Print what came of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// The capsule
    #[arg(value_name = "CAPSULE")]
    pub(crate) capsule: PathBuf,
    /// Where to write the small one [default: beside the capsule, as NAME.shrunk.json]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Print what came of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The capsule; a shrunk one is explained faster, and better
    #[arg(value_name = "CAPSULE")]
    pub(crate) capsule: PathBuf,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Print the explanation as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// The seeds, both ends included [default with --time: all from 1]
    #[arg(long, value_name = "A..B", required_unless_present_any = ["time", "resume"])]
    seeds: Option<SeedRange>,
    /// Begin no seed after so long, such as `10m` or `1h 30m`: time that an interrupted campaign has taken before
    /// counts
    #[arg(long, value_name = "DURATION", value_parser = time)]
    time: Option<Duration>,
    /// Run part I of N: those seeds that leave I when divided by N. Parts are counted from 0, as array jobs
    /// count them: 0/4, 1/4, 2/4, 3/4. `merge` unites what they found
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Whether a planted bug that the profile finds soon has to be noticed, in runs beside those of the seeds
    #[arg(long, value_enum, default_value_t = Switch::On)]
    canary: Switch,
    /// Prefer fault plans that lead to abstract states of the cluster in which no run has been: of half the seeds,
    /// children of such plans are run instead of what they draw. Each shard guides itself. What fails so is made
    /// again from the plan in the campaign directory
    #[arg(long)]
    guided: bool,
    /// Keep a campaign directory: a line for each run, a run directory for each of the first 3 failures of a kind
    /// (no more than 256 MiB), a summary. The same command goes on where one was interrupted
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the campaign of this directory, as it was begun
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "seeds", "time", "shard", "guided", "canary", "out", "engine", "profile", "quorums", "mutant", "white_box", "stop_at_violation",
        ]
    )]
    pub(crate) resume: Option<PathBuf>,
    /// Write what failures log, at level DEBUG, into their run directories
    #[arg(long)]
    pub(crate) log_failures: bool,
    #[command(flatten)]
    pub(crate) told: ToldArgs,
}

impl CampaignArgs {
    /// What is asked for, unless it is to go on with something.
    pub(crate) fn request(&self) -> CampaignRequest {
        CampaignRequest {
            seeds: self.seeds.unwrap_or(ALL_SEEDS),
            time: self.time,
            shard: self.shard.unwrap_or(Shard::WHOLE),
            guided: self.guided,
            canary: self.canary == Switch::On,
            settings: self.settings.settings(),
            jobs: self.jobs.count(),
            log_failures: self.log_failures,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The directories that `campaign --shard I/N --out DIR` wrote, in any order
    #[arg(value_name = "DIR", required = true)]
    pub(crate) directories: Vec<PathBuf>,
    /// Keep what they found together as the directory of one campaign
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Sum up what there is even if shards are missing. It does not count as passed
    #[arg(long)]
    pub(crate) allow_missing: bool,
    #[command(flatten)]
    pub(crate) told: ToldArgs,
}

/// How a campaign is told.
#[derive(Debug, Args)]
pub(crate) struct ToldArgs {
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a line of JSON for each run that is over, then one for the summary
    #[arg(long, conflicts_with = "json")]
    pub(crate) json_lines: bool,
    /// Write the summary as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Append the summary in Markdown to a file, such as `$GITHUB_STEP_SUMMARY`
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DeterminismArgs {
    /// The seeds, both ends included
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: SeedRange,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Print the comparison as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct QuorumsArgs {
    /// The seeds that each system is run with, both ends included
    #[arg(long, value_name = "A..B")]
    pub(crate) seeds: SeedRange,
    /// How many random systems to run after those of the literature
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = RangedU64ValueParser::<u64>::new().range(0..=RANDOM_MAX))]
    pub(crate) random: u64,
    /// What the random systems are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) random_seed: u64,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// The store under each node
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    pub(crate) engine: Engine,
    /// What seeds draw from: one of `list profiles`, or a file of your own
    #[arg(long, value_name = "NAME|FILE", value_parser = Profile::named, default_value = PROFILES[0].name.as_str())]
    pub(crate) profile: &'static Profile,
    /// Print the table as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MutantsArgs {
    /// Search for this one only; may be given several times
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    pub(crate) only: Vec<&'static Mutant>,
    /// Try the seeds from 1 to this
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub(crate) budget_seeds: u64,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// The store under each node
    #[arg(long, value_enum, default_value_t = Engine::Model)]
    engine: Engine,
    /// What seeds draw from: one of `list profiles`, or a file of your own
    #[arg(long, value_name = "NAME|FILE", value_parser = Profile::named, default_value = MUTANTS_PROFILE)]
    profile: &'static Profile,
    /// Whether checks look inside the cluster, or only at what clients saw
    #[arg(long, value_enum, default_value_t = Switch::On)]
    white_box: Switch,
    /// Prefer fault plans that lead to abstract states of the cluster in which no run has been, as
    /// `campaign --guided` does
    #[arg(long)]
    pub(crate) guided: bool,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl MutantsArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            profile: self.profile,
            engine: self.engine,
            quorums: None,
            mutant: None,
            white_box: self.white_box == Switch::On,
            stop_at_violation: false,
            plan: None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Say whether a profile can be used, and if not what is wrong and where
    Check(NamedProfile),
    /// Print all that a profile says or extends, each knob with what it means
    Show(NamedProfile),
}

#[derive(Debug, Args)]
pub(crate) struct NamedProfile {
    /// One of `list profiles`, or a file
    #[arg(value_name = "NAME|FILE", value_parser = Profile::named)]
    pub(crate) profile: &'static Profile,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A run directory, or its trace.jsonl
    #[arg(value_name = "TRACE")]
    pub(crate) first: PathBuf,
    /// Another one, of the same revision or of another
    #[arg(value_name = "TRACE")]
    pub(crate) second: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A run directory, or its trace.jsonl
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// For which tool
    #[arg(long, value_enum)]
    pub(crate) to: Tool,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Tool {
    /// A time line, for ui.perfetto.dev
    Perfetto,
    /// Who could have caused what, for ShiViz
    Shiviz,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Of what
    pub(crate) what: Listed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Listed {
    Profiles,
    Faults,
    Invariants,
    Mutants,
    Probes,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// How many seeds to run at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..=JOBS_MAX))]
    jobs: Option<u64>,
}

impl JobsArgs {
    pub(crate) fn count(&self) -> NonZeroUsize {
        let asked = self.jobs.and_then(|jobs| usize::try_from(jobs).ok());
        asked
            .and_then(NonZeroUsize::new)
            .or_else(|| std::thread::available_parallelism().ok())
            .unwrap_or(NonZeroUsize::MIN)
    }
}

#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The store under each node
    #[arg(long, value_enum, default_value_t = DEFAULT_ENGINE)]
    engine: Engine,
    /// What seeds draw from: one of `list profiles`, or a file of your own
    #[arg(long, value_name = "NAME|FILE", value_parser = Profile::named, default_value = PROFILES[0].name.as_str())]
    profile: &'static Profile,
    /// Run every log on this quorum system, such as `a*b + c*d` (writes: "or" and "and"), `majority(5)`,
    /// `choose(2, a, b, c)`, `grid(2 x 3)`, `weighted(a:2, b:1, c:1; 3)`, `nodeset(6, copies=3, rack=2 of 3)`,
    /// `seal: a + b`, or `write: ...; seal: ...`, on as many nodes as it names
    #[arg(long, value_name = "EXPR", value_parser = quorums)]
    quorums: Option<QuorumSystem>,
    /// A planted bug to turn on: see `list mutants`
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    mutant: Option<&'static Mutant>,
    /// Whether checks look inside the cluster, or only at what clients saw
    #[arg(long, value_enum, default_value_t = Switch::On)]
    white_box: Switch,
    /// Stop at the step at which what clients saw can no longer be right, not only at the end
    #[arg(long)]
    stop_at_violation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl SettingsArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            profile: self.profile,
            engine: self.engine,
            quorums: self.quorums.clone(),
            mutant: self.mutant,
            white_box: self.white_box == Switch::On,
            stop_at_violation: self.stop_at_violation,
            plan: None,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("that is no time at all".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error}; such as 90s, 10m or 1h 30m")),
    }
}

fn quorums(text: &str) -> Result<QuorumSystem, String> {
    QuorumSystem::parse(text, &mut Names::open()).map_err(|error| error.to_string())
}

fn mutant(name: &str) -> Result<&'static Mutant, String> {
    let known = MUTANTS.iter().map(|mutant| mutant.name);
    Mutant::by_name(name).ok_or_else(|| unknown("mutant", known))
}

fn unknown<'a>(what: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    format!("there is no such {what}; there are: {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
