//! The last look at what leaves the process: a secret of the configuration in a log line or an answer is taken out, and
//! counted. Types keep secrets out before it comes to that; what is found here is a bug, or text that somebody wrote.

use crate::config::{MASK, Secret};
use aho_corasick::{AhoCorasick, MatchKind};
use arc_swap::ArcSwapOption;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Shorter secrets are not looked for, nor those of small letters alone: they may be words.
const SHORTEST: usize = 12;

/// Every secret that this process has been told of; one that was replaced is still one.
static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static FINDER: LazyLock<ArcSwapOption<AhoCorasick>> = LazyLock::new(ArcSwapOption::empty);
static FOUND: AtomicU64 = AtomicU64::new(0);

/// Looks for these secrets from now on, beside those before.
pub fn watch<'a>(secrets: impl IntoIterator<Item = &'a Secret>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(secrets.into_iter().map(Secret::expose).filter(|secret| !may_be_a_word(secret)).map(str::to_owned));
    // The longest: of a secret that begins with another one, nothing may stay.
    match AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(known.iter()) {
        Ok(finder) => FINDER.store(Some(Arc::new(finder))),
        Err(error) => tracing::warn!(%error, "secrets are not looked for in what leaves"),
    }
}

fn may_be_a_word(secret: &str) -> bool {
    secret.len() < SHORTEST || secret.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// The text without the secrets that are in it, each counted; `None` when there are none.
pub fn without_secrets(text: &[u8]) -> Option<Vec<u8>> {
    let finder = FINDER.load();
    let finder = finder.as_ref().filter(|finder| finder.is_match(text))?;
    let mut clean = Vec::with_capacity(text.len());
    finder.replace_all_with_bytes(text, &mut clean, |_, _, clean| {
        FOUND.fetch_add(1, Ordering::Relaxed);
        clean.extend_from_slice(MASK.as_bytes());
        true
    });
    Some(clean)
}

/// How often a secret has been found.
pub fn found() -> u64 {
    FOUND.load(Ordering::Relaxed)
}

/// Writes whole lines, without the secrets in them.
pub struct Clean<W>(pub W);

impl<W: Write> Write for Clean<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match without_secrets(line) {
            Some(clean) => self.0.write_all(&clean)?,
            None => self.0.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_line_is_taken_out_and_counted_and_a_word_is_not_one() {
        let words = ["password", "conversation", ""].map(Secret::new);
        watch(words.iter().chain([&Secret::new("sk-canary-leaks-1")]));
        watch(&[Secret::new("sk-canary-leaks-2")]);
        let before = found();
        let mut lines = Vec::new();
        let mut log = Clean(&mut lines);
        log.write_all(b"the conversation's password is sk-canary-leaks-1, or sk-canary-leaks-2\n").unwrap();
        log.write_all(b"nothing here: sk-canary-leaks\n").unwrap();
        assert_eq!(lines, b"the conversation's password is ***, or ***\nnothing here: sk-canary-leaks\n");
        assert_eq!(found() - before, 2);
        assert_eq!(without_secrets("中文 sk-canary-leaks-1 中文".as_bytes()), Some("中文 *** 中文".into()));
        watch(&[Secret::new("sk-canary-leaks-1-and-more")]);
        assert_eq!(without_secrets(b"sk-canary-leaks-1-and-more"), Some("***".into()));
        assert_eq!(without_secrets(b"\xff\xfe"), None);
    }
}
