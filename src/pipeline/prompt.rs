//! What the model is told: the assistant's instructions, passages, and as much of the past as fits.

use super::{Flow, Turn, Wiring, retrieve};
use crate::domain::Mark;
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
    Flow::Next
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
