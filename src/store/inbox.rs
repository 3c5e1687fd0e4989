//! The inbox: every message from the moment it is accepted until it is done.
//!
//! A row is `ready`, then `claimed` by a run and an attempt (the fence), then `done`, `dead`, `cancelled` or
//! `refused`. Only the oldest open row of a conversation is ever claimed: that is the ordering guarantee.

use super::outbox::{self, Reply};
use super::waiting::{self, Waiting};
use super::{StoreError, sql, trace};
use crate::config::Words;
use crate::domain::{Inbound, InboundKind, Lane, Part, ReplyText};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Strikes after which a message is dead.
pub const STRIKES: i64 = 3;
/// Rows that may wait in one conversation.
pub const CROWD: i64 = 1000;
/// The longest back-off of anything in the store, milliseconds.
pub const LONGEST_WAIT_MS: i64 = 5 * 60 * 1000;
/// Bytes of a platform's id that are kept as they are; a longer one is kept as its hash.
const EXTERNAL_ID_BYTES: usize = 512;

/// An event on its way in, with what was decided about it before it is stored.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub inbound: Inbound,
    pub verdict: Verdict,
}

/// What happens to an arrival.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It waits for its turn; `window_ms` > 0 lets rapid messages of one person become one turn.
    Queue { lane: Lane, window_ms: i64 },
    /// It needs no answer.
    Ignore { reason: String },
    /// It is not taken; the person reads `reply`, once per rush.
    Refuse { reason: String, reply: String },
}

/// An event that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub id: i64,
    pub conversation: String,
    /// False for a repeat, which added nothing.
    pub is_new: bool,
    /// Whether somebody has to act on it now.
    pub needs_turn: bool,
    /// Whether the outbox got a refusal to deliver.
    pub has_reply: bool,
}

/// Stores one event. A repeat is a success that adds nothing. `crowded` answers a conversation with 1,000 rows waiting.
pub fn accept(conn: &Connection, now: i64, arrival: &Arrival, crowded: &str) -> Result<Accepted, StoreError> {
    let inbound = &arrival.inbound;
    let external_id = bounded_id(&inbound.external_id);
    let conversation = inbound.conversation.as_str();
    let mut verdict = arrival.verdict.clone();
    let lane = match &verdict {
        Verdict::Queue { lane, .. } => *lane,
        _ => Lane::Normal,
    };
    let queue = queue_of(conversation, lane);
    if lane == Lane::Normal && matches!(verdict, Verdict::Queue { .. }) && is_crowded(conn, &queue)? {
        let reason = format!("{CROWD} messages of this conversation are waiting");
        verdict = Verdict::Refuse { reason, reply: crowded.into() };
    }
    let (state, reason, not_before) = match &verdict {
        Verdict::Queue { window_ms, .. } => ("ready", None, if *window_ms > 0 { now + window_ms } else { 0 }),
        Verdict::Ignore { reason } => ("done", Some(reason.as_str()), 0),
        Verdict::Refuse { reason, .. } => ("refused", Some(reason.as_str()), 0),
    };
    let finished_at = (state != "ready").then_some(now);
    let inserted: Option<i64> = conn
        .prepare_cached(sql::inbox::ACCEPT)?
        .query_row(
            rusqlite::params![
                inbound.platform,
                external_id,
                conversation,
                queue,
                lane.word(),
                inbound.chat.word(),
                kind_word(inbound.kind),
                inbound.sender.id,
                inbound.sender.name,
                inbound.text,
                to_json(&inbound.parts),
                inbound.reply_route.to_string(),
                inbound.sent_at_ms,
                now,
                state,
                not_before,
                reason,
                finished_at,
                inbound.assistant,
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = inserted else { return known(conn, &inbound.platform, &external_id) };
    trace::add(conn, id, now, "received", &json!({ "bytes": inbound.text.len(), "sent_at": inbound.sent_at_ms }))?;
    let mut accepted =
        Accepted { id, conversation: conversation.into(), is_new: true, needs_turn: false, has_reply: false };
    match verdict {
        Verdict::Queue { window_ms, .. } => {
            accepted.needs_turn = true;
            if window_ms > 0 {
                let hold = (&queue, &inbound.sender.id, now + window_ms, 3 * window_ms);
                conn.prepare_cached(sql::inbox::HOLD_HEAD)?.execute(hold)?;
            }
        }
        Verdict::Ignore { reason } => trace::add(conn, id, now, "ignored", &json!({ "reason": reason }))?,
        Verdict::Refuse { reason, reply } => {
            let told_already = was_refused(conn, conversation, id)?;
            trace::add(conn, id, now, "refused", &json!({ "reason": reason, "told": !told_already }))?;
            if !told_already {
                let reply = ReplyText { text: reply, mark: Some(crate::domain::Mark::Refused), ..ReplyText::default() };
                let route = inbound.reply_route.to_string();
                outbox::put(conn, now, id, &inbound.platform, conversation, &route, &Reply::whole(reply))?;
                accepted.has_reply = true;
            }
        }
    }
    Ok(accepted)
}

fn known(conn: &Connection, platform: &str, external_id: &str) -> Result<Accepted, StoreError> {
    let found = conn.prepare_cached(sql::inbox::BY_EXTERNAL_ID)?.query_row((platform, external_id), |row| {
        Ok(Accepted { id: row.get(0)?, conversation: row.get(1)?, is_new: false, needs_turn: false, has_reply: false })
    })?;
    Ok(found)
}

fn is_crowded(conn: &Connection, queue: &str) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached(sql::inbox::IS_CROWDED)?.exists((queue, CROWD - 1))?)
}

