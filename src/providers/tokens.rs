//! Tokens: how much of a conversation fits a model. History goes first, oldest exchange first, and never a question
//! without its answer.
//!
//! A tokenizer takes tens of megabytes and a while to load, so it is loaded when a prompt might not fit: no text has
//! more tokens than bytes.

use super::openai_wire::instructions;
use super::{Line, Prompt};
use crate::config;
use std::sync::Arc;
use tiktoken_rs::tokenizer::{Tokenizer, get_tokenizer};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};
use tokio::sync::Semaphore;

const CONTEXT_TOKENS: usize = 16_384;
const ANSWER_TOKENS: usize = 2_048;
/// What a message costs besides its text, and a prompt besides its messages, at most. Source: OpenAI Cookbook, "How to
/// count tokens with tiktoken" (read 2026-11-25).
const PER_MESSAGE: usize = 4;
const PER_PROMPT: usize = 3;
/// Longer texts are counted in pieces of this many bytes, because a word without an end takes a tokenizer long. A cut
/// adds at most a few tokens.
const PIECE: usize = 4096;
/// Prompts that are counted at once; the others wait.
static COUNTING: Semaphore = Semaphore::const_new(2);

/// The room that one model has for a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub model: String,
    /// Tokens for instructions, passages, history and question together.
    pub budget: usize,
}

/// What is sent of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Exchanges that are sent, and those that are not.
    pub exchanges: usize,
    pub left_out: usize,
    /// Passages that are not sent, the worst first; they go only when the question would not fit otherwise.
    pub passages_left_out: usize,
    /// Tokens of what is sent, at most.
    pub tokens: usize,
    /// Whether `tokens` was counted; else it is an upper bound.
    pub is_counted: bool,
}

/// The question does not fit, even alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question and its instructions are {tokens} tokens, and {budget} fit")]
pub struct TooLarge {
    pub tokens: usize,
    pub budget: usize,
}

impl Window {
    /// The window of a provider's default model; `None` when it names none, and so has no window.
    pub fn of(section: &config::Provider) -> Option<Self> {
        let model = section.models.first()?;
        let known = || tiktoken_rs::model::get_context_size(model).unwrap_or(CONTEXT_TOKENS);
        let context = section.context_tokens.unwrap_or_else(known);
        let answer = section.answer_tokens.unwrap_or(ANSWER_TOKENS);
        Some(Self { model: model.clone(), budget: context.saturating_sub(answer) })
    }

    /// Cuts `prompt` down to what fits. Counts on the blocking pool, if at all.
    pub async fn fit(&self, prompt: &mut Arc<Prompt>) -> Result<Fit, TooLarge> {
        let fit = match self.measure(prompt, &str::len) {
            Ok(fit) if fit.left_out == 0 && fit.passages_left_out == 0 => Fit { is_counted: false, ..fit },
            _ => self.count(prompt.clone()).await?,
        };
        if fit.left_out > 0 || fit.passages_left_out > 0 {
            let prompt = Arc::make_mut(prompt);
            prompt.lines.drain(..2 * fit.left_out);
            prompt.passages.truncate(prompt.passages.len() - fit.passages_left_out);
        }
        Ok(fit)
    }

    async fn count(&self, prompt: Arc<Prompt>) -> Result<Fit, TooLarge> {
        let (window, counted) = (self.clone(), prompt.clone());
        // The semaphore is never closed.
        let _turn = COUNTING.acquire().await;
        let counting = actix_rt::task::spawn_blocking(move || {
            let tokenizer = tokenizer(&window.model);
            window.measure(&counted, &|text| count(tokenizer, text))
        });
        match counting.await {
            Ok(fit) => fit,
            Err(error) => {
                tracing::error!(%error, "a tokenizer failed; the prompt is cut by bytes instead");
                self.measure(&prompt, &str::len)
            }
        }
    }

