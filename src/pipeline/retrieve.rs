//! Passages from the assistant's documents, within a small budget of its own. Without them the turn goes on, degraded.

use super::{Flow, Turn, Wiring};
use crate::domain::Deadline;
use crate::knowledge::{KnowledgeError, Search};
use serde_json::json;
use std::time::Duration;

/// Looking things up may take this long, and no longer.
const BUDGET: Duration = Duration::from_secs(2);

pub async fn run(turn: &mut Turn, wiring: &Wiring) -> Flow {
    let Some(assistant) = turn.assistant.as_ref().filter(|assistant| !assistant.knowledge.is_empty()) else {
        return Flow::Next;
    };
    if turn.is_retry {
        // The question is the last one's; the prompt stage finds it and comes back here.
        return Flow::Next;
    }
    let question = turn.question.clone();
    let knowledge = assistant.knowledge.clone();
    look_up(turn, wiring, knowledge, question).await;
    Flow::Next
}

/// Fills `turn.passages` for `question`.
pub(super) async fn look_up(turn: &mut Turn, wiring: &Wiring, knowledge: Vec<String>, query: String) {
    let sections = turn.config.knowledge.iter().filter(|section| knowledge.contains(&section.id));
    let k = sections.map(|section| section.top_k).max().unwrap_or(4);
    let search = Search { knowledge, query, k, deadline: turn.deadline.at_most(BUDGET) };
    let within = Deadline::left(search.deadline);
    let found = wiring.retriever.ask(search, within).await.map_err(KnowledgeError::from).and_then(|found| found);
    match found {
        Ok(passages) => {
            let fitting = passages.iter().filter(|passage| passage.fits).count();
            let documents: Vec<_> = passages.iter().map(|passage| &passage.document).collect();
            let detail = json!({ "passages": passages.len(), "fitting": fitting, "documents": documents });
            turn.note("retrieved", detail);
            turn.passages = passages;
        }
        Err(error) => {
            turn.degraded = true;
            turn.note("retrieved", json!({ "problem": error.to_string(), "degraded": true }));
        }
    }
}
