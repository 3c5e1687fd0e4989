//! Statements of the inbox and of the trace.

/// A row that joins others whose person was told to wait needs no notice of its own.
pub const ACCEPT: &str = "
    INSERT INTO inbox (platform, external_id, conversation, queue, lane, chat, kind, sender, sender_name, text, parts,
                       reply_route, sent_at, received_at, state, not_before, reason, finished_at, assistant, noticed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
            EXISTS (SELECT 1 FROM inbox WHERE queue = ?4 AND state IN ('ready', 'claimed') AND noticed = 1))
    ON CONFLICT (platform, external_id) DO NOTHING RETURNING id";
pub const BY_EXTERNAL_ID: &str = "SELECT id, conversation, state FROM inbox WHERE platform = ?1 AND external_id = ?2";
/// One row when at least `?2` rows of the queue are open.
pub const IS_CROWDED: &str = "SELECT 1 FROM inbox WHERE queue = ?1 AND state IN ('ready', 'claimed') LIMIT 1 OFFSET ?2";
/// One row when the newest row of the conversation was refused as well: the person has been told.
pub const WAS_REFUSED: &str =
    "SELECT state = 'refused' FROM inbox WHERE conversation = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1";
/// Moves the head of a burst to the window's end, but never past `?4` after it arrived.
pub const HOLD_HEAD: &str = "
    UPDATE inbox SET not_before = min(received_at + ?4, ?3)
     WHERE id = (SELECT id FROM inbox WHERE queue = ?1 AND state IN ('ready', 'claimed') ORDER BY id LIMIT 1)
       AND state = 'ready' AND attempt = 0 AND sender = ?2";

/// Platforms that have rows waiting, found by hopping through the index.
pub const WAITING_PLATFORMS: &str = "
    WITH RECURSIVE hop (platform) AS (
      SELECT min(platform) FROM inbox WHERE state = 'ready'
      UNION ALL
      SELECT (SELECT min(i.platform) FROM inbox AS i WHERE i.state = 'ready' AND i.platform > hop.platform)
        FROM hop WHERE hop.platform IS NOT NULL)
    SELECT platform FROM hop WHERE platform IS NOT NULL";
/// The ordering guarantee: only ever the oldest open row of a queue.
pub const CLAIM: &str = "
    UPDATE inbox SET state = 'claimed', owner = ?1, attempt = attempt + 1
     WHERE id IN (
       SELECT id FROM inbox AS i
        WHERE state = 'ready' AND platform = ?2 AND not_before <= ?3 AND NOT EXISTS (
              SELECT 1 FROM inbox AS e
               WHERE e.queue = i.queue AND e.id < i.id AND e.state IN ('ready', 'claimed'))
        ORDER BY id LIMIT ?4)
    RETURNING id, platform, conversation, lane, chat, kind, sender, sender_name, text, parts, reply_route, sent_at,
              received_at, attempt, strikes, noticed, assistant";
/// The rows behind a head, in order, for merging.
pub const BEHIND: &str = "
    SELECT id, sender, kind, parts FROM inbox
     WHERE queue = ?1 AND id > ?2 AND state = 'ready' ORDER BY id LIMIT 50";
pub const CLAIM_ONE: &str = "
    UPDATE inbox SET state = 'claimed', owner = ?1, attempt = attempt + 1 WHERE id = ?2 AND state = 'ready'
    RETURNING id, platform, conversation, lane, chat, kind, sender, sender_name, text, parts, reply_route, sent_at,
              received_at, attempt, strikes, noticed, assistant";
/// When the next row that waits for its time may be claimed.
pub const NEXT_DUE: &str =
    "SELECT min(not_before) FROM inbox WHERE state = 'ready' AND not_before > 0 AND not_before > ?1";

pub const RELEASE: &str = "
    UPDATE inbox SET state = iif(cancelled_by IS NULL, 'ready', 'cancelled'), owner = NULL, not_before = ?4,
                     strikes = strikes + ?5, reason = ?6
     WHERE id = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'claimed' RETURNING strikes";
pub const FINISH: &str = "
    UPDATE inbox SET state = ?4, reason = ?5, finished_at = ?6, owner = NULL
     WHERE id = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'claimed'";
/// Rows of runs that are gone (`?2` = 0) or of this run (`?2` = 1).
pub const CLAIMED_OF: &str = "
    SELECT id, strikes, cancelled_by, attempt FROM inbox WHERE state = 'claimed' AND (owner IS ?1) = ?2 ORDER BY id";
