-- The durable path: what came in, what goes out, what was said, and why.
CREATE TABLE inbox (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  platform     TEXT    NOT NULL,
  external_id  TEXT    NOT NULL,
  conversation TEXT    NOT NULL,
  queue        TEXT    NOT NULL,            -- what orders it: the conversation, or the conversation's control lane
  lane         TEXT    NOT NULL DEFAULT 'normal' CHECK (lane IN ('normal', 'control')),
  priority     INTEGER NOT NULL DEFAULT 0,
  chat         TEXT    NOT NULL,
  kind         TEXT    NOT NULL,
  sender       TEXT    NOT NULL,
  sender_name  TEXT,
  text         TEXT,                        -- NULL once retention has taken it
  parts        TEXT,
  reply_route  TEXT,
  sent_at      INTEGER NOT NULL,            -- Unix ms, the platform's clock
  received_at  INTEGER NOT NULL,            -- Unix ms, ours
  state        TEXT    NOT NULL CHECK (state IN ('ready', 'claimed', 'done', 'dead', 'cancelled', 'refused')),
  owner        INTEGER,                     -- the run that claimed it
  attempt      INTEGER NOT NULL DEFAULT 0,  -- rises at every claim; the fence
  strikes      INTEGER NOT NULL DEFAULT 0,  -- rises when the turn panicked, hung, or its run died
  not_before   INTEGER NOT NULL DEFAULT 0,  -- the run's clock, ms
  cancelled_by INTEGER,                     -- the command that asked for it to stop
  noticed      INTEGER NOT NULL DEFAULT 0,  -- 1 once the person was told to wait
  reason       TEXT,
  finished_at  INTEGER,
  UNIQUE (platform, external_id)
);
CREATE INDEX inbox_open  ON inbox (queue, id)        WHERE state IN ('ready', 'claimed');
CREATE INDEX inbox_ready ON inbox (platform, id)     WHERE state = 'ready';
CREATE INDEX inbox_due   ON inbox (not_before)       WHERE state = 'ready' AND not_before > 0;
CREATE INDEX inbox_claimed ON inbox (id)             WHERE state = 'claimed';
CREATE INDEX inbox_dead  ON inbox (id)               WHERE state = 'dead';
CREATE INDEX inbox_chat  ON inbox (conversation, id);
CREATE INDEX inbox_age   ON inbox (received_at);

CREATE TABLE outbox (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  message      INTEGER NOT NULL,
  part         INTEGER NOT NULL,
  platform     TEXT    NOT NULL,
  conversation TEXT    NOT NULL,
  reply_route  TEXT    NOT NULL,
  text         TEXT,
  mark         TEXT,
  degraded     INTEGER NOT NULL DEFAULT 0,
  sources      TEXT,
  state        TEXT    NOT NULL CHECK (state IN ('ready', 'sending', 'sent', 'unknown', 'dead')),
  owner        INTEGER,
  tries        INTEGER NOT NULL DEFAULT 0,  -- times it was marked sending; the fence
  failures     INTEGER NOT NULL DEFAULT 0,  -- tries that the platform refused for now
  may_repeat   INTEGER NOT NULL DEFAULT 0,  -- 1 once a try may have arrived
  not_before   INTEGER NOT NULL DEFAULT 0,
  created_at   INTEGER NOT NULL,
  first_try_at INTEGER,
  sent_at      INTEGER,
  platform_id  TEXT,
  reason       TEXT,
  UNIQUE (message, part)
);
CREATE INDEX outbox_open  ON outbox (conversation, message, part) WHERE state IN ('ready', 'sending');
CREATE INDEX outbox_ready ON outbox (platform, message, part)     WHERE state = 'ready';
CREATE INDEX outbox_due   ON outbox (not_before)                  WHERE state = 'ready' AND not_before > 0;
CREATE INDEX outbox_ended ON outbox (message)                     WHERE state IN ('unknown', 'dead');
CREATE INDEX outbox_chat  ON outbox (conversation, id);
CREATE INDEX outbox_age   ON outbox (created_at);

-- What a model is told of the past. A row without a question is where /new began afresh.
CREATE TABLE history (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  conversation TEXT    NOT NULL,
  message      INTEGER NOT NULL,
  question     TEXT,
  answer       TEXT,
  at           INTEGER NOT NULL
);
CREATE INDEX history_of ON history (conversation, message);
CREATE INDEX history_age ON history (at);

-- Each step of a message, written with the state that it describes.
CREATE TABLE trace (
  id      INTEGER PRIMARY KEY,
  message INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  step    TEXT    NOT NULL,
  detail  TEXT    NOT NULL
);
CREATE INDEX trace_of ON trace (message);

CREATE TABLE api_keys (
  hash       TEXT PRIMARY KEY,
  role       TEXT    NOT NULL,
  created_at INTEGER NOT NULL
);

CREATE TABLE config_history (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  at   INTEGER NOT NULL,
  by   TEXT    NOT NULL,
  text TEXT    NOT NULL
);
