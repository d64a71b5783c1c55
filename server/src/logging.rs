//! The programs' logs: to standard error, as `HSTORE_LOG` says.

use std::env::{self, VarError};

use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged.
const VARIABLE: &str = "HSTORE_LOG";

/// Logs what `HSTORE_LOG` says, or else `default`.
///
/// # Errors
/// If `HSTORE_LOG` says nothing that can be understood.
pub fn begin(default: &str) -> Result<(), String> {
    let wanted = match env::var(VARIABLE) {
        Ok(wanted) => wanted,
        Err(VarError::NotPresent) => default.to_owned(),
        Err(VarError::NotUnicode(wanted)) => wanted.to_string_lossy().into_owned(),
    };
    let filter = EnvFilter::try_new(&wanted).map_err(|_| {
        format!(
            "the environment: `{VARIABLE}` is `{wanted}`: expected a level such as `info` or `debug`, or a list such as `warn,hstore_server::transport=debug`"
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    Ok(())
}
