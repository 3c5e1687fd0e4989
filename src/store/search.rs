//! Looking messages up: one whole message for "why no reply", lists without content for everybody else, and a
//! web conversation as its reader sees it.

use super::inbox::from_json;
use super::{StoreError, sql};
use crate::domain::{Mark, Source};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use serde_json::Value;

/// One message; `text` only where one message was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub id: i64,
    pub platform: String,
    pub external_id: String,
    pub conversation: String,
    pub sender: String,
    pub received_at: i64,
    pub state: String,
    pub attempt: i64,
    pub strikes: i64,
    pub text: Option<String>,
    pub reason: Option<String>,
}

/// A step of a message's trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceStep {
    pub at: i64,
    pub step: String,
    pub detail: Value,
}

/// A reply part as an operator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PartFound {
    pub part: i64,
    pub state: String,
    pub text: Option<String>,
    pub sent_at: Option<i64>,
    pub reason: Option<String>,
    pub tries: i64,
}

/// What narrows a list; `None` matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub q: Option<String>,
    pub platform: Option<String>,
    pub conversation: Option<String>,
    pub sender: Option<String>,
    pub state: Option<String>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    /// Only messages with a smaller id.
    pub before: Option<i64>,
    pub limit: i64,
}

/// Messages, newest first.
pub fn messages(conn: &Connection, filter: &Filter) -> Result<Vec<Found>, StoreError> {
    let mut statement = conn.prepare_cached(sql::search::MESSAGES)?;
    let parameters = rusqlite::params![
        filter.q,
        filter.platform,
        filter.conversation,
        filter.sender,
        filter.state,
        filter.since,
        filter.until,
        filter.before,
        filter.limit
    ];
    Ok(statement.query_map(parameters, found_of)?.collect::<Result<_, _>>()?)
}

/// Messages that are dead, or whose replies have dead or unknown parts, newest first; `before` is the cursor.
pub fn dead_letters(conn: &Connection, before: Option<i64>, limit: i64) -> Result<Vec<Found>, StoreError> {
    let mut statement = conn.prepare_cached(sql::search::DEAD_LETTERS)?;
    Ok(statement.query_map((before, limit), found_of)?.collect::<Result<_, _>>()?)
}

/// How many dead messages, unknown parts and dead parts [`dead_letters`] lists.
pub fn dead_counts(conn: &Connection) -> Result<[i64; 3], StoreError> {
    let mut statement = conn.prepare_cached(sql::search::DEAD_COUNTS)?;
    Ok(statement.query_row([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?)
}

/// Whether [`dead_letters`] lists this message.
pub fn is_dead_letter(conn: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached(sql::search::IS_DEAD_LETTER)?.exists([id])?)
}

/// Rows that show a promise broken, and the newest message that the database has ever held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broken {
    pub newest: i64,
    /// Reply parts of which nobody knows whether they arrived.
    pub unknown: Vec<i64>,
    /// Dead messages whose people were told nothing.
    pub untold: Vec<i64>,
    /// Answers that were sent before an earlier one of their conversation, among the newest 5,000 parts.
    pub disordered: Vec<i64>,
}

