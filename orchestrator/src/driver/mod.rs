//! The shell around the Scheduler, in one sentence: collect inputs, handle each, commit the batch,
//! perform its effects in order.
//!
//! ```text
//!  connections ─► readiness ─┐
//!  processes ───►            ├─► Scheduler::handle ─► Group { records, acts } ─► writer thread
//!  handles ─────► inbox ─────┘                                                      │ committed
//!                            bound, spawned, …  ◄── effects, events ◄── acts ◄──────┘
//! ```
//!
//! A group is what was decided while the group before it was being committed, so commits need no
//! timer. All acts go through one queue, also those that rest on no record: none overtakes another.
//! With a journal in memory a group is performed at once, without leaving the thread.
//!
//! The driver owns the connections and reads and writes their sockets itself: between a result and the
//! next task of the same trainer nothing is handed over and nobody else is woken.

mod alarm;
mod attribute;
mod connections;
mod effects;
mod group;
mod last_row;
mod listeners;
mod message;
mod query;
mod remains;
mod restart;
mod retention;
mod slabs;
mod trainers;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use trainwire_protocol::id::Token;

use crate::budget::Budget;
use crate::by_number::ByNumber;
use crate::clock;
use crate::config::Config;
use crate::connection::{Arrival, Buffers, Connection};
use crate::error::OrchestratorError;
use crate::events::Feed;
use crate::job::JobSpec;
use crate::journal::{Committed, Writer};
use crate::layout::Layout;
use crate::metrics::MetricsWriter;
use crate::payload::Payload;
use crate::readiness::{Readiness, Source};
use crate::record::{DeliveryNo, JobNo, Seq, TaskNo, TrainerNo};
use crate::restart::Restart;
use crate::room::Room;
use crate::scheduler::{ConnectionNo, Input, Now, Scheduler, Ticket};
use crate::slab::JobSlab;

use group::Group;
use last_row::LastRow;
use listeners::{Listeners, NAMES_INTERVAL};
pub(crate) use message::Message;
use message::Reply;
pub(crate) use query::Query;
use remains::Leftovers;
use retention::Ended;
use slabs::Slabs;
use trainers::TrainerSlot;

/// What an orchestrator is made of when it starts.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) budget: Arc<Budget>,
    pub(crate) room: Arc<Room>,
    pub(crate) scheduler: Scheduler,
    /// Of the last record in the journal.
    pub(crate) seq: Seq,
    /// Jobs the journal knows.
    pub(crate) feeds: HashMap<JobNo, Arc<Feed>>,
    /// Those of them that have ended, and when, in the order of their ends.
    pub(crate) ended: BTreeMap<Seq, (JobNo, SystemTime)>,
    /// What those of them need that have not ended.
    pub(crate) restart: Restart,
    /// With the end of its commits; `None` keeps the journal in memory.
    pub(crate) writer: Option<(Writer, mpsc::UnboundedReceiver<Committed>)>,
    pub(crate) metrics: Option<MetricsWriter>,
    pub(crate) readiness: Readiness,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) sender: mpsc::Sender<Message>,
    pub(crate) shutdown: watch::Receiver<bool>,
    /// Told why the driver ended.
    pub(crate) stopped: watch::Sender<Option<OrchestratorError>>,
}