    /// Decides what is sent, newest exchange first.
    fn measure(&self, prompt: &Prompt, tokens_of: &dyn Fn(&str) -> usize) -> Result<Fit, TooLarge> {
        let cost = |lines: &[Line]| lines.iter().map(|line| tokens_of(&line.text) + PER_MESSAGE).sum::<usize>();
        let (past, question) = prompt.lines.split_at(prompt.lines.len().saturating_sub(1));
        let mut passages_left_out = 0;
        let question_cost = cost(question) + PER_PROMPT;
        let mut tokens = question_cost + tokens_of(&instructions(prompt)) + PER_MESSAGE;
        while tokens > self.budget && passages_left_out < prompt.passages.len() {
            passages_left_out += 1;
            let fewer = with_passages(prompt, prompt.passages.len() - passages_left_out);
            tokens = question_cost + tokens_of(&instructions(&fewer)) + PER_MESSAGE;
        }
        if tokens > self.budget {
            return Err(TooLarge { tokens, budget: self.budget });
        }
        let mut exchanges = 0;
        for exchange in past.rchunks_exact(2) {
            let with_it = tokens + cost(exchange);
            if with_it > self.budget {
                break;
            }
            tokens = with_it;
            exchanges += 1;
        }
        Ok(Fit { exchanges, left_out: past.len() / 2 - exchanges, passages_left_out, tokens, is_counted: true })
    }
}

fn with_passages(prompt: &Prompt, count: usize) -> Prompt {
    let passages = prompt.passages.iter().take(count).cloned().collect();
    Prompt { system: prompt.system.clone(), passages, ..Prompt::default() }
}

/// The tokenizer of a model. Those of other houses are close enough to the newest one.
fn tokenizer(model: &str) -> &'static CoreBPE {
    match get_tokenizer(model) {
        Some(Tokenizer::Cl100kBase) => cl100k_base_singleton(),
        _ => o200k_base_singleton(),
    }
}

fn count(tokenizer: &CoreBPE, text: &str) -> usize {
    let mut rest = text;
    let mut tokens = 0;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE));
        tokens += tokenizer.encode_ordinary(piece).len();
        rest = tail;
    }
    tokens
}

