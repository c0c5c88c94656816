//! The functions of the module: how a script gets at its tasks, and what happens when it exits.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use trainwire_protocol::id::Instance;
use trainwire_protocol::message::Role;
use trainwire_protocol::session::{Identity, OutboxLimits, TrainerSession};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::connection::Connection;
use crate::end::End;
use crate::environment::{self, Environment};
use crate::errors::{Class, raise};
use crate::events::TryAgain;
use crate::poller::Poller;
use crate::task::Task;
use crate::tasks::{SETTLE_TIME, Source, Tasks};
use crate::{current, fork, io_thread, offline, outcome, stacks};

#[pyfunction]
#[pyo3(signature = (*, params=None, max_epochs=None))]
pub(crate) fn connect(
    py: Python<'_>,
    params: Option<&Bound<'_, PyDict>>,
    max_epochs: Option<i32>,
) -> PyResult<Py<Task>> {
    if let Some(task) = current::get(py).filter(|task| !task.get().run.ended()) {
        return Ok(task);
    }
    if std::mem::replace(&mut *lock(&CONNECTED), true) {
        let text = "connect() gives one task per process, and it has ended; use tasks() for several";
        return Err(raise(py, Class::TaskState, "one_task", text));
    }
    let connected = tasks(py, params, max_epochs, false).and_then(|tasks| tasks.next(py));
    match connected {
        Ok(Some(task)) => {
            task.get().is_the_only_one();
            task.get().warn_of_fewer_epochs(py, max_epochs);
            Ok(task)
        }
        Ok(None) => {
            let text = "the orchestrator has no task for this trainer";
            Err(raise(py, Class::Connect, "no_task", text))
        }
        Err(error) => {
            *lock(&CONNECTED) = false;
            Err(error)
        }
    }
}

#[pyfunction]
#[pyo3(signature = (*, params=None, max_epochs=None, keep_going=false))]
pub(crate) fn tasks(
    py: Python<'_>,
    params: Option<&Bound<'_, PyDict>>,
    max_epochs: Option<i32>,
    keep_going: bool,
) -> PyResult<Tasks> {
    if fork::in_forked_child() {
        return Err(fork::error(py, "connecting"));
    }
    let source = match connection(py)? {
        Some(connection) => Source::Connected(connection),
        None => Source::Offline(Mutex::new(Some(offline_task(params, max_epochs)?))),
    };
    Ok(Tasks::new(py, source, keep_going))
}

/// The process's one connection, opened by the thread that comes first; `None`: offline.
fn connection(py: Python<'_>) -> PyResult<Option<Arc<Connection>>> {
    if let Some(connection) = lock(&CONNECTION).clone() {
        return Ok(Some(connection));
    }
    if OPENS.replace(true) {
        let text = "this thread is connecting already, and a signal handler has interrupted it";
        return Err(raise(py, Class::TaskState, "connecting", text));
    }
    let opened = connect_once(py);
    OPENS.set(false);
    opened
}

fn connect_once(py: Python<'_>) -> PyResult<Option<Arc<Connection>>> {
    // Held while the orchestrator is waited for, so whoever comes meanwhile waits without the GIL.
    let _opening = OPENING.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
    if let Some(connection) = lock(&CONNECTION).clone() {
        return Ok(Some(connection));
    }
    let Some(environment) = environment::read(py)? else { return Ok(None) };
    let connection = open(py, environment)?;
    *lock(&CONNECTION) = Some(Arc::clone(&connection));
    PyModule::import(py, "atexit")?
        .call_method1("register", (PyModule::import(py, "trainwire._core")?.getattr("_at_exit")?,))?;
    Ok(Some(connection))
}

#[pyfunction(name = "current")]
pub(crate) fn current_task(py: Python<'_>) -> Option<Py<Task>> {
    current::get(py)
}

/// Ends what is open and says Bye. Registered with `atexit`, after the first connection.
#[pyfunction]
#[pyo3(name = "_at_exit")]
pub(crate) fn at_exit(py: Python<'_>) -> PyResult<()> {
    if fork::in_forked_child() {
        return Ok(());
    }
    let Some(connection) = lock(&CONNECTION).clone() else { return Ok(()) };
    if let Some(task) = current::get(py) {
        let task = task.get();
        let ending = match uncaught(py) {
            Some(exception) => {
                outcome::of_exception(&exception, task.normal_outcome()).of_process(task.ranks, false)
            }
            None => outcome::unfinished(
                "exited without finish(): end the script with task.finish(), or train within `with task:`",
            ),
        };
        task.end_at_exit(ending);
    }
    connection.leave("exiting");
    let settled = connection.settle(py, SETTLE_TIME);
    connection.close();
    settled
}

/// The exception that ends the process, if one does.
fn uncaught(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let sys = PyModule::import(py, "sys").ok()?;
    // 3.12 has last_exc, 3.11 only the three parts.
    let exception = sys.getattr("last_exc").or_else(|_| sys.getattr("last_value")).ok()?;
    (!exception.is_none()).then_some(exception)
}

fn offline_task(params: Option<&Bound<'_, PyDict>>, max_epochs: Option<i32>) -> PyResult<VerifiedTask> {
    let mut builder = TaskBuilder::new("offline", "offline").hyperparams(offline::hyperparams(params)?);
    if let Some(max_epochs) = max_epochs {
        builder = builder.max_epochs(max_epochs);
    }
    builder.build().map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}

/// Connects and waits for the Welcome.
fn open(py: Python<'_>, environment: Environment) -> PyResult<Arc<Connection>> {
    let system = |error: std::io::Error| raise(py, Class::Connect, "system", error.to_string());
    fork::watch();
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| system(std::io::Error::other(error)))?;
    let instance = Instance(u128::from_ne_bytes(random));
    let identity = Identity {
        job_id: environment.job_id.clone(),
        token: environment.token,
        instance,
        role: if environment.ranks.is_primary() { Role::Primary } else { Role::Replica },
        rank: environment.ranks.rank,
        world_size: environment.ranks.world_size,
        restart: environment.ranks.restart,
        version: format!("trainwire-python {}", env!("CARGO_PKG_VERSION")),
        can_dump_stacks: stacks::register(py),
    };
    let session = TrainerSession::new(identity, OutboxLimits::default());
    let connection = Arc::new(Connection::new(environment, session, Poller::new().map_err(system)?));
    if let Err((end, TryAgain::No)) = py.detach(|| connection.connect()) {
        return Err(end.into_error(py));
    }
    io_thread::spawn(Arc::clone(&connection)).map_err(system)?;
    // A Bye may have come along with the Welcome; that is for the loop to find.
    let welcomed = connection.wait(py, |state| match &state.end {
        _ if state.welcomed => Some(Ok(())),
        End::NotYet => None,
        end => Some(Err(end.clone())),
    });
    match welcomed {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(end)) => {
            connection.close();
            Err(end.into_error(py))
        }
        Err(interrupt) => {
            connection.close();
            Err(interrupt)
        }
    }
}

/// Taken while attached to Python, for a moment.
fn lock<T>(of: &'static Mutex<T>) -> MutexGuard<'static, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process's one connection.
static CONNECTION: Mutex<Option<Arc<Connection>>> = Mutex::new(None);

/// Taken before `CONNECTION`, by whoever opens it.
static OPENING: Mutex<()> = Mutex::new(());

thread_local! {
    /// This thread does.
    static OPENS: Cell<bool> = const { Cell::new(false) };
}

/// Whether `connect()` has given its task out.
static CONNECTED: Mutex<bool> = Mutex::new(false);
