//! `campaign`: many seeds.

use hstore_reports::campaign::{Around, summary};
use hstore_sim::campaign::{CampaignRequest, campaign as run_campaign};
use hstore_sim::fresh_dir::FreshDir;
use hstore_sim::outcome::Outcome;
use hstore_sim::provenance::REVISION;
use hstore_sim::run::run as run_seed;

use super::args::{CampaignArgs, Switch};
use super::output;

pub(crate) fn campaign(args: &CampaignArgs) -> anyhow::Result<u8> {
    let request = CampaignRequest {
        seeds: args.seeds,
        settings: args.settings.settings(),
        jobs: args.jobs.count(),
        canary: args.canary == Switch::On,
    };
    let directory = args.out.as_deref().map(FreshDir::stage).transpose()?;
    let progress = output::progress(args.seeds.count());
    let mut failed = 0;
    let found = run_campaign(
        &request,
        run_seed,
        directory.as_ref().map(FreshDir::path),
        |line| {
            progress.inc(1);
            if line.outcome != Outcome::Passed {
                failed += 1;
                progress.set_message(format!("{failed} failed"));
            }
        },
    );
    progress.finish_and_clear();
    let found = found?;
    if let Some(directory) = directory {
        directory.publish()?;
    }
    if args.json {
        output::print_json(&found)?;
    } else {
        let view = serde_json::from_value(serde_json::to_value(&found)?)?;
        let first = found.failures.first();
        let program = output::program();
        let reproduce =
            first.map(|first| request.settings.reproduce(&program, first.seed, REVISION));
        let around = Around {
            reproduce: reproduce.as_deref(),
            directory: args.out.as_deref(),
        };
        output::print(&summary(&view, &around))?;
    }
    Ok(found.exit_code())
}
