//! Hands training tasks to Python trainers on the same machine, and loses none.
//!
//! An [`Orchestrator`] takes [`Job`]s: a command that trains, its limits, and the tasks to be worked
//! off. It starts the trainers, hands each a task over the job's Unix socket, follows its progress,
//! stops, retries and replaces trainers, and ends every task in exactly one way. Everything it decides
//! is a [`Record`], committed to the journal before it has any effect; the committed
//! records are the events one can follow.
//!
//! ```no_run
//! use trainwire::record::Seq;
//! use trainwire::{Config, Job, Orchestrator, TrainingTask};
//!
//! #[derive(serde::Serialize)]
//! struct Params {
//!     lr: f64,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let orchestrator = Orchestrator::start(Config { state_dir: Some(".trainwire".into()), ..Config::default() }).await?;
//! let job = Job::new("digits")?
//!     .command(["python", "examples/digits.py"])
//!     .trainers(2)
//!     .task(TrainingTask::new("lr-0.1", "sgd").params(&Params { lr: 0.1 })?.max_epochs(20));
//! let job = orchestrator.submit(job).await?; // on disk when this returns
//! let mut events = job.events_since(Seq::START);
//! while let Some(event) = events.next().await {
//!     println!("{:?} {:?}", event.task, event.what);
//! }
//! # Ok(()) }
//! ```
//!
//! # Where things are
//!
//! | module | what it does |
//! | --- | --- |
//! | [`scheduler`] | decides; pure: no IO, no clock |
//! | `driver` | asks it, commits its records, performs its effects |
//! | `journal` | SQLite, or memory |
//! | `listener`, `connection` | a job's socket, a trainer's connection |
//! | `process` | trainers as processes |
//! | `intake`, `payload`, `slab` | the memory tasks travel from |
//! | `restart`, `spool` | what an orchestrator finds that was not the first |
//! | `budget`, `room` | what submissions may take of memory, descriptors and disk |
//! | `retention` | when jobs that have ended are forgotten |
//! | `events`, `stream`, `outcome`, [`status`] | what callers see of it |
//! | `archive` | the same, of a folder whose orchestrator need not run |
//!
//! # Errors
//!
//! Each error has a `code()` that is never renamed, and a text that says what was wrong, where, and what
//! to do. What keeps one task from ending well is no error of this library but that task's outcome.
//!
//! # Logs
//!
//! Through `tracing`, inside spans `job` > `task` > `delivery`. Text from tasks and trainers is escaped.

mod api;
mod archive;
mod budget;
mod by_number;
mod clock;
mod config;
mod connection;
mod discard;
mod driver;
pub mod error;
mod events;
mod gpus;
mod intake;
pub mod job;
mod journal;
mod layout;
mod listener;
mod metrics;
mod outcome;
mod payload;
mod process;
mod readiness;
pub mod record;
mod restart;
mod retention;
mod room;
pub mod scheduler;
mod slab;
mod spool;
mod start;
pub mod status;
mod stream;
mod submission;
mod task_buffer;
mod template;
mod text;
mod training_task;

use trainwire_unix::planted;

pub use api::{JobHandle, Orchestrator, Submitted};
pub use archive::Archive;
pub use config::Config;
pub use error::{BuildError, OrchestratorError, StacksError, StartError, SubmitError};
pub use events::{Event, What};
pub use job::{Durability, JobSpec, StopReason};
pub use outcome::{Attempt, JobOutcome, Standing, TaskEnd, TaskOutcome, TaskResult};
pub use record::{Record, Seq};
pub use retention::Retention;
pub use slab::SlabUsage;
pub use status::{JobStatus, SlotStatus, Stacks, TaskStatus};
pub use stream::EventStream;
pub use submission::Job;
pub use task_buffer::TaskBuffer;
pub use training_task::TrainingTask;
pub use trainwire_protocol::id::JobId;
pub use trainwire_protocol::limits;
pub use trainwire_protocol::message::{Report, ReportRow};
