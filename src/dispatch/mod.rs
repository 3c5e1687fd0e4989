//! From the inbox to a turn, and from the outbox to a platform.
//!
//! Dispatcher, conversations and pump hold nothing that the store does not have.

mod conversation;
mod dispatcher;
mod intake;
mod outbox_pump;

pub use conversation::{Conversation, RunTurn, StopTurn, TurnEnd};
pub use dispatcher::{Dispatcher, DispatcherWiring};
pub use intake::Intake;
pub use outbox_pump::{OutboxPump, PumpWiring, rule_by_config};

use std::sync::Arc;
use tokio::sync::Notify;

/// Wakes the dispatcher and the pump. A lost nudge costs one poll of a second.
#[derive(Clone, Default)]
pub struct Nudges {
    pub inbox: Arc<Notify>,
    pub outbox: Arc<Notify>,
}
