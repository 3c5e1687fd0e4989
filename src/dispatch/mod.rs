//! From the inbox to a turn, and from the outbox to a platform.
//!
//! Dispatcher, conversations and pump hold nothing that the store does not have.

mod conversation;
mod dispatcher;
mod intake;
mod office;
mod outbox_pump;

pub use conversation::{Conversation, RunTurn, TurnEnd};
pub use dispatcher::{Dispatcher, DispatcherWiring};
pub use intake::Intake;
pub use office::Office;
pub use outbox_pump::{OutboxPump, PumpWiring, rule_by_config};

use crate::supervise::Card;
use std::sync::Arc;
use tokio::sync::Notify;

/// The cards of this room's actors, for `actors.md`.
pub static CARDS: &[&Card] = &[&dispatcher::CARD, &conversation::CARD, &outbox_pump::CARD];

/// Wakes the dispatcher and the pump. A lost nudge costs one poll of a second.
#[derive(Clone, Default)]
pub struct Nudges {
    pub inbox: Arc<Notify>,
    pub outbox: Arc<Notify>,
}
