//! A message or event as a platform handed it over, in the shape that all platforms share.

use super::ConversationKey;
use serde::{Deserialize, Serialize};

/// Whether one person or a group talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    Private,
    Group,
}

impl ChatKind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Group => "group",
        }
    }
}

/// What kind of thing arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboundKind {
    /// A person wrote something; it gets an answer.
    Message,
    /// A person pressed a card's or a menu's button; the event key stands in `text`.
    CardAction,
    /// Something happened that needs no answer. It is kept, traced as ignored, and ends there.
    Event,
}

/// The queue a row waits in. Control rows overtake the turn that they are meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Normal,
    Control,
}

impl Lane {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Control => "control",
        }
    }
}

/// The person who wrote, by the platform's own id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sender {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One piece of a message, in the order in which the person sent them. Media are held by reference, never inline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    Text { text: String },
    Image { reference: String, url: Option<String> },
    Voice { reference: String, format: Option<String>, transcript: Option<String> },
    Video { reference: String, thumbnail: Option<String> },
    File { reference: String, name: Option<String> },
    Location { latitude: f64, longitude: f64, label: Option<String> },
    Link { title: String, url: String, description: Option<String>, image_url: Option<String> },
    Unsupported { name: String },
}

/// One message or event from a platform, verified and decoded, not yet stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// The platform's id from the configuration.
    pub platform: String,
    /// Unique per platform; the store folds a repeat into the first. At most 512 bytes, longer ones are hashed.
    pub external_id: String,
    pub conversation: ConversationKey,
    pub chat: ChatKind,
    pub sender: Sender,
    pub kind: InboundKind,
    /// The person's words, trimmed, without the mention of the bot. Empty for pictures and the like.
    pub text: String,
    pub parts: Vec<Part>,
    /// The platform's own time of sending in Unix milliseconds; shown, never used for order.
    pub sent_at_ms: i64,
    /// The assistant that is asked for by name, past the routes; `None` nearly always.
    pub assistant: Option<String>,
    /// What the adapter needs to answer: opaque to everyone else.
    pub reply_route: serde_json::Value,
}
