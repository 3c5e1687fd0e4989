//! Asks the providers and gathers the text, showing it where the platform can edit, until it is whole, stopped or lost.

use super::{Flow, Turn, Wiring};
use crate::config::Words;
use crate::domain::{Disposition, Mark, ReplyText, Source};
use crate::platforms::{Preview, PreviewState};
use crate::providers::manager::{Answered, Ask, Unanswered};
use crate::providers::tokens::halved;
use crate::providers::{Delta, Prompt, ProviderError};
use crate::store::inbox::Release;
use crate::store::waiting::{self, Waiting};
use crate::supervise::{CallError, Port};
use crate::telemetry::metrics;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Pieces of text that may wait between provider and turn; a full channel pauses the provider's socket.
const DELTAS: usize = 64;
/// The first wait before a turn that no provider could answer is tried again; doubled each time.
const FIRST_WAIT_MS: i64 = 1000;
const LONGEST_WAIT_MS: i64 = 30_000;
/// The least that a model gets before the person is told to wait.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// How one round of asking ended.
enum Round {
    Whole(Answered),
    Stopped,
    Lost(Unanswered),
}

pub async fn run(turn: &mut Turn, wiring: &Wiring) -> Flow {
    let mut text = String::new();
    let mut round = ask(turn, wiring, &mut text).await;
    if let Some(shorter) = shortened(&round, turn) {
        turn.note("shortened", json!({ "exchanges": shorter.lines.len() / 2, "of": turn.prompt.lines.len() / 2 }));
        turn.prompt = shorter;
        round = ask(turn, wiring, &mut text).await;
    }
    if starts_over(&round, turn) {
        turn.note("started over", json!({ "after_chars": text.chars().count() }));
        text.clear();
        round = ask(turn, wiring, &mut text).await;
    }
    match round {
        Round::Whole(answered) => {
            let usage = &answered.usage;
            metrics::tokens(&usage.answered_by, usage.prompt_tokens, usage.completion_tokens);
            turn.note(
                "answered",
                json!({
                    "by": usage.answered_by, "attempts": answered.attempts, "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens, "finish": usage.finish_reason,
                    "chars": text.chars().count(),
                }),
            );
            if text.trim().is_empty() {
                return Flow::Answer(turn.say(&turn.config.pipeline.replies.failed, Mark::Failed));
            }
            note_fallback(turn, &answered);
            let reached_its_limit = answered.usage.finish_reason == "length";
            Flow::Answer(whole(turn, if reached_its_limit { with_limit_note(turn, text) } else { text }))
        }
        Round::Stopped => {
            turn.note("stopped", json!({ "chars": text.chars().count() }));
            Flow::Answer(stopped(turn, text))
        }
        Round::Lost(unanswered) => lost(turn, text, unanswered),
    }
}

/// Asks once. Text that arrives is in `text`, whatever the end.
async fn ask(turn: &mut Turn, wiring: &Wiring, text: &mut String) -> Round {
    let (deltas, mut incoming) = mpsc::channel::<Delta>(DELTAS);
    let candidates = turn.assistant.as_ref().map(|assistant| assistant.providers.clone()).unwrap_or_default();
    let ask = Ask { candidates, prompt: turn.prompt.clone(), deadline: turn.deadline, deltas };
    let asked = wiring.manager.ask(ask, turn.deadline.left());
    let stop = turn.stop.clone();
    let mut screen = Screen::of(turn);
    screen.show(PreviewState::Working);
    let patience_ends = Instant::now() + patience(turn, wiring);
    tokio::pin!(asked);
    let answer = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                // Closing our end cancels the call, all the way to the upstream socket.
                return Round::Stopped;
            }
            Some(delta) = incoming.recv() => {
                text.push_str(&delta);
                screen.text_has_grown();
            }
            () = sleep_until(screen.due_at()), if screen.is_due() => screen.show_text(text),
            () = sleep_until(patience_ends), if !turn.told_to_wait && !screen.shows(text) => {
                // Boxed, so that a turn which is answered in time needs no room for it.
                Box::pin(tell_to_wait(turn, wiring)).await;
            }
            answer = &mut asked => break answer,
        }
    };
    while let Ok(delta) = incoming.try_recv() {
        text.push_str(&delta);
    }
    match answer {
        Ok(Ok(answered)) => Round::Whole(answered),
        Ok(Err(unanswered)) => Round::Lost(unanswered),
        Err(error) => Round::Lost(Unanswered { error: error.into(), attempts: Vec::new() }),
    }
}

