//! The SQL of each dialect, one folder each. SQLite is the embedded default.

mod sqlite;

pub use sqlite::*;
