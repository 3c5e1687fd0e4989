//! The reference's store: one writer, many jobs a flush, the same promises of the disk as the gateway's.

use rusqlite::Connection;
use std::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

/// Jobs in one flush, at most.
const BATCH: usize = 512;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE inbox (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, user TEXT, text TEXT, state TEXT);
    CREATE TABLE outbox (part INTEGER PRIMARY KEY, row INTEGER NOT NULL, text TEXT, state TEXT);";

/// The three writes of a message; each answers the row that it wrote.
pub enum Write {
    Accept { id: String, user: String, text: String },
    Answer { row: i64, text: String },
    Sent { part: i64 },
}

pub struct Store(Sender<(Write, oneshot::Sender<i64>)>);

impl Store {
    pub fn open(path: &str) -> Self {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(SCHEMA).unwrap();
        let (jobs, queue) = channel::<(Write, oneshot::Sender<i64>)>();
        std::thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                conn.execute_batch("BEGIN IMMEDIATE").unwrap();
                let batch = std::iter::once(first).chain(queue.try_iter().take(BATCH - 1));
                let done: Vec<_> = batch.map(|(write, reply)| (write.run(&conn), reply)).collect();
                conn.execute_batch("COMMIT").unwrap();
                for (row, reply) in done {
                    let _ = reply.send(row);
                }
            }
        });
        Self(jobs)
    }

    pub async fn write(&self, write: Write) -> i64 {
        let (reply, done) = oneshot::channel();
        self.0.send((write, reply)).unwrap();
        done.await.unwrap()
    }
}

impl Write {
    fn run(self, conn: &Connection) -> i64 {
        let run =
            |sql: &str, values: &[&dyn rusqlite::ToSql]| conn.prepare_cached(sql).unwrap().execute(values).unwrap();
        match self {
            Self::Accept { id, user, text } => {
                run("INSERT INTO inbox (id, user, text, state) VALUES (?1, ?2, ?3, 'ready')", &[&id, &user, &text]);
                conn.last_insert_rowid()
            }
            Self::Answer { row, text } => {
                run("UPDATE inbox SET state = 'done' WHERE row = ?1", &[&row]);
                run("INSERT INTO outbox (row, text, state) VALUES (?1, ?2, 'sending')", &[&row, &text]);
                conn.last_insert_rowid()
            }
            Self::Sent { part } => {
                run("UPDATE outbox SET state = 'sent' WHERE part = ?1", &[&part]);
                part
            }
        }
    }
}
