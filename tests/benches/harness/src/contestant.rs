//! What a contestant must be able to do, and the loop around it.

use std::io::{BufRead, Write};
use std::time::Instant;

use crate::receiver::{peak, reset_peak};
use crate::{Answer, Command, Reply, Task, Transfers, Work, now_ns};

/// Unanswered tasks of a stream.
pub const STREAM_WINDOW: usize = 64;

/// The Rust end of a contestant, connected to its receiver.
pub trait Contestant {
    /// Produces a task, sends it and waits for the answer. `in_place` is asked only of those that can.
    fn transfer(&mut self, task: Task, in_place: bool) -> Transfer;

    /// Sends tasks with up to [`STREAM_WINDOW`] of them unanswered, verifies every answer.
    fn stream(&mut self, tasks: &[Task]);

    /// Of the process whose memory is looked at.
    fn receiver_pid(&self) -> u32;

    /// Waits for the benchmark; an event loop may have to go on meanwhile.
    fn next_line(&mut self) -> Option<String> {
        next_line()
    }
}

/// A contestant that sends and receives on one connection, from the heap: most do.
pub trait Duplex {
    /// Sends a task with these hyperparams.
    fn send(&mut self, task: &Task, hyperparams: Vec<u8>);

    /// Waits for the next answer; they come in the order of the tasks.
    fn answer(&mut self) -> Answer;

    /// See [`Contestant::receiver_pid`].
    fn receiver_pid(&self) -> u32;
}

impl<D: Duplex> Contestant for D {
    fn transfer(&mut self, task: Task, in_place: bool) -> Transfer {
        assert!(!in_place, "this contestant sends from the heap");
        let asked_ns = now_ns();
        let hyperparams = task.produce();
        let produced_ns = now_ns();
        self.send(&task, hyperparams);
        let answer = self.answer();
        Transfer { asked_ns, produced_ns, answer, answered_ns: now_ns() }
    }

    fn stream(&mut self, tasks: &[Task]) {
        let mut unanswered = tasks.iter();
        for (sent, task) in tasks.iter().enumerate() {
            if sent >= STREAM_WINDOW {
                unanswered.next().expect("fewer than were sent").verify(&self.answer());
            }
            self.send(task, task.produce());
        }
        for task in unanswered {
            task.verify(&self.answer());
        }
    }

    fn receiver_pid(&self) -> u32 {
        Duplex::receiver_pid(self)
    }
}

/// The times of one task; [`now_ns`]'s clock.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Memory to produce it in was asked for.
    pub asked_ns: u64,
    /// Its bytes were there.
    pub produced_ns: u64,
    pub answer: Answer,
    /// The answer was back.
    pub answered_ns: u64,
}

/// A line of standard input; `None` at its end.
pub fn next_line() -> Option<String> {
    let mut line = String::new();
    let count = std::io::stdin().lock().read_line(&mut line).expect("text from the benchmark");
    (count > 0).then_some(line)
}

/// Does what the benchmark asks until it closes standard input.
pub fn serve(mut contestant: impl Contestant) {
    let mut numbers = 1..;
    let mut next = |size_bytes, work| Task { number: numbers.next().expect("endless"), size_bytes, work };
    say(&Reply::Ready);
    while let Some(line) = contestant.next_line() {
        let reply = match serde_json::from_str(&line).expect("a command") {
            Command::Transfers { size_bytes, count, warm_up, in_place, work } => {
                let mut transfers = Transfers::default();
                for round in 0..warm_up + count {
                    let task = next(size_bytes, work);
                    let transfer = contestant.transfer(task, in_place);
                    task.verify(&transfer.answer);
                    if round >= warm_up {
                        transfers.push(&transfer);
                    }
                }
                Reply::Transfers(transfers)
            }
            Command::Stream { size_bytes, count } => {
                let tasks: Vec<Task> = (0..count).map(|_| next(size_bytes, Work::Look)).collect();
                let begin = Instant::now();
                contestant.stream(&tasks);
                Reply::Stream { seconds: begin.elapsed().as_secs_f64() }
            }
            Command::Memory { size_bytes, in_place } => {
                for _ in 0..3 {
                    let task = next(SMALL_BYTES, Work::Look);
                    task.verify(&contestant.transfer(task, false).answer);
                }
                let before = reset_peak(contestant.receiver_pid());
                let task = next(size_bytes, Work::Look);
                task.verify(&contestant.transfer(task, in_place).answer);
                Reply::Memory { peak_growth_bytes: peak(contestant.receiver_pid()).saturating_sub(before) }
            }
        };
        say(&reply);
    }
}

/// What warms a contestant up without teaching its allocator the size to come.
const SMALL_BYTES: usize = 1024;

impl Transfers {
    fn push(&mut self, transfer: &Transfer) {
        let micros = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e3;
        let produced = transfer.produced_ns;
        self.read_us.push(micros(produced, transfer.answer.read_ns));
        if transfer.answer.touched_ns > 0 {
            self.touched_us.push(micros(produced, transfer.answer.touched_ns));
        }
        self.total_us.push(micros(transfer.asked_ns, transfer.answer.read_ns));
        self.answered_us.push(micros(produced, transfer.answered_ns));
    }
}

fn say(reply: &Reply) {
    let mut line = serde_json::to_string(reply).expect("numbers and names");
    line.push('\n');
    std::io::stdout().write_all(line.as_bytes()).expect("the benchmark listens");
    std::io::stdout().flush().expect("the benchmark listens");
}
