//! MindBot: a chat gateway that loses nothing it has acknowledged.

pub mod config;
pub mod directory;
pub mod dispatch;
pub mod domain;
pub mod egress;
pub mod knowledge;
pub mod pipeline;
pub mod platforms;
pub mod providers;
#[cfg(feature = "chaos-tests")]
mod sabotage;
pub mod simulate;
pub mod store;
pub mod supervise;
