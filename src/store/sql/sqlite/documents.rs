//! Statements of the knowledge room: documents, their passages, and the full-text index.

pub const LIST: &str = "
    SELECT path, title, hash, state, reason, (SELECT count(*) FROM chunks WHERE document = documents.id)
      FROM documents WHERE knowledge = ?1 ORDER BY path";
pub const BEGIN: &str = "
    INSERT INTO documents (knowledge, path, title, hash, state, reason, updated_at)
    VALUES (?1, ?2, ?3, '', 'partial', 'being taken in', ?4)
    ON CONFLICT (knowledge, path) DO UPDATE
       SET title = excluded.title, hash = '', state = 'partial', reason = excluded.reason, updated_at = excluded.updated_at
    RETURNING id";
pub const FINISH: &str = "UPDATE documents SET hash = ?2, state = ?3, reason = ?4, updated_at = ?5 WHERE id = ?1";
pub const ID_OF: &str = "SELECT id FROM documents WHERE knowledge = ?1 AND path = ?2";
pub const REMOVE: &str = "DELETE FROM documents WHERE id = ?1";
pub const SECTIONS: &str = "SELECT DISTINCT knowledge FROM documents";

pub const SOME_CHUNKS: &str = "SELECT id FROM chunks WHERE document = ?1 LIMIT ?2";
pub const REMOVE_CHUNK: &str = "DELETE FROM chunks WHERE id = ?1";
pub const REMOVE_TERMS: &str = "DELETE FROM chunk_terms WHERE rowid = ?1";
pub const ADD_CHUNK: &str =
    "INSERT INTO chunks (document, position, heading, aliases, text) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
pub const ADD_TERMS: &str = "INSERT INTO chunk_terms (rowid, heading, aliases, body) VALUES (?1, ?2, ?3, ?4)";
/// Merges about so many pages of the index's segments; a negative number begins a merge of all of them
/// (<https://www.sqlite.org/fts5.html#the_merge_command>).
pub const MERGE: &str = "INSERT INTO chunk_terms (chunk_terms, rank) VALUES ('merge', ?1)";

/// Best first. A word in a heading or among the index words says more than one in the text.
pub const SEARCH: &str = "
    SELECT d.path, d.title, c.heading, c.aliases, c.text, -bm25(chunk_terms, 3.0, 2.0, 1.0) AS score
      FROM chunk_terms JOIN chunks AS c ON c.id = chunk_terms.rowid JOIN documents AS d ON d.id = c.document
     WHERE chunk_terms MATCH ?1 AND d.knowledge = ?2
     ORDER BY score DESC, c.id LIMIT ?3";
/// In how many passages each term of a JSON list occurs. One statement, because each opening of the vocabulary prepares
/// another one inside.
pub const FREQUENCIES: &str =
    "SELECT term, doc FROM json_each(?1) AS asked CROSS JOIN chunk_vocabulary ON term = asked.value";
pub const CHUNKS: &str = "SELECT count(*) FROM chunks";
pub const COUNTS: &str = "
    SELECT knowledge, count(*), sum(state = 'partial'), sum(state = 'failed'),
           (SELECT count(*) FROM chunks JOIN documents AS d ON d.id = chunks.document
             WHERE d.knowledge = documents.knowledge)
      FROM documents GROUP BY knowledge ORDER BY knowledge";
