//! Cuts a reply to its platform's limits: bytes, graphemes, code fences, the platform's markup. Pure.

use crate::directory::PlatformEntry;

/// The parts of a reply, in order, each within the platform's limit and none of them empty.
pub fn parts(text: &str, platform: Option<&PlatformEntry>) -> Vec<String> {
    let limit = platform.map_or(usize::MAX, |entry| entry.kind.limits.max_bytes);
    cut(text, limit)
}

/// Two smaller pieces of a part that turned out too large after all; `None` when it cannot be cut.
pub fn halves(text: &str) -> Option<Vec<String>> {
    let pieces = cut(text, text.len() / 2 + 1);
    (pieces.len() > 1).then_some(pieces)
}

fn cut(text: &str, limit: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > limit {
        let end = (1..=limit).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece.to_owned());
        rest = after;
    }
    pieces.push(rest.to_owned());
    pieces
}
