//! The drain: what happens in which order between SIGTERM and the end of the process, and what stays on disk.
//!
//! A second signal may end the process at any point of this, which is safe for the same reason a crash is.

use crate::boot::Running;
use crate::dispatch::Office;
use crate::store::{Store, StoreError, inbox, outbox};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time for event streams to say goodbye.
const FAREWELL: Duration = Duration::from_millis(200);

/// Stops the gateway within `drain_timeout`. What is not finished by then is on disk, and the next process does it.
pub async fn drain(running: Running) {
    let Running { state, server, switches, leash, root, threads, lock, .. } = running;
    let config = state.directory.load().config.clone();
    let timeout = config.server.drain_timeout;
    let end = Instant::now() + timeout;
    tracing::info!(timeout_s = timeout.as_secs(), turns = switches.turns.running(), "draining");
    state.health.stopping();
    state.intake.drain();
    switches.no_claims.store(true, Ordering::Release);
    wait_for_none(&switches.turns, Instant::now() + timeout * 2 / 3).await;
    match give_back(&state.store, &config.pipeline.replies.failed).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "gave unfinished messages back; the next start answers them"),
        Err(error) => tracing::error!(%error, "unfinished messages stay claimed; the next start takes them over"),
    }
    flush(&state.store, end - timeout / 6).await;
    switches.no_sends.store(true, Ordering::Release);
    wait_for_none(&switches.sends, end - timeout / 10).await;
    state.draining.cancel();
    tokio::time::sleep(FAREWELL.min(timeout / 10)).await;
    server.stop(false).await;
    drop(leash);
    let _ = root.await;
    for thread in threads.iter().rev() {
        thread.stop();
    }
    if let Err(error) = state.store.checkpoint().await {
        tracing::error!(%error, "the database's log could not be moved into its file; the next start does it");
    }
    drop(lock);
    tracing::info!("stopped");
}

async fn wait_for_none(office: &Office, until: Instant) {
    while office.running() > 0 && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Gives rows back whose turns are not done, without a strike: their fences no longer match, so whatever the turns
/// still do is not stored.
async fn give_back(store: &Store, failed: &crate::config::Words) -> Result<usize, StoreError> {
    let (run, now, failed) = (store.run(), store.now(), failed.clone());
    let given = store.write(move |conn| inbox::recover(conn, run, now, true, &failed)).await?;
    Ok(given.ready)
}

/// Waits until the outbox holds nothing that could be sent now.
async fn flush(store: &Store, until: Instant) {
    while Instant::now() < until {
        let now = store.now();
        // Parts that a platform has put off stay for the next process.
        let due = store.read(move |conn| {
            let depths = outbox::depths(conn)?;
            let counts = depths.iter().map(|depth| outbox::ready_count(conn, now, &depth.platform, 1));
            counts.sum::<Result<usize, _>>()
        });
        if due.await.is_ok_and(|due| due == 0) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
