//! Log lines on stderr: readable on a terminal, one JSON object per line otherwise.
//!
//! Secrets are kept out by type (`config::Secret` prints `***`) and looked for once more in what is written (`leaks`);
//! what people write is logged at no level.

use super::leaks::Clean;
use crate::config::{LogFormat, Telemetry};
use std::io::{self, IsTerminal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Changes the level while the process runs. Cheap to clone.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Applies `telemetry.log_level`; what cannot be read leaves the old level in place.
    pub fn set(&self, level: &str) {
        let changed = filter(level).and_then(|filter| self.0.reload(filter).map_err(|error| error.to_string()));
        if let Err(error) = changed {
            tracing::warn!(error, "`telemetry.log_level` could not be changed");
        }
    }
}

/// Starts logging for the whole process. Fails when the level cannot be read, or when called twice.
pub fn install(telemetry: &Telemetry) -> Result<LogLevel, String> {
    let (filter, handle) = reload::Layer::new(filter(&telemetry.log_level)?);
    let readable = match telemetry.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    let writer = || Clean(io::stderr());
    let lines = if readable {
        fmt::layer().with_writer(writer).with_ansi(io::stderr().is_terminal()).with_target(false).boxed()
    } else {
        fmt::layer().json().flatten_event(true).with_writer(writer).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|error| error.to_string())?;
    Ok(LogLevel(handle))
}

/// The web server tells of every thread at `info`; an operator's own filter can have that back.
fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("actix_server=warn,{level}")).map_err(|error| format!("`telemetry.log_level`: {error}"))
}
