use std::time::Duration;

use trainwire::record::{Metrics, Scalar};

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn board() -> Board {
    let mut board = Board::new("digits", 3, "/state/logs".into(), at(0));
    let result =
        vec![("acc".to_owned(), Scalar::Number(0.9711)), ("best".to_owned(), Scalar::Text("b.pt".into()))];
    let ends = [
        (
            "lr=10",
            End::Failed,
            Metrics::new(),
            "ValueError: loss is nan",
            "warning\nValueError: loss is nan\n",
        ),
        ("lr=0.1", End::Succeeded, result, "", ""),
        (
            "lr=11",
            End::Failed,
            Metrics::new(),
            "ValueError: loss is nan",
            "warning\nValueError: loss is nan\n",
        ),
        ("lr=0.01", End::Stopped, vec![("acc".to_owned(), Scalar::Number(0.5))], "stopped (interrupted)", ""),
    ];
    for (task_id, end, metrics, cause, last_words) in ends {
        board.tasks.push(Task {
            task_id: task_id.into(),
            max_epochs: 10,
            attempts: 1,
            started_at: Some(at(1)),
            log: Some("/state/logs/trainer-1.log".into()),
            score: None,
            state: State::Ended(Ended {
                end,
                at: at(3),
                metrics,
                cause: cause.into(),
                last_words: last_words.into(),
            }),
        });
    }
    board
}

#[test]
fn failures_come_last_and_are_explained_once() {
    let text = table(&board(), at(5), None, Paint::PLAIN);
    let golden = "\
TASK     STATE      ATTEMPTS   TIME     ACC  BEST  CAUSE                    LOG
lr=0.1   succeeded         1  2.0 s  0.9711  b.pt                           trainer-1.log
lr=0.01  stopped           1  2.0 s     0.5     –  stopped (interrupted)    trainer-1.log
lr=10    failed            1  2.0 s       –     –  ValueError: loss is nan  trainer-1.log
lr=11    failed            1  2.0 s       –     –  ValueError: loss is nan  trainer-1.log

✗ lr=10: ValueError: loss is nan
  │ warning
  │ ValueError: loss is nan
  /state/logs/trainer-1.log

1 more task failed like these.

1 of 4 tasks succeeded, 2 failed, 1 stopped in 5.0 s
logs in /state/logs
";
    assert_eq!(text, golden);
}

#[test]
fn a_narrow_window_takes_from_the_cause_and_then_the_last_columns() {
    for window in [48, 60, 72, 84] {
        for line in table(&board(), at(5), Some(window), Paint::PLAIN).lines().take(5) {
            assert!(fit::width(line) <= window, "{window}: {line}");
        }
    }
}

#[test]
fn what_never_began_is_only_counted() {
    let mut board = board();
    for number in 0..9 {
        let ended = Ended {
            end: End::Stopped,
            at: at(3),
            metrics: Metrics::new(),
            cause: "before it began".into(),
            last_words: String::new(),
        };
        let task_id = format!("n={number}").into();
        let state = State::Ended(ended);
        board.tasks.push(Task {
            task_id,
            max_epochs: 1,
            attempts: 0,
            started_at: None,
            log: None,
            score: None,
            state,
        });
    }
    let text = table(&board, at(5), None, Paint::PLAIN);
    assert!(text.contains("\n… and 9 tasks that were stopped before they began\n\n"), "{text}");
    assert!(text.contains("2 failed, 10 stopped in"), "{text}");
}

#[test]
fn the_best_come_first_with_their_scores() {
    let mut board = board();
    board.ranking = Ranking::new(Some("val/acc"), None);
    for (task, score) in board.tasks.iter_mut().zip([Some(0.2), Some(0.9), None, Some(0.5)]) {
        task.score = score;
    }
    board.tasks[3].state = State::Ended(Ended {
        end: End::Succeeded,
        at: at(3),
        metrics: Metrics::new(),
        cause: String::new(),
        last_words: String::new(),
    });
    board.tasks.swap(1, 3);
    let text = table(&board, at(5), None, Paint::PLAIN);
    let golden = "\
TASK     STATE      ATTEMPTS   TIME  VAL/ACC     ACC  BEST  CAUSE                    LOG
lr=0.1   succeeded         1  2.0 s      0.9  0.9711  b.pt                           trainer-1.log
lr=0.01  succeeded         1  2.0 s      0.5       –     –                           trainer-1.log
lr=10    failed            1  2.0 s      0.2       –     –  ValueError: loss is nan  trainer-1.log
lr=11    failed            1  2.0 s        –       –     –  ValueError: loss is nan  trainer-1.log
";
    assert!(text.starts_with(golden), "{text}");
}
