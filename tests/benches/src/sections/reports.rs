//! `task.report(step=…, loss=…, a=…, b=…, c=…)` as fast as Python can call it: what one costs the
//! trainer's process, and how many a second arrive as rows. Every row that arrives is checked against
//! its step, and none may be missing uncounted.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use trainwire::record::{Ending, Record, Scalar, Seq};
use trainwire::{Config, Job, Orchestrator, Report, TrainingTask, What};
use trainwire_bench_harness::{Cores, pin};

use crate::bridge::{Journal, scratch};
use crate::report::Reports;
use crate::stats::median;

const ROUNDS: usize = 5;
const REPORTS: usize = 4_000_000;

/// Without and with files the rows are written to.
pub fn measure(python: &Path) -> Vec<Reports> {
    let mut reports = Vec::new();
    for (journal, name) in [(Journal::Memory, "trainwire"), (Journal::Disk, "trainwire-disk")] {
        let rounds: Vec<Run> = (0..ROUNDS)
            .map(|_| {
                // Pinning ends with the thread.
                let run = || run(python, Cores::Two, journal, REPORTS);
                std::thread::scope(|scope| scope.spawn(run).join().expect("the checks hold"))
            })
            .collect();
        let of = |figure: fn(&Run) -> f64| median(rounds.iter().map(figure));
        let figures = Reports {
            contestant: name.to_owned(),
            cpu_us: of(|run| run.cpu_us),
            wall_us: of(|run| run.wall_us),
            rows_per_second: of(|run| run.rows_per_second),
            thinned: of(|run| run.thinned),
        };
        println!(
            "  {name:<15} {:.3} µs of CPU a report ({:.3} µs of time), {:>9.0} rows a second, {:.1} % thinned",
            figures.cpu_us,
            figures.wall_us,
            figures.rows_per_second,
            100.0 * figures.thinned
        );
        reports.push(figures);
    }
    reports
}

/// What one run showed.
struct Run {
    /// CPU time of the trainer's process a report, in microseconds: all threads, the loop included.
    cpu_us: f64,
    /// From the first report to the acknowledged result, a report, in microseconds.
    wall_us: f64,
    /// Rows decoded and checked, from the first to the last of them.
    rows_per_second: f64,
    /// The share of rows the trainer left out, because the socket was full.
    thinned: f64,
}

#[derive(Serialize)]
struct Params {
    reports: usize,
}

/// `reports` reports of one warm trainer.
fn run(python: &Path, cores: Cores, journal: Journal, reports: usize) -> Run {
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(drive(python, cores, journal, reports))
}

async fn drive(python: &Path, cores: Cores, journal: Journal, reports: usize) -> Run {
    let folder = tempfile::tempdir_in(scratch()).expect("a temporary folder");
    let orchestrator = Orchestrator::start(Config {
        state_dir: match journal {
            Journal::Memory => None,
            Journal::Disk => Some(folder.path().join("state")),
        },
        socket_dir: folder.path().to_owned(),
        ..Config::default()
    })
    .await
    .expect("the orchestrator starts");
    let python = python.to_str().expect("a path in UTF-8").to_owned();
    let worker = concat!(env!("CARGO_MANIFEST_DIR"), "/receivers/reports.py").to_owned();
    let task = TrainingTask::new("reports", "none").params(&Params { reports }).expect("a struct");
    let job = Job::new("reports")
        .expect("a job id")
        .command([python, worker, cores.worker().to_string()])
        .task(task)
        .task(TrainingTask::new("figures", "none"));
    let job = orchestrator.submit(job).await.expect("the job is taken");

    let mut rows = Rows::default();
    let mut figures = None;
    let mut events = job.events_since(Seq::START);
    while let Some(event) = events.next().await {
        match event.what {
            What::Progress(report) => rows.check(&report),
            What::Lagged { progress_dropped, .. } => panic!("{progress_dropped} reports were dropped"),
            What::Record(Record::Ended { ending, .. }) => match *ending {
                Ending::Succeeded { metrics } => figures = Some(metrics),
                other => panic!("it ended as {other:?}"),
            },
            _ => {}
        }
    }
    assert_eq!(rows.received + rows.thinned, reports as u64, "every row is there or counted");
    assert_eq!(rows.last_step, Some(reports as i64 - 1), "the last row is never left out");
    let figures = figures.expect("both tasks ended");
    let [(_, Scalar::Number(cpu_us)), (_, Scalar::Number(wall_us))] = figures.as_slice() else {
        panic!("the figures are {figures:?}");
    };
    Run {
        cpu_us: *cpu_us,
        wall_us: *wall_us,
        rows_per_second: rows.received as f64 / rows.time().as_secs_f64(),
        thinned: rows.thinned as f64 / reports as f64,
    }
}

#[derive(Default)]
struct Rows {
    received: u64,
    thinned: u64,
    last_step: Option<i64>,
    began: Option<Instant>,
    ended: Option<Instant>,
}

impl Rows {
    /// A wrong row fails the run.
    fn check(&mut self, report: &Report) {
        self.began.get_or_insert_with(Instant::now);
        self.thinned += report.thinned;
        for row in report.rows() {
            assert!(row.names.iter().eq(["loss", "a", "b", "c"].iter()), "{:?}", row.names);
            let step = row.step.expect("each row has a step");
            assert!(self.last_step.is_none_or(|last| last < step), "steps only grow");
            self.last_step = Some(step);
            let k = (step % 1024) as f64;
            // Halves, quarters and eighths of small integers: the sum is exact.
            assert_eq!(row.values.iter().sum::<f64>(), k * 0.75 + 0.125, "the sum of step {step}");
            assert_eq!(row.values.first(), Some(&(k * 0.5)), "the loss of step {step}");
            self.received += 1;
        }
        self.ended = Some(Instant::now());
    }

    fn time(&self) -> Duration {
        self.ended.zip(self.began).map(|(ended, began)| ended - began).expect("rows came")
    }
}
