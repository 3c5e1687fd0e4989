//! What goes back to a person.

use serde::{Deserialize, Serialize};

/// Why a reply is not an ordinary, complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// The person stopped it; the text is what had arrived.
    Stopped,
    /// No answer could be produced; the text says so.
    Failed,
    /// The message was not taken; the text says why.
    Refused,
    /// A word on the side (busy, still working): an answer follows or nothing is owed.
    Notice,
}

/// A passage that an answer quotes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The number that the text cites, from 1.
    pub n: usize,
    pub document: String,
    pub title: String,
    pub heading: String,
    pub text: String,
}

/// A whole reply before it is cut to a platform's limits. The text is Markdown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReplyText {
    pub text: String,
    pub mark: Option<Mark>,
    pub sources: Vec<Source>,
    /// True when a part of the usual help was missing, such as the knowledge base.
    pub degraded: bool,
}
