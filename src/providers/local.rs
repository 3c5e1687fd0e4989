//! The local provider: answers from the assistant's documents, in their own words, with sources. No key, no network.
//!
//! It writes nothing itself but the sentences around the quotations. A restart loses the calls in flight.

use super::{Complete, Delta, Kind, Prompt, ProviderError};
use crate::config::{self, Words};
use crate::domain::{Deadline, InstanceId, Usage};
use crate::knowledge::Passage;
use crate::supervise::{ChildSpec, Control, Port, card, contained, obey};
use actix::{Actor, Context, Handler, ResponseActFuture, WrapFuture};
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::mpsc;

pub static KIND: Kind =
    Kind { name: "local", card: &CARD, check: |_| Vec::new(), credential: |_| None, spec, probe: None };

/// Passages quoted in one answer, at most.
const QUOTED: usize = 3;
/// Characters quoted of the best passage, and of each other one.
const BEST_CHARS: usize = 900;
const OTHER_CHARS: usize = 300;
/// A further passage is quoted only when its score is at least this share of the best one's.
const CLOSE_ENOUGH: f64 = 0.6;
/// Characters after which a streamed piece ends with the next line or sentence.
const PIECE_CHARS: usize = 60;

fn spec(section: &Arc<config::Provider>, complete: &Port<Complete>) -> ChildSpec {
    let id = section.id.clone();
    ChildSpec::of(InstanceId::provider(&section.id), move || Local { id: id.clone() }).fills(complete).build()
}

/// Quotes documents.
pub struct Local {
    id: String,
}

card! {
    Local takes [Complete, Control];
    instances: "provider/<id>",
    asks: "Nobody; it quotes the passages that come with the prompt.",
    when_full: "`Busy`: the manager asks the next candidate, then waits for room within the deadline of the turn.",
    lost: "Calls in flight; their turns ask again from the beginning.",
    stuck: "Questions to the documents stay unanswered. Look at its state, then at the knowledge stores.",
}

impl Actor for Local {
    type Context = Context<Self>;
}

impl Handler<Control> for Local {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Context<Self>) {
        obey(control, ctx);
    }
}

impl Handler<Complete> for Local {
    type Result = ResponseActFuture<Self, Result<Usage, ProviderError>>;

    fn handle(&mut self, call: Complete, _: &mut Context<Self>) -> Self::Result {
        let answered_by = format!("{}/local", self.id);
        let answering = contained(async move {
            let text = answer(&call.prompt);
            stream(&text, &call.deltas, call.deadline).await?;
            Ok(Usage { answered_by, finish_reason: "stop".into(), ..Usage::default() })
        });
        let answered = async move { answering.await.unwrap_or_else(|bug| Err(ProviderError::Bug(bug.to_string()))) };
        Box::pin(answered.into_actor(self))
    }
}

/// Hands the text over piece by piece; a full channel pauses it.
async fn stream(text: &str, deltas: &mpsc::Sender<Delta>, deadline: Deadline) -> Result<(), ProviderError> {
    for piece in pieces(text) {
        let sent = tokio::time::timeout_at(deadline.instant(), deltas.send(piece.into())).await;
        sent.map_err(|_| ProviderError::TimedOut("the reader is slower than the deadline".into()))?
            .map_err(|_| ProviderError::Cancelled)?;
    }
    Ok(())
}

/// Cuts after lines and sentences; together the pieces are the text.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut count) = (0, 0);
    for (at, c) in text.char_indices() {
        count += 1;
        if count >= PIECE_CHARS && matches!(c, '\n' | '。' | '；' | '.' | ' ') {
            let end = at + c.len_utf8();
            pieces.extend(text.get(start..end));
            (start, count) = (end, 0);
        }
    }
    pieces.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

/// The whole answer to a prompt.
fn answer(prompt: &Prompt) -> String {
    let question = prompt.lines.last().map(|line| line.text.as_str()).unwrap_or_default();
    #[cfg(feature = "chaos-tests")]
    crate::sabotage::trip(question);
    let in_its_language = |words: Words| words.in_language_of(question).to_owned();
    if is_greeting(question) {
        return in_its_language(greeting());
    }
    let fitting: Vec<(usize, &Passage)> = (1..).zip(&prompt.passages).filter(|(_, passage)| passage.fits).collect();
    let Some((_, best)) = fitting.first() else { return in_its_language(nothing_fits()) };
    let enough = best.score * CLOSE_ENOUGH;
    let quoted = fitting.iter().filter(|(_, passage)| passage.score >= enough).take(QUOTED);
    let mut text = in_its_language(introduction());
    for (place, (number, passage)) in quoted.enumerate() {
        let limit = if place == 0 { BEST_CHARS } else { OTHER_CHARS };
        quote(&mut text, *number, passage, limit, &in_its_language(source_word()));
    }
    text
}

