//! Requests to the daemon, and what keeps them from being answered.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::UnixStream;

use crate::args::DaemonArgs;
use crate::daemon;
use crate::exit::{Exit, Failure};

/// The daemon as one invocation sees it. Each request is a connection of its own, so that one that was
/// restarted meanwhile is found again.
pub(crate) struct Connection {
    socket: PathBuf,
}

/// What the daemon refused.
#[derive(Debug, Deserialize)]
struct Refusal {
    code: String,
    text: String,
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Why there is no answer.
enum Problem {
    /// Nobody listens there.
    NoDaemon(io::Error),
    /// The connection broke.
    Broken(String),
}

impl Connection {
    pub(crate) fn new(args: &DaemonArgs) -> Result<Self, Failure> {
        Ok(Self { socket: daemon::control_path(&daemon::state_dir(args.state.as_deref())?) })
    }

    /// # Errors
    /// No daemon, or its refusal.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await.map_err(|problem| self.explain(problem))?.judge()
    }

    /// As [`Connection::get`], for an answer that is waited for; looks for a daemon that is being started
    /// again.
    pub(crate) async fn get_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut tries_left = RESTART_TRIES;
        loop {
            match self.ask(Method::GET, path, None).await {
                // One that is ending says so.
                Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE || tries_left == 0 => {
                    return answer.judge();
                }
                Err(problem) if tries_left == 0 => return Err(self.explain(problem)),
                _ => {}
            }
            tries_left -= 1;
            tokio::time::sleep(RESTART_INTERVAL).await;
        }
    }

    /// # Errors
    /// As [`Connection::get`].
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        self.ask(Method::POST, path, Some(body)).await.map_err(|problem| self.explain(problem))?.judge()
    }

    /// The body as it comes.
    ///
    /// # Errors
    /// As [`Connection::get`].
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        let response = self.send(Method::GET, path, None).await.map_err(|problem| self.explain(problem))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refusal(&Answer::read(response).await.map_err(|problem| self.explain(problem))?.body))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, Problem> {
        let socket = UnixStream::connect(&self.socket).await.map_err(Problem::NoDaemon)?;
        let broken = |error: hyper::Error| Problem::Broken(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "trainwire")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| Problem::Broken(error.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    /// With the whole answer.
    async fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Answer, Problem> {
        Answer::read(self.send(method, path, body).await?).await
    }

    fn explain(&self, problem: Problem) -> Failure {
        let socket = self.socket.display();
        let text = match problem {
            Problem::NoDaemon(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                format!(
                    "no daemon listens on {socket}; start one with `trainwire serve`, or name its folder with --state. (What `trainwire run` did is shown by `trainwire results`, and goes on with `trainwire resume`)"
                )
            }
            Problem::NoDaemon(error) => format!("the daemon on {socket} cannot be reached: {error}"),
            Problem::Broken(how) => {
                format!(
                    "the daemon on {socket} did not answer ({how}); whether it has done what was asked is unknown: look with `trainwire ls`"
                )
            }
        };
        Failure::new(Exit::CouldNotStart, text)
    }
}

/// A part of a path, whatever it holds.
pub(crate) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, PLAIN).to_string()
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Problem> {
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| Problem::Broken(error.to_string()))?.to_bytes();
        Ok(Self { status, body })
    }

    /// What was asked for, or the refusal that came instead.
    fn judge<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !self.status.is_success() {
            return Err(refusal(&self.body));
        }
        serde_json::from_slice(&self.body).map_err(|error| garbled(&error.to_string()))
    }
}

fn refusal(body: &[u8]) -> Failure {
    let Refusal { code, text } = match serde_json::from_slice(body) {
        Ok(refusal) => refusal,
        Err(error) => return garbled(&format!("a refusal without words: {error}")),
    };
    let exit = match code.as_str() {
        "draining" | "shut_down" => Exit::CouldNotStart,
        "journal_failed" => Exit::JournalFailed,
        _ => Exit::Usage,
    };
    Failure::new(exit, format!("{text} ({code})"))
}

fn garbled(how: &str) -> Failure {
    let text = format!("the daemon's answer makes no sense to this version of trainwire: {how}");
    Failure::new(Exit::CouldNotStart, text)
}

/// What needs no code in a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A minute for a daemon that is being started again.
const RESTART_TRIES: u32 = 120;

/// Between two of them.
const RESTART_INTERVAL: Duration = Duration::from_millis(500);
