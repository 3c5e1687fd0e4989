//! Letting go: texts and traces after `storage.keep`, platform ids after `storage.keep_ids`, in small batches
//! inside the writer, never while a reply is open.

use super::{StoreError, sql};
use rusqlite::Connection;
use std::time::Duration;

/// Rows of one kind that one batch lets go.
const BATCH: i64 = 200;

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    pub texts: Duration,
    pub ids: Duration,
}

/// Lets one batch go and returns freed pages to the file system. Answers how many rows it touched; 0 means done.
pub fn sweep(conn: &Connection, now: i64, keep: Keep) -> Result<usize, StoreError> {
    let texts = now - millis(keep.texts);
    let ids = now - millis(keep.ids);
    let mut touched = 0;
    for (statement, before) in [
        (sql::retention::FORGET_TEXTS, texts),
        (sql::retention::FORGET_PARTS, texts),
        (sql::retention::FORGET_TRACES, texts),
        (sql::retention::FORGET_HISTORY, texts),
        (sql::retention::FORGET_IDS, ids),
    ] {
        touched += conn.prepare_cached(statement)?.execute((before, BATCH))?;
    }
    let mut vacuum = conn.prepare_cached(sql::retention::GIVE_PAGES_BACK)?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(touched)
}

/// Bytes of the database file, and how many of them are free pages.
pub fn sizes(conn: &Connection) -> Result<(i64, i64), StoreError> {
    Ok(conn.query_row(sql::retention::PAGES, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
