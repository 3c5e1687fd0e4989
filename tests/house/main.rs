//! Tests of the whole house, one file a behaviour: each is named for what a user would miss.

#[path = "../support/mod.rs"]
mod support;

mod actix_facts;
mod crash;
mod start;
