//! Another try for a message, asked for by a person: safe whatever became of it, and a no when nothing is left to try.

use super::{StoreError, inbox, outbox, search, sql};
use rusqlite::Connection;

/// What was put back in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retried {
    /// The message itself: it is answered anew.
    Message,
    /// So many parts of its answer; those of unknown fate are flagged as repeats.
    Replies(usize),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

/// Puts a message back in line, or the parts of its answer that did not surely arrive. `Missing` when there is none.
pub fn message(conn: &Connection, now: i64, id: i64, by: &str) -> Result<Retried, StoreError> {
    let (found, _, _) = search::message(conn, id)?;
    match found.state.as_str() {
        "ready" | "claimed" => Ok(Retried::Nothing("it is in line already")),
        "dead" | "cancelled" | "refused" if found.text.is_none() => {
            Ok(Retried::Nothing("its text has been forgotten; see `storage.keep`"))
        }
        "dead" | "cancelled" | "refused" => {
            conn.prepare_cached(sql::outbox::SUPERSEDE)?.execute([id])?;
            inbox::redrive(conn, now, id, by)?;
            Ok(Retried::Message)
        }
        _ => match outbox::redrive(conn, now, id, by)? {
            0 => Ok(Retried::Nothing("it is answered, and every part of the answer is sent or on its way")),
            parts => Ok(Retried::Replies(parts)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use std::sync::Arc;

    /// Writes a message in `state`, with reply parts in `parts`.
    fn put(conn: &Connection, state: &str, text: Option<&str>, parts: &[&str]) -> i64 {
        conn.execute(
            "INSERT INTO inbox (platform, external_id, conversation, queue, chat, kind, sender, text, sent_at, received_at, state)
             VALUES ('web', hex(randomblob(8)), 'c', 'c', 'private', 'message', 's', ?1, 0, 0, ?2)",
            (text, state),
        )
        .unwrap();
        let id = conn.last_insert_rowid();
        for (part, state) in (0i64..).zip(parts) {
            conn.execute(
                "INSERT INTO outbox (message, part, platform, conversation, reply_route, text, state, created_at)
                 VALUES (?1, ?2, 'web', 'c', 'null', 'hello', ?3, 0)",
                (id, part, state),
            )
            .unwrap();
        }
        id
    }

    #[test]
    fn only_what_did_not_surely_arrive_is_tried_again() {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let nothing = |retried| matches!(retried, Ok(Retried::Nothing(_)));
        let table = [
            ("waiting", "ready", Some("hi"), &[][..], None),
            ("running", "claimed", Some("hi"), &[], None),
            ("dead", "dead", Some("hi"), &["sent"], Some(Retried::Message)),
            ("dead, forgotten", "dead", None, &[], None),
            ("stopped", "cancelled", Some("hi"), &[], Some(Retried::Message)),
            ("too fast", "refused", Some("hi"), &["sent"], Some(Retried::Message)),
            ("answered", "done", Some("hi"), &["sent", "sending", "ready"], None),
            ("half answered", "done", Some("hi"), &["sent", "unknown", "dead"], Some(Retried::Replies(2))),
        ];
        for (case, state, text, parts, expected) in table {
            let id = put(&conn, state, text, parts);
            let retried = message(&conn, 7, id, "test");
            match expected {
                None => assert!(nothing(retried), "{case}"),
                Some(expected) => {
                    assert_eq!(retried.unwrap(), expected, "{case}");
                    assert!(nothing(message(&conn, 7, id, "test")), "{case}: a second try finds nothing to do");
                }
            }
        }
        assert_eq!(message(&conn, 7, 999, "test"), Err(StoreError::Missing));
    }

    #[test]
    fn a_part_of_unknown_fate_goes_out_flagged_as_a_repeat() {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let id = put(&conn, "done", Some("hi"), &["unknown", "dead"]);
        message(&conn, 7, id, "test").unwrap();
        let flags = "SELECT may_repeat FROM outbox WHERE message = ?1 AND state = 'ready' ORDER BY part";
        let flags =
            conn.prepare(flags).unwrap().query_map([id], |row| row.get(0)).unwrap().collect::<Result<Vec<i64>, _>>();
        assert_eq!(flags.unwrap(), [1, 0], "the dead one surely did not arrive");
    }

    #[test]
    fn an_answer_is_not_followed_by_the_failure_reply_of_an_earlier_try() {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        for part in ["ready", "unknown", "dead"] {
            let id = put(&conn, "dead", Some("hi"), &[part]);
            assert_eq!(message(&conn, 7, id, "test").unwrap(), Retried::Message, "{part}");
            conn.execute("UPDATE inbox SET state = 'done' WHERE id = ?1", [id]).unwrap();
            assert!(matches!(message(&conn, 8, id, "test").unwrap(), Retried::Nothing(_)), "{part}: a second try");
            assert!(!search::is_dead_letter(&conn, id).unwrap(), "{part}");
            let (_, _, parts) = search::message(&conn, id).unwrap();
            assert!(parts.iter().all(|part| part.state != "ready"), "{part}: nothing is sent");
        }
    }

    #[actix_rt::test]
    async fn a_retry_is_in_the_trace() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("test.db"), Arc::new(|_| {})).unwrap();
        let id = store.write(|conn| Ok(put(conn, "dead", Some("hi"), &[]))).await.unwrap();
        store.write(move |conn| message(conn, 7, id, "key 12345678 from 127.0.0.1")).await.unwrap();
        let (found, steps, _) = store.read(move |conn| search::message(conn, id)).await.unwrap();
        assert_eq!((found.state.as_str(), found.strikes), ("ready", 0));
        let step = steps.last().unwrap();
        assert_eq!((step.step.as_str(), step.detail["by"].as_str()), ("redriven", Some("key 12345678 from 127.0.0.1")));
    }
}
