//! Where a run takes place: in a folder of its own, or in that of an earlier run that was cut short.

use std::path::{Path, PathBuf};

use trainwire::{Config, JobHandle, Orchestrator, StartError};

use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::plan::Plan;
use crate::state;

/// An orchestrator and its folder.
pub(crate) struct Place {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) state_dir: PathBuf,
    /// The job of this name, if there was one.
    pub(crate) earlier: Option<JobHandle>,
}

impl Place {
    /// The folder that was asked for, or the newest of this job's if its run did not come to an end, or a
    /// fresh one. A run without a name gets that of the one it goes on with.
    pub(crate) async fn find(args: &RunArgs, plan: &mut Plan) -> Result<Self, Failure> {
        if let Some(said) = &args.state {
            let place = Self::open(args, plan, state::absolute(said)?).await.map_err(not_started)?;
            if !plan.named
                && let [job_id] = place.orchestrator.taken_up()
            {
                plan.rename(job_id);
            }
            return Ok(place);
        }
        if let Some(newest) = state::newest(&plan.job_id)
            // What cannot be opened (it is in use, or of a newer version) is no place to go on.
            && let Ok(place) = Self::open(args, plan, state::absolute(&newest)?).await
        {
            if place.goes_on(plan) {
                return Ok(place);
            }
            place.orchestrator.shutdown().await;
        }
        Self::open(args, plan, state::fresh(&plan.job_id)?).await.map_err(not_started)
    }

    /// Whether the job was cut short there. It may have come to its end since.
    pub(crate) fn goes_on(&self, plan: &Plan) -> bool {
        self.orchestrator.taken_up().contains(&plan.job_id)
    }

    async fn open(args: &RunArgs, plan: &Plan, state_dir: PathBuf) -> Result<Self, StartError> {
        let orchestrator = Orchestrator::start(config(args, &state_dir)).await?;
        // One that is gone already says so at the submission.
        let earlier = orchestrator.job(&plan.job_id).await.unwrap_or_default();
        Ok(Self { orchestrator, state_dir, earlier })
    }
}

fn config(args: &RunArgs, state_dir: &Path) -> Config {
    Config {
        state_dir: Some(state_dir.to_owned()),
        socket_dir: args.socket_dir.clone(),
        slots: args.slots.clone(),
        ..Config::default()
    }
}

fn not_started(error: StartError) -> Failure {
    Failure::new(Exit::CouldNotStart, error.to_string())
}
