//! Keeps the first words back for a moment while another provider could still take over unnoticed.

use super::{Complete, Delta, ProviderError};
use crate::domain::Usage;
use crate::supervise::Reserved;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Text is released once there is this much of it …
const HELD_CHARS: usize = 80;
/// … or the first of it is this old.
const HELD_FOR: Duration = Duration::from_millis(300);
const CHANNEL: usize = 64;

/// Asks one provider, holding its first words back. Also answers whether any text has been shown.
pub(super) async fn ask_held_back(
    port: Reserved<Complete>,
    call: Complete,
    within: Duration,
) -> (Result<Usage, ProviderError>, bool) {
    let (deltas, mut incoming) = mpsc::channel::<Delta>(CHANNEL);
    let shown_to = call.deltas.clone();
    let asked = port.ask(Complete { deltas, ..call }, within);
    tokio::pin!(asked);
    let mut held = String::new();
    let mut release_at: Option<Instant> = None;
    let mut released = false;
    let outcome = loop {
        let hold_ends = release_at.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            Some(delta) = incoming.recv() => {
                if released {
                    if shown_to.send(delta).await.is_err() { return (Err(ProviderError::Cancelled), true) }
                    continue;
                }
                held.push_str(&delta);
                release_at.get_or_insert(Instant::now() + HELD_FOR);
                if held.chars().count() < HELD_CHARS { continue }
            }
            () = sleep_until(hold_ends), if release_at.is_some() && !released => {}
            () = shown_to.closed() => return (Err(ProviderError::Cancelled), released),
            outcome = &mut asked => break outcome.map_err(ProviderError::from).and_then(|result| result),
        }
        released = true;
        if shown_to.send(std::mem::take(&mut held).into()).await.is_err() {
            return (Err(ProviderError::Cancelled), true);
        }
    };
    // What was still on its way belongs to the answer; after a failure it is shown only if its beginning was.
    while let Ok(delta) = incoming.try_recv() {
        held.push_str(&delta);
    }
    if !held.is_empty() && (released || outcome.is_ok()) {
        released = true;
        if shown_to.send(held.into()).await.is_err() {
            return (Err(ProviderError::Cancelled), true);
        }
    }
    (outcome, released)
}
