//! Messages that wait too long in the inbox: who must be told, and what is given up.

use super::inbox;
use super::outbox::{self, Reply};
use super::{StoreError, sql, trace};
use crate::config::Words;
use crate::domain::{Lane, ReplyText};
use rusqlite::{Connection, Row as SqlRow};
use serde_json::json;

/// Ends a message that nobody is answering as a dead letter. `Fenced` when a turn has claimed it meanwhile.
pub fn give_up(conn: &Connection, now: i64, id: i64, reason: &str, failed: &Words) -> Result<(), StoreError> {
    let is_ready: bool = conn.prepare_cached(sql::inbox::IS_READY)?.query_row([id], |row| row.get(0))?;
    if is_ready { inbox::die(conn, now, id, reason, failed) } else { Err(StoreError::Fenced) }
}

/// A message that has waited too long for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    pub platform: String,
    pub conversation: String,
    pub text: String,
    pub reply_route: String,
}

impl Waiting {
    /// A message that a turn has claimed.
    pub fn of(row: &inbox::Row) -> Self {
        Self {
            id: row.id,
            platform: row.platform.clone(),
            conversation: row.conversation.clone(),
            text: row.text.clone(),
            reply_route: row.reply_route.clone(),
        }
    }
}

/// Heads of conversations that arrived before `before` and whose people have not heard a word yet.
pub fn overdue(conn: &Connection, before: i64) -> Result<Vec<Waiting>, StoreError> {
    waiting(conn, sql::inbox::OVERDUE, before)
}

/// Rows that arrived before `before`, were tried and given back, and still wait.
pub fn given_up(conn: &Connection, before: i64) -> Result<Vec<Waiting>, StoreError> {
    waiting(conn, sql::inbox::GIVEN_UP, before)
}

fn waiting(conn: &Connection, statement: &str, before: i64) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = conn.prepare_cached(statement)?;
    let rows = statement.query_map([before], waiting_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn waiting_of(row: &SqlRow<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        id: row.get(0)?,
        platform: row.get(1)?,
        conversation: row.get(2)?,
        text: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        reply_route: row.get::<_, Option<String>>(4)?.unwrap_or_else(|| "null".into()),
    })
}

/// As [`notice`], from the turn that has claimed the message. `Fenced` when another attempt owns it.
pub fn notice_from_turn(
    conn: &Connection,
    run: i64,
    now: i64,
    fence: inbox::Fence,
    waiting: &Waiting,
    reply: ReplyText,
) -> Result<(), StoreError> {
    let is_ours = conn.prepare_cached(sql::inbox::IS_OURS)?.exists((fence.id, run, fence.attempt))?;
    if is_ours { notice(conn, now, waiting, reply) } else { Err(StoreError::Fenced) }
}

/// Tells a waiting person one thing, once for all the rows that wait in the conversation.
pub fn notice(conn: &Connection, now: i64, waiting: &Waiting, reply: ReplyText) -> Result<(), StoreError> {
    conn.prepare_cached(sql::inbox::NOTICED)?.execute([inbox::queue_of(&waiting.conversation, Lane::Normal)])?;
    trace::add(conn, waiting.id, now, "noticed", &json!({ "text": reply.text }))?;
    let Waiting { id, platform, conversation, reply_route, .. } = waiting;
    outbox::put(conn, now, *id, platform, conversation, reply_route, &Reply::whole(reply))
}
