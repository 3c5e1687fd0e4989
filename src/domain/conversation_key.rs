//! The one way to name a conversation, so that no two chats ever share a history by accident.

use super::ChatKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who talks with whom, and where: `platform|account|kind|chat|thread`, each part percent-escaped.
///
/// Two keys are equal only when every part is equal, so two bots in one group, or two groups with the
/// same name on two platforms, never mix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConversationKey(String);

impl ConversationKey {
    /// Builds the key of a chat.
    ///
    /// `platform` is the id from the configuration, `account` the bot or application inside it (may be
    /// empty), `chat` the person in a private chat or the group, `thread` a topic within it (may be empty).
    pub fn new(platform: &str, account: &str, kind: ChatKind, chat: &str, thread: &str) -> Self {
        let parts = [platform, account, kind.word(), chat, thread];
        Self(parts.map(escape).join("|"))
    }

    /// Takes a key back from the store, which got it from [`ConversationKey::new`].
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The chat part of the key, as it was given to [`ConversationKey::new`].
    pub fn chat(&self) -> String {
        self.0.split('|').nth(3).map(unescape).unwrap_or_default()
    }
}

impl fmt::Display for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn escape(part: &str) -> String {
    part.replace('%', "%25").replace('|', "%7C")
}

fn unescape(part: &str) -> String {
    part.replace("%7C", "|").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_chats_share_a_key(a in proptest::array::uniform4(".{0,12}"), b in proptest::array::uniform4(".{0,12}")) {
            let key = |p: &[String; 4]| ConversationKey::new(&p[0], &p[1], ChatKind::Private, &p[2], &p[3]);
            prop_assert_eq!(key(&a) == key(&b), a == b);
            prop_assert_eq!(key(&a).chat(), a[2].clone());
        }
    }
}
