//! A node: which one of which cluster, and where its data is.
//!
//! ```toml
//! node = 0
//! cluster = "../cluster.toml"
//! data = "data"
//! # What may be left out:
//! listen = "0.0.0.0:7100"     # else the address that the cluster's file gives
//! [store]
//! flush_bytes = 67108864
//! cache_bytes = 67108864
//! ```
//!
//! An environment variable such as `HSTORED_DATA` or `HSTORED_STORE__CACHE_BYTES` overrides the file, a
//! flag overrides both. Paths in a file are relative to the file, others to the working directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, Environment, Value, ValueKind};
use hstore_core::{NodeId, NodeSet};
use hstore_tier1::rocks::RocksSettings;

use super::ConfigError;
use super::cluster::{ADDRESS, Cluster, address};
use super::table::{self, Table};

/// What environment variables begin with.
const PREFIX: &str = "HSTORED";

/// What a node's process is told.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which node it is.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: Arc<Cluster>,
    /// Where its data is.
    pub data: PathBuf,
    /// Where it listens.
    pub listen: String,
    /// How its store is set up.
    pub store: RocksSettings,
}

/// Flags of the command line, each of which overrides the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--node`.
    pub node: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--data`.
    pub data: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
}

impl NodeConfig {
    /// Reads the file, then the environment, then the flags; and the cluster's file.
    ///
    /// # Errors
    /// If something is missing, or not what it should be.
    pub fn read(
        file: Option<&Path>,
        environment: BTreeMap<String, String>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let place = file.map_or("the command line".to_owned(), |file| {
            file.display().to_string()
        });
        let mut builder = Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(table::file(file)?);
        }
        // Compared in any case by the configuration crate: only whole names of ours are handed over.
        let ours = environment.into_iter();
        let ours = ours.filter(|(name, _)| name.starts_with("HSTORED_"));
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator("_")
            .separator("__")
            .source(Some(ours.collect()));
        builder = builder.add_source(environment);
        let given = [
            ("node", &flags.node),
            ("cluster", &flags.cluster),
            ("data", &flags.data),
            ("listen", &flags.listen),
        ];
        let mut values = BTreeMap::new();
        for (key, flag) in given {
            if let Some(flag) = flag {
                let origin = format!("--{key}");
                let value = Value::new(Some(&origin), ValueKind::String(flag.clone()));
                values.insert(key, value);
            }
        }
        for (key, value) in values {
            builder =
                builder
                    .set_override(key, value)
                    .map_err(|error| ConfigError::Unreadable {
                        place: format!("--{key}"),
                        reason: error.to_string(),
                    })?;
        }
        Self::parse(file, Table::build(&place, builder)?)
    }

    fn parse(file: Option<&Path>, mut table: Table) -> Result<Self, ConfigError> {
        let wanted = "the node's number (or --node, or HSTORED_NODE)";
        let given = table.peek("node");
        let number = table.number("node", 0..=NodeSet::MAX_NODES as u64 - 1)?;
        let (Some(given), Some(number)) = (given, number) else {
            return Err(table.missing("node", wanted));
        };
        let node = NodeId(number as u8);

        let wanted = "the path of the cluster's file (or --cluster, or HSTORED_CLUSTER)";
        let cluster_file = path(&mut table, "cluster", file, wanted)?;
        let wanted = "the path of the node's data directory (or --data, or HSTORED_DATA)";
        let data = path(&mut table, "data", file, wanted)?;
        let listen = table.text("listen", ADDRESS, address)?;
        let mut store = RocksSettings::default();
        if let Some(mut table) = table.table("store")? {
            let most = 1 << 36;
            if let Some(bytes) = table.number("flush_bytes", 1 << 16..=most)? {
                store.flush_bytes = bytes;
            }
            if let Some(bytes) = table.number("cache_bytes", 1 << 16..=most)? {
                store.cache_bytes = bytes as usize;
            }
            table.finish()?;
        }
        let cluster = Cluster::read(&cluster_file)?;
        let Some(own) = cluster.addresses.get(&node) else {
            let known: Vec<_> = cluster
                .addresses
                .keys()
                .map(|it| it.0.to_string())
                .collect();
            let expected = format!("a node of {}: {}", cluster_file.display(), known.join(", "));
            return Err(table.invalid("node", &given, &expected));
        };
        let listen = listen.unwrap_or_else(|| own.clone());
        table.finish()?;
        Ok(Self {
            node,
            cluster: Arc::new(cluster),
            data,
            listen,
            store,
        })
    }
}

fn path(
    table: &mut Table,
    key: &'static str,
    file: Option<&Path>,
    expected: &str,
) -> Result<PathBuf, ConfigError> {
    let Some(value) = table.take(key) else {
        return Err(table.missing(key, expected));
    };
    let text = match &value.kind {
        ValueKind::String(text) if !text.is_empty() => text,
        _ => return Err(table.invalid(key, &value, expected)),
    };
    // Only what the file says has no origin of its own.
    let base = match (value.origin(), file) {
        (None, Some(file)) => file.parent().unwrap_or(Path::new("")),
        _ => Path::new(""),
    };
    let path = base.join(text);
    // Absolute, so that messages tell where that is.
    std::path::absolute(&path).map_err(|_| table.invalid(key, &value, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let addresses = ["127.0.0.1:7100".to_owned(), "127.0.0.1:7101".to_owned()];
        let cluster = Cluster::write_plain("test", &addresses, 1, 2);
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("written");
        };
        write("cluster.toml", &cluster);
        write(
            "node.toml",
            "node = 1\ncluster = \"cluster.toml\"\ndata = \"data\"\n[store]\ncache_bytes = 65536\n",
        );
        write("bad.toml", "node = \"one\"\n");
        directory
    }

    fn variables(given: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = given.iter();
        given
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_environment_overrides_the_file_and_flags_override_both() {
        let directory = files();
        let file = directory.path().join("node.toml");
        let read = |environment: &[(&str, &str)], flags: &Flags| {
            NodeConfig::read(Some(&file), variables(environment), flags).expect("valid")
        };
        let plain = read(&[], &Flags::default());
        assert_eq!(plain.node, NodeId(1));
        assert_eq!(plain.listen, "127.0.0.1:7101");
        assert_eq!(plain.data, directory.path().join("data"));
        assert_eq!(plain.store.cache_bytes, 65536);

        let environment = [
            ("HSTORED_NODE", "0"),
            ("HSTORED_DATA", "/elsewhere"),
            ("HSTORED_STORE__CACHE_BYTES", "131072"),
        ];
        let changed = read(&environment, &Flags::default());
        assert_eq!(changed.node, NodeId(0));
        assert_eq!(changed.data, Path::new("/elsewhere"));
        assert_eq!(changed.store.cache_bytes, 131_072);

        let flags = Flags {
            data: Some("/flagged".to_owned()),
            listen: Some("127.0.0.1:7999".to_owned()),
            ..Flags::default()
        };
        let flagged = read(&environment, &flags);
        assert_eq!(flagged.node, NodeId(0));
        assert_eq!(flagged.data, Path::new("/flagged"));
        assert_eq!(flagged.listen, "127.0.0.1:7999");
    }

    #[test]
    fn errors_say_where_the_value_came_from() {
        let directory = files();
        let file = directory.path().join("node.toml");
        let bad = directory.path().join("bad.toml");
        let refused = |file: &Path, environment: &[(&str, &str)], flags: &Flags| {
            NodeConfig::read(Some(file), variables(environment), flags)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(
            refused(&bad, &[], &Flags::default()),
            format!(
                "{}: `node` is a text: expected a number from 0 to 127",
                bad.display()
            )
        );
        let flags = Flags {
            node: Some("x".to_owned()),
            ..Flags::default()
        };
        assert_eq!(
            refused(&file, &[], &flags),
            "--node: `node` is a text: expected a number from 0 to 127"
        );
        assert_eq!(
            refused(&file, &[("HSTORED_NODE", "-1")], &Flags::default()),
            "the environment: `node` is `-1`: expected a number from 0 to 127"
        );
        let flags = Flags {
            node: Some("5".to_owned()),
            ..Flags::default()
        };
        let error = refused(&file, &[], &flags);
        assert!(
            error.starts_with("--node: `node` is `5`: expected a node of"),
            "{error}"
        );
        let error = refused(&file, &[("HSTORED_COLOUR", "red")], &Flags::default());
        assert!(error.contains("`colour` is no key"), "{error}");
        assert!(!error.contains("red"), "{error}");
        let missing = NodeConfig::read(None, BTreeMap::new(), &Flags::default());
        let error = missing.expect_err("refused").to_string();
        assert!(
            error.starts_with("the command line: `node` is missing"),
            "{error}"
        );
    }
}