fn was_refused(conn: &Connection, conversation: &str, before: i64) -> Result<bool, StoreError> {
    let newest = conn
        .prepare_cached(sql::inbox::WAS_REFUSED)?
        .query_row((conversation, before), |row| row.get::<_, bool>(0))
        .optional()?;
    Ok(newest.unwrap_or(false))
}

/// A claimed message.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: i64,
    pub platform: String,
    pub conversation: String,
    pub lane: Lane,
    pub is_group: bool,
    pub kind: InboundKind,
    pub sender: String,
    pub sender_name: Option<String>,
    pub text: String,
    pub parts: Box<[Part]>,
    /// JSON, as it came in.
    pub reply_route: String,
    pub sent_at: i64,
    pub received_at: i64,
    pub attempt: i64,
    pub strikes: i64,
    /// Whether the person was told to wait.
    pub noticed: bool,
    /// The assistant that was asked for by name.
    pub assistant: Option<String>,
}

impl Row {
    /// What a write for this attempt must match.
    pub fn fence(&self) -> Fence {
        Fence { id: self.id, attempt: self.attempt }
    }
}

/// Rows that share one turn, oldest first; never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub head: Row,
    /// Rapid messages of the same person right behind the head.
    pub merged: Vec<Row>,
}

impl Claim {
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        std::iter::once(&self.head).chain(&self.merged)
    }

    /// What every finishing write must match.
    pub fn fences(&self) -> Vec<Fence> {
        self.rows().map(Row::fence).collect()
    }

    /// The newest row: the reply answers this one.
    pub fn last(&self) -> &Row {
        self.merged.last().unwrap_or(&self.head)
    }
}

/// A row and the attempt that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    pub id: i64,
    pub attempt: i64,
}

/// Claims at most `room` turns, shared out evenly among the platforms that have rows waiting.
pub fn claim(conn: &Connection, run: i64, now: i64, room: usize, merge: bool) -> Result<Vec<Claim>, StoreError> {
    let mut platforms = conn
        .prepare_cached(sql::inbox::WAITING_PLATFORMS)?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut claims = Vec::new();
    let mut left = room;
    // What one platform does not use goes to the others, so each round has fewer takers.
    while left > 0 && !platforms.is_empty() {
        let share = left.div_ceil(platforms.len());
        let mut hungry = Vec::new();
        for platform in platforms {
            let rows = claim_rows(conn, run, now, &platform, share.min(left))?;
            left -= rows.len();
            if rows.len() == share {
                hungry.push(platform);
            }
            for head in rows {
                claims.push(complete_claim(conn, run, now, head, merge)?);
            }
        }
        platforms = hungry;
    }
    Ok(claims)
}

