//! Chat platforms: the table of kinds, and the messages that every adapter answers.
//!
//! A new platform is one file that ends in its `KIND`, and one line in [`KINDS`].

#[cfg(test)]
mod testing;
pub mod web;
pub mod wecom;
mod wecom_api;
mod wecom_callback;
mod wecom_codes;
pub mod wecom_crypto;
mod wecom_inbound;
mod wecom_token;

use crate::config;
use crate::domain::{Deadline, Disposition, Inbound, Mark, Source};
use crate::supervise::{CallError, Card, ChildSpec, Port};
use actix::Message;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What a platform can show, as data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest part in UTF-8 bytes.
    pub max_bytes: usize,
    /// Whether the adapter takes [`Preview`], and how many a second; 0 is never.
    pub previews_per_second: u32,
    /// Sends a minute that the platform allows us; 0 is no limit.
    pub sends_per_minute: u32,
}

/// The markup that a platform shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Whole Markdown.
    Markdown,
    /// Text only: markup is turned into readable text.
    Plain,
    /// The few marks that WeCom's `markdown` messages know.
    WeCom,
}

/// What the pump does with a part of which nobody knows whether it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownRule {
    /// Once more, flagged as a possible repeat so that the platform can drop it.
    RepeatOnceFlagged,
    /// Once more: showing the same part twice is impossible, because the reader merges by its id.
    SameKey,
    /// Shown as `unknown`; a person decides.
    Ask,
}

/// One webhook call as it came in. `query` is the raw query string; `now` is Unix seconds.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub is_get: bool,
    pub query: &'a str,
    pub body: &'a [u8],
    pub now: i64,
}

/// A verified webhook call: what to store, and what to answer once it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub events: Vec<Inbound>,
    /// Body of the 200, `text/plain`; empty for most.
    pub ack: String,
}

/// Why a webhook call was not taken. Nothing of it is shown to the caller but the status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A parameter is missing or unreadable: 400.
    #[error("{0}")]
    Malformed(&'static str),
    /// Wrong signature, wrong receiver, or bytes that do not decrypt: 403.
    #[error("{0}")]
    Forged(&'static str),
    /// Well signed, but this many seconds away from our clock (positive: from the future): 403, and `/readyz` shows the skew.
    #[error("timestamp is {0} s away from this machine's clock")]
    Stale(i64),
}

/// Verifies and decodes webhook calls. Pure and synchronous; any bytes give a value, never a panic.
pub trait Ingress: Send + Sync {
    fn open(&self, call: Call<'_>) -> Result<Opened, Rejection>;
}

/// One reply part on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct OutPart {
    /// Row id in the outbox; the same on every attempt.
    pub id: i64,
    /// The message that this answers, and which part of the reply this is, from 0.
    pub message: i64,
    pub part: u32,
    pub conversation: String,
    pub reply_route: serde_json::Value,
    pub text: String,
    pub mark: Option<Mark>,
    pub degraded: bool,
    pub sources: Vec<Source>,
    /// True when an earlier attempt may have arrived: the adapter flags the repeat where the platform knows how.
    pub may_repeat: bool,
    /// How long ago the part was first tried.
    pub age: Duration,
    /// Unix milliseconds at which the reply was committed.
    pub at_ms: i64,
}

/// Raised by an adapter in the statement before its request leaves, so that a crash before it is known to have sent
/// nothing. Once the pump has withdrawn a call, an adapter that wakes up late can send nothing either.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<AtomicU8>);

const IDLE: u8 = 0;
const RAISED: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Begun {
    /// Answers false when the call has been withdrawn: then nothing may leave.
    pub fn raise(&self) -> bool {
        self.0.fetch_max(RAISED, Ordering::AcqRel) != WITHDRAWN
    }

    /// The platform has refused the request: nothing is under way.
    pub fn lower(&self) {
        // A withdrawn call stays withdrawn.
        let _ = self.0.compare_exchange(RAISED, IDLE, Ordering::AcqRel, Ordering::Acquire);
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) == RAISED
    }

    /// Gives the call up. Answers whether a request may have left by then; if not, none ever will.
    pub fn withdraw(&self) -> bool {
        self.0.swap(WITHDRAWN, Ordering::AcqRel) == RAISED
    }
}

/// Hands one part to the platform. `Ok` means the platform acknowledged it, not that bytes were written.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Delivered, PlatformError>")]
pub struct Deliver {
    pub part: OutPart,
    pub deadline: Deadline,
    pub begun: Begun,
}

