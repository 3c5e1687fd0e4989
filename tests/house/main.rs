//! Tests of the whole house, one file a behaviour: each is named for what a user would miss.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may fail loudly, and shows what is banned elsewhere"
)]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the bench uses what is not used here")]
mod support;

mod actix_facts;
mod actors_md;
mod architecture;
mod check;
mod commands;
mod crash;
mod drain;
mod faults;
mod faults_organic;
mod ordering;
mod outbox_actions;
mod providers;
mod reload;
mod routes;
mod secrets;
mod start;
mod storage;
mod terminal;
mod third_parties;
mod tls;
mod tokens;
mod webhook;
