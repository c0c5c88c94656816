//! What the environment says about the orchestrator, read once.
//!
//! The token is taken out of `os.environ`, which takes it out of the C environment too, so that a
//! child never sees it; in its place stands the owner's pid, by which a child that inherits the
//! rest is told that it is not the trainer.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Mutex;

use pyo3::prelude::*;
use trainwire_protocol::id::{JobId, Token};

use crate::errors::{Class, raise};

/// A process's place among those that train together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ranks {
    /// 0 for the primary, and where it is alone.
    pub(crate) rank: u32,
    /// 1 where it is alone.
    pub(crate) world_size: u32,
    /// How often the launcher has started them anew.
    pub(crate) restart: u32,
    /// Whether it would do so once more.
    pub(crate) may_restart: bool,
}

impl Ranks {
    /// As torchrun and those like it say it; what is no place among several is none.
    pub(crate) fn read(py: Python<'_>) -> PyResult<Self> {
        let environ = PyModule::import(py, "os")?.getattr("environ")?;
        let number = |name: &str| -> PyResult<Option<u32>> {
            let text: Option<String> = environ.call_method1("get", (name,))?.extract()?;
            Ok(text.and_then(|text| text.parse().ok()))
        };
        let (rank, world_size) = match (number("RANK")?, number("WORLD_SIZE")?) {
            (Some(rank), Some(world_size)) if rank < world_size => (rank, world_size),
            _ => (0, 1),
        };
        let restart = number("TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0);
        let may_restart = number("TORCHELASTIC_MAX_RESTARTS")?.is_some_and(|max| restart < max);
        Ok(Self { rank, world_size, restart, may_restart })
    }

    pub(crate) fn is_primary(self) -> bool {
        self.rank == 0
    }
}

/// How to reach the orchestrator.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) socket: PathBuf,
    pub(crate) job_id: JobId,
    /// `None` for a trainer attached by hand.
    pub(crate) token: Option<Token>,
    pub(crate) ranks: Ranks,
}

/// `None` without a socket: offline. A second call gives what the first one found.
///
/// # Errors
/// `NotOwnerError` in a child of the trainer; `ConnectError` for values that cannot be.
pub(crate) fn read(py: Python<'_>) -> PyResult<Option<Environment>> {
    if let Some(known) = lock().as_ref() {
        return Ok(Some(known.clone()));
    }
    let environ = PyModule::import(py, "os")?.getattr("environ")?;
    let variable =
        |name: &str| -> PyResult<Option<String>> { environ.call_method1("get", (name,))?.extract() };

    let Some(socket) = variable(SOCKET)?.filter(|socket| !socket.is_empty()) else { return Ok(None) };
    let own_pid = std::process::id().to_string();
    let token = variable(TOKEN)?;
    // With a token it is a trainer of its own, started by an orchestrator that inherited the pid.
    if let (Some(owner), None) = (variable(OWNER_PID)?, &token) {
        let text = format!(
            "process {owner} is the trainer and handed its environment down to this process ({own_pid}); \
             call trainwire there, or unset {SOCKET} here to run offline"
        );
        return Err(raise(py, Class::NotOwner, "not_owner", text));
    }
    let token = token
        .map(|text| {
            Token::from_hex(&text).ok_or_else(|| {
                raise(py, Class::Connect, "bad_token", format!("{TOKEN} must be 32 hexadecimal digits"))
            })
        })
        .transpose()?;
    let socket = PathBuf::from(socket);
    let job_id = match variable(JOB_ID)? {
        Some(job_id) => job_id,
        None => job_id_of(&socket),
    };
    let job_id = JobId::new(&job_id).map_err(|error| {
        raise(py, Class::Connect, error.code(), format!("{error}; set {JOB_ID} to the job's id"))
    })?;
    environ.set_item(OWNER_PID, own_pid)?;
    environ.call_method1("pop", (TOKEN, py.None()))?;
    let found = Environment { socket, job_id, token, ranks: Ranks::read(py)? };
    *lock() = Some(found.clone());
    Ok(Some(found))
}

/// A trainer attached by hand need not be told twice: the socket's name ends in the job's.
fn job_id_of(socket: &std::path::Path) -> String {
    let name = socket.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_prefix(SOCKET_PREFIX).unwrap_or(name).to_owned()
}

fn lock() -> std::sync::MutexGuard<'static, Option<Environment>> {
    FOUND.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

static FOUND: Mutex<Option<Environment>> = Mutex::new(None);

const SOCKET: &str = "TRAINWIRE_SOCKET";
const TOKEN: &str = "TRAINWIRE_TOKEN";
const JOB_ID: &str = "TRAINWIRE_JOB_ID";
const OWNER_PID: &str = "TRAINWIRE_OWNER_PID";

/// The orchestrator's default; with another one the variable is needed.
const SOCKET_PREFIX: &str = "ai-task-sock-";
