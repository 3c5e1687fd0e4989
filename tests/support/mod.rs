//! What the tests stand on: the real binary in a folder of its own, and a reader of the web chat.

pub mod actors;
pub mod chat;
pub mod gateway;
pub mod office;
pub mod siege;

use std::time::{Duration, Instant};

/// The longest that a test waits for anything; a failure, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until `look` finds something; fails with `what` after [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
