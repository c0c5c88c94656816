//! What each verb asks, and how it ends.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use trainwire::job::JobSpec;

use super::connection::{Connection, encoded};
use super::text;
use crate::args::{
    DeadLettersArgs, ListArgs, LogsArgs, RetryArgs, ShowArgs, StackArgs, StopArgs, SubmitArgs, WaitArgs, What,
};
use crate::exit::{Exit, Failure};
use crate::plan::{Hyperparams, Plan, PlannedTask};
use crate::serve::{JobRequest, RetryRequest, StopRequest, TaskRequest};
use crate::view::paint::{ColorChoice, Paint};
use crate::view::words;

/// `trainwire submit`.
pub(crate) async fn submit(args: &SubmitArgs) -> Result<Exit, Failure> {
    let plan = Plan::new(&args.job, Paint::new(ColorChoice::Auto, &io::stderr()))?;
    let connection = Connection::new(&args.daemon)?;
    let mut spec = plan.spec;
    at_home(&mut spec)?;
    let (count, seed) = (plan.tasks.len(), plan.seed);
    let tasks = plan.tasks.into_iter().map(task_request).collect::<Result<Vec<_>, _>>()?;
    let spec = match serde_json::to_value(&spec) {
        Ok(Value::Object(spec)) => spec,
        _ => Map::new(),
    };
    let mut answer = connection.post("/v1/jobs", &JobRequest { spec, tasks }).await?;
    if args.daemon.json {
        if let (Some(seed), Value::Object(fields)) = (seed, &mut answer) {
            fields.insert("seed".to_owned(), seed.into());
        }
        return print(&answer.to_string());
    }
    let job = answer["job"].as_str().unwrap_or_default();
    let drawn = seed.map_or_else(String::new, |seed| format!(", drawn with --seed {seed}"));
    print(&format!(
        "{job}: {} submitted{drawn}\nfollow it with `trainwire wait {job}`, `trainwire show {job}`, `trainwire logs -f {job} TASK`, `trainwire results {job}`",
        words::count(count, "task")
    ))
}

/// `trainwire ls`.
pub(crate) async fn ls(args: &ListArgs) -> Result<Exit, Failure> {
    let answer = Connection::new(&args.daemon)?.get(&format!("/v1/jobs?all={}", args.all)).await?;
    print(&if args.daemon.json { answer.to_string() } else { text::jobs(&answer, args.all) })
}

/// `trainwire show`.
pub(crate) async fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let job = path(&args.what);
    if args.what.task.is_some() {
        let task = connection.get(&job).await?;
        return print(&if args.daemon.json { task.to_string() } else { text::task(&task) });
    }
    let mut answer = connection.get(&job).await?;
    let mut tasks = Vec::new();
    loop {
        let page = connection.get(&format!("{job}/tasks?from={}", tasks.len())).await?;
        let Value::Array(page) = page else { break };
        if page.is_empty() {
            break;
        }
        tasks.extend(page);
    }
    if let (true, Value::Object(fields)) = (args.daemon.json, &mut answer) {
        fields.insert("task_list".to_owned(), Value::Array(tasks));
        return print(&answer.to_string());
    }
    print(&text::job(&answer, &tasks))
}

/// `trainwire logs`.
pub(crate) async fn logs(args: &LogsArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let what = named(&connection, &args.what).await?;
    let attempt = args.attempt.map(|attempt| format!("&attempt={attempt}")).unwrap_or_default();
    let asked = format!("{}/log?follow={}&json={}{attempt}", path(&what), args.follow, args.daemon.json);
    let mut body = connection.stream(&asked).await?;
    let mut out = io::stdout().lock();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Exit::CouldNotStart, format!("the daemon is gone, the task goes on: {error}"))
        })?;
        let written = frame.data_ref().map_or(Ok(()), |data| out.write_all(data).and_then(|()| out.flush()));
        // E.g. `| head`: whoever read has seen enough.
        if written.is_err() {
            break;
        }
    }
    Ok(Exit::Succeeded)
}

