//! What a gateway does beside answering: tells people that they wait, gives up on what waited too long, lets old
//! texts go, and closes the door while disk or inbox are full.
//!
//! Not an actor: one loop that owns nothing. A panic in one round costs that round.

use crate::directory::Directory;
use crate::dispatch::{Intake, Nudges};
use crate::domain::{Mark, ReplyText};
use crate::store::retention::{self, Keep};
use crate::store::{Store, StoreError, inbox, waiting};
use crate::supervise::{Panicked, contained};
use std::time::Duration;
use tokio::time::Instant;

/// Disk and backlog are looked at this often: until then too much is taken …
const DOOR_EVERY: Duration = Duration::from_millis(100);
/// … and the rest is done every so many looks.
const ROUND: u32 = 5;
/// Old texts are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Time between two batches, so that a sweep never holds up the path of a message.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

const DISK_FULL: &str = "less disk is free than `storage.min_free`";
const INBOX_FULL: &str = "more messages are waiting than `storage.high_water`";

/// What the loop works with.
#[derive(Clone)]
pub struct Upkeep {
    pub store: Store,
    pub directory: Directory,
    pub intake: Intake,
    pub nudges: Nudges,
}

impl Upkeep {
    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut swept: Option<Instant> = None;
        for look in (0..ROUND).cycle() {
            tokio::time::sleep(DOOR_EVERY).await;
            if look > 0 {
                Self::note(contained(self.watch_the_door()).await);
                continue;
            }
            let is_sweep_due = swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
            Self::note(contained(self.round(is_sweep_due)).await);
            if is_sweep_due {
                swept = Some(Instant::now());
            }
        }
    }

    fn note(ended: Result<Result<(), StoreError>, Panicked>) {
        match ended {
            Ok(Ok(())) | Ok(Err(StoreError::Closed)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a round of upkeep was not finished"),
            Err(panicked) => tracing::error!(alert = true, %panicked, "a round of upkeep panicked"),
        }
    }

    async fn round(&self, is_sweep_due: bool) -> Result<(), StoreError> {
        self.watch_the_door().await?;
        self.tell_who_waits().await?;
        self.give_up().await?;
        if is_sweep_due {
            self.sweep().await?;
        }
        Ok(())
    }

    /// Closes the door while the disk or the inbox is too full, and opens it again.
    async fn watch_the_door(&self) -> Result<(), StoreError> {
        let storage = self.directory.load().config.storage.clone();
        let free = rustix::fs::statvfs(self.store.path()).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let (ready, claimed, _) = self.store.read(inbox::depths).await?;
        let waiting = u64::try_from(ready + claimed).unwrap_or(0);
        let reason = match free {
            Ok(free) if free < storage.min_free => Some(DISK_FULL),
            _ if waiting > storage.high_water => Some(INBOX_FULL),
            _ => None,
        };
        if self.intake.close_while(reason) {
            match reason {
                Some(reason) => tracing::error!(alert = true, reason, "webhooks are refused"),
                None => tracing::info!("webhooks are taken again"),
            }
        }
        Ok(())
    }

    /// One word to each conversation whose oldest message waits longer than `pipeline.notice_after`.
    async fn tell_who_waits(&self) -> Result<(), StoreError> {
        let pipeline = self.directory.load().config.pipeline.clone();
        let before = self.store.now() - millis(pipeline.notice_after);
        let overdue = self.store.read(move |conn| waiting::overdue(conn, before)).await?;
        if overdue.is_empty() {
            return Ok(());
        }
        let (now, busy) = (self.store.now(), pipeline.replies.busy);
        self.store
            .write(move |conn| {
                overdue.iter().try_for_each(|row| {
                    let text = busy.in_language_of(&row.text).to_owned();
                    waiting::notice(
                        conn,
                        now,
                        row,
                        ReplyText { text, mark: Some(Mark::Notice), ..ReplyText::default() },
                    )
                })
            })
            .await?;
        self.nudges.outbox.notify_one();
        Ok(())
    }

    /// Ends as dead letters what could not be answered for `pipeline.give_up_after`.
    async fn give_up(&self) -> Result<(), StoreError> {
        let pipeline = self.directory.load().config.pipeline.clone();
        let before = self.store.now() - millis(pipeline.give_up_after);
        let late = self.store.read(move |conn| waiting::given_up(conn, before)).await?;
        if late.is_empty() {
            return Ok(());
        }
        tracing::error!(alert = true, messages = late.len(), "messages waited longer than `pipeline.give_up_after`");
        let (now, failed) = (self.store.now(), pipeline.replies.failed);
        self.store
            .write(move |conn| {
                let reason = "waited longer than `pipeline.give_up_after`";
                for row in &late {
                    // A row that a turn has just claimed is not given up.
                    match waiting::give_up(conn, now, row.id, reason, &failed) {
                        Ok(()) | Err(StoreError::Fenced) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })
            .await?;
        self.nudges.outbox.notify_one();
        self.nudges.inbox.notify_one();
        Ok(())
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let storage = self.directory.load().config.storage.clone();
        let keep = Keep { texts: storage.keep, ids: storage.keep_ids };
        loop {
            let now = self.store.now();
            if self.store.write(move |conn| retention::sweep(conn, now, keep)).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(BATCH_PAUSE).await;
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
