//! Statements that let go of what has been kept long enough, a few rows at a time.

/// Texts of ended messages whose replies have ended as well. Answers their ids.
pub const FORGET_TEXTS: &str = "
    UPDATE inbox SET text = NULL, parts = NULL, reply_route = NULL, sender_name = NULL WHERE id IN (
      SELECT id FROM inbox AS i
       WHERE received_at < ?1 AND text IS NOT NULL AND state NOT IN ('ready', 'claimed')
         AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.message = i.id AND o.state IN ('ready', 'sending'))
       ORDER BY received_at LIMIT ?2)
    RETURNING id";
pub const FORGET_PARTS: &str = "
    DELETE FROM outbox WHERE id IN (
      SELECT id FROM outbox WHERE created_at < ?1 AND state NOT IN ('ready', 'sending') ORDER BY created_at LIMIT ?2)";
pub const FORGET_TRACE: &str = "DELETE FROM trace WHERE message = ?1";
pub const FORGET_HISTORY: &str =
    "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at < ?1 ORDER BY at LIMIT ?2)";
/// Platform ids, once nothing of the message is open any more. Answers the ids.
pub const FORGET_IDS: &str = "
    DELETE FROM inbox WHERE id IN (
      SELECT id FROM inbox AS i
       WHERE received_at < ?1 AND state NOT IN ('ready', 'claimed')
         AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.message = i.id AND o.state IN ('ready', 'sending'))
       ORDER BY received_at LIMIT ?2)
    RETURNING id";
pub const GIVE_PAGES_BACK: &str = "PRAGMA incremental_vacuum(256)";
pub const PAGES: &str = "SELECT page_count * page_size, freelist_count * page_size
    FROM pragma_page_count(), pragma_page_size(), pragma_freelist_count()";
