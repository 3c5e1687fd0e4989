//! `mindbot check`: says whether the configuration is valid, and if not, everything that is wrong with it.

use super::{ConfigFile, WRONG_USE};
use crate::components::kinds;
use crate::config::{self, environment, read_secret_file};
use serde_json::json;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

/// Validates the configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: valid, 2: not. Prints JSON when piped.\n\nExamples:\n  mindbot check\n  mindbot check --config new.toml | jq .errors"
)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(check: &Check) -> ExitCode {
    let shown = check.config.config.display().to_string();
    let source = match check.config.source() {
        Ok(source) => source,
        Err(error) => {
            eprintln!("{shown}: {error}");
            return ExitCode::from(WRONG_USE);
        }
    };
    let loaded = config::load(&source, &environment(), &read_secret_file, &kinds());
    let is_valid = loaded.is_ok();
    if stdout().is_terminal() {
        match loaded {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(|warning| println!("note: {warning}"));
                println!("{shown} is valid");
            }
            Err(problems) => print!("{}", config::report(&problems, &shown, true)),
        }
    } else {
        let (errors, warnings) = match loaded {
            Ok(loaded) => (Vec::new(), loaded.warnings),
            Err(problems) => (problems, Vec::new()),
        };
        println!("{:#}", json!({ "valid": is_valid, "errors": errors, "warnings": warnings }));
    }
    if is_valid { ExitCode::SUCCESS } else { ExitCode::from(WRONG_USE) }
}