/// How long the person is left without a word from now on; what was waited for in line counts.
fn patience(turn: &Turn, wiring: &Wiring) -> Duration {
    let waited = wiring.store.now().saturating_sub(turn.claim.head.received_at);
    let waited = Duration::from_millis(u64::try_from(waited).unwrap_or(0));
    let notice_after = turn.config.pipeline.notice_after;
    // Who has waited for long already, such as through a restart, may well have the answer in a moment.
    notice_after.saturating_sub(waited).max(LAST_PATIENCE.min(notice_after))
}

/// A model that takes long, or hangs, must not look like nobody: one word to the person, out within a poll of the pump.
async fn tell_to_wait(turn: &mut Turn, wiring: &Wiring) {
    turn.told_to_wait = true;
    let (store, head) = (&wiring.store, &turn.claim.head);
    let (run, now, fence) = (store.run(), store.now(), head.fence());
    let (waiting, notice) = (Waiting::of(head), turn.say(&turn.config.pipeline.replies.slow, Mark::Notice));
    let told = store.write(move |conn| waiting::notice_from_turn(conn, run, now, fence, &waiting, notice)).await;
    if let Err(error) = told {
        tracing::warn!(message.id = turn.claim.head.id, %error, "a person could not be told to wait");
    }
}

/// A prompt that the upstream calls too long is asked once more with half of its history.
fn shortened(round: &Round, turn: &Turn) -> Option<Arc<Prompt>> {
    let Round::Lost(Unanswered { error: ProviderError::TooLong(_), .. }) = round else { return None };
    halved(&turn.prompt)
}

/// A call whose carrier died, or a stream that broke after it was shown, is asked for once more from the beginning.
fn starts_over(round: &Round, turn: &Turn) -> bool {
    let Round::Lost(Unanswered { error, .. }) = round else { return false };
    let broke = matches!(error, ProviderError::Call(CallError::Died) | ProviderError::Cut { .. });
    broke && turn.deadline.left() > Duration::from_secs(1)
}

fn whole(turn: &Turn, text: String) -> ReplyText {
    ReplyText { sources: cited(turn, &text), text, mark: None, degraded: turn.degraded }
}

/// A model that ran out of tokens says nothing of it; we do.
fn with_limit_note(turn: &Turn, text: String) -> String {
    let note = Words {
        zh: "（回答太长，到此为止。）".into(),
        en: "(The answer reached its length limit here.)".into(),
    };
    format!("{text}\n\n{}", note.in_language_of(&turn.question))
}

/// The passages whose numbers stand in the text as `[n]`.
fn cited(turn: &Turn, text: &str) -> Vec<Source> {
    let numbered = (1..).zip(&turn.passages);
    let cited = numbered.filter(|(n, _)| text.contains(&format!("[{n}]")));
    cited
        .map(|(n, passage)| Source {
            n,
            document: passage.document.clone(),
            title: passage.title.clone(),
            heading: passage.heading.clone(),
            text: passage.text.clone(),
        })
        .collect()
}

/// An answer by another provider than the first is honest about it.
fn note_fallback(turn: &mut Turn, answered: &Answered) {
    let candidates = turn.assistant.as_ref().map(|assistant| assistant.providers.as_slice()).unwrap_or_default();
    let is_on = |id: &&String| turn.config.active_providers().any(|section| section.id == **id);
    let first = candidates.iter().find(is_on);
    let by = answered.attempts.last().map(|attempt| &attempt.provider);
    if by.is_some() && by != first {
        let tried: Vec<_> = answered.attempts.iter().map(|attempt| attempt.provider.as_str()).collect();
        let detail = json!({ "first": first, "order": tried });
        turn.degraded = true;
        turn.note("failed over", detail);
    }
}

