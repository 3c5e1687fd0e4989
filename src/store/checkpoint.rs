//! Keeps the write-ahead log short, while commits go on.
//!
//! Once a second a thread moves what is in the log into the database. While messages pour in, something new is in the log
//! by the time it ends; so once the log is long, the writer moves that small rest itself between two flushes. A log of
//! which everything was moved begins anew with the next write. The other way, `TRUNCATE` on a second connection, needs
//! the write lock: it was seen to wait for two seconds in vain, and to hold the writer up for 100 ms when it got it.

use super::{StoreError, open_connection, spawn_thread, sql};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);
/// Below this size of its file, bytes, the log is not worth a flush.
const SHORT: u64 = 4 << 20;
/// Past this many pages (16 MiB) the log should begin anew.
const LONG: i64 = 4096;

/// The thread that checkpoints, which ends when this is dropped.
pub(super) struct Checkpoints {
    _stop: Sender<()>,
}

impl Checkpoints {
    /// `long_log` is set when the writer should move the rest.
    pub fn start(path: &Path, long_log: Arc<AtomicBool>) -> Result<Self, StoreError> {
        let conn = open_connection(path)?;
        let wal = super::wal_path(path);
        let (stop, stopped) = channel();
        spawn_thread("store-checkpoint", move || run(&conn, &wal, &long_log, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn run(conn: &Connection, wal: &Path, long_log: &AtomicBool, stopped: &Receiver<()>) {
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        if std::fs::metadata(wal).is_ok_and(|file| file.len() > SHORT) && move_log(conn) > LONG {
            long_log.store(true, Ordering::Relaxed);
        }
    }
}

/// Moves what can be moved without waiting for anybody. Answers how many pages the log holds.
pub(super) fn move_log(conn: &Connection) -> i64 {
    conn.query_row(sql::CHECKPOINT, [], |row| row.get("log")).unwrap_or_else(|error| {
        tracing::debug!(%error, "checkpoint put off");
        0
    })
}

#[cfg(test)]
mod tests {
    use crate::store::{Store, wal_path};
    use std::io::Read;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// The number that SQLite draws whenever the log begins anew.
    fn salt(wal: &Path) -> Option<Vec<u8>> {
        let mut header = [0; 24];
        std::fs::File::open(wal).ok()?.read_exact(&mut header).ok()?;
        Some(header[16..].to_vec())
    }

    #[actix_rt::test]
    async fn the_log_begins_anew_while_messages_keep_coming() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mindbot.db");
        let wal = wal_path(&path);
        let store = Store::open(&path, Arc::new(|why| panic!("{why}"))).unwrap();
        let fill = "INSERT INTO trace (message, at, step, detail) VALUES (1, 1, 'received', hex(zeroblob(100000)))";
        store.write(move |conn| Ok(conn.execute(fill, [])?)).await.unwrap();
        let (first, began) = (salt(&wal), Instant::now());
        while salt(&wal) == first {
            store.write(move |conn| Ok(conn.execute(fill, [])?)).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(60), "the log never began anew");
        }
        let rows = store.read(|conn| Ok(conn.query_row("SELECT count(*) FROM trace", [], |row| row.get(0))?)).await;
        assert!(rows.is_ok_and(|rows: i64| rows > 100));
    }
}
