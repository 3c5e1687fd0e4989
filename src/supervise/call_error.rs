//! How a call to an actor can end without an answer.

use crate::domain::Disposition;
use std::time::Duration;

/// A call that got no answer. `Busy` and `Down` mean *it did not happen*; `Died` and `TimedOut` mean *nobody knows*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Every permit was taken until the deadline: never sent.
    #[error("busy: every slot is taken")]
    Busy,
    /// The actor is not running: never sent.
    #[error("down: it is not running")]
    Down,
    /// The actor ended while the call was in it.
    #[error("died during the call")]
    Died,
    /// No answer within the deadline.
    #[error("timed out")]
    TimedOut,
}

impl CallError {
    /// Whether the call certainly had no effect, so that repeating it elsewhere is safe.
    pub const fn did_not_happen(self) -> bool {
        matches!(self, Self::Busy | Self::Down)
    }

    pub const fn disposition(self) -> Disposition {
        match self {
            Self::Busy => Disposition::RetryAfter(Duration::from_millis(200)),
            Self::Down | Self::Died | Self::TimedOut => Disposition::FailOver,
        }
    }
}
