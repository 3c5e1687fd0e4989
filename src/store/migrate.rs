//! Brings a database's schema up to date: numbered files, each in one transaction, remembered with its hash.

use super::{StoreError, sql};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

/// Applies what is missing. Fails with `Newer` for a database of a later program, and with `Damaged` when an
/// applied file has since been changed.
pub(super) fn migrate(conn: &Connection) -> Result<(), StoreError> {
    conn.execute_batch(sql::MIGRATIONS_TABLE)?;
    let known = i64::try_from(sql::MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = conn.query_row(sql::MIGRATION_NEWEST, [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (number, text) in (1..).zip(sql::MIGRATIONS) {
        let hash = hex(&Sha256::digest(text.as_bytes()));
        if number <= found {
            let applied: String = conn.query_row(sql::MIGRATION_HASH, [number], |row| row.get(0))?;
            if applied != hash {
                return Err(StoreError::Damaged(format!("schema file {number} is not the one that was applied")));
            }
            continue;
        }
        let transaction = conn.unchecked_transaction()?;
        transaction.execute_batch(text)?;
        transaction.execute(sql::MIGRATION_APPLIED, (number, &hash))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
