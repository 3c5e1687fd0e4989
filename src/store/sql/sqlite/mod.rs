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
pub const READ_ONLY: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -4096;";
/// Writes the same number (`MIND`) into the file's header again: changes nothing, and is a write for all that.
pub const PROBE: &str = "PRAGMA application_id = 0x4d494e44";
pub const QUICK_CHECK: &str = "PRAGMA quick_check(1)";
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
pub const CHECKPOINT_TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Schema files in the order in which they are applied. An applied file never changes.
pub const MIGRATIONS: &[&str] = &[include_str!("0001_path.sql"), include_str!("0002_knowledge.sql")];
pub const MIGRATIONS_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, hash TEXT NOT NULL)";
pub const MIGRATION_NEWEST: &str = "SELECT coalesce(max(number), 0) FROM migrations";
pub const MIGRATION_HASH: &str = "SELECT hash FROM migrations WHERE number = ?1";
pub const MIGRATION_APPLIED: &str = "INSERT INTO migrations (number, hash) VALUES (?1, ?2)";