fn claim_rows(conn: &Connection, run: i64, now: i64, platform: &str, share: usize) -> Result<Vec<Row>, StoreError> {
    let share = i64::try_from(share).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(sql::inbox::CLAIM)?;
    let mut rows = statement.query_map((run, platform, now, share), row_of)?.collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

fn complete_claim(conn: &Connection, run: i64, now: i64, head: Row, merge: bool) -> Result<Claim, StoreError> {
    // From the second attempt on the head goes alone: one bad message must not bury its neighbours.
    let merged =
        if merge && head.attempt == 1 && is_plain_text(&head) { claim_behind(conn, run, &head)? } else { vec![] };
    let claim = Claim { head, merged };
    for row in claim.rows() {
        let detail = json!({ "attempt": row.attempt, "run": format!("{run:x}"), "waited_ms": now - row.received_at,
                             "with": claim.rows().map(|other| other.id).filter(|id| *id != row.id).collect::<Vec<_>>() });
        trace::add(conn, row.id, now, "claimed", &detail)?;
    }
    Ok(claim)
}

fn claim_behind(conn: &Connection, run: i64, head: &Row) -> Result<Vec<Row>, StoreError> {
    let queue = queue_of(&head.conversation, Lane::Normal);
    let mut behind = conn.prepare_cached(sql::inbox::BEHIND)?;
    let candidates = behind
        .query_map((&queue, head.id), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let unbroken = candidates.into_iter().take_while(|(_, sender, kind, parts)| {
        *sender == head.sender && kind == "message" && only_text(&from_json::<Vec<Part>>(parts).unwrap_or_default())
    });
    let mut claim = conn.prepare_cached(sql::inbox::CLAIM_ONE)?;
    unbroken.map(|(id, ..)| Ok(claim.query_row((run, id), row_of)?)).collect()
}

fn is_plain_text(row: &Row) -> bool {
    row.lane == Lane::Normal && row.kind == InboundKind::Message && only_text(&row.parts)
}

fn only_text(parts: &[Part]) -> bool {
    parts.iter().all(|part| matches!(part, Part::Text { .. }))
}

fn row_of(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        platform: row.get(1)?,
        conversation: row.get(2)?,
        lane: if row.get_ref(3)?.as_str()? == "control" { Lane::Control } else { Lane::Normal },
        is_group: row.get_ref(4)?.as_str()? == "group",
        kind: kind_of(row.get_ref(5)?.as_str()?),
        sender: row.get(6)?,
        sender_name: row.get(7)?,
        text: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
        parts: row.get_ref(9)?.as_str_or_null()?.and_then(from_json).unwrap_or_default(),
        reply_route: row.get::<_, Option<String>>(10)?.unwrap_or_else(|| "null".into()),
        sent_at: row.get(11)?,
        received_at: row.get(12)?,
        attempt: row.get(13)?,
        strikes: row.get(14)?,
        noticed: row.get(15)?,
        assistant: row.get(16)?,
    })
}

/// When a row that waits for its time becomes due, if any does.
pub fn next_due(conn: &Connection, now: i64) -> Result<Option<i64>, StoreError> {
    Ok(conn.prepare_cached(sql::inbox::NEXT_DUE)?.query_row([now], |row| row.get(0))?)
}

/// Why a claimed row goes back.
#[derive(Debug, Clone)]
pub struct Release {
    pub reason: String,
    /// True when the turn itself is suspect: it panicked, hung, or its process died.
    pub strike: bool,
    pub wait_ms: i64,
}

/// Gives claimed rows back. Answers the strikes of the head after this. `Fenced` when they are not ours any more.
pub fn release(conn: &Connection, run: i64, now: i64, fences: &[Fence], why: &Release) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(sql::inbox::RELEASE)?;
    let mut most = 0;
    for fence in fences {
        let not_before = if why.wait_ms > 0 { now + why.wait_ms.min(LONGEST_WAIT_MS) } else { 0 };
        let parameters = (fence.id, run, fence.attempt, not_before, i64::from(why.strike), &why.reason);
        let strikes: Option<i64> = statement.query_row(parameters, |row| row.get(0)).optional()?;
        most = most.max(strikes.ok_or(StoreError::Fenced)?);
        let detail = json!({ "reason": why.reason, "strike": why.strike, "wait_ms": why.wait_ms });
        trace::add(conn, fence.id, now, "released", &detail)?;
    }
    Ok(most)
}

/// How a claimed row ends. `Fenced` when it is not ours any more.
pub fn finish(
    conn: &Connection,
    run: i64,
    now: i64,
    fence: Fence,
    state: &str,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let parameters = (fence.id, run, fence.attempt, state, reason, now);
    let changed = conn.prepare_cached(sql::inbox::FINISH)?.execute(parameters)?;
    #[cfg(feature = "chaos-tests")]
    if changed == 0 && crate::sabotage::is("no-fence") {
        return Ok(());
    }
    if changed == 1 { Ok(()) } else { Err(StoreError::Fenced) }
}

/// What [`recover`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    pub ready: usize,
    pub cancelled: usize,
    /// Messages that have met their last strike; their people are told.
    pub dead: usize,
}

