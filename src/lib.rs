//! MindBot: a chat gateway that loses nothing it has acknowledged.

pub mod boot;
pub mod cards;
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to the person who typed them")]
pub mod cli;
pub mod components;
pub mod config;
pub mod directory;
pub mod dispatch;
pub mod domain;
pub mod egress;
pub mod http;
pub mod knowledge;
pub mod pipeline;
pub mod platforms;
pub mod providers;
pub mod reload;
#[cfg(feature = "chaos-tests")]
mod sabotage;
mod shutdown;
pub mod simulate;
pub mod store;
pub mod supervise;
pub mod telemetry;
mod upkeep;

/// Settings of a property test: `cases` inputs, or as many as `PROPTEST_CASES` says for a longer run by hand.
#[cfg(test)]
fn properties(cases: u32) -> proptest::prelude::ProptestConfig {
    let config = proptest::prelude::ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => proptest::prelude::ProptestConfig { cases, ..config },
    }
}
