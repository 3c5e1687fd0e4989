//! The stages of one turn: plain async functions over a [`Turn`], run in the order of one array.
//!
//! Nothing here owns anything durable: a turn that is lost is run again from the inbox.

pub mod format;
mod markup;
mod prompt;
mod reason;
mod retrieve;
mod route;
mod validate;

use crate::config::{Assistant, Config};
use crate::directory::{Directory, PlatformEntry};
use crate::domain::{Deadline, Mark, ReplyText};
use crate::knowledge::{Passage, Search};
use crate::providers::Prompt;
use crate::providers::manager::Ask;
use crate::store::Store;
use crate::store::history::Exchange;
use crate::store::inbox::{Claim, Release};
use crate::store::trace::Step;
use crate::supervise::Port;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Whom the stages may ask.
#[derive(Clone)]
pub struct Wiring {
    pub store: Store,
    pub directory: Directory,
    pub retriever: Port<Search>,
    pub manager: Port<Ask>,
}

/// What a stage decides.
#[derive(Debug)]
pub enum Flow {
    Next,
    /// The turn ends with this reply.
    Answer(ReplyText),
    /// The turn cannot be answered now, or not by us: the rows go back.
    GiveBack(Release),
}

/// How a turn ends.
#[derive(Debug)]
pub enum Outcome {
    Answer { reply: ReplyText, remember: Option<Exchange>, replaces_last: bool },
    GiveBack(Release),
}

/// One turn: the claimed rows, and what the stages have found out so far.
pub struct Turn {
    pub claim: Arc<Claim>,
    pub config: Arc<Config>,
    /// The platform, unless it has been switched off since the message came in.
    pub platform: Option<PlatformEntry>,
    pub deadline: Deadline,
    /// Raised when the person wants no answer any more.
    pub stop: CancellationToken,
    pub question: String,
    pub assistant: Option<Arc<Assistant>>,
    pub passages: Vec<Passage>,
    pub degraded: bool,
    /// True once the person was told to wait.
    pub told_to_wait: bool,
    /// True when the person asked for another answer to the last question.
    pub is_retry: bool,
    /// True when the new answer takes the place of the one that is remembered.
    pub replaces_last: bool,
    pub prompt: Arc<Prompt>,
    pub steps: Vec<Step>,
    clock: Store,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Validate,
    Route,
    Retrieve,
    Prompt,
    Reason,
}

const STAGES: [Stage; 5] = [Stage::Validate, Stage::Route, Stage::Retrieve, Stage::Prompt, Stage::Reason];

impl Turn {
    pub fn new(claim: Arc<Claim>, wiring: &Wiring, stop: CancellationToken) -> Self {
        let snapshot = wiring.directory.load();
        let question = claim.rows().map(|row| row.text.as_str()).collect::<Vec<_>>().join("\n");
        Self {
            platform: snapshot.platforms.get(&claim.head.platform).cloned(),
            deadline: Deadline::after(snapshot.config.pipeline.turn_timeout),
            config: snapshot.config.clone(),
            told_to_wait: claim.head.noticed,
            claim,
            stop,
            question,
            assistant: None,
            passages: Vec::new(),
            degraded: false,
            is_retry: false,
            replaces_last: false,
            prompt: Arc::default(),
            steps: Vec::new(),
            clock: wiring.store.clone(),
        }
    }

    /// Remembers a step for the trace.
    pub fn note(&mut self, step: &'static str, detail: Value) {
        self.steps.push(Step { at: self.clock.now(), step, detail: detail.to_string() });
    }

    /// One of the configured sentences, in the person's language, as the whole reply.
    fn say(&self, words: &crate::config::Words, mark: Mark) -> ReplyText {
        let text = words.in_language_of(&self.question).to_owned();
        ReplyText { text, mark: Some(mark), degraded: self.degraded, ..ReplyText::default() }
    }

    fn conversation(&self) -> &str {
        &self.claim.head.conversation
    }
}

/// Runs the stages until one of them decides.
pub async fn run(turn: &mut Turn, wiring: &Wiring) -> Outcome {
    for stage in STAGES {
        let flow = match stage {
            Stage::Validate => validate::run(turn),
            Stage::Route => route::run(turn),
            Stage::Retrieve => retrieve::run(turn, wiring).await,
            Stage::Prompt => prompt::run(turn, wiring).await,
            Stage::Reason => reason::run(turn, wiring).await,
        };
        match flow {
            Flow::Next => {}
            Flow::Answer(reply) => return answered(turn, reply),
            Flow::GiveBack(release) => return Outcome::GiveBack(release),
        }
    }
    // The last stage always decides; this keeps a longer array honest.
    turn.note("bug", json!({ "reason": "no stage decided" }));
    let reply = turn.say(&turn.config.pipeline.replies.failed, Mark::Failed);
    answered(turn, reply)
}

fn answered(turn: &Turn, reply: ReplyText) -> Outcome {
    let worth_remembering = matches!(reply.mark, None | Some(Mark::Stopped)) && !reply.text.is_empty();
    let remember = worth_remembering.then(|| Exchange {
        message: turn.claim.last().id,
        question: turn.question.clone(),
        answer: reply.text.clone(),
    });
    Outcome::Answer { replaces_last: turn.replaces_last && remember.is_some(), reply, remember }
}
