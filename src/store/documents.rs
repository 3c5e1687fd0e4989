//! Documents cut into passages, and the index that finds them. What a term is, the knowledge room decides.

use super::{StoreError, sql};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// Pages of the index that one job of the writer merges.
const MERGED_PAGES: i64 = 256;

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentState {
    /// All of it can be found.
    Done,
    /// Some of it can be found; the reason says why not all.
    Partial,
    /// None of it can be found; the reason says why.
    Failed,
}

impl DocumentState {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

impl FromSql for DocumentState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "done" => Ok(Self::Done),
            "partial" => Ok(Self::Partial),
            "failed" => Ok(Self::Failed),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// A document as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its name as people know it, unique in its section.
    pub path: String,
    pub title: String,
    /// Of the content; empty while the document is being taken in.
    pub hash: String,
    pub state: DocumentState,
    /// Why it is not done, for people.
    pub reason: Option<String>,
    pub chunks: i64,
}

/// A passage to be stored, with its terms separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    pub heading: String,
    pub aliases: String,
    pub text: String,
    pub heading_terms: String,
    pub alias_terms: String,
    pub text_terms: String,
}

/// A passage that shares terms with a question.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundChunk {
    pub path: String,
    pub title: String,
    pub heading: String,
    pub aliases: String,
    pub text: String,
    /// BM25; greater is better.
    pub score: f64,
}

/// Numbers of one section, for `/metrics` and the health page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionCounts {
    pub knowledge: String,
    pub documents: i64,
    pub partial: i64,
    pub failed: i64,
    pub chunks: i64,
}

