//! `scripts/bench`: the numbers that the project promises, measured on one machine over loopback.
//!
//! Load, stand-ins and gateway share the machine; the gateway and the bare reference run in processes of their own, so
//! that their processor time and memory are theirs alone. Each row is bounded in time and ends by itself.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement that cannot be made ends loudly"
)]

mod admin;
mod load;
mod process;
mod reference;
mod report;
mod rows;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, clippy::disallowed_types, reason = "shared with the tests, which use more of it")]
mod support;
mod traffic;
mod victims;
mod world;

use report::Row;
use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for.
pub struct Wish {
    pub quick: bool,
    /// The binary with sabotage compiled in.
    pub chaos: PathBuf,
}

fn main() -> ExitCode {
    mindbot::egress::install_tls();
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "--reference") {
        return reference::run(&words[1..]);
    }
    let mut flag = |name: &str| {
        let before = words.len();
        words.retain(|word| word != name);
        words.len() < before
    };
    let (quick, write) = (flag("--quick"), flag("--write"));
    if let Some(unknown) = words.iter().find(|word| !rows::ALL.iter().any(|(name, _)| name == word)) {
        let names: Vec<_> = rows::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("scripts/bench: no row `{unknown}`; rows: {}", names.join(" "));
        return ExitCode::from(2);
    }
    // The hard limit: ten thousand conversations need a socket each on both sides.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let chaos = std::env::var_os("MINDBOT_BENCH_CHAOS").map(PathBuf::from).unwrap_or_else(world::chaos_beside_us);
    let wish = Wish { quick, chaos };
    let mut measured: Vec<Row> = Vec::new();
    for (name, run) in rows::ALL {
        if words.is_empty() || words.iter().any(|word| word == name) {
            eprintln!("== {name} (load average {})", process::load_average());
            let rows = actix_rt::System::new().block_on(run(&wish));
            rows.iter().for_each(|row| eprintln!("{row}"));
            measured.extend(rows);
        }
    }
    report::print(&measured);
    if write || (words.is_empty() && !quick) {
        report::write(&measured, quick);
    }
    if measured.iter().all(Row::is_reached) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
