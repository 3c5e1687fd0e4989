//! What was said before, as a model is told it.

use super::{StoreError, sql};
use rusqlite::{Connection, OptionalExtension};

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub message: i64,
    pub question: String,
    pub answer: String,
}

/// The newest `limit` exchanges since the conversation last began afresh, oldest first.
pub fn recall(conn: &Connection, conversation: &str, limit: usize) -> Result<Vec<Exchange>, StoreError> {
    let mut statement = conn.prepare_cached(sql::inbox::RECALL)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((conversation, limit), |row| {
        Ok(Exchange { message: row.get(0)?, question: row.get(1)?, answer: row.get(2)? })
    })?;
    let mut exchanges = rows.collect::<Result<Vec<_>, _>>()?;
    exchanges.reverse();
    Ok(exchanges)
}

/// The last message before `before` that asked something, with its text, answered or not; `command` is no question.
pub fn last_question(
    conn: &Connection,
    conversation: &str,
    before: i64,
    command: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    let mut statement = conn.prepare_cached(sql::inbox::LAST_QUESTION)?;
    Ok(statement.query_row((conversation, before, command), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Remembers an exchange.
pub fn remember(conn: &Connection, conversation: &str, exchange: &Exchange, at: i64) -> Result<(), StoreError> {
    let Exchange { message, question, answer } = exchange;
    conn.prepare_cached(sql::inbox::REMEMBER)?.execute((conversation, message, question, answer, at))?;
    Ok(())
}

/// Begins the conversation afresh: nothing before `message` is told to a model any more.
pub fn begin_afresh(conn: &Connection, conversation: &str, message: i64, at: i64) -> Result<(), StoreError> {
    let nothing = rusqlite::types::Null;
    conn.prepare_cached(sql::inbox::REMEMBER)?.execute((conversation, message, nothing, nothing, at))?;
    Ok(())
}
