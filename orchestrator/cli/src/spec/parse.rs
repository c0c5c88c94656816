//! From the text of a spec to what it says.

use std::collections::{BTreeMap, HashMap};

use clap::ValueEnum;
use toml::Table;
use toml::de::{DeTable, DeValue};
use trainwire::{Durability, JobId};

use super::Spec;
use super::error::SpecError;
use super::read::{Node, Reader};
use crate::args::DurabilityChoice;
use crate::grid::{self, Axis, Combination, Point};
use crate::limits::Slot;
use crate::naming;
use crate::plan::{Hyperparams, PlannedTask};
use crate::random::{self, Random};
use crate::ranking::Ranking;
use crate::source::{self, STANDARD_INPUT};

/// Reads a whole spec; all mistakes come back, in the order of the file.
pub(super) fn parse(source: &str) -> Result<Spec, Vec<SpecError>> {
    let document = DeTable::parse(source).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        vec![SpecError::new(span, "this is not TOML", error.message())]
    })?;
    let mut reader = Reader { source, errors: Vec::new(), input_taken: false };
    let spec = reader.spec(document.get_ref());
    let mut errors = reader.errors;
    errors.sort_by_key(|error| error.span.start);
    if errors.is_empty() { Ok(spec) } else { Err(errors) }
}

/// The keys of a spec. `trainers` to `replace_after_failure` are those of [`Limits`](crate::limits::Limits).
pub(super) const SPEC_KEYS: &[&str] = &[
    "job_id",
    "command",
    "environment",
    "working_dir",
    "script",
    "attach",
    "durability",
    "slab",
    "samples",
    "seed",
    "maximize",
    "minimize",
    "trainers",
    "window",
    "poll_us",
    "gpus",
    "slots",
    "max_failures",
    "max_losses",
    "recv_timeout",
    "start_timeout",
    "stall_timeout",
    "lost_timeout",
    "stop_grace",
    "term_grace",
    "orphan_timeout",
    "backoff_min",
    "backoff_max",
    "replace_after_failure",
    "[defaults]",
    "[grid]",
    "[random]",
    "[[task]]",
];
pub(super) const DEFAULTS_KEYS: &[&str] = &["model_name", "max_epochs", "params"];
pub(super) const TASK_KEYS: &[&str] = &["task_id", "model_name", "max_epochs", "params", "hyperparams_file"];

/// `[defaults]`.
#[derive(Default)]
struct Defaults {
    model_name: Option<String>,
    max_epochs: Option<i32>,
    params: Table,
}

/// `[random]`, `samples` and `seed`.
struct Drawn {
    random: Vec<Random>,
    samples: Option<u32>,
    /// 0 unless set: a spec is the same job each time, also one that goes on.
    seed: u32,
}

