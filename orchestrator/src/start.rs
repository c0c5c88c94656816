//! Putting an orchestrator together.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use trainwire_protocol::limits::INLINE_TASK_SIZE_BYTES_MAX;

use crate::api::Inner;
use crate::budget::Budget;
use crate::config::Config;
use crate::driver::{self, Parts};
use crate::error::StartError;
use crate::gpus;
use crate::journal::{Journal, Reader, Writer};
use crate::layout::Layout;
use crate::metrics::MetricsWriter;
use crate::readiness::Readiness;
use crate::restart::{Past, Restart};
use crate::room::Room;
use crate::scheduler::Scheduler;

/// See [`Orchestrator::start`](crate::Orchestrator::start).
pub(crate) async fn start(config: Config) -> Result<Inner, StartError> {
    if Handle::try_current().is_err() {
        return Err(StartError::NoRuntime);
    }
    check(&config)?;
    let budget = Arc::new(Budget::new(&config)?);
    let slots = match &config.slots {
        Some(slots) => slots.clone(),
        None => gpus::visible(),
    };
    let mut scheduler = Scheduler::new(random()?).with_slots(slots);
    let readiness =
        Readiness::new().map_err(|error| StartError::System { what: "epoll", text: error.to_string() })?;
    let (inbox_sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
    let (shutdown, shutdown_asked) = watch::channel(false);
    let (stopped_sender, stopped) = watch::channel(None);

    let mut past = Past::default();
    let mut restart = Restart::default();
    let (mut writer, mut reader, mut metrics) = (None, None, None);
    let layout = match &config.state_dir {
        None => Layout::new(&config, temporary_folder()?),
        Some(state_dir) => {
            let layout = Layout::new(&config, absolute(state_dir)?);
            let opening =
                Opening { config: config.clone(), layout: layout.clone(), budget: Arc::clone(&budget) };
            let opened = opening.open(scheduler).await?;
            (scheduler, past, restart) = (opened.scheduler, opened.past, opened.restart);
            let path = opened.journal.path().to_owned();
            let opened_reader =
                Reader::open(&path).map_err(|error| StartError::Journal { path, text: error.to_string() })?;
            reader = Some(Arc::new(Mutex::new(opened_reader)));
            let (committed, commits) = mpsc::unbounded_channel();
            writer = Some((Writer::start(opened.journal, committed)?, commits));
            metrics = Some(MetricsWriter::start()?);
            layout
        }
    };

    let taken_up =
        restart.jobs.iter().filter_map(|(job, _)| Some(past.feeds.get(job)?.job_id.clone())).collect();
    let room = Arc::new(Room::new(&config, layout.root()));
    let parts = Parts {
        config: config.clone(),
        layout: layout.clone(),
        budget: Arc::clone(&budget),
        room: Arc::clone(&room),
        scheduler,
        seq: past.seq,
        feeds: past.feeds,
        ended: past.ended,
        restart,
        writer,
        metrics,
        readiness,
        inbox,
        sender: inbox_sender.clone(),
        shutdown: shutdown_asked,
        stopped: stopped_sender,
    };
    tokio::spawn(driver::run(parts));
    Ok(Inner { taken_up, config, layout, budget, room, messages: inbox_sender, reader, shutdown, stopped })
}

fn check(config: &Config) -> Result<(), StartError> {
    let wrong = |field, problem: String| Err(StartError::Config { field, problem });
    if config.inline_task_size_max > INLINE_TASK_SIZE_BYTES_MAX {
        let (is, max) = (config.inline_task_size_max, INLINE_TASK_SIZE_BYTES_MAX);
        return wrong("inline_task_size_max", format!("is {is}, at most {max} bytes are possible"));
    }
    if config.socket_prefix.contains(['/', '\0']) {
        return wrong("socket_prefix", "holds '/' or a NUL; set the folder with socket_dir".to_owned());
    }
    if !config.socket_dir.is_dir() {
        return wrong("socket_dir", format!("{:?} is not a folder", config.socket_dir));
    }
    let slots = config.slots.as_deref().unwrap_or_default();
    let unfit = |name: &&String| {
        name.is_empty() || name.contains(|c: char| c == ',' || c.is_control() || c.is_whitespace())
    };
    if let Some(name) = slots.iter().find(unfit) {
        return wrong(
            "slots",
            format!("holds {name:?}; a name has no commas, spaces and control characters"),
        );
    }
    if let Some((place, name)) = slots.iter().enumerate().find(|(place, name)| slots[..*place].contains(name))
    {
        return wrong(
            "slots",
            format!("names {name:?} twice, at {} again; each is one trainer's alone", place + 1),
        );
    }
    if config.handshake_timeout.is_zero() {
        return wrong("handshake_timeout", "is 0; a time is needed".to_owned());
    }
    Ok(())
}

fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::System { what: "randomness", text: error.to_string() })
}

fn absolute(path: &Path) -> Result<PathBuf, StartError> {
    std::path::absolute(path).map_err(|source| StartError::StateDir { path: path.to_owned(), source })
}

/// Stands for the state folder where there is none.
fn temporary_folder() -> Result<PathBuf, StartError> {
    let path = std::env::temp_dir().join(format!("trainwire-{:016x}", random()?));
    let path = absolute(&path)?;
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&path)
        .map_err(|source| StartError::StateDir { path: path.clone(), source })?;
    Ok(path)
}

/// Opening reads the whole journal and what it names.
struct Opening {
    config: Config,
    layout: Layout,
    budget: Arc<Budget>,
}

struct Opened {
    journal: Journal,
    scheduler: Scheduler,
    past: Past,
    restart: Restart,
}

impl Opening {
    /// Waits for the disk, so it is done elsewhere.
    async fn open(self, scheduler: Scheduler) -> Result<Opened, StartError> {
        let opened = tokio::task::spawn_blocking(move || self.read(scheduler));
        opened.await.map_err(|error| StartError::System { what: "thread", text: error.to_string() })?
    }

    fn read(self, mut scheduler: Scheduler) -> Result<Opened, StartError> {
        let Self { config, layout, budget } = self;
        let journal = Journal::open(layout.root())?;
        let mut past = Past::default();
        journal.replay(|entry| past.replay(entry, &mut scheduler))?;
        let restart = Restart::gather(&config, &layout, &budget, &journal, &scheduler, &mut past)?;
        Ok(Opened { journal, scheduler, past, restart })
    }
}

/// What waits for the driver; whoever sends more waits too, so nothing grows without bound.
const INBOX_MESSAGES_MAX: usize = 1_024;
