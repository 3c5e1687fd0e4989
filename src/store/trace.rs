//! Steps of a message, each written in the transaction of the state that it describes.

use super::{StoreError, sql};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

/// One step, remembered while a turn runs and written when it ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Unix milliseconds.
    pub at: i64,
    /// A word from the field: `claimed`, `retrieved`, `asked`, `sent`, …
    pub step: &'static str,
    /// JSON. As text, because it stays in memory while the model thinks.
    pub detail: String,
}

/// Writes one step.
pub fn add(conn: &Connection, message: i64, at: i64, step: &str, detail: &Value) -> Result<(), StoreError> {
    write(conn, message, at, step, &detail.to_string())
}

/// Writes the steps of a turn.
pub fn add_all(conn: &Connection, message: i64, steps: &[Step]) -> Result<(), StoreError> {
    steps.iter().try_for_each(|step| write(conn, message, step.at, step.step, &step.detail))
}

fn write(conn: &Connection, message: i64, at: i64, step: &str, detail: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql::inbox::TRACE)?.execute((message, at, step, detail))?;
    Ok(())
}
