//! What the model is told: the assistant's instructions, passages, and as much of the past as fits.

use super::{Flow, Turn, Wiring, retrieve};
use crate::domain::Mark;
use crate::providers::tokens::{TooLarge, Window};
use crate::providers::{Line, Prompt, Role};
use crate::store::history::{Exchange, recall};
use serde_json::json;
use std::sync::Arc;

pub async fn run(turn: &mut Turn, wiring: &Wiring) -> Flow {
    let Some(assistant) = turn.assistant.clone() else { return Flow::Next };
    let mut past = match remembered(turn, wiring, assistant.memory).await {
        Ok(past) => past,
        Err(problem) => {
            turn.degraded = true;
            turn.note("recalled", json!({ "problem": problem, "degraded": true }));
            Vec::new()
        }
    };
    if turn.is_retry {
        let Some(last) = past.pop() else {
            return Flow::Answer(turn.say(&turn.config.pipeline.replies.unsupported, Mark::Refused));
        };
        turn.question = last.question;
        if !assistant.knowledge.is_empty() {
            let question = turn.question.clone();
            retrieve::look_up(turn, wiring, assistant.knowledge.clone(), question).await;
        }
    }
    let window = window(turn, &assistant.providers);
    let mut lines: Vec<Line> = past.into_iter().flat_map(both_sides).collect();
    lines.push(Line { role: Role::User, text: turn.question.clone() });
    turn.prompt = Arc::new(Prompt {
        system: assistant.system_prompt,
        lines,
        passages: turn.passages.clone(),
        temperature: assistant.temperature,
        model: None,
        user: pseudonym(&turn.claim.head.sender),
    });
    match window {
        Some(window) => fit(turn, &window).await,
        None => Flow::Next,
    }
}

/// The window of the provider that is asked first.
fn window(turn: &Turn, candidates: &[String]) -> Option<Window> {
    let section = |id: &String| turn.config.active_providers().find(|section| section.id == *id);
    candidates.iter().find_map(section).and_then(Window::of)
}

/// Leaves out what does not fit the model, and says so.
async fn fit(turn: &mut Turn, window: &Window) -> Flow {
    match window.fit(&mut turn.prompt).await {
        Ok(fit) => {
            turn.note(
                "recalled",
                json!({
                    "exchanges": fit.exchanges, "left_out": fit.left_out, "passages_left_out": fit.passages_left_out,
                    "tokens": fit.tokens, "counted": fit.is_counted, "budget": window.budget, "model": window.model,
                }),
            );
            Flow::Next
        }
        Err(TooLarge { tokens, budget }) => {
            turn.note("too long", json!({ "tokens": tokens, "budget": budget, "model": window.model }));
            Flow::Answer(turn.say(&turn.config.pipeline.replies.too_long, Mark::Refused))
        }
    }
}

async fn remembered(turn: &Turn, wiring: &Wiring, memory: usize) -> Result<Vec<Exchange>, String> {
    if memory == 0 && !turn.is_retry {
        return Ok(Vec::new());
    }
    let conversation = turn.conversation().to_owned();
    let limit = memory.max(usize::from(turn.is_retry));
    wiring.store.read(move |conn| recall(conn, &conversation, limit)).await.map_err(|error| error.to_string())
}

fn both_sides(exchange: Exchange) -> [Line; 2] {
    [Line { role: Role::User, text: exchange.question }, Line { role: Role::Assistant, text: exchange.answer }]
}

/// A stable stand-in for a person's id, so that the upstream can tell people apart without knowing them.
fn pseudonym(sender: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(sender.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
