//! Names of things: actors by family and id, messages by their place in the inbox.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A family of supervised actors; the first half of an [`InstanceId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    Root,
    Supervisor,
    Core,
    Platform,
    Provider,
    Knowledge,
    Conversation,
}

impl Family {
    /// The word used in paths, logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Supervisor => "supervisor",
            Self::Core => "core",
            Self::Platform => "platform",
            Self::Provider => "provider",
            Self::Knowledge => "knowledge",
            Self::Conversation => "conversation",
        }
    }
}

/// The path of one actor, `family/id`: the same string in logs, metrics, the API and `actors.md`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// Builds `family/id`; the root of the tree has no id and is plain `root`.
    pub fn new(family: Family, id: &str) -> Self {
        match family {
            Family::Root => Self(Arc::from(family.word())),
            _ => Self(Arc::from(format!("{}/{id}", family.word()))),
        }
    }

    pub fn root() -> Self {
        Self::new(Family::Root, "")
    }

    pub fn supervisor(id: &str) -> Self {
        Self::new(Family::Supervisor, id)
    }

    pub fn core(id: &str) -> Self {
        Self::new(Family::Core, id)
    }

    pub fn platform(id: &str) -> Self {
        Self::new(Family::Platform, id)
    }

    pub fn provider(id: &str) -> Self {
        Self::new(Family::Provider, id)
    }

    pub fn knowledge(id: &str) -> Self {
        Self::new(Family::Knowledge, id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message's place in the inbox: later messages have greater ids, and an id is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for MessageId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
