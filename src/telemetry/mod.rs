//! What the outside learns about this process: log lines and numbers.

pub mod leaks;
pub mod logs;
pub mod metrics;
