//! Statements for keys and for the history of the configuration.

pub const KEY_COUNT: &str = "SELECT count(*) FROM api_keys";
pub const KEY_ADD: &str = "INSERT OR REPLACE INTO api_keys (hash, role, created_at) VALUES (?1, ?2, ?3)";
pub const KEY_ROLE: &str = "SELECT role FROM api_keys WHERE hash = ?1";
pub const CONFIG_KEEP: &str = "INSERT INTO config_history (at, by, text) VALUES (?1, ?2, ?3)";