pub(crate) struct Driver {
    config: Config,
    layout: Layout,
    budget: Arc<Budget>,
    room: Arc<Room>,
    /// Why the driver has to end.
    failed: Option<OrchestratorError>,
    scheduler: Scheduler,
    /// One reading of the clocks for everything that is handled together.
    now: Now,
    /// How long this process was not running; the Scheduler's clock stood still meanwhile.
    paused: Duration,
    /// The end of the last pause.
    awake_since: Instant,
    seq: Seq,
    jobs: ByNumber<JobNo, JobSlot>,
    readiness: Readiness,
    listeners: Listeners,
    /// How often each of their names is looked at.
    names_interval: Duration,
    connections: ByNumber<ConnectionNo, Box<Connection>>,
    last_connection: u64,
    /// When to look at which connection's deadlines; outdated ones among them.
    alarms: BinaryHeap<Reverse<(Instant, ConnectionNo)>>,
    /// Told something since the last flush.
    with_news: Vec<ConnectionNo>,
    /// Until then an answer is polled for.
    polls_until: Option<Instant>,
    buffers: Buffers,
    /// Empty between connections.
    arrivals: Vec<Arrival>,
    /// Empty between turns.
    sources: Vec<Source>,
    trainers: ByNumber<TrainerNo, TrainerSlot>,
    payloads: ByNumber<TaskNo, Payload>,
    /// Of attempts under way.
    last_rows: HashMap<DeliveryNo, LastRow>,
    slabs: Slabs,
    leftovers: Leftovers,
    /// Signals and looks at processes under way on other threads: none is left out at the end.
    errands: JoinSet<()>,
    ended: Ended,
    tickets: HashMap<Ticket, Reply>,
    next_ticket: u64,
    /// Decided, not handed to the writer.
    collecting: Group,
    /// With the writer: what to do once its records are committed.
    committing: Option<Group>,
    /// An empty one, for its memory.
    spare: Group,
    /// Caused by our own effects.
    followups: VecDeque<Followup>,
    writer: Option<Writer>,
    metrics: Option<MetricsWriter>,
    sender: mpsc::Sender<Message>,
}

struct JobSlot {
    feed: Arc<Feed>,
    spec: Arc<JobSpec>,
    /// Until the job ends.
    slab: Option<Arc<JobSlab>>,
}

/// What an effect leads to.
enum Followup {
    Input(Input),
    /// To be read to its end.
    Drain(ConnectionNo),
}

/// Runs until it is told to shut down or a commit fails.
pub(crate) async fn run(parts: Parts) {
    let Parts { inbox, shutdown, stopped, writer, .. } = parts;
    let (writer, commits) = match writer {
        Some((writer, commits)) => (Some(writer), commits),
        None => (None, mpsc::unbounded_channel().1),
    };
    let mut driver = Driver {
        config: parts.config,
        layout: parts.layout,
        budget: parts.budget,
        room: parts.room,
        failed: None,
        scheduler: parts.scheduler,
        now: clock::now(),
        paused: Duration::ZERO,
        awake_since: clock::monotonic(),
        seq: parts.seq,
        jobs: parts.feeds.into_iter().map(|(job, feed)| (job, JobSlot::ended(feed))).collect(),
        readiness: parts.readiness,
        listeners: Listeners::default(),
        names_interval: NAMES_INTERVAL,
        connections: ByNumber::default(),
        last_connection: 0,
        alarms: BinaryHeap::new(),
        with_news: Vec::new(),
        polls_until: None,
        buffers: Buffers::default(),
        arrivals: Vec::new(),
        sources: Vec::new(),
        trainers: ByNumber::default(),
        payloads: ByNumber::default(),
        last_rows: HashMap::new(),
        slabs: Slabs::default(),
        leftovers: Leftovers::default(),
        errands: JoinSet::new(),
        ended: Ended::default(),
        tickets: HashMap::new(),
        next_ticket: 0,
        collecting: Group::default(),
        committing: None,
        spare: Group::default(),
        followups: VecDeque::new(),
        writer,
        metrics: parts.metrics,
        sender: parts.sender,
    };
    driver.forget_leftovers();
    driver.take_up(parts.restart);
    driver.ended_before(parts.ended);
    let error = driver.drive(inbox, commits, shutdown).await;
    while driver.errands.join_next().await.is_some() {}
    driver.close(&error);
    stopped.send_replace(Some(error));
}

