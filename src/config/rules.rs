//! What the rules in `validate` are made of, and the list of those found broken. Pure.

use super::problem::{did_you_mean, listed};
use std::fmt::Display;
use std::ops::RangeBounds;

/// Kinds and stores of the documented format that this version may not have.
const LATER_KINDS: [&str; 7] = ["dingtalk", "wecom-bot", "wecom-kf", "dify", "coze", "langchain", "chroma"];

/// A broken rule.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    /// Steps with dots between them, entries by position: `providers.0.weight`.
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
}

/// The rules, and those found broken.
#[derive(Default)]
pub(super) struct Rules {
    pub broken: Vec<Finding>,
}

impl Rules {
    /// Adds a finding.
    pub fn say(&mut self, path: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        self.broken.push(Finding { path: path.into(), message: message.into(), hint });
    }

    /// Says `message` unless `holds`.
    pub fn must(&mut self, holds: bool, path: impl Into<String>, message: &str, hint: &str) {
        if !holds {
            self.say(path, message, Some(hint.to_owned()));
        }
    }

    /// Says `must be <words>` of a value outside `range`.
    pub fn within<T: PartialOrd>(
        &mut self,
        value: T,
        range: impl RangeBounds<T>,
        path: impl Into<String>,
        words: &str,
    ) {
        if !range.contains(&value) {
            self.say(path, format!("must be {words}"), None);
        }
    }

    /// As [`Rules::within`], for a value that need not be given.
    pub fn maybe_within<T: PartialOrd>(
        &mut self,
        value: Option<T>,
        range: impl RangeBounds<T>,
        path: impl Into<String>,
        words: &str,
    ) {
        if let Some(value) = value {
            self.within(value, range, path, words);
        }
    }

    /// Ids are present, well formed and unique within their section.
    pub fn ids<'a>(&mut self, section: &str, ids: impl Iterator<Item = &'a str>) {
        let mut seen: Vec<&str> = Vec::new();
        for (index, id) in ids.enumerate() {
            let path = format!("{section}.{index}.id");
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            if id.is_empty() {
                self.say(path, "must be given", Some("add id = \"…\", a name of your choice".to_owned()));
            } else if id.len() > 64 || !id.chars().all(allowed) {
                self.say(path, "not an id", Some("use 1 to 64 letters, digits, `-` and `_`".to_owned()));
            } else if seen.contains(&id) {
                self.say(path, format!("another entry of `{section}` has the same id"), None);
            }
            seen.push(id);
        }
    }

    /// Says that a word is none of the known ones.
    pub fn word<'a>(&mut self, path: &str, word: &str, what: &str, known: impl Iterator<Item = &'a str> + Clone) {
        let all = format!("one of {}", listed(known.clone()));
        let (message, hint) = match word {
            "" => ("must be given".to_owned(), all),
            later if LATER_KINDS.contains(&later) => (format!("this {what} is not supported by this version yet"), all),
            other => (format!("unknown {what}"), did_you_mean(other, known).unwrap_or(all)),
        };
        self.say(path, message, Some(hint));
    }

    /// Says that an id is missing, or names nothing. While an entry has no id of its own, nobody can tell.
    pub fn refers<'a>(
        &mut self,
        path: &str,
        id: &str,
        what: impl Display,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        if !id.is_empty() && known.clone().any(|other| other == id || other.is_empty()) {
            return;
        }
        let hint = did_you_mean(id, known.clone()).unwrap_or_else(|| format!("there are {}", listed(known)));
        let message = if id.is_empty() { "must be given".to_owned() } else { format!("there is no such {what}") };
        self.say(path, message, Some(hint));
    }
}