/// The documents of one section, by path.
pub fn list(conn: &Connection, knowledge: &str) -> Result<Vec<DocumentRow>, StoreError> {
    let mut statement = conn.prepare_cached(sql::documents::LIST)?;
    let rows = statement.query_map([knowledge], |row| {
        Ok(DocumentRow {
            path: row.get(0)?,
            title: row.get(1)?,
            hash: row.get(2)?,
            state: row.get(3)?,
            reason: row.get(4)?,
            chunks: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Opens a document for new content and answers its row id. Until [`finish`] it counts as partly taken in.
pub fn begin(conn: &Connection, knowledge: &str, path: &str, title: &str, now: i64) -> Result<i64, StoreError> {
    let mut statement = conn.prepare_cached(sql::documents::BEGIN)?;
    Ok(statement.query_row((knowledge, path, title, now), |row| row.get(0))?)
}

/// Closes a document: all of its passages are in.
pub fn finish(
    conn: &Connection,
    document: i64,
    hash: &str,
    state: DocumentState,
    reason: Option<&str>,
    now: i64,
) -> Result<(), StoreError> {
    conn.prepare_cached(sql::documents::FINISH)?.execute((document, hash, state.word(), reason, now))?;
    Ok(())
}

/// The row id of a document.
pub fn id_of(conn: &Connection, knowledge: &str, path: &str) -> Result<Option<i64>, StoreError> {
    Ok(conn.prepare_cached(sql::documents::ID_OF)?.query_row((knowledge, path), |row| row.get(0)).optional()?)
}

/// Removes a document that has no passages any more.
pub fn remove(conn: &Connection, document: i64) -> Result<(), StoreError> {
    conn.prepare_cached(sql::documents::REMOVE)?.execute([document])?;
    Ok(())
}

/// Sections that have documents.
pub fn sections(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = conn.prepare_cached(sql::documents::SECTIONS)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Removes at most `limit` passages of a document and answers how many; 0 means that none is left.
pub fn drop_chunks(conn: &Connection, document: i64, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(sql::documents::SOME_CHUNKS)?;
    let ids: Vec<i64> = statement.query_map((document, limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in &ids {
        conn.prepare_cached(sql::documents::REMOVE_TERMS)?.execute([id])?;
        conn.prepare_cached(sql::documents::REMOVE_CHUNK)?.execute([id])?;
    }
    Ok(ids.len())
}

/// Adds passages to a document, the first of them at `position`.
pub fn add_chunks(conn: &Connection, document: i64, position: usize, chunks: &[NewChunk]) -> Result<(), StoreError> {
    for (position, chunk) in (position..).zip(chunks) {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let row = (document, position, &chunk.heading, &chunk.aliases, &chunk.text);
        let id: i64 = conn.prepare_cached(sql::documents::ADD_CHUNK)?.query_row(row, |row| row.get(0))?;
        let terms = (id, &chunk.heading_terms, &chunk.alias_terms, &chunk.text_terms);
        conn.prepare_cached(sql::documents::ADD_TERMS)?.execute(terms)?;
    }
    Ok(())
}

/// Merges a bounded part of the index's segments and answers whether there is more to do: fewer are searched faster.
/// `all` begins afresh, with every segment.
pub fn merge(conn: &Connection, all: bool) -> Result<bool, StoreError> {
    let before = conn.total_changes();
    let pages = if all { -MERGED_PAGES } else { MERGED_PAGES };
    conn.prepare_cached(sql::documents::MERGE)?.execute([pages])?;
    // The command itself counts as one change.
    Ok(conn.total_changes() - before >= 2)
}

/// Passages of a section that have any of `terms`, best first, at most `limit`. Terms are letters and digits only.
pub fn search(
    conn: &Connection,
    knowledge: &str,
    terms: &[String],
    limit: usize,
) -> Result<Vec<FoundChunk>, StoreError> {
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    let any_of_them = terms.iter().map(|term| format!("\"{term}\"")).collect::<Vec<_>>().join(" OR ");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(sql::documents::SEARCH)?;
    let rows = statement.query_map((any_of_them, knowledge, limit), |row| {
        Ok(FoundChunk {
            path: row.get(0)?,
            title: row.get(1)?,
            heading: row.get(2)?,
            aliases: row.get(3)?,
            text: row.get(4)?,
            score: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// In how many passages each term occurs (absent: in none), and how many passages there are.
pub fn frequencies(conn: &Connection, terms: &[String]) -> Result<(HashMap<String, i64>, i64), StoreError> {
    let mut statement = conn.prepare_cached(sql::documents::FREQUENCIES)?;
    let rows = statement.query_map([serde_json::json!(terms).to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = rows.collect::<Result<_, _>>()?;
    let chunks = conn.prepare_cached(sql::documents::CHUNKS)?.query_row([], |row| row.get(0))?;
    Ok((found, chunks))
}

/// Numbers of every section that has documents.
pub fn counts(conn: &Connection) -> Result<Vec<SectionCounts>, StoreError> {
    let mut statement = conn.prepare_cached(sql::documents::COUNTS)?;
    let rows = statement.query_map([], |row| {
        Ok(SectionCounts {
            knowledge: row.get(0)?,
            documents: row.get(1)?,
            partial: row.get(2)?,
            failed: row.get(3)?,
            chunks: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn take_in(conn: &Connection, document: &str, words: &str) -> i64 {
        let document = begin(conn, "k", document, "", 0).unwrap();
        let none = String::new;
        let chunk = NewChunk {
            heading: none(),
            aliases: none(),
            text: words.to_owned(),
            heading_terms: none(),
            alias_terms: none(),
            text_terms: words.to_owned(),
        };
        add_chunks(conn, document, 0, &[chunk]).unwrap();
        document
    }

    fn occurrences(conn: &Connection, term: &str) -> Option<i64> {
        frequencies(conn, &[term.to_owned()]).unwrap().0.remove(term)
    }

    #[test]
    fn a_merged_index_has_one_segment_and_finds_the_same() {
        let conn = &Connection::open_in_memory().unwrap();
        sql::MIGRATIONS.iter().for_each(|migration| conn.execute_batch(migration).unwrap());
        let segments = || {
            let count = "SELECT count(DISTINCT segid) FROM chunk_terms_idx";
            conn.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let first = take_in(conn, "a.md", "cats dogs");
        for number in 0..5 {
            take_in(conn, &format!("{number}.md"), "cats mice");
        }
        assert_eq!(drop_chunks(conn, first, 10).unwrap(), 1);
        assert!(segments() > 1);

        let mut is_first = true;
        while merge(conn, std::mem::take(&mut is_first)).unwrap() {}
        assert_eq!(segments(), 1);
        assert_eq!((occurrences(conn, "dogs"), occurrences(conn, "cats")), (None, Some(5)));
        assert_eq!(search(conn, "k", &["mice".to_owned()], 9).unwrap().len(), 5);
        assert!(!merge(conn, false).unwrap(), "nothing is left to do");
    }
}
