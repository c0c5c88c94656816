//! A job's socket: bound private and without stealing, accepting until the job ends.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::limits::PROTOCOL_VERSION;
use trainwire_protocol::message::{Refused, ToTrainer};
use trainwire_unix::descriptors::refuse_descriptors;
use trainwire_unix::{BindError, Kernel, PeerError, SocketName, bind_private, peer_pidfd, require_same_uid};

use crate::connection::{Connector, Peer};

/// A bound socket and the task that accepts. Dropping it removes the name and stops accepting;
/// connections that were accepted stay.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Changed when a cleaner removed the file and the socket was bound again.
    name: Arc<Mutex<SocketName>>,
    accepting: AbortHandle,
}

impl Listener {
    /// Binds `path` with mode 0600. Whoever connects is handed to `connector`.
    pub(crate) fn bind(path: &Path, connector: Connector) -> Result<Self, BindError> {
        Self::bind_and_check(path, connector, NAME_CHECK_INTERVAL)
    }

    fn bind_and_check(path: &Path, connector: Connector, every: Duration) -> Result<Self, BindError> {
        let (listener, name) = bind(path)?;
        let name = Arc::new(Mutex::new(name));
        let accepting = tokio::spawn(accept_all(listener, Arc::clone(&name), connector, every));
        Ok(Self { name, accepting: accepting.abort_handle() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = name.remove() {
            tracing::warn!(path = %name.path().display(), %error, "the socket's name cannot be removed");
        }
        self.accepting.abort();
    }
}

fn bind(path: &Path) -> Result<(UnixListener, SocketName), BindError> {
    let (listener, name) = bind_private(path, MODE)?;
    match register(listener) {
        Ok(listener) => Ok((listener, name)),
        Err(error) => {
            let _ = name.remove();
            let source = trainwire_unix::Errno::from_raw(error.raw_os_error().unwrap_or_default());
            Err(BindError::System { path: path.to_owned(), call: "epoll_ctl", source })
        }
    }
}

fn register(listener: StdListener) -> io::Result<UnixListener> {
    // Where the kernel does not know how, descriptors are closed unseen when the bytes are read.
    refuse_descriptors(&listener)?;
    UnixListener::from_std(listener)
}

async fn accept_all(
    mut listener: UnixListener,
    name: Arc<Mutex<SocketName>>,
    connector: Connector,
    check_every: Duration,
) {
    let mut check = tokio::time::interval(check_every);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &connector),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors or memory. Whoever waits in the backlog goes on waiting.
                    tracing::warn!(%error, "no connection can be accepted; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = check.tick() => {
                let (there, path) = {
                    let name = name.lock().unwrap_or_else(PoisonError::into_inner);
                    (name.still_there().unwrap_or(true), name.path().to_owned())
                };
                if there {
                    continue;
                }
                match bind(&path) {
                    Ok((again, new_name)) => {
                        tracing::warn!(path = %path.display(), "somebody removed the socket's name; bound it again");
                        *name.lock().unwrap_or_else(PoisonError::into_inner) = new_name;
                        // Those who connected before the name went wait in the old listener.
                        while let Some(Ok((stream, _))) = accept_now(&listener).await {
                            admit(stream, &connector);
                        }
                        listener = again;
                        told = false;
                    }
                    Err(error) if !told => {
                        tracing::error!(code = error.code(), %error, "somebody took the socket's name; no trainer can connect");
                        told = true;
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

async fn accept_now(
    listener: &UnixListener,
) -> Option<io::Result<(UnixStream, tokio::net::unix::SocketAddr)>> {
    tokio::select! {
        biased;
        accepted = listener.accept() => Some(accepted),
        () = std::future::ready(()) => None,
    }
}

/// Looks at who connected before a byte is read.
fn admit(stream: UnixStream, connector: &Connector) {
    let credentials = match require_same_uid(&stream) {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::warn!(job = %connector.job_id, code = "other_uid", %error, "a connection was refused");
            return refuse(&stream, &error);
        }
    };
    let pid = credentials.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    // Only of a process that was started by hand: of our own children we have one already.
    let pidfd = if connector.attach { peer_pidfd(&stream, Kernel::Running).ok() } else { None };
    connector.connect(stream, Peer { pid, pidfd });
}

/// As much of the reason as the socket takes at once.
fn refuse(stream: &UnixStream, error: &PeerError) {
    let refused = Refused {
        code: "other_uid".to_owned(),
        text: error.to_string(),
        retry_later: false,
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
    };
    let mut writer = FrameWriter::default();
    if writer.push_to_trainer(&ToTrainer::Refused(refused)).is_ok() {
        let slices = writer.io_slices();
        let _ = trainwire_unix::descriptors::send(stream, &slices, None, trainwire_unix::Wait::DontWait);
    }
}

/// For the owner alone.
const MODE: u32 = 0o600;

/// How soon a name that a cleaner of /tmp removed is there again.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Between two tries while there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
