//! What is to be run, however it was said: by a spec, by flags, or by both.

use std::collections::BTreeMap;
use std::time::SystemTime;

use toml::Table;
use trainwire::job::JobSpec;
use trainwire::{JobId, TrainingTask};

use crate::args::JobArgs;
use crate::exit::{Exit, Failure};
use crate::grid::{self, Combination};
use crate::naming;
use crate::placeholder;
use crate::random;
use crate::ranking::Ranking;
use crate::source;
use crate::spec::{self, Spec};
use crate::view::paint::Paint;

/// A job with its tasks.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) job_id: JobId,
    /// By whoever asked for the run, and not after the time.
    pub(crate) named: bool,
    pub(crate) spec: JobSpec,
    pub(crate) tasks: Vec<PlannedTask>,
    /// What the spec wants compared.
    pub(crate) ranking: Option<Ranking>,
    /// What the samples were drawn with, where nobody has said it.
    pub(crate) seed: Option<u32>,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct PlannedTask {
    pub(crate) task_id: String,
    pub(crate) model_name: String,
    /// The schema's default unless set.
    pub(crate) max_epochs: Option<i32>,
    pub(crate) hyperparams: Hyperparams,
}

/// What a task is trained with.
#[derive(Clone, Debug)]
pub(crate) enum Hyperparams {
    /// Becomes msgpack.
    Params(Table),
    /// As they were read; the task they are in is built already.
    Read {
        /// As it was named.
        path: String,
        /// With everything.
        task: TrainingTask,
    },
}

impl Plan {
    /// Puts flags and spec together; flags win.
    pub(crate) fn new(args: &JobArgs, paint: Paint) -> Result<Self, Failure> {
        let unsaid = args.seed.is_none() && !args.random.is_empty();
        Self::drawn_with(args, paint, if unsaid { Some(bits()?) } else { None })
    }

    /// As [`Plan::new`], with what an earlier run without a seed was drawn with.
    pub(crate) fn drawn_with(args: &JobArgs, paint: Paint, seed: Option<u32>) -> Result<Self, Failure> {
        let (said, stem) = match &args.spec {
            Some(path) => {
                let said = spec::load(path, paint)?;
                let stem = path
                    .file_stem()
                    .map_or_else(Default::default, |stem| stem.to_string_lossy().into_owned());
                (said, stem)
            }
            None => {
                let said = from_flags(args, args.seed.or(seed).unwrap_or(0))?;
                let stem = naming::stem(&said.command).to_owned();
                (said, stem)
            }
        };
        let name = args.job_id.clone().or(said.job_id);
        let named = name.is_some();
        let job_id = match name {
            Some(job_id) => job_id,
            None => naming::job_id(&stem, SystemTime::now(), u16::try_from(bits()? >> 16).unwrap_or(0)),
        };
        let mut spec = JobSpec::default();
        spec.job_id = job_id.as_str().to_owned();
        spec.environment = said.environment;
        spec.working_dir = said.working_dir;
        spec.script = placeholder::is_script(&said.command, said.script, &said.tasks)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        spec.command = said.command;
        spec.attach = said.attach || args.attach;
        spec.durability = args.durability.map(Into::into).or(said.durability).unwrap_or_default();
        spec.slab = said.slab;
        said.limits.apply_to(&mut spec);
        args.limits.apply_to(&mut spec);
        if spec.backoff_min > spec.backoff_max {
            return Err(Failure::new(Exit::Usage, "backoff_min is longer than backoff_max"));
        }
        Ok(Self { job_id, named, spec, tasks: said.tasks, ranking: said.ranking, seed })
    }
}

impl Plan {
    /// Gives it the name of an earlier one.
    pub(crate) fn rename(&mut self, job_id: &JobId) {
        self.job_id = job_id.clone();
        self.spec.job_id = job_id.as_str().to_owned();
    }
}

impl PlannedTask {
    /// One of a grid, the rest as here.
    pub(crate) fn with(&self, combination: Combination) -> Self {
        Self {
            task_id: combination.task_id,
            hyperparams: self.hyperparams.clone().overlaid(combination.params),
            ..self.clone()
        }
    }
}

impl Hyperparams {
    /// These, where `over` says nothing else.
    pub(crate) fn overlaid(self, over: Table) -> Self {
        match self {
            Self::Params(mut params) => {
                params.extend(over);
                Self::Params(params)
            }
            Self::Read { .. } => Self::Params(over),
        }
    }
}

/// `trainwire run [--grid …] [--param …] -- python train.py`: the command need not know trainwire.
fn from_flags(args: &JobArgs, seed: u32) -> Result<Spec, Failure> {
    let stem = naming::stem(&args.command);
    let mut template = PlannedTask {
        task_id: stem.to_owned(),
        model_name: args.model_name.clone().unwrap_or_else(|| stem.to_owned()),
        max_epochs: args.max_epochs,
        hyperparams: Hyperparams::Params(args.param.iter().cloned().collect::<Table>()),
    };
    let drawn = args.random.iter().map(|random| &random.name);
    let names = args.grid.iter().map(|axis| &axis.name).chain(args.param.iter().map(|(name, _)| name));
    let mut names: Vec<_> = names.chain(drawn).collect();
    names.sort();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Failure::new(Exit::Usage, format!("the parameter {} is given twice", pair[0])));
    }
    let usage = |error| Failure::new(Exit::Usage, error);
    let grid = grid::product(&args.grid).map_err(usage)?;
    let samples = args.samples.unwrap_or(random::SAMPLES);
    let grid = random::combine(grid, &args.random, samples, seed.into()).map_err(usage)?;
    let mut environment = BTreeMap::new();
    if !args.random.is_empty() {
        environment.insert(random::SEED_VARIABLE.to_owned(), seed.to_string());
    }
    if let Some(path) = &args.hyperparams_file {
        let read = source::read(path, &template);
        let failed = |why: String| Failure::new(Exit::Usage, format!("--hyperparams-file {path}: {why}"));
        template.hyperparams = Hyperparams::Read { path: path.clone(), task: read.map_err(failed)? };
    }
    let tasks = if grid.is_empty() {
        vec![template]
    } else {
        grid.into_iter().map(|combination| template.with(combination)).collect()
    };
    // Bytes of any kind and size fit into no environment.
    let script = !args.command.is_empty() && args.hyperparams_file.is_none();
    Ok(Spec { command: args.command.clone(), script, environment, tasks, ..Spec::default() })
}

/// Of a seed; and they set jobs of one second apart.
fn bits() -> Result<u32, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::CouldNotStart, format!("the kernel gives no random numbers: {error}"))
    })?;
    Ok(u32::from_le_bytes(bytes))
}
