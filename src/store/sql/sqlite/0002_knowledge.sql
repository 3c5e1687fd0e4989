-- Documents that answers may quote, cut into passages, and an index over the passages' terms.
CREATE TABLE documents (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  knowledge  TEXT    NOT NULL,            -- id of the section
  path       TEXT    NOT NULL,            -- name as people know it, unique in the section
  title      TEXT    NOT NULL,
  hash       TEXT    NOT NULL,            -- of the content; empty while it is being taken in
  state      TEXT    NOT NULL CHECK (state IN ('done', 'partial', 'failed')),
  reason     TEXT,                        -- why it is not done, for people
  updated_at INTEGER NOT NULL,            -- the run's clock, ms
  UNIQUE (knowledge, path)
);

CREATE TABLE chunks (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  document INTEGER NOT NULL REFERENCES documents (id),
  position INTEGER NOT NULL,              -- from 0
  heading  TEXT    NOT NULL,
  aliases  TEXT    NOT NULL,              -- index words of the section: found by, never shown
  text     TEXT    NOT NULL
);
CREATE INDEX chunks_of ON chunks (document, position);

-- Terms come from our own tokenizer, separated by spaces; `ascii` takes them as they are. The rowid is the chunk's id.
CREATE VIRTUAL TABLE chunk_terms USING fts5 (
  heading, aliases, body, content = '', contentless_delete = 1, tokenize = 'ascii'
);
CREATE VIRTUAL TABLE chunk_vocabulary USING fts5vocab (chunk_terms, row);
