//! The journal as anybody can read it: with SQLite, and nothing of the orchestrator's code.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use trainwire::Record;
use trainwire_protocol::task::VerifiedTask;

use crate::life;
use crate::reader::{Promise, Reader};

/// All records. None where the journal has not come into being.
pub(crate) fn records(state: &Path) -> Vec<Record> {
    let path = state.join("journal.sqlite");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(journal) = Connection::open_with_flags(path, flags) else { return Vec::new() };
    let check: String = journal.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("SQL");
    assert_eq!(check, "ok");
    let Ok(mut rows) = journal.prepare("SELECT body FROM records ORDER BY seq") else { return Vec::new() };
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|body| serde_json::from_str(&body.expect("a row")).expect("a record")).collect()
}

/// Files of tasks that rows name.
pub(crate) fn payload_files(state: &Path) -> Vec<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(journal) = Connection::open_with_flags(state.join("journal.sqlite"), flags) else {
        return Vec::new();
    };
    let named = "SELECT file FROM payload_files WHERE file IS NOT NULL";
    let Ok(mut rows) = journal.prepare(named) else { return Vec::new() };
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// Every promise is kept, and where everything is said to be over it is, in exactly one way each. Large tasks are
/// whole.
pub(crate) fn check(state: &Path, promises: &[Promise], over: bool) -> Reader {
    let reader = Reader::read(&records(state));
    for file in payload_files(state) {
        let bytes = std::fs::read(state.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let task = VerifiedTask::verify(bytes.into()).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(task.hyperparams().iter().all(|byte| *byte == life::BYTE), "{file} has other bytes");
    }
    reader.check(promises);
    if over {
        reader.check_end();
    }
    reader
}