impl Reader<'_> {
    fn spec(&mut self, document: &DeTable<'_>) -> Spec {
        let mut spec = Spec::default();
        let mut defaults = Defaults::default();
        let mut axes = Vec::new();
        let mut drawn = Drawn { random: Vec::new(), samples: None, seed: 0 };
        let mut tasks = None;
        for (key, value) in document {
            let name = key.get_ref().as_ref();
            match name {
                "job_id" => spec.job_id = self.job_id(value),
                "command" => spec.command = self.command(value),
                "environment" => spec.environment = self.environment(value),
                "working_dir" => spec.working_dir = self.name(name, value).map(Into::into),
                "script" => spec.script = self.truth(name, value).unwrap_or_default(),
                "attach" => spec.attach = self.truth(name, value).unwrap_or_default(),
                "durability" => spec.durability = self.durability(value),
                "slab" => spec.slab = self.size(name, value),
                "maximize" | "minimize" if spec.ranking.is_some() => {
                    let error =
                        SpecError::new(key.span(), "`maximize` and `minimize`", "one is there already");
                    self.push(error.help("tasks are compared by one metric; leave the other out"));
                }
                "maximize" => spec.ranking = Ranking::new(self.name(name, value).as_deref(), None),
                "minimize" => spec.ranking = Ranking::new(None, self.name(name, value).as_deref()),
                "replace_after_failure" => spec.limits.replace_after_failure = self.truth(name, value),
                "defaults" => defaults = self.defaults(value),
                "grid" => axes = self.grid(value),
                "random" => drawn.random = self.random(value),
                "samples" => drawn.samples = self.count(name, value, 1, u32::MAX),
                "seed" => drawn.seed = self.count(name, value, 0, u32::MAX).unwrap_or_default(),
                "task" => tasks = Some(value),
                _ => match spec.limits.slot(name) {
                    Some(Slot::Count(slot, max)) => *slot = self.count(name, value, 1, max),
                    Some(Slot::Amount(slot, max)) => *slot = self.count(name, value, 0, max),
                    Some(Slot::Duration(slot, zero)) => *slot = self.duration(name, value, zero),
                    None => self.unknown(name, key.span(), "a spec", SPEC_KEYS),
                },
            }
        }
        let attach_only = spec.attach && !document.contains_key("command");
        if !attach_only && !document.contains_key("command") {
            let error = SpecError::new(0..0, "no `command`", "expected a key `command`");
            self.push(
                error
                    .help("command = [\"python\", \"train.py\"], or attach = true to start trainers by hand"),
            );
        }
        if drawn.random.is_empty()
            && let Some((key, _)) =
                document.iter().find(|(key, _)| ["samples", "seed"].contains(&&**key.get_ref()))
        {
            let error =
                SpecError::new(key.span(), format!("`{}` without [random]", key.get_ref()), "of what?");
            self.push(error.help("[random]\nlr = \"log:1e-4..1e-1\""));
        }
        if !drawn.random.is_empty() {
            spec.environment.insert(random::SEED_VARIABLE.to_owned(), drawn.seed.to_string());
        }
        let combinations = self.combinations(document, &axes, &drawn);
        spec.tasks = self.tasks(&spec.command, defaults, combinations, tasks);
        spec
    }

    /// `[random]`: `lr = "log:1e-4..1e-1"`.
    fn random(&mut self, value: &Node<'_>) -> Vec<Random> {
        let mut drawn = Vec::new();
        for (key, value) in self.table("random", value).into_iter().flatten() {
            let name = key.get_ref().to_string();
            let Some(from) = self.name(&name, value) else { continue };
            match Random::new(&name, &from) {
                Ok(random) => drawn.push(random),
                Err(error) => {
                    self.refuse::<()>(&name, value, error);
                }
            }
        }
        drawn
    }

    /// What the grid and the samples come to.
    fn combinations(&mut self, document: &DeTable<'_>, axes: &[Axis], drawn: &Drawn) -> Vec<Combination> {
        let Some(value) = document.get("random") else { return grid::product(axes).unwrap_or_default() };
        if let Some(twice) =
            drawn.random.iter().find(|random| axes.iter().any(|axis| axis.name == random.name))
        {
            self.refuse::<()>("random", value, format!("{} is in [grid] already", twice.name));
            return Vec::new();
        }
        let samples = drawn.samples.unwrap_or(random::SAMPLES);
        let grid = grid::product(axes).unwrap_or_default();
        random::combine(grid, &drawn.random, samples, drawn.seed.into()).unwrap_or_else(|error| {
            self.refuse::<()>("random", value, error);
            Vec::new()
        })
    }

    fn job_id(&mut self, value: &Node<'_>) -> Option<JobId> {
        let text = match value.get_ref() {
            DeValue::String(text) => text,
            _ => return self.text("job_id", value).and(None),
        };
        JobId::new(text).map_or_else(
            |error| {
                self.push(
                    SpecError::new(value.span(), "this is not a job id", "becomes part of the socket's name")
                        .help(error.to_string()),
                );
                None
            },
            Some,
        )
    }

    fn durability(&mut self, value: &Node<'_>) -> Option<Durability> {
        let text = self.text("durability", value)?;
        let choice = DurabilityChoice::from_str(&text, false);
        choice.map_or_else(
            |_| self.refuse("durability", value, "must be \"durable\" or \"volatile\""),
            |choice| Some(choice.into()),
        )
    }

    fn command(&mut self, value: &Node<'_>) -> Vec<String> {
        let Some(list) = self.list("command", value, "a list, e.g. [\"python\", \"train.py\"]") else {
            return Vec::new();
        };
        let command: Vec<_> = list.iter().filter_map(|argument| self.text("command", argument)).collect();
        if list.is_empty() || command.first().is_some_and(String::is_empty) {
            self.refuse::<()>("command", value, "names no program, e.g. [\"python\", \"train.py\"]");
        }
        command
    }

    fn environment(&mut self, value: &Node<'_>) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for (key, value) in self.table("environment", value).into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if name.is_empty() || name.contains(['=', '\0']) {
                self.push(SpecError::new(
                    key.span(),
                    "no variable can have this name",
                    "empty, or contains = or NUL",
                ));
            } else if let Some(text) = self.text(name, value) {
                environment.insert(name.to_owned(), text);
            }
        }
        environment
    }

    fn defaults(&mut self, value: &Node<'_>) -> Defaults {
        let mut defaults = Defaults::default();
        for (key, value) in self.table("defaults", value).into_iter().flatten() {
            let name = key.get_ref().as_ref();
            match name {
                "model_name" => defaults.model_name = self.name(name, value),
                "max_epochs" => defaults.max_epochs = self.count(name, value, 1, i32::MAX),
                "params" => defaults.params = self.params(name, value).unwrap_or_default(),
                _ => self.unknown(name, key.span(), "[defaults]", DEFAULTS_KEYS),
            }
        }
        defaults
    }

    fn grid(&mut self, value: &Node<'_>) -> Vec<Axis> {
        let mut axes = Vec::new();
        for (key, value) in self.table("grid", value).into_iter().flatten() {
            let name = key.get_ref().to_string();
            let Some(list) = self.list(&name, value, "a list of values, e.g. [0.1, 0.01]") else { continue };
            let points: Vec<_> = list.iter().filter_map(|item| self.point(&name, item)).collect();
            if list.is_empty() {
                self.refuse::<()>(&name, value, "has no values, so the grid has no tasks");
            } else if let Some(text) = grid::repeated(&points) {
                let text = text.to_owned();
                self.refuse::<()>(
                    &name,
                    value,
                    format!("{text} is there twice; each value makes a task of its own"),
                );
            }
            axes.push(Axis::new(name, points));
        }
        if let Err(error) = grid::product(&axes) {
            self.refuse::<()>("grid", value, error);
            axes.clear();
        }
        axes
    }

    fn point(&mut self, name: &str, item: &Node<'_>) -> Option<Point> {
        let text = match item.get_ref() {
            DeValue::String(_) => self.name(name, item)?,
            DeValue::Array(_) | DeValue::Table(_) => {
                return self.refuse(
                    name,
                    item,
                    "a grid takes numbers, text, true and false; use [[task]] for the rest",
                );
            }
            _ => self.source.get(item.span())?.to_owned(),
        };
        Some(Point { text, value: self.param(name, item)? })
    }

    fn tasks(
        &mut self,
        command: &[String],
        defaults: Defaults,
        combinations: Vec<Combination>,
        listed: Option<&Node<'_>>,
    ) -> Vec<PlannedTask> {
        let stem = naming::stem(command);
        let template = PlannedTask {
            task_id: stem.to_owned(),
            model_name: defaults.model_name.unwrap_or_else(|| stem.to_owned()),
            max_epochs: defaults.max_epochs,
            hyperparams: Hyperparams::Params(defaults.params),
        };
        let alone = listed.is_none() && combinations.is_empty();
        let mut tasks: Vec<_> =
            combinations.into_iter().map(|combination| template.with(combination)).collect();
        let mut first_at: HashMap<_, _> = tasks.iter().map(|task| (task.task_id.clone(), None)).collect();
        let entries = match listed {
            Some(value) => self
                .list("task", value, "a list of tables: [[task]] on a line of its own")
                .unwrap_or_default(),
            None => &[],
        };
        for entry in entries {
            let Some(table) = self.table("task", entry) else { continue };
            let Some(task) = self.task(table, entry, &template) else { continue };
            let span = table.get("task_id").map_or(entry.span(), |id| id.span());
            let line = self.source[..span.start].matches('\n').count() + 1;
            if let Some(first) = first_at.insert(task.task_id.clone(), Some(line)) {
                let first =
                    first.map_or("in [grid] or [random]".to_owned(), |line| format!("in line {line}"));
                let error = SpecError::new(
                    span,
                    format!("the task {} is there twice", task.task_id),
                    format!("first {first}"),
                );
                self.push(error.help("results, logs and folders go by the task's id: give each its own"));
            }
            tasks.push(task);
        }
        if alone { vec![template] } else { tasks }
    }

    fn task(&mut self, table: &DeTable<'_>, entry: &Node<'_>, template: &PlannedTask) -> Option<PlannedTask> {
        let mut task = template.clone();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match name {
                "task_id" => task.task_id = self.name(name, value).unwrap_or_default(),
                "model_name" => task.model_name = self.name(name, value).unwrap_or_default(),
                "max_epochs" => task.max_epochs = self.count(name, value, 1, i32::MAX),
                "params" => {
                    let params = self.params(name, value).unwrap_or_default();
                    task.hyperparams = template.hyperparams.clone().overlaid(params);
                }
                "hyperparams_file" => {}
                _ => self.unknown(name, key.span(), "[[task]]", TASK_KEYS),
            }
        }
        if let Some((key, value)) = table.get_key_value("hyperparams_file") {
            if table.contains_key("params") {
                self.push(SpecError::new(
                    key.span(),
                    "a task has either `params` or `hyperparams_file`",
                    "and this one has both",
                ));
            }
            task.hyperparams = self.file("hyperparams_file", value, &task)?;
        }
        if !table.contains_key("task_id") {
            let error = SpecError::new(entry.span(), "a task without `task_id`", "expected a key `task_id`");
            self.push(error.help("task_id = \"baseline\""));
            return None;
        }
        (!task.task_id.is_empty()).then_some(task)
    }

    fn file(&mut self, key: &str, value: &Node<'_>, task: &PlannedTask) -> Option<Hyperparams> {
        let path = self.name(key, value)?;
        if path == STANDARD_INPUT && std::mem::replace(&mut self.input_taken, true) {
            return self.refuse(key, value, "standard input is another task's already");
        }
        // A spec that is not run needs no data, and a FIFO may keep its mistakes waiting.
        let read = match self.errors.is_empty() && !task.task_id.is_empty() {
            true => source::read(&path, task).map(|task| Hyperparams::Read { path: path.clone(), task }),
            false => source::check(&path).map(|()| task.hyperparams.clone()),
        };
        read.map_or_else(|why| self.refuse(key, value, why), Some)
    }
}
