//! Every statement that the store runs on SQLite.

pub mod access;
pub mod documents;
pub mod inbox;
pub mod outbox;
pub mod retention;
pub mod search;

pub const PRAGMAS: &str = "
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -8192;
    PRAGMA temp_store = MEMORY;";
pub const READ_ONLY: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -1024;";
/// Writes the same number (`MIND`) into the file's header again: changes nothing, and is a write for all that.
pub const PROBE: &str = "PRAGMA application_id = 0x4d494e44";
pub const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
pub const CHECKPOINT_TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Schema files in the order in which they are applied. An applied file never changes.
pub const MIGRATIONS: &[&str] = &[
    include_str!("0001_path.sql"),
    include_str!("0002_knowledge.sql"),
    include_str!("0003_retention.sql"),
    include_str!("0004_assistant.sql"),
];
pub const MIGRATIONS_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, hash TEXT NOT NULL)";
pub const MIGRATION_NEWEST: &str = "SELECT coalesce(max(number), 0) FROM migrations";
pub const MIGRATION_HASH: &str = "SELECT hash FROM migrations WHERE number = ?1";
pub const MIGRATION_APPLIED: &str = "INSERT INTO migrations (number, hash) VALUES (?1, ?2)";

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// Steps of a statement's plan that read a table, or an index over all of its rows, from end to end.
    fn scans(conn: &Connection, statement: &str) -> Vec<String> {
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let parameters = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3)).unwrap();
        // An index over open or dead rows is as long as what waits for somebody; the rest is no table.
        let short = ["box_open", "box_ready", "box_due", "box_claimed", "box_dead", "box_ended", "hop", "(subquery"];
        let is_short = |step: &str| short.iter().any(|name| step.contains(name));
        let steps = steps.map(Result::unwrap);
        steps.filter(|step| step.starts_with("SCAN ") && !is_short(step)).collect()
    }

    #[test]
    fn a_year_of_messages_slows_nothing_down_that_the_path_or_retention_does() {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let statements = [
            inbox::ACCEPT,
            inbox::BY_EXTERNAL_ID,
            inbox::IS_CROWDED,
            inbox::WAS_REFUSED,
            inbox::HOLD_HEAD,
            inbox::WAITING_PLATFORMS,
            inbox::CLAIM,
            inbox::BEHIND,
            inbox::CLAIM_ONE,
            inbox::NEXT_DUE,
            inbox::RELEASE,
            inbox::FINISH,
            inbox::CLAIMED_OF,
            inbox::CANCEL_READY,
            inbox::CANCEL_CLAIMED,
            inbox::OVERDUE,
            inbox::NOTICED,
            inbox::GIVEN_UP,
            inbox::AHEAD,
            inbox::DEPTHS,
            inbox::CUT_WAITS,
            inbox::TRACE_OF,
            inbox::FORGET_LAST,
            inbox::LAST_QUESTION,
            inbox::RECALL,
            outbox::NEXT_PART,
            outbox::WAITING_PLATFORMS,
            outbox::CLAIM,
            outbox::NEXT_DUE,
            outbox::READY_COUNT,
            outbox::SENT,
            outbox::SENDING_OF,
            outbox::DEPTHS,
            outbox::CUT_WAITS,
            search::DEAD_COUNTS,
            search::UNKNOWN,
            search::UNTOLD,
            search::DISORDERED,
            search::SAID,
            search::ANSWERED,
            search::OPEN_TURNS,
            retention::FORGET_TEXTS,
            retention::FORGET_TRACE,
            retention::FORGET_PARTS,
            retention::FORGET_HISTORY,
            retention::FORGET_IDS,
        ];
        for statement in statements {
            assert_eq!(scans(&conn, statement), Vec::<String>::new(), "{statement}");
        }
        assert!(!scans(&conn, "SELECT id FROM trace WHERE step = 'received'").is_empty(), "the check sees nothing");
    }
}
