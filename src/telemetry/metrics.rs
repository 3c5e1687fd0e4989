//! Numbers that are counted where they happen, and the Prometheus text of all numbers. A restart begins at zero.
//!
//! What can be read at any time (queues, ports, sizes) is not counted here; `http/metrics.rs` reads it when asked.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the turns' durations, seconds.
const TURN_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Observations wait in a buffer until somebody folds them in: a scrape, or every so many of them.
const FOLD_EVERY: u64 = 1024;

static COUNTED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Begins to count, once for the process; what happened before is not counted.
pub fn install() {
    COUNTED.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(TURN_SECONDS);
        match builder.and_then(PrometheusBuilder::install_recorder) {
            Ok(handle) => {
                describe();
                Some(handle)
            }
            Err(error) => {
                tracing::warn!(%error, "turns are not counted");
                None
            }
        }
    });
}

fn describe() {
    describe_counter!("mindbot_turns_total", "Turns that ended, by platform and outcome.");
    describe_histogram!("mindbot_turn_seconds", Unit::Seconds, "Time from a turn's start to its durable end.");
    describe_counter!("mindbot_tokens_total", "Tokens that providers reported, by provider/model and direction.");
    describe_counter!("mindbot_http_refused_total", "Requests ended by the edge: too_large or slow.");
    counter!("mindbot_http_refused_total", "reason" => "too_large").increment(0);
    counter!("mindbot_http_refused_total", "reason" => "slow").increment(0);
}

/// Counts a turn and how long it took. `outcome` is one of a few fixed words.
pub fn turn_ended(platform: &str, outcome: &'static str, took: Duration) {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    counter!("mindbot_turns_total", "platform" => platform.to_owned(), "outcome" => outcome).increment(1);
    histogram!("mindbot_turn_seconds").record(took);
    if TURNS.fetch_add(1, Ordering::Relaxed) % FOLD_EVERY == FOLD_EVERY - 1
        && let Some(Some(handle)) = COUNTED.get()
    {
        handle.run_upkeep();
    }
}

/// Counts the tokens of one model call. `answered_by` is `provider/model`.
pub fn tokens(answered_by: &str, prompt: u64, completion: u64) {
    for (direction, tokens) in [("prompt", prompt), ("completion", completion)] {
        counter!("mindbot_tokens_total", "model" => answered_by.to_owned(), "direction" => direction).increment(tokens);
    }
}

/// Counts a request that the edge ended: `too_large` or `slow`.
pub fn http_refused(reason: &'static str) {
    counter!("mindbot_http_refused_total", "reason" => reason).increment(1);
}

/// The text of everything that was counted.
pub fn counted() -> String {
    COUNTED.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}

/// The text of what `read` describes and sets, and of nothing else: what is gone by the next time is gone from the text.
pub fn measured(read: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, read);
    recorder.handle().render()
}