pub const REVIVE: &str = "UPDATE inbox SET state = ?2, owner = NULL, strikes = ?3, reason = ?4, finished_at = ?5, not_before = 0 WHERE id = ?1";
/// At start, waits longer than the longest back-off come from a clock that jumped.
pub const CUT_WAITS: &str =
    "UPDATE inbox SET not_before = ?1 WHERE state = 'ready' AND not_before > 0 AND not_before > ?1";

/// Rows of a conversation that a command of id `?2` overtakes and that have not begun.
pub const CANCEL_READY: &str = "
    UPDATE inbox SET state = 'cancelled', reason = ?3, finished_at = ?4, cancelled_by = ?2
     WHERE queue = ?1 AND id < ?2 AND state = 'ready' RETURNING id";
pub const CANCEL_CLAIMED: &str = "
    UPDATE inbox SET cancelled_by = ?2 WHERE queue = ?1 AND id < ?2 AND state = 'claimed' RETURNING id";

/// Heads that have waited too long without a word. Left to itself, SQLite would read the whole table in the order of ids.
pub const OVERDUE: &str = "
    SELECT i.id, i.platform, i.conversation, i.text, i.reply_route FROM inbox AS i INDEXED BY inbox_ready
     WHERE i.state = 'ready' AND i.noticed = 0 AND i.received_at <= ?1 AND i.lane = 'normal'
       AND NOT EXISTS (SELECT 1 FROM inbox AS e WHERE e.queue = i.queue AND e.id < i.id
                          AND e.state IN ('ready', 'claimed'))
     ORDER BY i.id LIMIT 200";
/// Everything open in the conversation shares one notice.
pub const NOTICED: &str = "UPDATE inbox SET noticed = 1 WHERE queue = ?1 AND state IN ('ready', 'claimed')";
/// Heads that nobody could answer for too long.
pub const GIVEN_UP: &str = "
    SELECT id, platform, conversation, text, reply_route FROM inbox INDEXED BY inbox_ready
     WHERE state = 'ready' AND received_at <= ?1 AND reason IS NOT NULL ORDER BY id LIMIT 200";
pub const ROUTE_OF: &str = "SELECT id, platform, conversation, text, reply_route FROM inbox WHERE id = ?1";
pub const IS_OURS: &str = "SELECT 1 FROM inbox WHERE id = ?1 AND owner = ?2 AND attempt = ?3 AND state = 'claimed'";
pub const IS_READY: &str = "SELECT state = 'ready' FROM inbox WHERE id = ?1";
pub const DIE: &str = "
    UPDATE inbox SET state = 'dead', reason = ?2, finished_at = ?3, owner = NULL
     WHERE id = ?1 AND state IN ('ready', 'claimed')";
/// Puts a dead row back; `received_at` starts anew so that it is not given up at once.
pub const REDRIVE: &str = "
    UPDATE inbox SET state = 'ready', strikes = 0, not_before = 0, reason = NULL, finished_at = NULL, received_at = ?2,
                     noticed = 0
     WHERE id = ?1 AND state IN ('dead', 'refused', 'cancelled') AND text IS NOT NULL";

pub const AHEAD: &str = "SELECT count(*) FROM inbox WHERE queue = ?1 AND id < ?2 AND state IN ('ready', 'claimed')";
pub const DEPTHS: &str = "
    SELECT count(*) FILTER (WHERE state = 'ready'), count(*) FILTER (WHERE state = 'claimed'),
           min(received_at) FILTER (WHERE state = 'ready')
      FROM inbox WHERE state IN ('ready', 'claimed')";

pub const TRACE: &str = "INSERT INTO trace (message, at, step, detail) VALUES (?1, ?2, ?3, ?4)";
pub const TRACE_OF: &str = "SELECT at, step, detail FROM trace WHERE message = ?1 ORDER BY id";

pub const REMEMBER: &str =
    "INSERT INTO history (conversation, message, question, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)";
pub const FORGET_LAST: &str =
    "DELETE FROM history WHERE id = (SELECT max(id) FROM history WHERE conversation = ?1 AND question IS NOT NULL)";
/// What was last asked before a message, unless the conversation began afresh since.
pub const LAST_QUESTION: &str = "
    SELECT id, text FROM inbox
     WHERE conversation = ?1 AND id < ?2 AND lane = 'normal' AND kind = 'message' AND state IN ('done', 'dead')
       AND trim(text) NOT IN ('', ?3)
       AND id > coalesce((SELECT max(message) FROM history WHERE conversation = ?1 AND question IS NULL), -1)
     ORDER BY id DESC LIMIT 1";
pub const RECALL: &str = "
    SELECT message, question, answer FROM history
     WHERE conversation = ?1 AND question IS NOT NULL AND message > coalesce(
           (SELECT max(message) FROM history WHERE conversation = ?1 AND question IS NULL), -1)
     ORDER BY id DESC LIMIT ?2";
