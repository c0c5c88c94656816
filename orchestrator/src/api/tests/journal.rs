//! What docs/journal.md says of the journal.

use std::collections::BTreeSet;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/journal.md");

#[tokio::test]
async fn the_documented_queries_answer() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    let command = "echo trying; test $TRAINWIRE_TASK_ID = good";
    orchestrator.submit(script("job", command, &["good", "bad"])).await.unwrap().outcome().await.unwrap();
    let path = orchestrator.inner.layout.root().join("journal.sqlite");
    let shell = Command::new("sqlite3").arg("-version").output().is_ok();
    let mut queries = 0;
    for block in DOCUMENT.split("```sql\n").skip(1) {
        let query = block.split("```").next().unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let journal = Connection::open_with_flags(&path, flags).unwrap();
        let rows = journal.prepare(query).unwrap().query_map([], |_| Ok(())).unwrap().count();
        assert!(rows > 0, "no answer to {query}");
        if shell {
            let answered = Command::new("sqlite3").arg("-readonly").arg(&path).arg(query).output().unwrap();
            let errors = String::from_utf8_lossy(&answered.stderr);
            assert!(answered.status.success() && !answered.stdout.is_empty(), "{query}\n{errors}");
        }
        queries += 1;
    }
    assert_eq!(queries, 6);
    orchestrator.shutdown().await;
}

#[tokio::test]
async fn every_kind_of_record_and_every_table_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let orchestrator = Orchestrator::start(config(folder.path())).await.unwrap();
    orchestrator.submit(script("job", "exit 0", &["t"])).await.unwrap().outcome().await.unwrap();
    let journal = Connection::open(orchestrator.inner.layout.root().join("journal.sqlite")).unwrap();
    let names = |query: &str| -> BTreeSet<String> {
        let mut rows = journal.prepare(query).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table'");
    let columns =
        names("SELECT c.name FROM sqlite_schema t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'");
    for name in tables.iter().chain(&columns) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
    let version: i64 = journal.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert!(DOCUMENT.contains(&format!("`PRAGMA user_version` is the format, {version} by now")));
    // Every variant, by the compiler's word: an unknown one names them all.
    let unknown = serde_json::from_str::<Record>(r#"{"event":"?"}"#).unwrap_err().to_string();
    let kinds: Vec<_> = unknown.split('`').skip(3).step_by(2).collect();
    assert!(kinds.len() >= 18 && kinds.contains(&"job_submitted"), "{unknown}");
    for kind in kinds {
        assert!(DOCUMENT.contains(&format!("\n| `{kind}` | ")), "{kind}");
    }
    orchestrator.shutdown().await;
}
