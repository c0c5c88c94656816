-- The journal of an orchestrator, format 1 (PRAGMA user_version). Formats only grow.
--
-- Read it with the ordinary shell, also while the orchestrator runs:
--   sqlite3 -readonly journal.sqlite "SELECT seq, event, body FROM records WHERE job = 1"

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a fact, in the order in which they were decided. Never changed, never deleted.
CREATE TABLE records (
  seq     INTEGER PRIMARY KEY,
  at_us   INTEGER NOT NULL,           -- microseconds since 1970-01-01T00:00:00Z
  job     INTEGER,                    -- whose, where it is about one job
  task    INTEGER,                    -- which, where it is about one task
  attempt INTEGER,                    -- 1, 2, ..., where it is about a delivery
  body    TEXT NOT NULL,              -- JSON
  event   TEXT GENERATED ALWAYS AS (json_extract(body, '$.event')) VIRTUAL
) STRICT;

CREATE INDEX records_of_job ON records (job, seq);

-- The bytes of each task, as submitted.
CREATE TABLE payloads (
  task  INTEGER PRIMARY KEY,
  bytes BLOB NOT NULL
) STRICT;

PRAGMA user_version = 1;
