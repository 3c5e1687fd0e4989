//! `mindbot check`: says whether the configuration is valid, and if not, everything that is wrong with it.

use super::{ConfigFile, FAILED, WRONG_USE};
use crate::components::kinds;
use crate::config::{self, Config, Problem, environment, read_secret_file};
use crate::{boot, egress, platforms, providers, store};
use serde::Serialize;
use serde_json::json;
use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;

/// Validates the configuration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: valid, 2: not, 1: valid, but something did not answer. Prints JSON when piped.\n\nExamples:\n  mindbot check\n  mindbot check --online\n  mindbot check --config new.toml | jq .errors"
)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Also asks platforms and providers whether the credentials work, and looks at the database.
    #[arg(long)]
    online: bool,
}

/// What one probe found.
#[derive(Debug, Serialize)]
struct Probed {
    who: String,
    ok: bool,
    detail: String,
}

#[derive(Default)]
struct Verdict {
    errors: Vec<Problem>,
    warnings: Vec<String>,
    online: Vec<Probed>,
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
    let verdict = match config::load(&source, &environment(), &read_secret_file, &kinds()) {
        Err(errors) => Verdict { errors, ..Verdict::default() },
        Ok(loaded) => {
            let mut warnings = loaded.warnings;
            warnings.extend(few_files(&loaded.config));
            let online = if check.online { probe_all(&loaded.config) } else { Vec::new() };
            Verdict { warnings, online, ..Verdict::default() }
        }
    };
    if stdout().is_terminal() {
        print_text(&verdict, &shown)
    } else {
        print_json(&verdict)
    }
    match verdict {
        Verdict { errors, .. } if !errors.is_empty() => ExitCode::from(WRONG_USE),
        Verdict { online, .. } if online.iter().any(|probed| !probed.ok) => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}

fn print_text(verdict: &Verdict, shown: &str) {
    if !verdict.errors.is_empty() {
        return print!("{}", config::report(&verdict.errors, shown, true));
    }
    for warning in &verdict.warnings {
        println!("\x1b[33mnote\x1b[0m  {warning}");
    }
    for Probed { who, ok, detail } in &verdict.online {
        let mark = if *ok { "\x1b[32mok\x1b[0m  " } else { "\x1b[31mfail\x1b[0m" };
        println!("{mark}  {who:<24} {detail}");
    }
    println!("{shown} is valid");
}

fn print_json(verdict: &Verdict) {
    let Verdict { errors, warnings, online } = verdict;
    println!("{:#}", json!({ "valid": errors.is_empty(), "errors": errors, "warnings": warnings, "online": online }));
}

/// Every running turn needs a connection to a provider, and its person one to us.
fn few_files(config: &Config) -> Option<String> {
    let wanted = 4 * (config.pipeline.turns as u64 + 256);
    let (_, hard) = rlimit::Resource::NOFILE.get().ok()?;
    (hard < wanted).then(|| {
        format!(
            "the limit of open files is {hard}; {} turns want {wanted}: raise it with `ulimit -Hn`",
            config.pipeline.turns
        )
    })
}

/// Asks everything that is switched on, one after the other.
fn probe_all(config: &Config) -> Vec<Probed> {
    egress::install_tls();
    let probed = |who: String, found: Result<String, String>| Probed {
        ok: found.is_ok(),
        detail: found.unwrap_or_else(|problem| problem),
        who,
    };
    actix_rt::System::new().block_on(async {
        let mut all =
            vec![probed("storage".into(), store::probe(&boot::database_of(config)).map_err(|e| e.to_string()))];
        for section in config.active_platforms() {
            let Some(probe) = platforms::kind(&section.kind).and_then(|kind| kind.probe) else { continue };
            all.push(probed(format!("platform/{}", section.id), probe(&Arc::new(section.clone())).await));
        }
        for section in config.active_providers() {
            let Some(probe) = providers::kind(&section.kind).and_then(|kind| kind.probe) else { continue };
            all.push(probed(format!("provider/{}", section.id), probe(&Arc::new(section.clone())).await));
        }
        all
    })
}
