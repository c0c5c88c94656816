//! The control socket: private from its first moment, and patient with nobody who only holds a place.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use trainwire_unix::{BindError, SocketName, bind_private, require_same_uid};

use super::{Daemon, routes};

/// The bound socket. Dropping it removes its name.
pub(crate) struct Control {
    socket: UnixListener,
    name: SocketName,
}

impl Control {
    /// Binds it with mode 0600. The caller has the lock of the state folder, so a socket that is there
    /// was left by a daemon that is dead.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn bind(path: &Path) -> Result<Self, String> {
        let bound = match bind_private(path, MODE) {
            Err(BindError::NameTaken(_)) if is_socket(path) => {
                fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
                bind_private(path, MODE)
            }
            bound => bound,
        };
        let (socket, name) = bound.map_err(|error| error.to_string())?;
        let socket = UnixListener::from_std(socket).map_err(|error| error.to_string())?;
        Ok(Self { socket, name })
    }

    pub(crate) fn path(&self) -> &Path {
        self.name.path()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = self.name.remove() {
            tracing::warn!(path = %self.name.path().display(), %error, "the control socket's name cannot be removed");
        }
    }
}

/// Serves whoever connects, until it is dropped.
pub(crate) async fn serve(control: Control, daemon: Arc<Daemon>) {
    let router = routes::router(daemon);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut failing = false;
    loop {
        // Whoever comes when all places are taken waits in the backlog.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match control.socket.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of descriptors: without a pause this would spin.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(code = "accept_failed", %error, "the control socket cannot accept: whoever asks waits; raise the limit of open files (ulimit -n)");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if std::mem::take(&mut failing) {
            tracing::info!("the control socket accepts again");
        }
        // Root connects whatever the mode says.
        if let Err(error) = require_same_uid(&socket) {
            tracing::warn!(code = error.code(), %error, "a connection to the control socket was refused");
            continue;
        }
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let served = converse(socket, service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a control connection ended");
            }
            drop(place);
        });
    }
}

async fn converse(socket: UnixStream, service: TowerToHyperService<axum::Router>) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

fn is_socket(path: &Path) -> bool {
    let found: io::Result<_> = fs::symlink_metadata(path);
    found.is_ok_and(|found| found.file_type().is_socket())
}

/// For the owner alone.
const MODE: u32 = 0o600;

/// Served at the same time; each may be a `wait` or a `logs -f` that lasts for days.
const CONNECTIONS_MAX: usize = 512;

/// From a connection, or the last answer on it, to the end of the next request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Far more than any client sends.
const HEADERS_MAX: usize = 64;

/// Between two tries while there are no descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
