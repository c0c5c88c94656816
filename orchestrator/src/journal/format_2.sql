-- Format 2: the bytes of large tasks lie in files.

-- Tasks above 64 KiB have a row here instead of one in `payloads`, until they succeed or are cancelled.
-- The file was written and fsynced before the row. Without one (NULL) the task is volatile: its bytes are
-- nowhere but in the orchestrator's memory, and lost with it.
CREATE TABLE payload_files (
  task       INTEGER PRIMARY KEY,
  file       TEXT,                    -- relative to the state folder
  size_bytes INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 2;
