//! Telling systemd, or whoever speaks its protocol: one datagram a message (`man sd_notify`).

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use trainwire::Orchestrator;

/// Requests are answered from now on.
pub(crate) fn ready() {
    send(&format!("READY=1\nMAINPID={}\nSTATUS=taking jobs", std::process::id()));
}

/// It is on its way out.
pub(crate) fn stopping() {
    send("STOPPING=1\nSTATUS=no more work is taken");
}

/// Says that all is well, twice in the time systemd waits for it, as long as the orchestrator answers:
/// one whose event loop hangs is to be started again.
pub(crate) async fn watchdog(orchestrator: Orchestrator) {
    let Some(limit) = watchdog_limit() else { return };
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        if orchestrator.slots().await.is_err() {
            return;
        }
        send("WATCHDOG=1");
    }
}

fn watchdog_limit() -> Option<Duration> {
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    // Set for a parent of ours, it is not meant for us.
    let for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    (for_us && micros > 0).then(|| Duration::from_micros(micros))
}

fn send(message: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent =
        address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "NOTIFY_SOCKET cannot be written");
    }
}