/// Adds one passage: its heading, its words, where they stand.
fn quote(text: &mut String, number: usize, passage: &Passage, limit: usize, source: &str) {
    let Passage { document, title, heading, .. } = passage;
    let heading = if heading.is_empty() { title } else { heading };
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n\n**{heading}** [{number}]\n\n{}\n\n{source}{title} ({document})",
        excerpt(&passage.text, limit)
    );
}

/// The beginning of a passage: whole blocks up to `limit` characters, but always the first block. Code fences stay whole.
fn excerpt(text: &str, limit: usize) -> String {
    let mut taken = String::new();
    for block in blocks(text) {
        let is_first = taken.is_empty();
        if !is_first && taken.chars().count() + block.chars().count() > limit {
            taken.push_str("\n\n…");
            break;
        }
        if !is_first {
            taken.push_str("\n\n");
        }
        taken.push_str(&block);
    }
    taken
}

/// Paragraphs, lists and tables by blank lines; a fence is one block with all its lines.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let (mut block, mut in_fence) = (Vec::new(), false);
    for line in text.lines() {
        in_fence ^= line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        if line.trim().is_empty() && !in_fence {
            blocks.push(std::mem::take(&mut block).join("\n"));
        } else {
            block.push(line);
        }
    }
    blocks.push(block.join("\n"));
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// Words that open a conversation and ask nothing.
const GREETINGS: &[&str] = &[
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello there",
    "good morning",
    "good afternoon",
    "good evening",
    "help",
    "who are you",
    "what can you do",
    "你好",
    "您好",
    "你好啊",
    "嗨",
    "哈喽",
    "在吗",
    "在么",
    "早上好",
    "下午好",
    "晚上好",
    "大家好",
    "帮助",
    "你是谁",
    "你能做什么",
    "你会什么",
];

fn is_greeting(question: &str) -> bool {
    let bare = question.trim().trim_end_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    GREETINGS.contains(&bare.as_str())
}

fn words(zh: &str, en: &str) -> Words {
    Words { zh: zh.into(), en: en.into() }
}

fn greeting() -> Words {
    words(
        "你好，我是 MindBot。现在还没有接上大模型，我只会从文档里找出相关的段落原文回答你，并注明出处。\n\n可以这样问我：\n\n- 怎样接入一个真正的大模型？\n- 怎么把企业微信应用接进来？\n- 发了消息没有回复，该从哪里查起？",
        "Hello, I am MindBot. No language model is connected yet: I answer by quoting passages from the documents I was given, with their source.\n\nYou could ask me:\n\n- How do I connect a real model?\n- How do I set up a WeCom application?\n- Why did a message get no reply?",
    )
}

fn introduction() -> Words {
    words("文档里是这样写的：", "This is what the documents say:")
}

fn source_word() -> Words {
    words("出处：", "Source: ")
}