/// How what was waited for stands.
#[derive(Deserialize)]
struct Waited {
    ended: bool,
    job: Value,
    task: Option<Value>,
}

/// `trainwire wait`.
pub(crate) async fn wait(args: &WaitArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let waiting = await_end(&connection, &args.what);
    let waited = match args.timeout {
        None => waiting.await?,
        Some(timeout) => match tokio::time::timeout(timeout, waiting).await {
            Ok(waited) => waited?,
            Err(_) => {
                let text = format!("{} goes on after {}", name(&args.what), words::duration(timeout));
                return Err(Failure::new(Exit::TimedOut, text));
            }
        },
    };
    tell_end(waited, args.daemon.json)
}

/// `trainwire stop`.
pub(crate) async fn stop(args: &StopArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let request =
        StopRequest { task: args.what.task.clone(), cancel: args.cancel, kill: args.kill, prune: args.prune };
    connection.post(&format!("/v1/jobs/{}/stop", encoded(args.what.job.as_str())), &request).await?;
    let waited = await_end(&connection, &args.what).await?;
    tell_end(waited, args.daemon.json).map(|_| Exit::Succeeded)
}

/// `trainwire retry`.
pub(crate) async fn retry(args: &RetryArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let request = RetryRequest { tasks: args.tasks.clone(), limits: args.limits.clone().said() };
    let asked = format!("/v1/jobs/{}/retry", encoded(args.job.as_str()));
    let answer = connection.post(&asked, &request).await?;
    if args.daemon.json {
        return print(&answer.to_string());
    }
    let requeued = answer["requeued"].as_u64().and_then(|number| usize::try_from(number).ok());
    print(&match requeued {
        Some(0) | None => format!("{}: nothing to try again; no task is dead or stopped", args.job),
        Some(number) => format!("{}: {} waiting again", args.job, words::count(number, "task")),
    })
}

/// `trainwire stack`.
pub(crate) async fn stack(args: &StackArgs) -> Result<Exit, Failure> {
    let connection = Connection::new(&args.daemon)?;
    let what = named(&connection, &args.what).await?;
    let answer = connection.post(&format!("{}/stack", path(&what)), &Map::new()).await?;
    let stacks = answer["text"].as_str().unwrap_or_default();
    if args.daemon.json {
        return print(&answer.to_string());
    }
    if stacks.is_empty() {
        let text = match answer["log"].as_str() {
            Some(log) => format!(
                "the trainer wrote nothing so far, it may be stopped; its log is {}",
                words::escape(log)
            ),
            None => "the trainer was started by hand; the stacks are where its errors go".to_owned(),
        };
        return Err(Failure::new(Exit::TimedOut, text));
    }
    print(&words::log_lines(stacks).join("\n"))
}

/// `trainwire dead-letters`.
pub(crate) async fn dead_letters(args: &DeadLettersArgs) -> Result<Exit, Failure> {
    let job = args.job.as_ref().map(|job| format!("?job={}", encoded(job.as_str()))).unwrap_or_default();
    let answer = Connection::new(&args.daemon)?.get(&format!("/v1/dead-letters{job}")).await?;
    print(&if args.daemon.json { answer.to_string() } else { text::dead_letters(&answer) })
}

async fn await_end(connection: &Connection, what: &What) -> Result<Waited, Failure> {
    let task = what.task.as_ref().map(|task| format!("&task={}", encoded(task))).unwrap_or_default();
    let asked = format!("/v1/jobs/{}/wait?timeout_ms={WAIT_MS}{task}", encoded(what.job.as_str()));
    loop {
        let waited: Waited = connection.get_patiently(&asked).await?;
        if waited.ended {
            return Ok(waited);
        }
    }
}

/// The exit code is about what was waited for.
fn tell_end(waited: Waited, json: bool) -> Result<Exit, Failure> {
    let (text, succeeded) = match &waited.task {
        Some(task) => (text::task(task), task["state"] == "succeeded" || task["state"] == "pruned"),
        None => {
            let tasks = &waited.job["tasks"];
            let number = |name: &str| tasks[name].as_u64().unwrap_or_default();
            // Who prunes wants the search to succeed without those tasks.
            (text::job_end(&waited.job), number("succeeded") + number("pruned") == number("total"))
        }
    };
    print(&if json { waited.task.unwrap_or(waited.job).to_string() } else { text })?;
    Ok(if succeeded { Exit::Succeeded } else { Exit::TasksFailed })
}

