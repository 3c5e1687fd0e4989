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
