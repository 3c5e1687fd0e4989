//! Statements behind the admin lists and the web chat's event stream.

pub const MESSAGE: &str = "
    SELECT id, platform, external_id, conversation, sender, received_at, state, attempt, strikes, text, reason
      FROM inbox WHERE id = ?1";
/// Every parameter may be NULL, which matches everything; `?8` is the cursor.
pub const MESSAGES: &str = "
    SELECT id, platform, external_id, conversation, sender, received_at, state, attempt, strikes, NULL, reason
      FROM inbox
     WHERE id < coalesce(?8, 9223372036854775807)
       AND (?1 IS NULL OR instr(lower(text), lower(?1)) > 0)
       AND (?2 IS NULL OR platform = ?2) AND (?3 IS NULL OR conversation = ?3) AND (?4 IS NULL OR sender = ?4)
       AND (?5 IS NULL OR state = ?5) AND (?6 IS NULL OR received_at >= ?6) AND (?7 IS NULL OR received_at < ?7)
     ORDER BY id DESC LIMIT ?9";

/// `?1` is the cursor, or NULL. A part without a text has been superseded.
pub const DEAD_LETTERS: &str = "
    SELECT id, platform, external_id, conversation, sender, received_at, state, attempt, strikes, NULL,
           iif(state = 'dead', reason, (
             SELECT 'part ' || o.part || ' of the reply is ' || o.state || coalesce(': ' || o.reason, '')
               FROM outbox AS o WHERE o.message = inbox.id AND o.state IN ('unknown', 'dead') AND o.text IS NOT NULL
              ORDER BY o.part LIMIT 1))
      FROM inbox
     WHERE id IN (SELECT id FROM inbox WHERE state = 'dead'
                   UNION SELECT message FROM outbox WHERE state IN ('unknown', 'dead') AND text IS NOT NULL)
       AND id < coalesce(?1, 9223372036854775807)
     ORDER BY id DESC LIMIT ?2";
/// Dead messages, unknown parts and dead parts that nobody has tried again.
pub const DEAD_COUNTS: &str = "
    SELECT (SELECT count(*) FROM inbox WHERE state = 'dead'), count(*) FILTER (WHERE state = 'unknown'),
           count(*) FILTER (WHERE state = 'dead')
      FROM outbox WHERE state IN ('unknown', 'dead') AND text IS NOT NULL";
pub const IS_DEAD_LETTER: &str = "
    SELECT 1 FROM inbox WHERE id = ?1 AND state = 'dead'
    UNION SELECT 1 FROM outbox WHERE message = ?1 AND state IN ('unknown', 'dead') AND text IS NOT NULL";

/// The newest id that was ever given, rows let go by retention included.
pub const NEWEST_EVER: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0)";
/// The first condition is the index's, word for word.
pub const UNKNOWN: &str =
    "SELECT id FROM outbox WHERE state IN ('unknown', 'dead') AND state = 'unknown' ORDER BY message LIMIT 10000";
pub const UNTOLD: &str = r#"
    SELECT id FROM inbox AS i
     WHERE state = 'dead' AND text IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.message = i.id)
       AND NOT EXISTS (SELECT 1 FROM trace AS t WHERE t.message = i.id AND t.step = 'answered' AND t.detail LIKE '{"with"%')
     ORDER BY id LIMIT 10000"#;
/// Answers that went out at the first try before an earlier one of their conversation had. What a person has put back in
/// line may come late.
pub const DISORDERED: &str = "
    SELECT id FROM (
      SELECT id, sent_at, max(sent_at) OVER (PARTITION BY conversation ORDER BY message, part
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM outbox AS o
       WHERE id > (SELECT coalesce(max(id), 0) - 5000 FROM outbox) AND state = 'sent' AND mark IS NULL AND tries = 1
         AND NOT EXISTS (SELECT 1 FROM trace AS t WHERE t.message = o.message AND t.step = 'redriven'))
     WHERE sent_at < before";

/// The web chat's own messages after `?2`, commands left out where they are not words of the conversation.
pub const SAID: &str = "
    SELECT id, external_id, text, received_at FROM inbox
     WHERE conversation = ?1 AND id > ?2 AND text IS NOT NULL ORDER BY id LIMIT 500";
/// Reply parts after `?2` that the reader may see.
pub const ANSWERED: &str = "
    SELECT id, message, part, text, mark, degraded, sources, coalesce(sent_at, created_at) FROM outbox
     WHERE conversation = ?1 AND id > ?2 AND state IN ('sending', 'sent', 'unknown') AND text IS NOT NULL ORDER BY id LIMIT 500";
pub const OPEN_TURNS: &str = "
    SELECT id, state FROM inbox WHERE conversation = ?1 AND state IN ('ready', 'claimed') ORDER BY id LIMIT 50";
