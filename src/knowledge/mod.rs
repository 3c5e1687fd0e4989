//! The company's documents: looking passages up, and taking documents in.
//!
//! `Embedded` keeps one section in our own database, `Retriever` searches several as one, `Ingester` keeps the
//! sections equal to their files. Everything durable is in the store; a restart loses nothing.

mod chunk;
pub mod embedded;
mod files;
mod fillers;
pub mod ingester;
mod rank;
pub mod retriever;
mod synonyms;
mod terms;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod testing;

pub use crate::store::documents::DocumentState;

use crate::config;
use crate::domain::Deadline;
use crate::store::StoreError;
use crate::store::documents::DocumentRow;
use crate::supervise::{CallError, Card, Port};
use actix::Message;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cards of this room's actors, for `actors.md`.
pub static CARDS: &[&Card] = &[&embedded::CARD, &retriever::CARD, &ingester::CARD];

/// A piece of a document that may answer a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// The document's path or name, as people know it.
    pub document: String,
    pub title: String,
    /// Headings above the passage, joined with ` › `; empty directly below the title.
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

/// Finds passages in one store, best first, at most `k`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Hit>, KnowledgeError>")]
pub struct Lookup {
    pub query: String,
    pub k: usize,
    pub deadline: Deadline,
}

/// A passage found in one store; `passage.fits` is still to be decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub passage: Passage,
    /// How much of what the question asks about the passage covers, 0 to 1.
    pub coverage: f64,
}

/// Takes one document in, in the place of what was known under its path.
///
/// Answers when all of it is durable and can be found. A call that is cut short leaves the document `partial`, with an
/// empty hash, so that it is taken in again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Ingested, KnowledgeError>")]
pub struct Ingest {
    /// The document's name as people know it, unique in its section.
    pub path: String,
    /// Of the content; the same hash means that nothing need be done.
    pub hash: String,
    pub body: Body,
}

/// The content of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Markdown(String),
    Text(String),
    /// Nothing can be read, for this reason; the document is kept as `failed`, so that people see why.
    Unreadable(String),
}

/// What became of a document that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub state: DocumentState,
    pub chunks: usize,
    pub reason: Option<String>,
}

/// Removes a document and its passages. Answers false when there was none.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, KnowledgeError>")]
pub struct Forget {
    pub path: String,
}

/// The documents of one store, by path.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<DocumentRow>, KnowledgeError>")]
pub struct GetDocuments;

/// Why nothing could be looked up or taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    #[error("no knowledge `{0}`")]
    Unknown(String),
    #[error("store: {0}")]
    Store(String),
    /// Our own code panicked in this call; the call alone is lost.
    #[error("bug: {0}")]
    Bug(String),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<StoreError> for KnowledgeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Lookups that may run in one store at once.
const LOOKUPS: usize = 256;

/// The ways to ask one knowledge store.
#[derive(Clone)]
pub struct Ports {
    pub lookup: Port<Lookup>,
    pub ingest: Port<Ingest>,
    pub forget: Port<Forget>,
    pub documents: Port<GetDocuments>,
}

impl Ports {
    /// Makes the ports of one `[[knowledge]]` section, with nothing behind them yet.
    pub fn of(_: &config::Knowledge) -> Self {
        Self {
            lookup: Port::new("Lookup", LOOKUPS),
            // One at a time: two writers of one document would mix their passages.
            ingest: Port::new("Ingest", 1),
            forget: Port::new("Forget", 1),
            documents: Port::new("GetDocuments", 8),
        }
    }
}

/// The knowledge stores that are switched on, by id; replaced whole on reload.
pub type Shelf = Arc<ArcSwap<BTreeMap<String, Ports>>>;
