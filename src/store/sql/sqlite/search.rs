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