/// With the task, which need not be named where it is the only one.
async fn named(connection: &Connection, what: &What) -> Result<What, Failure> {
    let task = match &what.task {
        Some(task) => task.clone(),
        None => only_task(connection, what).await?,
    };
    Ok(What { task: Some(task), ..what.clone() })
}

async fn only_task(connection: &Connection, what: &What) -> Result<String, Failure> {
    let tasks = connection.get(&format!("{}/tasks?limit=20", path(what))).await?;
    let names: Vec<&str> =
        tasks.as_array().into_iter().flatten().filter_map(|task| task["task"].as_str()).collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        names => {
            let text = format!("{} has several tasks; name one of them: {}", what.job, names.join(", "));
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

/// What only the submitter knows: where the command runs, and which Python it means.
fn at_home(spec: &mut JobSpec) -> Result<(), Failure> {
    let here = env::current_dir()
        .map_err(|error| Failure::new(Exit::Usage, format!("the current folder is gone: {error}")))?;
    spec.working_dir = Some(match &spec.working_dir {
        Some(said) => here.join(said),
        None => here,
    });
    for name in SUBMITTERS_VARIABLES {
        if let Ok(value) = env::var(name) {
            spec.environment.entry((*name).to_owned()).or_insert(value);
        }
    }
    Ok(())
}

fn task_request(task: PlannedTask) -> Result<TaskRequest, Failure> {
    let refuse = |why: String| Failure::new(Exit::Usage, format!("task {}: {why}", task.task_id));
    let (params, hyperparams_file) = match &task.hyperparams {
        Hyperparams::Params(params) => {
            let finite = params.iter().find(|(_, value)| !is_finite(value));
            if let Some((name, _)) = finite {
                return Err(refuse(format!(
                    "{name} is infinite or not a number, which JSON does not have; use `trainwire run`"
                )));
            }
            let params: BTreeMap<&String, &toml::Value> = params.iter().collect();
            let params = serde_json::to_value(params).map_err(|error| refuse(error.to_string()))?;
            (params.as_object().cloned(), None)
        }
        Hyperparams::Read { path, .. } => {
            let absolute = std::path::absolute(path).map_err(|error| refuse(error.to_string()))?;
            if !Path::is_file(&absolute) {
                return Err(refuse(format!(
                    "{path} is no regular file, which the daemon could read; use `trainwire run`"
                )));
            }
            (None, Some(absolute.display().to_string()))
        }
    };
    Ok(TaskRequest {
        task_id: task.task_id,
        model_name: task.model_name,
        max_epochs: task.max_epochs,
        params,
        hyperparams_file,
    })
}

fn is_finite(value: &toml::Value) -> bool {
    match value {
        toml::Value::Float(number) => number.is_finite(),
        toml::Value::Array(values) => values.iter().all(is_finite),
        toml::Value::Table(values) => values.iter().all(|(_, value)| is_finite(value)),
        _ => true,
    }
}

fn path(what: &What) -> String {
    let job = encoded(what.job.as_str());
    match &what.task {
        Some(task) => format!("/v1/jobs/{job}/tasks/{}", encoded(task)),
        None => format!("/v1/jobs/{job}"),
    }
}

fn name(what: &What) -> String {
    match &what.task {
        Some(task) => format!("{} of {}", words::escape(task), what.job),
        None => what.job.to_string(),
    }
}

fn print(text: &str) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    // E.g. `| head`.
    let _ = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
    Ok(Exit::Succeeded)
}

/// What makes a command the one that was meant.
const SUBMITTERS_VARIABLES: &[&str] =
    &["PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH"];

/// Of one long poll.
const WAIT_MS: u128 = Duration::from_secs(30).as_millis();
