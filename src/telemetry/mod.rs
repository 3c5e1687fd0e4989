//! What the outside learns about this process: log lines and numbers.

pub mod logs;
pub mod metrics;
