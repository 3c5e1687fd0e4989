//! The moment after which an answer is of no use to anyone.

use std::time::Duration;
use tokio::time::Instant;

/// A point on the process's own clock, carried by every message that waits for the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `within` from now.
    pub fn after(within: Duration) -> Self {
        Self(Instant::now() + within)
    }

    /// The time left, zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// The earlier of this deadline and `within` from now.
    pub fn at_most(self, within: Duration) -> Self {
        self.min(Self::after(within))
    }
}