fn stopped(turn: &Turn, text: String) -> ReplyText {
    let words = turn.config.pipeline.replies.stopped.in_language_of(&turn.question);
    let can_show_marks = turn.platform.as_ref().is_some_and(|platform| platform.kind.limits.previews_per_second > 0);
    let text = match (text.trim().is_empty(), can_show_marks) {
        (true, _) => words.to_owned(),
        (false, true) => text,
        (false, false) => format!("{text}\n\n{words}"),
    };
    ReplyText { text, mark: Some(Mark::Stopped), ..ReplyText::default() }
}

fn lost(turn: &mut Turn, text: String, unanswered: Unanswered) -> Flow {
    let Unanswered { error, attempts } = unanswered;
    let reason = error.to_string();
    turn.note("unanswered", json!({ "reason": reason, "attempts": attempts, "chars": text.chars().count() }));
    // Half an answer is all there is when the upstream broke off; what broke off inside the house is asked for anew.
    let is_ours = matches!(error, ProviderError::Bug(_) | ProviderError::Call(CallError::Died));
    if !text.trim().is_empty() && !is_ours {
        return Flow::Answer(incomplete(turn, text));
    }
    if matches!(error, ProviderError::TooLong(_)) {
        return Flow::Answer(turn.say(&turn.config.pipeline.replies.too_long, Mark::Refused));
    }
    let attempt = turn.claim.head.attempt;
    match error.disposition() {
        Disposition::GiveUp if !matches!(error, ProviderError::TimedOut(_) | ProviderError::Cancelled) => {
            Flow::Answer(turn.say(&turn.config.pipeline.replies.failed, Mark::Failed))
        }
        Disposition::Report => Flow::GiveBack(Release { reason, strike: true, wait_ms: 0 }),
        Disposition::RetryAfter(after) => {
            let named = i64::try_from(after.as_millis()).unwrap_or(LONGEST_WAIT_MS);
            Flow::GiveBack(Release { reason, strike: false, wait_ms: named.max(back_off(attempt)) })
        }
        Disposition::FailOver | Disposition::GiveUp => {
            Flow::GiveBack(Release { reason, strike: false, wait_ms: back_off(attempt) })
        }
    }
}

/// What came before the stream broke, with a word that it is not all.
fn incomplete(turn: &Turn, text: String) -> ReplyText {
    let note = Words { zh: "（回答在此中断。）".into(), en: "(The answer broke off here.)".into() };
    let text = format!("{text}\n\n{}", note.in_language_of(&turn.question));
    ReplyText { sources: cited(turn, &text), text, mark: Some(Mark::Failed), degraded: true }
}

fn back_off(attempt: i64) -> i64 {
    let doublings = u32::try_from(attempt.clamp(1, 16) - 1).unwrap_or(0);
    FIRST_WAIT_MS.saturating_mul(2_i64.saturating_pow(doublings)).min(LONGEST_WAIT_MS)
}

/// Where unfinished text is shown, as often as the platform allows. Lossy by design.
struct Screen {
    port: Option<Port<Preview>>,
    conversation: String,
    message: i64,
    every: Duration,
    last: Option<Instant>,
    has_news: bool,
}

impl Screen {
    fn of(turn: &Turn) -> Self {
        let platform = turn.platform.as_ref();
        let rate = platform.map_or(0, |platform| platform.kind.limits.previews_per_second);
        Self {
            port: platform.filter(|_| rate > 0).map(|platform| platform.preview.clone()),
            conversation: turn.conversation().to_owned(),
            message: turn.claim.last().id,
            every: Duration::from_secs(1) / rate.max(1),
            last: None,
            has_news: false,
        }
    }

    fn text_has_grown(&mut self) {
        self.has_news = true;
    }

    /// Whether the person sees the answer grow.
    fn shows(&self, text: &str) -> bool {
        self.port.is_some() && !text.is_empty()
    }

    fn is_due(&self) -> bool {
        self.has_news && self.port.is_some()
    }

    fn due_at(&self) -> Instant {
        self.last.map_or_else(Instant::now, |last| last + self.every)
    }

    fn show_text(&mut self, text: &str) {
        self.has_news = false;
        self.last = Some(Instant::now());
        self.show(PreviewState::Text(Arc::from(text)));
    }

    fn show(&self, state: PreviewState) {
        let Some(port) = &self.port else { return };
        // A preview that finds no room is simply not shown.
        drop(port.offer(Preview { conversation: self.conversation.clone(), message: self.message, state }));
    }
}
