use std::time::Duration;

use super::*;
use crate::board::{End, Ended};
use crate::pace::Pace;
use crate::ranking::Ranking;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn task(task_id: &str, state: State) -> Task {
    Task {
        task_id: task_id.into(),
        max_epochs: 20,
        attempts: 1,
        started_at: Some(at(0)),
        log: None,
        score: None,
        state,
    }
}

fn running(epochs: u64, attempt: u32, trouble: Option<Trouble>) -> State {
    let mut pace = Pace::default();
    for epoch in 0..epochs {
        pace.epoch(u32::try_from(epoch).unwrap().into(), at(epoch));
    }
    let latest = vec![("loss".to_owned(), 0.21341), ("val/acc".to_owned(), 0.951)];
    let latest = if epochs > 0 { latest } else { Vec::new() };
    State::Running(Running { since: at(0), attempt, latest, pace, trouble })
}

fn board(tasks: Vec<Task>) -> Board {
    let mut board = Board::new("digits-20261123-204710-3f9a", 3, "/logs".into(), at(0));
    board.widest_id = tasks.iter().map(|task| task.task_id.len()).max().unwrap_or(0);
    board.tasks = tasks;
    board
}

#[test]
fn a_window_of_100_columns() {
    let ended = Ended {
        end: End::Failed,
        at: at(5),
        metrics: Vec::new(),
        cause: "x".into(),
        last_words: String::new(),
    };
    let board = board(vec![
        task("lr=0.1,alpha=0.001", running(13, 1, None)),
        task("lr=0.01,alpha=0.001", running(0, 2, None)),
        task("lr=1,alpha=0.001", running(1, 1, Some(Trouble::Unresponsive(at(4))))),
        task("lr=2,alpha=0.001", State::Waiting),
        task("lr=3,alpha=0.001", State::Ended(ended)),
    ]);
    let frame = frame(&board, Size { columns: 100, rows: 24 }, at(12), Paint::PLAIN);
    let golden = "\
digits-20261123-204710-3f9a  1 of 5 done · 3 running · 1 waiting · 1 failed                     0:12
  lr=0.1,alpha=0.001   ━━━━━━━━━━━━━━━╸──────── 13/20  loss 0.2134 · val/acc 0.951         0:07 left
  lr=0.01,alpha=0.001  ────────────────────────  0/20                          attempt 2 of 3 · 0:12
  lr=1,alpha=0.001     ━───────────────────────  1/20  loss 0.2134 · val/acc…  unresponsive for 0:08
";
    assert_eq!(frame.join("\n") + "\n", golden);
}

#[test]
fn every_window_is_kept_to() {
    let mut tasks: Vec<_> = (0..200).map(|n| task(&format!("lr={n}"), running(n % 20, 1, None))).collect();
    tasks.push(task(&"日本".repeat(40), running(3, 3, Some(Trouble::Stuck))));
    let mut board = board(tasks);
    for interrupted in [false, true] {
        board.interrupted = interrupted;
        for columns in 20..140 {
            for rows in [4, 5, 24, 300] {
                let frame = frame(&board, Size { columns, rows }, at(30), Paint::PLAIN);
                assert!(frame.len() < rows, "{} lines in {rows}", frame.len());
                for line in &frame {
                    assert!(fit::width(line) <= columns, "{columns} columns: {line:?}");
                }
            }
        }
    }
}

#[test]
fn scripts_that_report_nothing_have_no_bars() {
    let board = board(vec![task("a", running(0, 1, None))]);
    let frame = frame(&board, Size { columns: 60, rows: 24 }, at(65), Paint::PLAIN);
    assert_eq!(frame[1], format!("  a{}1:05", " ".repeat(53)));
}

#[test]
fn bars() {
    let shown: Vec<_> = [0.0, 1.0, 5.0, 9.9, 10.0].map(|done| bar(done, 10, 10, Paint::PLAIN)).into();
    assert_eq!(shown, ["──────────", "━─────────", "━━━━━─────", "━━━━━━━━━╸", "━━━━━━━━━━"]);
}

#[test]
fn the_leaders_are_below_what_runs() {
    let mut board = board(vec![
        task("lr=0.1", running(13, 1, None)),
        task("lr=0.01", running(3, 1, None)),
        task("lr=1", State::Waiting),
    ]);
    board.ranking = Ranking::new(None, Some("val/loss"));
    (board.tasks[0].score, board.tasks[1].score) = (Some(0.5), Some(0.25));
    let lines = frame(&board, Size { columns: 80, rows: 24 }, at(12), Paint::PLAIN);
    assert_eq!(lines.last().unwrap(), "  lowest val/loss: lr=0.01 0.25 · lr=0.1 0.5");
    let lines = frame(&board, Size { columns: 24, rows: 3 }, at(12), Paint::PLAIN);
    assert!(lines.len() < 3, "{lines:?}");
}
