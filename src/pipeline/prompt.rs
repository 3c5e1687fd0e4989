//! What the model is told: the assistant's instructions, passages, and as much of the past as fits.

use super::validate::RETRY;
use super::{Flow, Turn, Wiring, retrieve};
use crate::config::Words;
use crate::domain::Mark;
use crate::providers::tokens::{TooLarge, Window};
use crate::providers::{Line, Prompt, Role};
use crate::store::history::{Exchange, last_question, recall};
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
        match asked_before(turn, wiring, &mut past).await {
            Some(question) => turn.question = question,
            None => return Flow::Answer(turn.say(&nothing_to_repeat(), Mark::Refused)),
        }
        if !assistant.knowledge.is_empty() {
            let question = turn.question.clone();
            retrieve::look_up(turn, wiring, assistant.knowledge.clone(), question).await;
        }
    }
    let window = window(turn, &assistant.providers);
    let mut lines: Vec<Line> = past.into_iter().flat_map(both_sides).collect();
    lines.push(Line { role: Role::User, text: turn.question.clone() });
    turn.prompt = Arc::new(Prompt {
        system: assistant.system_prompt.clone(),
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

/// The question that another answer is wanted for. An answer that it had is taken out of `past`, and will be replaced.
async fn asked_before(turn: &mut Turn, wiring: &Wiring, past: &mut Vec<Exchange>) -> Option<String> {
    let (conversation, before) = (turn.conversation().to_owned(), turn.claim.head.id);
    let asked = wiring.store.read(move |conn| last_question(conn, &conversation, before, RETRY)).await;
    let asked = asked.ok().flatten();
    // What was merged into one turn is remembered as one question.
    let is_answered =
        past.last().is_some_and(|last| asked.as_ref().is_none_or(|(message, _)| last.message >= *message));
    turn.replaces_last = is_answered;
    if is_answered { past.pop().map(|last| last.question) } else { asked.map(|(_, text)| text) }
}

fn nothing_to_repeat() -> Words {
    Words {
        zh: "前面没有可以重新回答的问题。".into(), en: "There is no earlier question to answer again.".into()
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

#[cfg(test)]
mod tests {
    use crate::config::{Assistant, Config, Provider, Secret};
    use crate::directory::{Directory, Snapshot};
    use crate::domain::{InboundKind, InstanceId, Lane, Mark, ReplyText};
    use crate::pipeline::{Outcome, Turn, Wiring, run};
    use crate::providers::manager::ProviderManager;
    use crate::simulate::openai::{Fault, Options, Rule, Running, start};
    use crate::store::Store;
    use crate::store::history::{Exchange, remember};
    use crate::store::inbox::{Claim, Row};
    use crate::supervise::{ChildSpec, Port, Thread, VitalsBoard, keep_root};
    use crate::{egress, providers};
    use arc_swap::ArcSwap;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use tokio::sync::oneshot;
    use tokio_util::sync::CancellationToken;

    /// A pipeline whose only provider talks to a stand-in.
    struct Bench {
        upstream: Running,
        wiring: Wiring,
        _folder: tempfile::TempDir,
        _leashes: Vec<oneshot::Sender<()>>,
    }

    impl Bench {
        async fn new(context_tokens: usize, past: &[(&str, &str)]) -> Self {
            egress::install_tls();
            let upstream = start(Options::default()).unwrap();
            let section = Provider {
                id: "gpt".into(),
                kind: "openai".into(),
                base_url: Some(upstream.base_url().parse().unwrap()),
                api_key: Secret::new("sk-1"),
                models: vec!["gpt-4o-mini".into()],
                context_tokens: Some(context_tokens),
                answer_tokens: Some(56),
                ..Provider::default()
            };
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("test.db"), Arc::new(|_| ())).unwrap();
            let past: Vec<_> = past.iter().map(|(q, a)| ((*q).to_owned(), (*a).to_owned())).collect();
            let remembering = store.write(move |conn| {
                for (message, (question, answer)) in (1..).zip(past) {
                    remember(conn, "web/c", &Exchange { message, question, answer }, message)?;
                }
                Ok(())
            });
            remembering.await.unwrap();
            let complete = Port::new("Complete", 4);
            let manager = Port::new("Ask", 4);
            let lineup = Arc::new(ArcSwap::from_pointee(BTreeMap::from([("gpt".to_owned(), complete.clone())])));
            let kind = providers::kind("openai").unwrap();
            let provider = (kind.spec)(&Arc::new(section.clone()), &complete);
            let managing = InstanceId::core("manager");
            let manage = ChildSpec::of(managing, move || ProviderManager::new(lineup.clone())).fills(&manager).build();
            let leashes = [provider, manage].map(keep).into();
            let assistant = Assistant { id: "a".into(), providers: vec!["gpt".into()], ..Assistant::default() };
            let config =
                Config { providers: vec![section], assistants: vec![Arc::new(assistant)], ..Config::default() };
            let snapshot = Snapshot { config: Arc::new(config), ..Snapshot::default() };
            let directory = Directory::new(snapshot);
            let wiring = Wiring { store, directory, retriever: Port::new("Search", 1), manager };
            Self { upstream, wiring, _folder: folder, _leashes: leashes }
        }

        /// Runs one turn: the reply, and the details of the trace by step.
        async fn turn(&self, question: &str) -> (ReplyText, BTreeMap<&'static str, Value>) {
            let claim = Arc::new(Claim { head: row(question), merged: vec![] });
            let mut turn = Turn::new(claim, &self.wiring, CancellationToken::new());
            let Outcome::Answer { reply, .. } = run(&mut turn, &self.wiring).await else {
                panic!("no answer: {:?}", turn.steps)
            };
            (
                reply,
                turn.steps.into_iter().map(|step| (step.step, serde_json::from_str(&step.detail).unwrap())).collect(),
            )
        }

        /// The texts of the newest request's messages.
        fn sent(&self) -> Vec<String> {
            let request = self.upstream.prompts().pop().unwrap();
            let messages = request["messages"].as_array().unwrap().iter();
            messages.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
        }
    }

    fn keep(spec: ChildSpec) -> oneshot::Sender<()> {
        let (leash, end) = oneshot::channel();
        let board = VitalsBoard::default();
        actix_rt::spawn(keep_root(spec, Thread::start("test"), board, Arc::new(|_| ()), end));
        leash
    }

    fn row(text: &str) -> Row {
        Row {
            id: 100,
            platform: "web".into(),
            conversation: "web/c".into(),
            lane: Lane::Normal,
            is_group: false,
            kind: InboundKind::Message,
            sender: "s".into(),
            sender_name: None,
            text: text.into(),
            parts: [].into(),
            reply_route: "null".into(),
            sent_at: 0,
            received_at: 0,
            attempt: 1,
            strikes: 0,
            noticed: false,
            assistant: None,
        }
    }

    #[actix_rt::test]
    async fn the_model_hears_what_was_said_before_oldest_first() {
        let bench = Bench::new(16_384, &[("q1", "a1"), ("q2", "a2")]).await;
        let (reply, trace) = bench.turn("echo:now").await;
        assert_eq!(reply.text, "now");
        assert_eq!(bench.sent(), ["q1", "a1", "q2", "a2", "echo:now"]);
        let recalled = &trace["recalled"];
        assert_eq!((&recalled["exchanges"], &recalled["left_out"]), (&json!(2), &json!(0)));
        assert_eq!(recalled["counted"], false, "what surely fits is not counted");
    }

    #[actix_rt::test]
    async fn history_that_does_not_fit_is_left_out_oldest_first_and_the_trace_says_so() {
        let long = "word ".repeat(300);
        let bench = Bench::new(556, &[("q1", &long), ("q2", &long), ("q3", "a3")]).await;
        let (reply, trace) = bench.turn("echo:now").await;
        assert_eq!(reply.text, "now");
        assert_eq!(bench.sent(), ["q2", long.as_str(), "q3", "a3", "echo:now"]);
        let recalled = &trace["recalled"];
        assert_eq!((&recalled["exchanges"], &recalled["left_out"]), (&json!(2), &json!(1)));
        assert_eq!((&recalled["counted"], &recalled["budget"]), (&json!(true), &json!(500)));
        assert!(recalled["tokens"].as_u64().unwrap() <= 500, "{recalled}");
    }

    #[actix_rt::test]
    async fn a_question_that_does_not_fit_is_answered_without_asking_anyone() {
        let bench = Bench::new(256, &[]).await;
        let (reply, _) = bench.turn(&"word ".repeat(300)).await;
        assert_eq!(reply.mark, Some(Mark::Refused));
        assert!(reply.text.contains("too long"), "{}", reply.text);
        assert_eq!(bench.upstream.counters.requests.load(Ordering::Relaxed), 0);
    }

    #[actix_rt::test]
    async fn an_upstream_that_finds_it_too_long_is_asked_once_more_with_half() {
        let too_long = |times| Rule {
            times: Some(times),
            ..Rule::always(Fault::Status {
                status: 400,
                code: Some("context_length_exceeded".into()),
                message: None,
                retry_after: None,
            })
        };
        let bench = Bench::new(16_384, &[("q1", "a1"), ("q2", "a2"), ("q3", "a3")]).await;
        bench.upstream.set_script(vec![too_long(1)]);
        let (reply, trace) = bench.turn("echo:now").await;
        assert_eq!(reply.text, "now");
        assert_eq!(bench.sent(), ["q3", "a3", "echo:now"]);
        assert_eq!(trace["shortened"], json!({ "exchanges": 1, "of": 3 }));
        bench.upstream.set_script(vec![too_long(9)]);
        let (reply, _) = bench.turn("echo:never").await;
        assert_eq!(reply.mark, Some(Mark::Refused));
        assert_eq!(bench.upstream.counters.requests.load(Ordering::Relaxed), 4);
    }

    #[actix_rt::test]
    async fn an_answer_that_reached_its_limit_says_so() {
        let bench = Bench::new(16_384, &[]).await;
        bench.upstream.set_script(vec![Rule::always(Fault::Finish { reason: "length".into() })]);
        let (reply, _) = bench.turn("echo:begun").await;
        assert_eq!(reply.text, "begun\n\n(The answer reached its length limit here.)");
    }
}