/// Half of the history, the newer one, for an upstream that calls the prompt too long; `None` when there is none.
pub fn halved(prompt: &Prompt) -> Option<Arc<Prompt>> {
    let exchanges = prompt.lines.len() / 2;
    let dropped = exchanges.div_ceil(2);
    let lines = prompt.lines.get(2 * dropped..)?.to_vec();
    (dropped > 0).then(|| Arc::new(Prompt { lines, ..prompt.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Passage;
    use crate::providers::Role;
    use proptest::prelude::*;

    fn prompt(exchanges: &[&str], question: &str) -> Prompt {
        let line = |role, text: &str| Line { role, text: text.to_owned() };
        let past = exchanges.iter().flat_map(|text| [line(Role::User, text), line(Role::Assistant, text)]);
        let lines = past.chain([line(Role::User, question)]).collect();
        Prompt { lines, ..Prompt::default() }
    }

    fn window(budget: usize) -> Window {
        Window { model: "gpt-4o-mini".into(), budget }
    }

    fn first(prompt: &Prompt) -> &str {
        &prompt.lines[0].text
    }

    #[test]
    fn tokens_are_those_of_the_model() {
        let mixed = "MindBot 回答：🙂 naïve café\n\n```rust\nfn main() {}\n```";
        // Counted with the Python package `tiktoken` 0.14.0; of `qwen-max` it knows nothing.
        let table = [
            ("gpt-4o-mini", "hello world", 2),
            ("gpt-4o-mini", "你好，世界", 3),
            ("gpt-4o-mini", mixed, 18),
            ("gpt-4", "你好，世界", 6),
            ("gpt-4", mixed, 21),
            ("qwen-max", "hello world", 2),
            ("gpt-4o-mini", "", 0),
        ];
        for (model, text, expected) in table {
            assert_eq!(count(tokenizer(model), text), expected, "{model}: {text}");
        }
        // A word without an end is counted in pieces, and stays cheap.
        assert!(count(tokenizer("gpt-4o"), &"a".repeat(300_000)) < 300_000 / 4);
    }

    #[actix_rt::test]
    async fn the_oldest_exchanges_go_and_question_and_answer_stay_together() {
        let word = "word ".repeat(100);
        let mut long =
            Arc::new(prompt(&[&format!("oldest {word}"), &format!("newer {word}"), &format!("newest {word}")], "?"));
        let fit = window(500).fit(&mut long).await.unwrap();
        assert_eq!((fit.exchanges, fit.left_out, fit.is_counted), (2, 1, true), "{fit:?}");
        assert!(fit.tokens <= 500);
        assert_eq!(long.lines.len(), 5);
        assert!(first(&long).starts_with("newer"));
    }

    #[actix_rt::test]
    async fn what_surely_fits_is_not_counted() {
        let mut short = Arc::new(prompt(&["a", "b"], "?"));
        let fit = window(200).fit(&mut short).await.unwrap();
        assert_eq!((fit.exchanges, fit.left_out, fit.is_counted), (2, 0, false));
        assert_eq!(short.lines.len(), 5);
    }

    #[actix_rt::test]
    async fn passages_go_before_the_question_does_and_a_question_that_does_not_fit_is_an_error() {
        let passage = |text: &str| Passage {
            document: "d".into(),
            title: String::new(),
            heading: String::new(),
            text: text.to_owned(),
            score: 1.0,
            fits: true,
        };
        let mut asked = prompt(&["past"], "why?");
        asked.passages = vec![passage("best"), passage(&"worst ".repeat(300))];
        let mut asked = Arc::new(asked);
        let fit = window(200).fit(&mut asked).await.unwrap();
        assert_eq!((fit.passages_left_out, fit.exchanges), (1, 1), "{fit:?}");
        assert_eq!(asked.passages.len(), 1);
        assert_eq!(asked.passages[0].text, "best");
        let mut huge = Arc::new(prompt(&["past"], &"word ".repeat(300)));
        assert_eq!(window(200).fit(&mut huge).await.unwrap_err().budget, 200);
    }

    #[test]
    fn half_of_the_history_is_the_newer_half() {
        let table = [("none", 0, None), ("one", 1, Some(0)), ("two", 2, Some(1)), ("five", 5, Some(2))];
        for (case, exchanges, left) in table {
            let names: Vec<String> = (0..exchanges).map(|n| n.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let half = halved(&prompt(&names, "?"));
            assert_eq!(half.as_ref().map(|it| it.lines.len() / 2), left, "{case}");
            assert!(half.is_none_or(|it| it.lines.last().unwrap().text == "?"), "{case}");
        }
    }

    #[test]
    fn the_window_is_known_configured_or_assumed() {
        let section = |model: &str| config::Provider { models: vec![model.into()], ..config::Provider::default() };
        let budget = |section: &config::Provider| Window::of(section).map(|window| window.budget);
        assert_eq!(budget(&section("gpt-4o-mini")), Some(128_000 - 2_048));
        assert_eq!(budget(&section("my-model")), Some(16_384 - 2_048));
        let own = config::Provider { context_tokens: Some(1000), answer_tokens: Some(300), ..section("gpt-4o") };
        assert_eq!(budget(&own), Some(700));
        assert_eq!(budget(&config::Provider::default()), None);
    }

    proptest! {
        #![proptest_config(crate::properties(64))]

        #[test]
        fn the_cheap_bound_is_never_below_the_count(text in "\\PC{0,60}") {
            prop_assert!(count(tokenizer("gpt-4o"), &text) <= text.len());
        }

        #[test]
        fn what_is_sent_fits_and_is_the_newest(sizes in proptest::collection::vec(0usize..80, 0..8), budget in 0usize..400) {
            let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let prompt = prompt(&texts, "?");
            if let Ok(fit) = window(budget).measure(&prompt, &str::len) {
                prop_assert!(fit.tokens <= budget);
                prop_assert_eq!(fit.exchanges + fit.left_out, sizes.len());
                let sent: usize = sizes.iter().rev().take(fit.exchanges).map(|size| 2 * size + 2 * PER_MESSAGE).sum();
                prop_assert_eq!(fit.tokens, sent + 1 + 2 * PER_MESSAGE + PER_PROMPT);
            }
        }
    }
}
