//! The run's clock: the wall clock at start, moved on by the monotonic one, so that a jump of the wall
//! clock runs nothing twice and strands nothing.

use std::time::Instant;

/// Milliseconds that start near Unix time and only move forward.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    started: Instant,
    wall_ms: i64,
}

impl RunClock {
    pub fn start() -> Self {
        Self { started: Instant::now(), wall_ms: jiff::Timestamp::now().as_millisecond() }
    }

    pub fn now(&self) -> i64 {
        self.wall_ms.saturating_add(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