/// Looks for broken promises.
pub fn broken(conn: &Connection) -> Result<Broken, StoreError> {
    let ids = |statement: &str| -> Result<Vec<i64>, StoreError> {
        Ok(conn.prepare_cached(statement)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    };
    Ok(Broken {
        newest: conn.prepare_cached(sql::search::NEWEST_EVER)?.query_row([], |row| row.get(0))?,
        unknown: ids(sql::search::UNKNOWN)?,
        untold: ids(sql::search::UNTOLD)?,
        disordered: ids(sql::search::DISORDERED)?,
    })
}

/// One message with its trace and its replies, or `Missing`.
pub fn message(conn: &Connection, id: i64) -> Result<(Found, Vec<TraceStep>, Vec<PartFound>), StoreError> {
    let found = conn.prepare_cached(sql::search::MESSAGE)?.query_row([id], found_of).optional()?;
    let found = found.ok_or(StoreError::Missing)?;
    let steps = conn
        .prepare_cached(sql::inbox::TRACE_OF)?
        .query_map([id], |row| {
            let detail = row.get_ref(2)?.as_str()?;
            Ok(TraceStep { at: row.get(0)?, step: row.get(1)?, detail: from_json(detail).unwrap_or_default() })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let parts = conn
        .prepare_cached(sql::outbox::OF_MESSAGE)?
        .query_map([id], |row| {
            Ok(PartFound {
                part: row.get(0)?,
                state: row.get(1)?,
                text: row.get(2)?,
                sent_at: row.get(3)?,
                reason: row.get(4)?,
                tries: row.get(5)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok((found, steps, parts))
}

fn found_of(row: &SqlRow<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        id: row.get(0)?,
        platform: row.get(1)?,
        external_id: row.get(2)?,
        conversation: row.get(3)?,
        sender: row.get(4)?,
        received_at: row.get(5)?,
        state: row.get(6)?,
        attempt: row.get(7)?,
        strikes: row.get(8)?,
        text: row.get(9)?,
        reason: row.get(10)?,
    })
}

/// What a person said in a web chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub id: i64,
    pub client_id: String,
    pub text: String,
    pub at: i64,
}

/// What a person was answered in a web chat.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The outbox row.
    pub id: i64,
    pub message: i64,
    pub part: i64,
    pub text: String,
    pub mark: Option<Mark>,
    pub degraded: bool,
    pub sources: Vec<Source>,
    pub at: i64,
}

/// What was said, what was answered, and the messages that are not done, with their state.
pub type Since = (Vec<Said>, Vec<Answered>, Vec<(i64, String)>);

/// A web conversation after the given inbox and outbox rows: what was said, what was answered, and which messages
/// still wait (`ready`) or are being answered (`claimed`).
pub fn conversation(
    conn: &Connection,
    conversation: &str,
    after_said: i64,
    after_answered: i64,
) -> Result<Since, StoreError> {
    let said = conn
        .prepare_cached(sql::search::SAID)?
        .query_map((conversation, after_said), |row| {
            Ok(Said { id: row.get(0)?, client_id: row.get(1)?, text: row.get(2)?, at: row.get(3)? })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let answered = conn
        .prepare_cached(sql::search::ANSWERED)?
        .query_map((conversation, after_answered), |row| {
            Ok(Answered {
                id: row.get(0)?,
                message: row.get(1)?,
                part: row.get(2)?,
                text: row.get(3)?,
                mark: row.get_ref(4)?.as_str_or_null()?.and_then(|word| from_json(&format!("\"{word}\""))),
                degraded: row.get(5)?,
                sources: row.get_ref(6)?.as_str_or_null()?.and_then(from_json).unwrap_or_default(),
                at: row.get(7)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let open = conn
        .prepare_cached(sql::search::OPEN_TURNS)?
        .query_map([conversation], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok((said, answered, open))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        conn
    }

    fn message(conn: &Connection, id: i64, state: &str) {
        conn.execute(
            "INSERT INTO inbox (id, platform, external_id, conversation, queue, chat, kind, sender, text, sent_at, received_at, state)
             VALUES (?1, 'web', ?1, 'c', 'c', 'private', 'message', 's', 'Hello', 0, ?1, ?2)",
            (id, state),
        )
        .unwrap();
    }

    fn part(conn: &Connection, message: i64, state: &str, sent_at: Option<i64>) {
        conn.execute(
            "INSERT INTO outbox (message, part, platform, conversation, reply_route, text, state, tries, created_at, sent_at)
             VALUES (?1, 0, 'web', 'c', 'null', 'hi', ?2, 1, 0, ?3)",
            (message, state, sent_at),
        )
        .unwrap();
    }

    #[test]
    fn kept_promises_leave_nothing_to_find() {
        let conn = database();
        assert_eq!(broken(&conn).unwrap(), Broken::default());
        for id in 1..=3 {
            message(&conn, id, "done");
            part(&conn, id, "sent", Some(id * 10));
        }
        message(&conn, 4, "dead");
        part(&conn, 4, "sent", Some(40));
        assert_eq!(broken(&conn).unwrap(), Broken { newest: 4, ..Broken::default() });
    }

    #[test]
    fn each_broken_promise_is_found() {
        let conn = database();
        for (id, state, part_state, sent_at) in [
            (1, "done", Some("sent"), Some(50)),
            (2, "done", Some("sent"), Some(20)),
            (3, "done", Some("unknown"), None),
            (4, "dead", None, None),
        ] {
            message(&conn, id, state);
            if let Some(part_state) = part_state {
                part(&conn, id, part_state, sent_at);
            }
        }
        let found = broken(&conn).unwrap();
        assert_eq!(found, Broken { newest: 4, unknown: vec![3], untold: vec![4], disordered: vec![2] });
        conn.execute("DELETE FROM inbox WHERE id = 4", []).unwrap();
        assert_eq!(broken(&conn).unwrap().newest, 4, "retention is no loss");
        crate::store::trace::add(&conn, 1, 0, "redriven", &Value::Null).unwrap();
        assert_eq!(broken(&conn).unwrap().disordered, [] as [i64; 0], "a person may have an old answer sent late");
    }

    #[test]
    fn dead_letters_are_dead_messages_and_messages_with_ended_parts() {
        let conn = database();
        for (id, state, part_state) in
            [(1, "dead", "sent"), (2, "done", "sent"), (3, "done", "unknown"), (4, "done", "dead")]
        {
            message(&conn, id, state);
            part(&conn, id, part_state, None);
        }
        let ids = |before, limit| {
            dead_letters(&conn, before, limit).unwrap().iter().map(|found| found.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 10), [4, 3, 1]);
        assert_eq!(ids(Some(4), 1), [3], "paged");
        let listed = dead_letters(&conn, None, 10).unwrap();
        assert_eq!(listed[0].reason.as_deref(), Some("part 0 of the reply is dead"));
        assert!(listed.iter().all(|found| found.text.is_none()));
        let is_listed: Vec<_> = (1..=5).map(|id| is_dead_letter(&conn, id).unwrap()).collect();
        assert_eq!(is_listed, [true, false, true, true, false]);
        assert_eq!(dead_counts(&conn).unwrap(), [1, 1, 1]);
    }

    #[test]
    fn every_filter_narrows_the_list() {
        let conn = database();
        for (id, state) in [(1, "done"), (2, "ready"), (3, "dead")] {
            message(&conn, id, state);
        }
        let all = Filter { limit: 10, ..Filter::default() };
        let table = [
            ("nothing", all.clone(), &[3, 2, 1][..]),
            ("text in any case", Filter { q: Some("hELLO".into()), ..all.clone() }, &[3, 2, 1]),
            ("no such text", Filter { q: Some("100%".into()), ..all.clone() }, &[]),
            ("state", Filter { state: Some("ready".into()), ..all.clone() }, &[2]),
            ("platform", Filter { platform: Some("wecom".into()), ..all.clone() }, &[]),
            ("conversation", Filter { conversation: Some("c".into()), ..all.clone() }, &[3, 2, 1]),
            ("sender", Filter { sender: Some("x".into()), ..all.clone() }, &[]),
            ("since includes", Filter { since: Some(2), ..all.clone() }, &[3, 2]),
            ("until excludes", Filter { until: Some(2), ..all.clone() }, &[1]),
            ("cursor", Filter { before: Some(3), ..all.clone() }, &[2, 1]),
            ("limit", Filter { limit: 1, ..all }, &[3]),
        ];
        for (case, filter, expected) in table {
            let found = messages(&conn, &filter).unwrap();
            assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), expected, "{case}");
            assert!(found.iter().all(|found| found.text.is_none()), "{case}: a list shows no content");
        }
    }
}
