//! Sentences for people, in the language they wrote in.

use super::Words;

impl Words {
    /// The Chinese sentence for a text with Chinese characters in it, else the English one.
    pub fn in_language_of(&self, text: &str) -> &str {
        if is_chinese(text) { &self.zh } else { &self.en }
    }

    /// Both sentences, for when nothing tells the language.
    pub fn both(&self) -> String {
        format!("{} {}", self.zh, self.en)
    }
}

/// Whether a text has Chinese characters in it.
pub fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'))
}
