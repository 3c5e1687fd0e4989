//! `mindbot simulate`: a stand-in for an outside system, for rehearsal and tests.

use super::{FAILED, WRONG_USE};
use crate::simulate::{openai, wecom};
use clap::ValueEnum;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs a stand-in for an outside system on loopback, until it is stopped.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mindbot simulate wecom --port 9001\n  mindbot simulate openai --port 9002 --script faults.json\n\nA script of `openai`: [{\"call\": 3, \"fault\": \"hang\"}]\nA script of `wecom`:  {\"rules\": [{\"on\": \"send\", \"nth\": 3, \"answer\": {\"errcode\": 45009}}]}"
)]
pub(super) struct Simulate {
    kind: Kind,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// JSON file that says what goes wrong.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Threads that answer.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// openai: milliseconds before the first byte.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Openai,
    Wecom,
}

pub(super) fn run(simulate: &Simulate) -> ExitCode {
    crate::egress::install_tls();
    let ran = match simulate.kind {
        Kind::Openai => run_openai(simulate),
        Kind::Wecom => run_wecom(simulate),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Script(problem)) => {
            eprintln!("mindbot simulate: {problem}");
            ExitCode::from(WRONG_USE)
        }
        Err(Failure::Start(problem)) => {
            eprintln!("mindbot simulate: cannot listen on port {}: {problem}", simulate.port);
            ExitCode::from(FAILED)
        }
    }
}

enum Failure {
    Script(String),
    Start(std::io::Error),
}

fn script<T: DeserializeOwned + Default>(path: Option<&PathBuf>) -> Result<T, Failure> {
    let Some(path) = path else { return Ok(T::default()) };
    let problem = |error: &dyn std::fmt::Display| Failure::Script(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| problem(&error))?;
    serde_json::from_str(&text).map_err(|error| problem(&error))
}

fn run_openai(simulate: &Simulate) -> Result<(), Failure> {
    let delay = Duration::from_millis(simulate.delay);
    let options = openai::Options {
        port: simulate.port,
        workers: simulate.workers,
        delay: (delay, delay),
        script: script(simulate.script.as_ref())?,
        ..openai::Options::default()
    };
    let stand_in = openai::start(options).map_err(Failure::Start)?;
    eprintln!("openai stand-in: http://127.0.0.1:{}", stand_in.port);
    eprintln!("for the gateway: OPENAI_API_KEY=any OPENAI_BASE_URL={}", stand_in.base_url());
    stand_in.wait();
    Ok(())
}

fn run_wecom(simulate: &Simulate) -> Result<(), Failure> {
    let options = wecom::Options {
        port: simulate.port,
        workers: simulate.workers,
        script: script(simulate.script.as_ref())?,
        ..wecom::Options::default()
    };
    actix_rt::System::new().block_on(async {
        let stand_in = wecom::start(options).await.map_err(Failure::Start)?;
        eprintln!("wecom stand-in: {}", stand_in.base());
        let mut term =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(Failure::Start)?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        stand_in.stop().await;
        Ok(())
    })
}
