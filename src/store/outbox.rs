//! The outbox: every reply part from the moment it is decided until the platform has acknowledged it.
//!
//! A part is `ready`, then `sending` while its request may be on the wire, then `sent`, `dead`, or `unknown`
//! when nobody can know. `dead` and `unknown` never hold up the parts behind them; `ready` and `sending` do.

use super::inbox::{self, Fence, from_json, to_json};
use super::trace::{self, Step};
use super::{StoreError, history, sql};
use crate::domain::{Mark, ReplyText, Source};
use crate::platforms::{OutPart, UnknownRule};
use rusqlite::{Connection, Row as SqlRow};
use serde_json::json;
use std::time::Duration;

/// A reply that has been cut to its platform's limits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    pub parts: Vec<String>,
    pub mark: Option<Mark>,
    pub degraded: bool,
    pub sources: Vec<Source>,
}

impl Reply {
    /// A reply short enough for every platform, in one part.
    pub fn whole(reply: ReplyText) -> Self {
        let ReplyText { text, mark, sources, degraded } = reply;
        Self { parts: vec![text], mark, degraded, sources }
    }
}

/// Tries of a part whose fate stays unknown, at most.
const REPEATS: i64 = 3;

/// How a turn ends.
#[derive(Debug, Clone)]
pub struct Ending {
    /// `done`, `dead` or `cancelled`.
    pub state: &'static str,
    pub reason: Option<String>,
    pub reply: Option<Reply>,
    /// What a model is told of this turn later.
    pub remember: Option<history::Exchange>,
    /// True when the last exchange is being answered anew.
    pub replaces_last: bool,
    pub steps: Vec<Step>,
}

/// Commits a turn: reply parts, history, trace and the rows' end, in one transaction.
///
/// `Fenced` when another attempt owns any of the rows; then nothing of it happens.
pub fn commit(
    conn: &Connection,
    run: i64,
    now: i64,
    claim: &[Fence],
    target: &Target,
    ending: &Ending,
) -> Result<(), StoreError> {
    for fence in claim {
        inbox::finish(conn, run, now, *fence, ending.state, ending.reason.as_deref())?;
        if fence.id != target.message {
            trace::add(conn, fence.id, now, "answered", &json!({ "with": target.message }))?;
        }
    }
    trace::add_all(conn, target.message, &ending.steps)?;
    if ending.replaces_last {
        conn.prepare_cached(sql::inbox::FORGET_LAST)?.execute([&target.conversation])?;
    }
    if let Some(exchange) = &ending.remember {
        history::remember(conn, &target.conversation, exchange, now)?;
    }
    let parts = ending.reply.as_ref().map_or(0, |reply| reply.parts.len());
    let detail = json!({ "state": ending.state, "parts": parts, "reason": ending.reason });
    trace::add(conn, target.message, now, "committed", &detail)?;
    match &ending.reply {
        Some(reply) => {
            put(conn, now, target.message, &target.platform, &target.conversation, &target.reply_route, reply)
        }
        None => Ok(()),
    }
}

/// Where a reply goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub message: i64,
    pub platform: String,
    pub conversation: String,
    pub reply_route: String,
}

