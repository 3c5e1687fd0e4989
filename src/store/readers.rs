//! Reading connections on threads of their own, and the checkpoint that keeps the log short.

use super::{StoreError, open_connection, spawn_thread, sql};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

const READERS: usize = 2;
/// Past this size the write-ahead log is cut back to nothing.
const WAL_TRUNCATE: u64 = 64 << 20;
/// Below this size a checkpoint is not worth its flush.
const WAL_CHECKPOINT: u64 = 4 << 20;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Asks on whichever reading thread is free.
pub(super) struct Readers {
    questions: Sender<Question>,
    _checkpoint: Arc<()>,
}

impl Readers {
    /// `checkpoint` keeps the checkpointing thread alive as long as the readers are.
    pub fn start(path: &Path, checkpoint: Arc<()>) -> Result<Self, StoreError> {
        let (questions, queue) = channel::<Question>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let conn = open_connection(path)?;
            conn.execute_batch(sql::READ_ONLY)?;
            let queue = queue.clone();
            spawn_thread("store-reader", move || {
                while let Some(question) = next(&queue) {
                    question(&conn);
                }
            })?;
        }
        Ok(Self { questions, _checkpoint: checkpoint })
    }

    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = move |conn: &Connection| {
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| question(conn)));
            let _ = reply.send(found.unwrap_or_else(|_| Err(StoreError::Sql("a query panicked".into()))));
        };
        self.questions.send(Box::new(asked)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn next(queue: &Mutex<Receiver<Question>>) -> Option<Question> {
    // Nothing inside can panic, so a poisoned lock still guards a sound receiver.
    queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv().ok()
}

/// Moves the log into the database once a second, on a connection of its own and never inside a commit.
pub(super) fn checkpoint(conn: &Connection, wal: &Path, alive: &Weak<()>) {
    let (_keep, tick) = channel::<()>();
    while alive.strong_count() > 0 {
        let _ = tick.recv_timeout(Duration::from_secs(1));
        let size = std::fs::metadata(wal).map_or(0, |file| file.len());
        let statements: &[&str] = match size {
            // Truncating holds the writer up for as long as there is something to move, so that is little by then.
            WAL_TRUNCATE.. => &[sql::CHECKPOINT, sql::CHECKPOINT, sql::CHECKPOINT_TRUNCATE],
            WAL_CHECKPOINT.. => &[sql::CHECKPOINT],
            _ => continue,
        };
        let checkpointed = statements.iter().try_for_each(|statement| conn.query_row(statement, [], |_| Ok(())));
        if let Err(error) = checkpointed {
            tracing::debug!(%error, "checkpoint put off");
        }
    }
}
