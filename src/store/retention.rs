//! Letting go: texts and traces after `storage.keep`, platform ids after `storage.keep_ids`, in small batches
//! inside the writer, never while a reply is open.

use super::{StoreError, sql};
use rusqlite::Connection;
use std::time::Duration;

/// Rows of one kind that one batch lets go.
const BATCH: i64 = 100;

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
    let mut touched = forget_messages(conn, sql::retention::FORGET_TEXTS, texts)?;
    for statement in [sql::retention::FORGET_PARTS, sql::retention::FORGET_HISTORY] {
        touched += conn.prepare_cached(statement)?.execute((texts, BATCH))?;
    }
    touched += forget_messages(conn, sql::retention::FORGET_IDS, ids)?;
    let mut vacuum = conn.prepare_cached(sql::retention::GIVE_PAGES_BACK)?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(touched)
}

/// Runs a statement that answers message ids, and drops their traces as well.
fn forget_messages(conn: &Connection, statement: &str, before: i64) -> Result<usize, StoreError> {
    let forgotten = conn
        .prepare_cached(statement)?
        .query_map((before, BATCH), |row| row.get::<_, i64>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut trace = conn.prepare_cached(sql::retention::FORGET_TRACE)?;
    for message in &forgotten {
        trace.execute([message])?;
    }
    Ok(forgotten.len())
}

/// Bytes of the database file, and how many of them are free pages.
pub fn sizes(conn: &Connection) -> Result<(i64, i64), StoreError> {
    Ok(conn.query_row(sql::retention::PAGES, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;
    const NOW: i64 = 1000 * DAY;
    const KEEP: Keep =
        Keep { texts: Duration::from_secs(30 * 24 * 60 * 60), ids: Duration::from_secs(90 * 24 * 60 * 60) };

    /// Writes a message with a reply part, a trace step and an exchange, all `days` old.
    fn put(conn: &Connection, name: &str, days: i64, state: &str, part: &str) {
        let at = NOW - days * DAY;
        let inbox =
            "INSERT INTO inbox (platform, external_id, conversation, queue, chat, kind, sender, sender_name, text,
                                        sent_at, received_at, state)
                     VALUES ('web', ?1, 'c', 'c', 'private', 'message', 's', 'Ann', 'hello', ?2, ?2, ?3)";
        conn.execute(inbox, (name, at, state)).unwrap();
        let id = conn.last_insert_rowid();
        let outbox = "INSERT INTO outbox (message, part, platform, conversation, reply_route, text, state, created_at)
                      VALUES (?1, 0, 'web', 'c', 'null', 'hello', ?2, ?3)";
        conn.execute(outbox, (id, part, at)).unwrap();
        crate::store::trace::add(conn, id, at, "received", &serde_json::json!({ "text": "hello" })).unwrap();
        let history =
            "INSERT INTO history (conversation, message, question, answer, at) VALUES ('c', ?1, 'hello', 'hello', ?2)";
        conn.execute(history, (id, at)).unwrap();
    }

    /// What is left of a message: its id, text, reply and trace.
    fn left(conn: &Connection, name: &str) -> [bool; 4] {
        let there = |rest: &str| {
            let question = format!("SELECT EXISTS (SELECT 1 FROM inbox AS i {rest} i.external_id = ?1)");
            conn.query_row(&question, [name], |row| row.get(0)).unwrap()
        };
        [
            there("WHERE"),
            there("WHERE i.text IS NOT NULL AND i.sender_name IS NOT NULL AND"),
            there("JOIN outbox AS o ON o.message = i.id WHERE"),
            there("JOIN trace AS t ON t.message = i.id WHERE"),
        ]
    }

    fn sweep_all(conn: &Connection) {
        while sweep(conn, NOW, KEEP).unwrap() > 0 {}
    }

    #[test]
    fn old_texts_go_after_a_month_and_ids_after_three_but_nothing_that_is_still_open() {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let table = [
            ("yesterday", 1, "done", "sent", [true, true, true, true]),
            ("a month ago", 31, "done", "sent", [true, false, false, false]),
            ("three months ago", 91, "done", "sent", [false, false, false, false]),
            ("dead", 31, "dead", "unknown", [true, false, false, false]),
            ("still waiting", 91, "ready", "sent", [true, true, false, true]),
            ("still being answered", 91, "claimed", "sent", [true, true, false, true]),
            ("reply not yet sent", 91, "done", "ready", [true, true, true, true]),
            ("reply being sent", 91, "done", "sending", [true, true, true, true]),
        ];
        for (name, days, state, part, _) in table {
            put(&conn, name, days, state, part);
        }
        sweep_all(&conn);
        for (name, .., expected) in table {
            assert_eq!(left(&conn, name), expected, "{name}");
        }
        let remembered: i64 = conn.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap();
        assert_eq!(remembered, 1, "only yesterday's exchange");
    }

    #[test]
    fn a_sweep_goes_in_steps_that_hold_nobody_up() {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        (0..250).for_each(|number| put(&conn, &format!("{number}"), 31, "done", "sent"));
        let forgotten =
            || conn.query_row("SELECT count(*) FROM inbox WHERE text IS NULL", [], |row| row.get::<_, i64>(0)).unwrap();
        let mut steps = vec![];
        while sweep(&conn, NOW, KEEP).unwrap() > 0 {
            steps.push(forgotten());
        }
        assert_eq!(steps, [100, 200, 250]);
    }
}