fn nothing_fits() -> Words {
    words(
        "文档里没有找到能回答这个问题的内容，我不想乱猜。\n\n可以换个说法再问一次；也可以接入一个大模型：设置环境变量 `OPENAI_API_KEY`（需要时再设 `OPENAI_BASE_URL` 和 `OPENAI_MODEL`），然后重新启动。",
        "I found nothing in the documents that answers this, and I would rather not guess.\n\nYou could ask in other words, or connect a language model: set the environment variable `OPENAI_API_KEY` (and `OPENAI_BASE_URL`, `OPENAI_MODEL` where needed) and start again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Line, Role};
    use crate::supervise::{Thread, Transient};

    fn passage(heading: &str, text: &str, score: f64, fits: bool) -> Passage {
        let (document, title) = ("guide/a.md".to_owned(), "Guide".to_owned());
        Passage { document, title, heading: heading.into(), text: text.into(), score, fits }
    }

    fn prompt(question: &str, passages: Vec<Passage>) -> Prompt {
        Prompt { lines: vec![Line { role: Role::User, text: question.into() }], passages, ..Prompt::default() }
    }

    #[test]
    fn passages_that_fit_are_quoted_with_their_place_in_the_prompt() {
        let passages = vec![
            passage("Noise", "Not this.", 9.0, false),
            passage("Backup", "Copy the file.", 8.0, true),
            passage("Far", "Too far.", 1.0, true),
        ];
        let text = answer(&prompt("how do I back up?", passages.clone()));
        assert!(text.contains("**Backup** [2]") && text.contains("Copy the file.") && text.contains("guide/a.md"));
        assert!(!text.contains("Not this.") && !text.contains("Too far.") && !text.contains("[1]"), "{text}");
        assert!(answer(&prompt("怎么备份", passages)).starts_with("文档里"));
    }

    #[test]
    fn without_a_fitting_passage_it_says_so_and_what_helps() {
        let noise = vec![passage("Noise", "Not this.", 9.0, false)];
        for (case, question, expected) in [("en", "what is love", "nothing"), ("zh", "爱是什么", "没有找到")] {
            let text = answer(&prompt(question, noise.clone()));
            assert!(
                text.contains(expected) && text.contains("OPENAI_API_KEY") && !text.contains("Not this."),
                "{case}"
            );
        }
    }

    #[test]
    fn a_greeting_gets_three_questions_to_try() {
        for question in ["Hi!", "hello", "你好！", "help", " 在吗？ "] {
            let text = answer(&prompt(question, Vec::new()));
            assert_eq!(text.matches("\n- ").count(), 3, "{question}");
        }
        assert!(!is_greeting("hi, how do I back up?"));
    }

    #[test]
    fn an_excerpt_ends_between_blocks_and_never_inside_a_fence() {
        let text = "First.\n\n```\na\n\nb\n```\n\nLast.";
        let table = [(5, "First.\n\n…"), (24, "First.\n\n```\na\n\nb\n```\n\n…"), (500, text)];
        for (limit, expected) in table {
            assert_eq!(excerpt(text, limit), expected, "{limit}");
        }
    }

    #[actix_rt::test]
    async fn text_is_streamed_in_pieces_and_a_closed_reader_ends_it() {
        let text = "A sentence of some length that goes on. ".repeat(20);
        let (deltas, mut incoming) = mpsc::channel(64);
        let deadline = Deadline::after(std::time::Duration::from_secs(5));
        stream(&text, &deltas, deadline).await.unwrap();
        drop(deltas);
        let mut got = Vec::new();
        while let Some(piece) = incoming.recv().await {
            got.push(piece);
        }
        assert!(got.len() > 5 && got.concat() == text);
        let (deltas, closed) = mpsc::channel(1);
        drop(closed);
        assert_eq!(stream(&text, &deltas, deadline).await, Err(ProviderError::Cancelled));
    }

    struct Running {
        complete: Port<Complete>,
        thread: Thread,
        _actor: Transient,
    }

    fn run() -> Running {
        let section = Arc::new(config::Provider { id: "guide".into(), kind: "local".into(), ..Default::default() });
        let (complete, thread) = (Port::new("Complete", 8), Thread::start("local-test"));
        let actor = Transient::start(&(KIND.spec)(&section, &complete), &thread);
        Running { complete, thread, _actor: actor }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.thread.stop();
        }
    }

    async fn complete(running: &Running, prompt: Prompt) -> (Result<Usage, ProviderError>, String) {
        let within = std::time::Duration::from_secs(10);
        let (deltas, mut incoming) = mpsc::channel(64);
        let call = Complete { prompt: Arc::new(prompt), deadline: Deadline::after(within), deltas };
        let answered = running.complete.ask(call, within).await.unwrap();
        let mut text = String::new();
        while let Some(piece) = incoming.recv().await {
            text.push_str(&piece);
        }
        (answered, text)
    }

    #[actix_rt::test]
    async fn the_actor_answers_and_says_who_it_was() {
        let running = run();
        let (usage, text) = complete(&running, prompt("how?", vec![passage("Backup", "Copy it.", 1.0, true)])).await;
        assert_eq!(usage.unwrap().answered_by, "guide/local");
        assert!(text.contains("Copy it."));
        assert!(complete(&running, Prompt::default()).await.1.contains("nothing"), "an empty prompt is no accident");
    }

    #[cfg(feature = "chaos-tests")]
    #[actix_rt::test]
    async fn a_marked_question_costs_its_own_call_only() {
        let running = run();
        let marked = complete(&running, prompt(crate::sabotage::MARK, Vec::new()));
        let (marked, innocent) = tokio::join!(marked, complete(&running, prompt("hello", Vec::new())));
        assert!(matches!(marked.0, Err(ProviderError::Bug(_))), "{:?}", marked.0);
        assert!(innocent.0.is_ok() && innocent.1.contains("MindBot"));
    }
}
