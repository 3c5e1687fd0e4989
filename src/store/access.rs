//! Who may administer, by the hash of a key; and every configuration that was applied.

use super::{StoreError, migrate::hex, sql};
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

/// The stored form of a key. Keys are random and long, so one round of SHA-256 is enough.
pub fn hash_of(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

/// Stores a new admin key's hash when there is no key at all yet. Answers whether it did.
pub fn first_key(conn: &Connection, hash: &str, now: i64) -> Result<bool, StoreError> {
    let count: i64 = conn.query_row(sql::access::KEY_COUNT, [], |row| row.get(0))?;
    if count > 0 {
        return Ok(false);
    }
    add_key(conn, hash, "admin", now)?;
    Ok(true)
}

/// Stores a key's hash and its role: `viewer`, `operator` or `admin`.
pub fn add_key(conn: &Connection, hash: &str, role: &str, now: i64) -> Result<(), StoreError> {
    conn.execute(sql::access::KEY_ADD, (hash, role, now))?;
    Ok(())
}

/// The role of a key.
pub fn role_of(conn: &Connection, hash: &str) -> Result<Option<String>, StoreError> {
    Ok(conn.prepare_cached(sql::access::KEY_ROLE)?.query_row([hash], |row| row.get(0)).optional()?)
}

/// Keeps an applied configuration: when, by whom or from where, and its text, secrets masked.
pub fn keep_config(conn: &Connection, now: i64, by: &str, text: &str) -> Result<(), StoreError> {
    conn.execute(sql::access::CONFIG_KEEP, (now, by, text))?;
    Ok(())
}
