//! Is there something to answer? Too long, empty, or of a kind that nobody here understands is said at once.

use super::{Flow, Turn};
use crate::domain::{Mark, Part};
use serde_json::json;

/// The word that asks for another answer to the last question.
pub const RETRY: &str = "/retry";

pub fn run(turn: &mut Turn) -> Flow {
    let limit = turn.config.pipeline.max_input_chars;
    let chars = turn.question.chars().count();
    let replies = &turn.config.pipeline.replies;
    if chars > limit {
        let reply = turn.say(&replies.too_long, Mark::Refused);
        turn.note("too long", json!({ "chars": chars, "limit": limit }));
        return Flow::Answer(reply);
    }
    turn.is_retry = turn.question.trim() == RETRY;
    if !turn.question.trim().is_empty() {
        return Flow::Next;
    }
    let reply = turn.say(&replies.unsupported, Mark::Refused);
    let kinds: Vec<_> = turn.claim.rows().flat_map(|row| row.parts.iter().map(part_name)).collect();
    turn.note("unsupported", json!({ "parts": kinds }));
    Flow::Answer(reply)
}

fn part_name(part: &Part) -> &str {
    match part {
        Part::Text { .. } => "text",
        Part::Image { .. } => "image",
        Part::Voice { .. } => "voice",
        Part::Video { .. } => "video",
        Part::File { .. } => "file",
        Part::Location { .. } => "location",
        Part::Link { .. } => "link",
        Part::Unsupported { name } => name,
    }
}