impl Driver {
    async fn drive(
        &mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut commits: mpsc::UnboundedReceiver<Committed>,
        mut shutdown: watch::Receiver<bool>,
    ) -> OrchestratorError {
        let mut messages = Vec::with_capacity(MESSAGES_PER_TURN_MAX);
        // Moved only forwards: a deadline that went away is noticed when the timer fires.
        let mut alarm = None;
        let mut timer = pin!(sleep_until(self.now.monotonic.into()));
        loop {
            let deadline = self.deadline();
            if let Some(at) = deadline.filter(|at| alarm.is_none_or(|alarm| *at < alarm)) {
                alarm = deadline;
                timer.as_mut().reset(at.into());
            }
            tokio::select! {
                biased;
                // The sender's end means that the last handle is gone.
                () = async { drop(shutdown.wait_for(|asked| *asked).await) } => {
                    // On a full disk that could take for ever, and nobody was told that it is done.
                    if self.committing.is_none() || self.room.is_exhausted() {
                        return OrchestratorError::ShutDown;
                    }
                    // What was decided is committed and answered first.
                    match commits.recv().await {
                        Some(Ok(commit)) => self.committed(commit),
                        Some(Err(error)) => return error,
                        None => return OrchestratorError::ShutDown,
                    }
                }
                committed = commits.recv(), if self.writer.is_some() => match committed {
                    Some(Ok(commit)) => self.committed(commit),
                    Some(Err(error)) => return error,
                    None => return OrchestratorError::Journal { text: "its writer is gone".to_owned() },
                },
                _ = inbox.recv_many(&mut messages, MESSAGES_PER_TURN_MAX), if !self.collecting.is_full() => {
                    self.wake(alarm);
                    for message in messages.drain(..) {
                        self.receive(message);
                    }
                }
                () = &mut timer, if alarm.is_some() => {
                    self.wake(alarm.take());
                    self.alarm();
                }
                () = self.readiness.ready(), if !self.collecting.is_full() => {
                    self.wake(alarm);
                    if self.look_around() {
                        self.polls_until = None;
                    }
                }
                // Others of this thread get their turns between two looks.
                () = tokio::task::yield_now(), if self.polls_until.is_some() && !self.collecting.is_full() => {
                    self.poll();
                }
            }
            if let Some(error) = self.failed.take() {
                return error;
            }
            self.settle();
        }
    }

    /// Handles what our own effects caused, and commits or performs, until there is nothing to do.
    fn settle(&mut self) {
        loop {
            while let Some(followup) = self.followups.pop_front() {
                match followup {
                    Followup::Input(input) => self.decide(input),
                    Followup::Drain(connection) => self.drain(connection),
                }
            }
            let wanted = self.scheduler.tokens_wanted();
            if wanted > 0 {
                self.bring_tokens(wanted);
            }
            self.commit_or_perform();
            self.flush();
            if self.followups.is_empty() && (self.committing.is_some() || self.collecting.is_empty()) {
                return;
            }
        }
    }

    fn bring_tokens(&mut self, count: usize) {
        let mut tokens = vec![Token([0; _]); count];
        for token in &mut tokens {
            if let Err(error) = getrandom::fill(&mut token.0) {
                tracing::error!(%error, "no randomness for tokens; no trainer can be started");
                return;
            }
        }
        self.decide(Input::Tokens(tokens));
    }

    /// Tells everyone who waits; a second call does no harm. Trainers are not touched: they go on
    /// without us for a while.
    fn close(&mut self, error: &OrchestratorError) {
        self.connections.clear();
        self.listeners.clear();
        self.leftovers.close();
        for slot in self.jobs.values_mut() {
            slot.feed.end(Err(error.clone()));
            // Trainers go on looking at what lies in it.
            if let Some(slab) = slot.slab.take() {
                slab.close();
            }
        }
        self.tickets.clear();
        // Both wait for what they were given.
        self.metrics = None;
        self.writer = None;
        let state = self.scheduler.state();
        let all_ended = self.jobs.keys().all(|job| state.job(job).is_none_or(|job| job.ended));
        if all_ended && !self.layout.is_durable() {
            let _ = std::fs::remove_dir_all(self.layout.root());
        }
    }
}

/// Also when the runtime ends under it.
impl Drop for Driver {
    fn drop(&mut self) {
        self.close(&OrchestratorError::ShutDown);
    }
}

impl JobSlot {
    fn ended(feed: Arc<Feed>) -> Self {
        Self { feed, spec: Arc::default(), slab: None }
    }
}

/// Handled together: bounds how long the effects of the first wait for the last.
const MESSAGES_PER_TURN_MAX: usize = 256;
