//! A disk that fails, or is full, at any write and any fsync.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lives::Lives;
use crate::{Extent, kills, life};
use trainwire_tests::Strace;

#[test]
fn whichever_call_fails_no_promise_is_broken() {
    let Some(strace) = Strace::find() else { return };
    let most = kills::calls(strace);
    let mut cases = Vec::new();
    for (call, error) in CALLS.iter().flat_map(|call| [(*call, "EIO"), (*call, "ENOSPC")]) {
        let most = most.get(call).copied().unwrap_or(0);
        let step = if Extent::asked() == Extent::Full { 1 } else { (most / 3).max(1) };
        let places = (1..=most).step_by(usize::try_from(step).expect("small"));
        cases.extend(places.map(|n| (call, format!("error={error}:when={n}"))));
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((call, what)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut lives = Lives::new();
            let output = lives.live(|command| strace.inject(command, call, what));
            let code = output.status.code();
            let after = format!("{call} {what}");
            // What was written without an error and is not there is nobody's but the disk's fault.
            assert!(
                matches!(code, Some(0 | life::NOT_STARTED | life::JOURNAL_FAILED)),
                "{after}: {output:?}"
            );
            failed.fetch_add(usize::from(code == Some(life::JOURNAL_FAILED)), Ordering::Relaxed);
            lives.end_well(&after);
        }
    };
    std::thread::scope(|scope| (0..4).map(|_| scope.spawn(work)).for_each(drop));
    let failed = failed.into_inner();
    assert!(failed > 0, "a failing disk ends an orchestrator");
    eprintln!("disk: {} failing calls, {failed} of them the orchestrator's last", cases.len());
}

#[test]
fn a_journal_that_could_not_be_synced_is_not_synced_again() {
    let Some(strace) = Strace::find() else { return };
    // The first are those of a new journal.
    for n in (1..=12).step_by(if Extent::asked() == Extent::Full { 1 } else { 3 }) {
        let mut lives = Lives::new();
        let what = format!("error=EIO:when={n}");
        let log = lives.state().join("journal.sqlite-wal");
        let output = lives.live(|command| strace.inject_at(&log, command, "fsync,fdatasync", &what));
        let ended = [life::NOT_STARTED, life::JOURNAL_FAILED].map(Some).contains(&output.status.code());
        assert!(ended, "it went on: {what} {output:?}");
        lives.end_well(&what);
    }
}

/// What changes the disk. Of the others `write` is left out: standard output and wake-ups are written too.
const CALLS: [&str; 7] = ["fsync", "fdatasync", "pwrite64", "ftruncate", "fallocate", "sendfile", "mkdir"];
