//! What a caller does about an error, in the one vocabulary that every family answers in.

use std::time::Duration;

/// The caller's next step after a family's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Try the same thing again, not before this much time has passed.
    RetryAfter(Duration),
    /// Try another candidate; this one will not answer soon.
    FailOver,
    /// Stop: no repetition can succeed. The person is told.
    GiveUp,
    /// Stop, and tell an operator: the configuration or our own code is at fault.
    Report,
}
