//! Plain data that every room shares: no I/O, no actors, nothing to restart.

mod conversation_key;
mod deadline;
mod disposition;
mod ids;
mod inbound;
mod reply;
mod usage;

pub use conversation_key::ConversationKey;
pub use deadline::Deadline;
pub use disposition::Disposition;
pub use ids::{Family, InstanceId, MessageId};
pub use inbound::{ChatKind, Inbound, InboundKind, Lane, Part, Sender};
pub use reply::{Mark, ReplyText, Source};
pub use usage::Usage;
