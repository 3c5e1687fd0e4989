//! Sources of answers: the table of kinds, and the messages that every provider answers.
//!
//! A new provider is one file that ends in its `KIND`, and one line in [`KINDS`].

mod breaker;
mod holdback;
mod local;
pub mod manager;
pub mod openai;
mod openai_client;
mod openai_error;
mod openai_wire;
pub(crate) mod sse;
pub mod tokens;

use crate::config;
use crate::domain::{Deadline, Disposition, Usage};
use crate::knowledge::Passage;
use crate::supervise::{CallError, Card, ChildSpec, Port};
use actix::Message;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Who said a line of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One line of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub role: Role,
    pub text: String,
}

/// What a model is asked: instructions, passages from documents, and the conversation, oldest line first.
/// The last line is the person's question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    pub system: String,
    pub lines: Vec<Line>,
    pub passages: Vec<Passage>,
    pub temperature: Option<f64>,
    /// A model name to use instead of the provider's default.
    pub model: Option<String>,
    /// For the upstream's `user` field: a stable pseudonym, never a name.
    pub user: String,
}

/// A piece of text, in order.
pub type Delta = Box<str>;

/// Asks for one reply.
///
/// Text arrives on `deltas` while the call runs; the answer is the bill. Closing the receiving end
/// cancels the call, and the upstream socket is closed within a second. Fails with what the caller can
/// act on, never with text. Obeys `deadline`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Usage, ProviderError>")]
pub struct Complete {
    pub prompt: Arc<Prompt>,
    pub deadline: Deadline,
    pub deltas: mpsc::Sender<Delta>,
}

/// Why there is no (whole) reply, named for what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Too fast: the upstream named this wait, or we chose one.
    #[error("rate limited: {reason}")]
    RateLimited { after: Duration, reason: String },
    /// The upstream is unwell (5xx, unreachable, timed out before any byte); another attempt may succeed.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// Key, quota, permission or model name are wrong: nothing but a person helps. Another provider may answer.
    #[error("misconfigured: {0}")]
    Misconfigured(String),
    /// The prompt does not fit the model: cut the history and ask once more.
    #[error("prompt too long: {0}")]
    TooLong(String),
    /// The upstream refuses this content, or calls the request wrong. The same request fails again.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The stream broke off, or fell silent, after this many characters had come.
    #[error("cut after {shown} characters: {reason}")]
    Cut { shown: usize, reason: String },
    /// The upstream's bytes make no sense.
    #[error("garbage: {0}")]
    Garbage(String),
    /// The receiving end was closed.
    #[error("cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// Our own code panicked in this call; the call alone is lost.
    #[error("bug: {0}")]
    Bug(String),
    /// No provider of the assistant is switched on.
    #[error("no provider is available: {0}")]
    NoneAvailable(String),
    /// The call did not end as calls do.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ProviderError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::RateLimited { after, .. } => Disposition::RetryAfter(*after),
            Self::Unavailable(_) | Self::Cut { .. } | Self::Garbage(_) | Self::NoneAvailable(_) => {
                Disposition::FailOver
            }
            Self::Misconfigured(_) => Disposition::FailOver,
            Self::TooLong(_) | Self::Rejected(_) | Self::Cancelled | Self::TimedOut(_) => Disposition::GiveUp,
            Self::Bug(_) => Disposition::Report,
            Self::Call(error) => error.disposition(),
        }
    }
}

/// One kind of provider: the word in the configuration, and how to make one.
pub struct Kind {
    pub name: &'static str,
    /// The row of its actor in `actors.md`.
    pub card: &'static Card,
    /// Reads a section for what a struct cannot say. `(key, message)` each.
    pub check: fn(&config::Provider) -> Vec<(&'static str, String)>,
    /// The credential without which `enabled = "auto"` means off.
    pub credential: fn(&config::Provider) -> Option<&config::Secret>,
    /// Describes the provider as a supervised child that fills `complete`.
    pub spec: fn(&Arc<config::Provider>, complete: &Port<Complete>) -> ChildSpec,
    /// Asks the service whether the credentials work; `None` for a kind that reaches nothing outside.
    pub probe: Option<fn(&Arc<config::Provider>) -> Probe>,
}

/// What a probe found, or what is wrong, in words for an operator.
pub type Probe = LocalBoxFuture<'static, Result<String, String>>;

/// Every kind that a `[[providers]]` section can name.
pub static KINDS: &[&Kind] = &[&openai::KIND, &local::KIND];

/// Finds a kind by the word in the configuration.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}