/// The platform's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// The platform's id of the sent message, where it gives one.
    pub platform_id: String,
    /// Calls made to the platform for this part, token refreshes not counted.
    pub calls: u32,
}

/// Shows unfinished text where the platform can edit. Lossy: the newest text wins, an answer is not waited for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Preview {
    pub conversation: String,
    pub message: i64,
    /// The whole text so far, or a word about the turn's state.
    pub state: PreviewState,
}

/// What a preview says.
#[derive(Debug, Clone, PartialEq)]
pub enum PreviewState {
    /// The turn has started.
    Working,
    /// The whole text so far.
    Text(Arc<str>),
    /// The turn ended without a reply of its own (given back, cancelled).
    Gone,
}

/// Why a part was not delivered, named for what the pump does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// The platform is busy, or refused for reasons that may pass: again later, a few times. Nothing was delivered.
    #[error("{reason}")]
    Later { after: Duration, reason: String },
    /// The platform cannot be reached, or is down: again later, for as long as `pipeline.give_up_after` allows. Nothing
    /// was delivered.
    #[error("{reason}")]
    Away { after: Duration, reason: String },
    /// The platform asked for patience: again later, and every other part to it waits as well. Nothing was delivered.
    #[error("{reason}")]
    RateLimited { after: Duration, reason: String },
    /// This part can never be delivered (recipient gone, content refused).
    #[error("{0}")]
    Rejected(String),
    /// The part is too large for the platform after all: cut it smaller.
    #[error("{0}")]
    TooLong(String),
    /// The configuration is at fault (secret, permission, trusted address): an operator must act.
    #[error("{0}")]
    Misconfigured(String),
    /// The request left and no answer came: nobody knows.
    #[error("{0}")]
    Unknown(String),
    /// The call did not end as calls do.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl PlatformError {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Later { after, .. } | Self::Away { after, .. } | Self::RateLimited { after, .. } => {
                Disposition::RetryAfter(*after)
            }
            Self::Rejected(_) | Self::TooLong(_) => Disposition::GiveUp,
            Self::Misconfigured(_) => Disposition::Report,
            Self::Unknown(_) => Disposition::GiveUp,
            Self::Call(error) => error.disposition(),
        }
    }
}

/// One kind of platform: the word in the configuration, what it can do, and how to make one.
pub struct Kind {
    pub name: &'static str,
    /// The row of its actor in `actors.md`.
    pub card: &'static Card,
    pub limits: Limits,
    /// What happens to a part whose fate is unknown.
    pub unknown: UnknownRule,
    /// Reads a section for what a struct cannot say: missing credentials, impossible combinations. `(key, message)` each.
    pub check: fn(&config::Platform) -> Vec<(&'static str, String)>,
    /// The credential without which `enabled = "auto"` means off.
    pub credential: fn(&config::Platform) -> Option<&config::Secret>,
    /// Builds the webhook side; `None` for a kind without one. `skew` is the accepted clock difference.
    pub ingress: fn(&config::Platform, skew: Duration) -> Option<Arc<dyn Ingress>>,
    /// The markup that this section's readers are shown.
    pub dialect: fn(&config::Platform) -> Dialect,
    /// Describes the adapter as a supervised child that fills `ports`.
    pub spec: fn(&Wiring, &Arc<config::Platform>, &Ports) -> ChildSpec,
    /// Asks the platform whether the credentials work; `None` for a kind that reaches nothing outside.
    pub probe: Option<fn(&Arc<config::Platform>) -> Probe>,
}

/// What a probe found, or what is wrong, in words for an operator.
pub type Probe = LocalBoxFuture<'static, Result<String, String>>;

/// What adapters may reach.
#[derive(Clone, Default)]
pub struct Wiring {
    pub hub: web::LiveHub,
}

/// The ways to one adapter. A kind that cannot edit leaves `preview` unfilled.
#[derive(Clone)]
pub struct Ports {
    pub deliver: Port<Deliver>,
    pub preview: Port<Preview>,
}

impl Ports {
    /// Ports for a section; `concurrency` bounds its deliveries.
    pub fn of(section: &config::Platform) -> Self {
        let concurrency = section.concurrency.unwrap_or(64);
        Self { deliver: Port::new("Deliver", concurrency), preview: Port::new("Preview", 256) }
    }
}

/// Every kind that a `[[platforms]]` section can name.
pub static KINDS: &[&Kind] = &[&web::KIND, &wecom::KIND];

/// Finds a kind by the word in the configuration.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}
