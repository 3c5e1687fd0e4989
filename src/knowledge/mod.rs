//! The company's documents: looking passages up, and taking documents in.

use crate::domain::Deadline;
use crate::supervise::CallError;
use actix::Message;

/// A piece of a document that may answer a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The document's path or name, as people know it.
    pub document: String,
    pub title: String,
    /// Headings above the passage, joined with ` › `.
    pub heading: String,
    pub text: String,
    /// Greater is better; comparable within one search only.
    pub score: f64,
    /// Whether the retriever believes that this passage answers the question, rather than merely sharing words.
    pub fits: bool,
}

/// Finds passages for a question, best first, at most `k`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Passage>, KnowledgeError>")]
pub struct Search {
    /// Knowledge ids to search; all of them are searched as one.
    pub knowledge: Vec<String>,
    pub query: String,
    pub k: usize,
    pub deadline: Deadline,
}

/// Why nothing could be looked up or taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    #[error("no knowledge `{0}`")]
    Unknown(String),
    #[error("document: {0}")]
    Unreadable(String),
    #[error("store: {0}")]
    Store(String),
    #[error(transparent)]
    Call(#[from] CallError),
}
