//! `merge`: what the shards of a campaign found together.

use anyhow::bail;
use hstore_sim::campaign::merge::Shards;

use super::args::MergeArgs;
use super::{campaign, output, told};

pub(crate) fn merge(args: &MergeArgs) -> anyhow::Result<u8> {
    told::check(&args.told)?;
    let shards = Shards::read(&args.directories)?;
    if let Some(missing) = shards.missing() {
        if !args.allow_missing {
            bail!(
                "shards are missing: {missing}; name their directories as well, or sum up without them with \
                 --allow-missing"
            );
        }
        output::note(&format!("shards are missing: {missing}"));
    }
    let request = campaign::parse(shards.arguments())?;
    let found = shards.unite(&request, args.out.as_deref())?;
    let value = serde_json::to_value(&found)?;
    told::tell(&args.told, &value, args.out.as_deref())?;
    Ok(found.exit_code())
}
