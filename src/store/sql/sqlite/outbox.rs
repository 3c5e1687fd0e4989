//! Statements of the outbox.

pub const NEXT_PART: &str = "SELECT coalesce(max(part) + 1, 0) FROM outbox WHERE message = ?1";
pub const PUT: &str = "
    INSERT INTO outbox (message, part, platform, conversation, reply_route, text, mark, degraded, sources, state,
                        created_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'ready', ?10) RETURNING id";
pub const WAITING_PLATFORMS: &str = "
    WITH RECURSIVE hop (platform) AS (
      SELECT min(platform) FROM outbox WHERE state = 'ready'
      UNION ALL
      SELECT (SELECT min(o.platform) FROM outbox AS o WHERE o.state = 'ready' AND o.platform > hop.platform)
        FROM hop WHERE hop.platform IS NOT NULL)
    SELECT platform FROM hop WHERE platform IS NOT NULL";
/// Marks the oldest open part of each conversation; a part that is being sent holds up those behind it.
pub const CLAIM: &str = "
    UPDATE outbox SET state = 'sending', owner = ?1, tries = tries + 1, first_try_at = coalesce(first_try_at, ?3)
     WHERE id IN (
       SELECT id FROM outbox AS o
        WHERE state = 'ready' AND platform = ?2 AND not_before <= ?3 AND NOT EXISTS (
              SELECT 1 FROM outbox AS e
               WHERE e.conversation = o.conversation AND (e.message, e.part) < (o.message, o.part)
                 AND e.state IN ('ready', 'sending'))
        ORDER BY message, part LIMIT ?4)
    RETURNING id, message, part, conversation, reply_route, text, mark, degraded, sources, tries, failures, may_repeat,
              first_try_at, created_at";
pub const NEXT_DUE: &str =
    "SELECT min(not_before) FROM outbox WHERE state = 'ready' AND not_before > 0 AND not_before > ?1";
pub const READY_COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 'ready' AND platform = ?1 AND not_before <= ?2 LIMIT ?3)";

pub const SENT: &str = "
    UPDATE outbox SET state = 'sent', sent_at = ?4, platform_id = ?5, owner = NULL
     WHERE id = ?1 AND owner = ?2 AND tries = ?3 AND state = 'sending'";
pub const AGAIN: &str = "
    UPDATE outbox SET state = 'ready', owner = NULL, not_before = ?4, failures = failures + ?5, may_repeat = ?6,
                      reason = ?7
     WHERE id = ?1 AND owner = ?2 AND tries = ?3 AND state = 'sending'";
pub const END: &str = "
    UPDATE outbox SET state = ?4, owner = NULL, reason = ?5
     WHERE id = ?1 AND owner = ?2 AND tries = ?3 AND state = 'sending'";
/// Parts that were on the wire when their run ended (`?2` = 0) or when this run's pump did (`?2` = 1).
/// The first condition is the index's, word for word.
pub const SENDING_OF: &str = "
    SELECT id, message, part, platform, may_repeat FROM outbox INDEXED BY outbox_open
     WHERE state IN ('ready', 'sending') AND state = 'sending' AND (owner IS ?1) = ?2 ORDER BY id";
pub const REVIVE: &str =
    "UPDATE outbox SET state = ?2, owner = NULL, may_repeat = 1, not_before = 0, reason = ?3 WHERE id = ?1";
pub const CUT_WAITS: &str =
    "UPDATE outbox SET not_before = ?1 WHERE state = 'ready' AND not_before > 0 AND not_before > ?1";

/// Makes room behind a part that is cut into `?3` more pieces. Two steps, because each row's number is unique.
pub const SHIFT_UP: &str = "UPDATE outbox SET part = -(part + ?3) WHERE message = ?1 AND part > ?2";
pub const SHIFT_DOWN: &str = "UPDATE outbox SET part = -part WHERE message = ?1 AND part < 0";
pub const RETEXT: &str = "
    UPDATE outbox SET state = 'ready', owner = NULL, text = ?4, reason = ?5
     WHERE id = ?1 AND owner = ?2 AND tries = ?3 AND state = 'sending'";

/// Adds a piece behind part `?1`, alike in everything but its number and text.
pub const COPY: &str = "
    INSERT INTO outbox (message, part, platform, conversation, reply_route, text, mark, degraded, sources, state, created_at)
    SELECT message, ?2, platform, conversation, reply_route, ?3, mark, degraded, sources, 'ready', created_at
      FROM outbox WHERE id = ?1";

/// Takes what a message was to be told out of the way of another try: parts that wait are withdrawn, ended ones stay ended.
pub const SUPERSEDE: &str = "
    UPDATE outbox SET state = iif(state = 'ready', 'dead', state), text = NULL,
                      reason = coalesce(reason || '; ', '') || 'superseded by another try'
     WHERE message = ?1 AND state IN ('ready', 'unknown', 'dead')";
pub const REDRIVE: &str = "
    UPDATE outbox SET state = 'ready', not_before = 0, failures = 0, reason = NULL, may_repeat = (state = 'unknown')
     WHERE message = ?1 AND state IN ('dead', 'unknown') AND text IS NOT NULL";
pub const OF_MESSAGE: &str = "
    SELECT part, state, text, sent_at, reason, tries, mark FROM outbox WHERE message = ?1 ORDER BY part";
pub const DEPTHS: &str = "
    SELECT platform, count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'sending'),
           min(created_at)
      FROM outbox WHERE state IN ('ready', 'sending') GROUP BY platform";
