//! The configuration room: what an operator can set, and how a file becomes a checked [`Config`].
//!
//! `settings` and `entries` hold the documented structs; their doc comments *are* `docs/configuration.md`.
//! `load` runs the way from text to `Config`: `tree` (TOML with places) → `interpolate` → `overrides` →
//! `de` (structs) → `resolve` and `validate`. `diff` plans a reload, `mask` hides secrets in a text, `problem` prints errors.
//! Everything here is a pure function; a restart loses nothing.

mod de;
pub mod diff;
pub mod docs;
mod entries;
#[cfg(test)]
mod fixtures;
mod interpolate;
mod load;
mod mask;
mod overrides;
mod problem;
mod resolve;
mod rules;
pub mod secret;
mod settings;
mod tree;
mod units;
mod validate;
mod words;

pub use entries::{Access, Assistant, Enabled, Knowledge, Platform, Provider, ReplyFormat, Route, RouteMatch};
pub use load::{Env, Loaded, ReadFile, Source, environment, load, read_secret_file};
pub use mask::{MASK, masked_text};
pub use problem::{Problem, report};
pub use secret::Secret;
use serde::Deserialize;
pub use settings::{LogFormat, Pipeline, Replies, Security, Server, Storage, Telemetry, Words};
use std::sync::Arc;
pub use validate::{KindRule, Kinds};
pub use words::is_chinese;

/// Everything in one `config.toml`, after interpolation, overrides and `_file` secrets.
///
/// [`load`] also resolves relative paths against the file's folder, and every `enabled = "auto"` to on or off.
/// The `Default` is the empty configuration; what a start without a file runs is [`Source::embedded`].
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(default)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub security: Security,
    pub pipeline: Pipeline,
    pub telemetry: Telemetry,
    pub platforms: Vec<Platform>,
    pub providers: Vec<Provider>,
    /// Shared, because every turn holds its own.
    pub assistants: Vec<Arc<Assistant>>,
    pub routes: Vec<Route>,
    pub knowledge: Vec<Knowledge>,
}

impl Config {
    /// Lists the platforms that run, in the order of the file.
    pub fn active_platforms(&self) -> impl Iterator<Item = &Platform> {
        self.platforms.iter().filter(|platform| platform.enabled.is_on())
    }

    /// Lists the providers that run, in the order of the file.
    pub fn active_providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.iter().filter(|provider| provider.enabled.is_on())
    }
}
