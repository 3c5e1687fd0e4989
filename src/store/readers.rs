//! Reading connections on threads of their own.

use super::{StoreError, open_connection, spawn_thread, sql};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

const READERS: usize = 2;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Asks on whichever reading thread is free.
pub(super) struct Readers {
    questions: Sender<Question>,
}

impl Readers {
    pub fn start(path: &Path) -> Result<Self, StoreError> {
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
        Ok(Self { questions })
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
