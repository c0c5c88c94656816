//! Peers that break the protocol, on purpose or by accident. Each ends with its code, and neither the
//! job it attacked nor the one beside it is the worse for it.

mod connector;
mod descriptors;
mod fences;
mod floods;
mod framing;
mod mutations;
mod opening;
mod slow;
mod strangers;

use std::time::Duration;

use connector::Connector;
use trainwire::{Config, Job, JobHandle, JobOutcome, TrainingTask};
use trainwire_tests::{Peer, Stage, Watch, result, within};

/// A job that takes trainers started by hand, and an honest one beside it.
struct Arena {
    stage: Stage,
    watch: Watch,
    neighbour: JobHandle,
    connector: Connector,
}

impl Arena {
    async fn new() -> Self {
        Self::with(3, |_| ()).await
    }

    async fn with(tasks: usize, change: impl FnOnce(&mut Config)) -> Self {
        let volatile = |config: &mut Config| {
            config.state_dir = None;
            change(config);
        };
        let stage = Stage::with(volatile).await;
        let neighbour = stage.neighbour().await;
        let mut job = Job::new("victim").expect("an id").attach(true);
        job.spec.recv_timeout = RECV_TIMEOUT;
        job.spec.lost_timeout = RECV_TIMEOUT;
        job.spec.max_losses = 1_000;
        job.spec.max_failures = 1_000;
        job.spec.stop_grace = Duration::from_millis(200);
        job.spec.backoff_min = Duration::from_millis(1);
        job.spec.backoff_max = Duration::from_millis(5);
        let tasks = (0..tasks).map(|number| TrainingTask::new(format!("task-{number}"), "m"));
        let victim = stage.submit(job.tasks(tasks)).await;
        within(async {
            while !victim.socket_path().exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let watch = Watch::new(&victim);
        let connector = Connector::new(victim.socket_path());
        Self { stage, watch, neighbour, connector }
    }

    fn connect(&mut self) -> Peer {
        self.connector.connect()
    }

    /// An honest trainer: connected and let in.
    async fn attach(&mut self) -> Peer {
        let mut peer = self.connect();
        peer.join("victim").await;
        peer
    }

    /// After the attack an honest trainer works off what is left, and the neighbour noticed nothing.
    async fn stands(self) {
        let outcome = self.survives().await;
        assert!(outcome.succeeded(), "{outcome:#?}");
    }

    /// As [`Arena::stands`], where attackers may have ended tasks in the name of trainers, or taken one
    /// ten times and gone.
    async fn survives(mut self) -> JobOutcome {
        self.connector.renew();
        let mut honest = self.attach().await;
        let mut finished = 0;
        let finish = async {
            while let Some((deliver, _)) = honest.delivered().await {
                honest.send(&[result(deliver.delivery, 1)]).await;
                finished += 1;
            }
        };
        within(finish).await;
        assert!(finished > 0, "the attackers left no task");
        drop(honest);
        self.end().await
    }

    /// When the victim's tasks have ended: the neighbour noticed nothing, and nothing stays behind.
    async fn end(&mut self) -> JobOutcome {
        let outcome = self.watch.outcome().await;
        self.stage.open("neighbour");
        let neighbour = within(self.neighbour.outcome()).await.expect("the orchestrator lives");
        assert!(neighbour.succeeded(), "{neighbour:#?}");
        within(self.stage.orchestrator.shutdown()).await;
        outcome
    }
}

/// The victim's, and how soon it gives up a trainer that is silent.
const RECV_TIMEOUT: Duration = Duration::from_millis(500);