/// Adds a reply's parts behind whatever the message already has.
pub fn put(
    conn: &Connection,
    now: i64,
    message: i64,
    platform: &str,
    conversation: &str,
    reply_route: &str,
    reply: &Reply,
) -> Result<(), StoreError> {
    let first: i64 = conn.prepare_cached(sql::outbox::NEXT_PART)?.query_row([message], |row| row.get(0))?;
    let mark = reply.mark.map(|mark| to_json(&mark).trim_matches('"').to_owned());
    let sources = (!reply.sources.is_empty()).then(|| to_json(&reply.sources));
    let mut statement = conn.prepare_cached(sql::outbox::PUT)?;
    for (part, text) in (first..).zip(&reply.parts) {
        let row = rusqlite::params![
            message,
            part,
            platform,
            conversation,
            reply_route,
            text,
            mark,
            reply.degraded,
            sources,
            now
        ];
        statement.query_row(row, |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

/// A part marked `sending`, with the fence that settling it must match.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    pub part: OutPart,
    pub tries: i64,
    /// Earlier tries that the platform put off.
    pub failures: i64,
}

/// Platforms that have parts waiting.
pub fn waiting_platforms(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(sql::outbox::WAITING_PLATFORMS)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Parts of a platform that could be sent now, counted up to `limit`.
pub fn ready_count(conn: &Connection, now: i64, platform: &str, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let count: i64 =
        conn.prepare_cached(sql::outbox::READY_COUNT)?.query_row((platform, now, limit), |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Marks up to `limit` parts of a platform `sending`, at most one for each conversation.
pub fn claim(conn: &Connection, run: i64, now: i64, platform: &str, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(sql::outbox::CLAIM)?;
    let rows = statement.query_map((run, platform, now, limit), |row| outgoing_of(row, now))?;
    let parts = rows.collect::<Result<Vec<_>, _>>()?;
    for outgoing in &parts {
        let detail = json!({ "part": outgoing.part.part, "try": outgoing.tries, "flagged": outgoing.part.may_repeat });
        trace::add(conn, outgoing.part.message, now, "sending", &detail)?;
    }
    Ok(parts)
}

fn outgoing_of(row: &SqlRow<'_>, now: i64) -> rusqlite::Result<Outgoing> {
    let first_try: i64 = row.get(12)?;
    let part = OutPart {
        id: row.get(0)?,
        message: row.get(1)?,
        part: row.get(2)?,
        conversation: row.get(3)?,
        reply_route: from_json(row.get_ref(4)?.as_str()?).unwrap_or_default(),
        text: row.get::<_, Option<String>>(5)?.unwrap_or_default(),
        mark: row.get_ref(6)?.as_str_or_null()?.and_then(|word| from_json(&format!("\"{word}\""))),
        degraded: row.get(7)?,
        sources: row.get_ref(8)?.as_str_or_null()?.and_then(from_json).unwrap_or_default(),
        may_repeat: row.get(11)?,
        age: Duration::from_millis(u64::try_from(now - first_try).unwrap_or(0)),
        at_ms: row.get(13)?,
    };
    Ok(Outgoing { part, tries: row.get(9)?, failures: row.get(10)? })
}

/// When a part that waits for its time becomes due, if any does.
pub fn next_due(conn: &Connection, now: i64) -> Result<Option<i64>, StoreError> {
    Ok(conn.prepare_cached(sql::outbox::NEXT_DUE)?.query_row([now], |row| row.get(0))?)
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// The platform acknowledged it.
    Sent { platform_id: String, calls: u32 },
    /// It was not delivered; again later. `counts` is true when the platform itself refused.
    Later { wait_ms: i64, counts: bool, reason: String },
    /// It will never be delivered.
    Dead { reason: String },
    /// Nobody knows whether it arrived.
    Unknown { rule: UnknownRule, reason: String },
    /// It is too large for the platform: these pieces take its place.
    Split { pieces: Vec<String>, reason: String },
}

/// Writes what became of a part. `Fenced` when another run has taken it over.
pub fn settle(
    conn: &Connection,
    run: i64,
    now: i64,
    outgoing: &Outgoing,
    settlement: &Settlement,
) -> Result<&'static str, StoreError> {
    let Outgoing { part, tries, failures } = outgoing;
    let fence = (part.id, run, *tries);
    let (state, changed, detail) = match settlement {
        Settlement::Sent { platform_id, calls } => {
            let row = (fence.0, fence.1, fence.2, now, platform_id);
            let changed = conn.prepare_cached(sql::outbox::SENT)?.execute(row)?;
            ("sent", changed, json!({ "part": part.part, "calls": calls, "platform_id": platform_id }))
        }
        Settlement::Later { wait_ms, counts, reason } => {
            let changed =
                again(conn, fence, now + wait_ms.min(&inbox::LONGEST_WAIT_MS), *counts, part.may_repeat, reason)?;
            ("put off", changed, json!({ "part": part.part, "wait_ms": wait_ms, "reason": reason }))
        }
        Settlement::Dead { reason } => {
            let changed = end(conn, fence, "dead", reason)?;
            ("dead", changed, json!({ "part": part.part, "reason": reason }))
        }
        Settlement::Unknown { rule, reason } => {
            // Even where a repeat is harmless, what fails every time must not be repeated for ever.
            let repeats = repeats(*rule, part.may_repeat) && failures + 1 < REPEATS;
            let changed = if repeats {
                again(conn, fence, 0, *rule == UnknownRule::SameKey, true, reason)?
            } else {
                end(conn, fence, "unknown", reason)?
            };
            ("unknown", changed, json!({ "part": part.part, "reason": reason, "repeated": repeats }))
        }
        Settlement::Split { pieces, reason } => {
            let changed = split(conn, fence, part, pieces, reason)?;
            ("split", changed, json!({ "part": part.part, "pieces": pieces.len(), "reason": reason }))
        }
    };
    if changed != 1 {
        return Err(StoreError::Fenced);
    }
    trace::add(conn, part.message, now, state, &detail)?;
    Ok(state)
}

/// Whether a part of unknown fate is tried once more.
fn repeats(rule: UnknownRule, was_repeated: bool) -> bool {
    match rule {
        UnknownRule::SameKey => true,
        UnknownRule::RepeatOnceFlagged => !was_repeated,
        UnknownRule::Ask => false,
    }
}

type PartFence = (i64, i64, i64);

fn again(
    conn: &Connection,
    (id, run, tries): PartFence,
    not_before: i64,
    counts: bool,
    may_repeat: bool,
    reason: &str,
) -> Result<usize, StoreError> {
    let row = (id, run, tries, not_before, i64::from(counts), may_repeat, reason);
    Ok(conn.prepare_cached(sql::outbox::AGAIN)?.execute(row)?)
}

fn end(conn: &Connection, (id, run, tries): PartFence, state: &str, reason: &str) -> Result<usize, StoreError> {
    Ok(conn.prepare_cached(sql::outbox::END)?.execute((id, run, tries, state, reason))?)
}

fn split(
    conn: &Connection,
    (id, run, tries): PartFence,
    part: &OutPart,
    pieces: &[String],
    reason: &str,
) -> Result<usize, StoreError> {
    let Some((first, rest)) = pieces.split_first() else { return Ok(0) };
    let changed = conn.prepare_cached(sql::outbox::RETEXT)?.execute((id, run, tries, first, reason))?;
    conn.prepare_cached(sql::outbox::SHIFT_UP)?.execute((part.message, part.part, rest.len() as i64))?;
    conn.prepare_cached(sql::outbox::SHIFT_DOWN)?.execute([part.message])?;
    let mut statement = conn.prepare_cached(sql::outbox::COPY)?;
    for (number, piece) in (part.part + 1..).zip(rest) {
        statement.execute((id, number, piece))?;
    }
    Ok(changed)
}

/// Takes back parts that were on the wire when their owner ended: those of other runs, or this run's own when
/// its pump was restarted. `rule` tells by platform what happens to them. Answers how many there were.
pub fn recover(
    conn: &Connection,
    run: i64,
    now: i64,
    own: bool,
    rule: impl Fn(&str) -> UnknownRule,
) -> Result<usize, StoreError> {
    let rows = conn
        .prepare_cached(sql::outbox::SENDING_OF)?
        .query_map((run, own), |row| {
            let platform: String = row.get(3)?;
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, platform, row.get::<_, bool>(4)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let why = if own { "its pump was restarted" } else { "the process that was sending it ended" };
    let mut revive = conn.prepare_cached(sql::outbox::REVIVE)?;
    for (id, message, part, platform, was_repeated) in &rows {
        let again = repeats(rule(platform), *was_repeated);
        revive.execute((id, if again { "ready" } else { "unknown" }, why))?;
        trace::add(conn, *message, now, "unknown", &json!({ "part": part, "reason": why, "repeated": again }))?;
    }
    if !own {
        conn.prepare_cached(sql::outbox::CUT_WAITS)?.execute([now + inbox::LONGEST_WAIT_MS])?;
    }
    Ok(rows.len())
}

/// Puts a message's dead and unknown parts back in line. Answers how many there were.
pub fn redrive(conn: &Connection, now: i64, message: i64, by: &str) -> Result<usize, StoreError> {
    let parts = conn.prepare_cached(sql::outbox::REDRIVE)?.execute([message])?;
    if parts > 0 {
        trace::add(conn, message, now, "redriven", &json!({ "by": by, "parts": parts }))?;
    }
    Ok(parts)
}

/// Waiting and sending parts of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    pub platform: String,
    pub ready: i64,
    pub sending: i64,
    /// Unix milliseconds at which the oldest of them was committed.
    pub oldest: i64,
}

/// Open parts by platform.
pub fn depths(conn: &Connection) -> Result<Vec<Depth>, StoreError> {
    let mut statement = conn.prepare_cached(sql::outbox::DEPTHS)?;
    let rows = statement.query_map([], |row| {
        Ok(Depth { platform: row.get(0)?, ready: row.get(1)?, sending: row.get(2)?, oldest: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