/// Takes back rows whose owner is gone: those of other runs, with a strike; or this run's own, without, when
/// their dispatcher was restarted.
pub fn recover(conn: &Connection, run: i64, now: i64, own: bool, failed: &Words) -> Result<Recovered, StoreError> {
    let rows = conn
        .prepare_cached(sql::inbox::CLAIMED_OF)?
        .query_map((run, own), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut found = Recovered::default();
    let why = if own { "its dispatcher was restarted" } else { "the process that was answering it ended" };
    let mut revive = conn.prepare_cached(sql::inbox::REVIVE)?;
    for (id, strikes, cancelled_by) in rows {
        let strikes = if own { strikes } else { strikes + 1 };
        let (state, finished_at) = match cancelled_by {
            Some(_) => ("cancelled", Some(now)),
            None if strikes >= STRIKES => ("claimed", None),
            None => ("ready", None),
        };
        revive.execute((id, state, strikes, why, finished_at))?;
        trace::add(conn, id, now, "recovered", &json!({ "reason": why, "strikes": strikes, "state": state }))?;
        match state {
            "cancelled" => found.cancelled += 1,
            "ready" => found.ready += 1,
            _ => {
                die(conn, now, id, why, failed)?;
                found.dead += 1;
            }
        }
    }
    if !own {
        conn.prepare_cached(sql::inbox::CUT_WAITS)?.execute([now + LONGEST_WAIT_MS])?;
    }
    Ok(found)
}

/// Ends a message as a dead letter and puts the failure reply into the outbox, once.
pub fn die(conn: &Connection, now: i64, id: i64, reason: &str, failed: &Words) -> Result<(), StoreError> {
    if conn.prepare_cached(sql::inbox::DIE)?.execute((id, reason, now))? != 1 {
        return Err(StoreError::Fenced);
    }
    trace::add(conn, id, now, "dead", &json!({ "reason": reason }))?;
    let waiting = conn.prepare_cached(sql::inbox::ROUTE_OF)?.query_row([id], waiting::waiting_of)?;
    let text = failed.in_language_of(&waiting.text).to_owned();
    let reply = ReplyText { text, mark: Some(crate::domain::Mark::Failed), ..ReplyText::default() };
    let Waiting { platform, conversation, reply_route, .. } = waiting;
    outbox::put(conn, now, id, &platform, &conversation, &reply_route, &Reply::whole(reply))
}

/// Ends the rows that a command overtakes. Answers the ids that were waiting, and those that are running and
/// must be told.
pub fn cancel_before(
    conn: &Connection,
    now: i64,
    conversation: &str,
    command: i64,
) -> Result<(Vec<i64>, Vec<i64>), StoreError> {
    let queue = queue_of(conversation, Lane::Normal);
    let waiting = conn
        .prepare_cached(sql::inbox::CANCEL_READY)?
        .query_map((&queue, command, "cancelled by the person", now), |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for id in &waiting {
        trace::add(conn, *id, now, "cancelled", &json!({ "by": command }))?;
    }
    let running = conn
        .prepare_cached(sql::inbox::CANCEL_CLAIMED)?
        .query_map((&queue, command), |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    Ok((waiting, running))
}

/// Puts a dead, refused or cancelled message back in line. `Missing` when there is none or its text is gone.
pub fn redrive(conn: &Connection, now: i64, id: i64, by: &str) -> Result<(), StoreError> {
    if conn.prepare_cached(sql::inbox::REDRIVE)?.execute((id, now))? != 1 {
        return Err(StoreError::Missing);
    }
    trace::add(conn, id, now, "redriven", &json!({ "by": by }))
}

/// Rows ready and claimed, and when the oldest ready one arrived.
pub fn depths(conn: &Connection) -> Result<(i64, i64, Option<i64>), StoreError> {
    Ok(conn.prepare_cached(sql::inbox::DEPTHS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// Rows ahead of `id` in its conversation.
pub fn ahead(conn: &Connection, conversation: &str, id: i64) -> Result<i64, StoreError> {
    let queue = queue_of(conversation, Lane::Normal);
    Ok(conn.prepare_cached(sql::inbox::AHEAD)?.query_row((queue, id), |row| row.get(0))?)
}

pub(super) fn queue_of(conversation: &str, lane: Lane) -> String {
    match lane {
        Lane::Normal => conversation.to_owned(),
        Lane::Control => format!("{conversation}|control"),
    }
}

fn bounded_id(id: &str) -> String {
    if id.len() <= EXTERNAL_ID_BYTES {
        return id.to_owned();
    }
    format!("sha256:{}", super::migrate::hex(&Sha256::digest(id.as_bytes())))
}

fn kind_word(kind: InboundKind) -> &'static str {
    match kind {
        InboundKind::Message => "message",
        InboundKind::CardAction => "card_action",
        InboundKind::Event => "event",
    }
}

fn kind_of(word: &str) -> InboundKind {
    match word {
        "card_action" => InboundKind::CardAction,
        "event" => InboundKind::Event,
        _ => InboundKind::Message,
    }
}

pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

/// Reads what [`to_json`] wrote.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
