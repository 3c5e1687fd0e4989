//! `mindbot serve`: runs the gateway until a signal ends it.

use super::{ConfigFile, FAILED, WRONG_USE};
use crate::boot::{self, Plan, Running};
use crate::components::kinds;
use crate::config::{self, Loaded, Source, environment, read_secret_file};
use crate::reload::Reload;
use crate::supervise::{Fatal, install_panic_hook};
use crate::telemetry::logs;
use crate::{egress, shutdown};
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the gateway.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signals: SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reloads the configuration.\n\nExamples:\n  mindbot serve\n  mindbot serve --config /etc/mindbot/config.toml"
)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
}

pub(super) fn run(serve: &Serve, fatal: Fatal) -> ExitCode {
    let (source, loaded) = match load(&serve.config) {
        Ok(loaded) => loaded,
        Err(text) => {
            eprint!("{text}");
            return ExitCode::from(WRONG_USE);
        }
    };
    let log_level = match logs::install(&loaded.config.telemetry) {
        Ok(log_level) => log_level,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(WRONG_USE);
        }
    };
    egress::install_tls();
    install_panic_hook();
    let plan = Plan { source, loaded, log_level, fatal: fatal.clone() };
    match actix_rt::System::new().block_on(live(plan, fatal)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("mindbot: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn load(file: &ConfigFile) -> Result<(Source, Loaded), String> {
    let shown = file.config.display().to_string();
    let source = file.source().map_err(|error| format!("{shown}: {error}\n"))?;
    let loaded = config::load(&source, &environment(), &read_secret_file, &kinds());
    let loaded = loaded.map_err(|problems| config::report(&problems, &shown, stderr().is_terminal()))?;
    Ok((source, loaded))
}

async fn live(plan: Plan, fatal: Fatal) -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hup = signal(SignalKind::hangup())?;
    let booted = tokio::select! {
        booted = boot::boot(plan) => booted?,
        () = either(&mut term, &mut int) => return Ok(()),
    };
    announce(&booted);
    let reloader = booted.state.reloader.reload.clone();
    loop {
        tokio::select! {
            () = either(&mut term, &mut int) => break,
            Some(()) = hup.recv() => drop(reloader.ask(Reload { by: "SIGHUP" }, Duration::from_secs(30)).await),
        }
    }
    tokio::select! {
        () = shutdown::drain(booted) => {}
        () = either(&mut term, &mut int) => fatal("a second signal: stopping at once"),
    }
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn announce(running: &Running) {
    tracing::info!(address = %running.address, "ready");
    eprintln!("MindBot: http://{}/chat", running.address);
}
