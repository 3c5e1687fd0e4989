//! The command line: one file per command, each a thin caller.

mod chat;
mod check;
mod openapi;
mod serve;
mod simulate;

use crate::supervise::Fatal;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Something failed while running.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const WRONG_USE: u8 = 2;

/// A chat gateway for DingTalk and WeCom that loses nothing it has acknowledged.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Examples:\n  mindbot\n  mindbot serve --config /etc/mindbot/config.toml\n  mindbot check\n  mindbot chat"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway (the default).
    Serve(serve::Serve),
    /// Validates the configuration: every error at once, each with its place and a hint.
    Check(check::Check),
    /// Prints the OpenAPI document of the HTTP interface.
    Openapi,
    /// Talks to a running gateway in the terminal.
    Chat(chat::Chat),
    /// Runs a stand-in for an outside system, for rehearsal and tests.
    Simulate(simulate::Simulate),
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// Configuration file; without one of this name the embedded defaults apply.
    #[arg(long, value_name = "FILE", default_value = "config.toml", env = "MINDBOT_CONFIG")]
    config: PathBuf,
}

impl ConfigFile {
    /// Reads the file; embedded defaults when the default file is not there.
    fn source(&self) -> std::io::Result<crate::config::Source> {
        match crate::config::Source::read(&self.config) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.config.as_os_str() == "config.toml" => {
                Ok(crate::config::Source::embedded())
            }
            read => read,
        }
    }
}

/// Runs the command that the arguments name. `fatal` ends the process.
pub fn run(fatal: Fatal) -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve::run(&cli.serve, fatal),
        Some(Command::Serve(serve)) => serve::run(&serve, fatal),
        Some(Command::Check(check)) => check::run(&check),
        Some(Command::Openapi) => openapi::run(),
        Some(Command::Chat(chat)) => chat::run(&chat),
        Some(Command::Simulate(simulate)) => simulate::run(&simulate),
    }
}
