//! What clients and trainers say they were told: a line each, for whoever keeps it.

use std::io::Write;

use crate::reader::Promise;

/// Says a line, in one write, so that none is half there; on a line of its own, whatever the test harness has said.
/// Whether anybody reads it is for the caller to know.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| stdout.flush())
}

/// What such a line promises.
pub(crate) fn promise(line: &str) -> Option<Promise> {
    let mut words = line.strip_prefix("told: ")?.split(' ');
    let kind = words.next()?;
    if matches!(kind, "submitted" | "added") {
        let job_id = words.next()?.to_owned();
        let task_ids = words.map(str::to_owned).collect();
        return Some(match kind {
            "submitted" => Promise::Submitted { job_id, task_ids },
            _ => Promise::Added { job_id, task_ids },
        });
    }
    let mut number = || words.next()?.parse().ok();
    let (delivery, seq) = (number()?, number()?);
    Some(match kind {
        "stored" => Promise::Stored { delivery, seq },
        "superseded" => Promise::Superseded { delivery, seq },
        other => panic!("{other}"),
    })
}
