//! Socket options, in Rust's units.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// Sets the mode in which calls without a flag of their own sleep or answer `WouldBlock`. The mode
/// belongs to the connection, not to the descriptor: processes that share one share it.
///
/// # Errors
/// The kernel's, none expected.
pub fn set_nonblocking(socket: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    fcntl(&socket, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Limits how long a blocking read sleeps before it answers `WouldBlock`; `None` lifts the limit.
/// Fractions of a microsecond are rounded up, and the kernel adds up to one tick.
///
/// # Errors
/// `EINVAL` for zero, which the kernel would take for "no limit".
pub fn set_receive_timeout(socket: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::ReceiveTimeout, &time_value(timeout)?)?)
}

/// As [`set_receive_timeout`], for writes.
///
/// # Errors
/// `EINVAL` for zero, which the kernel would take for "no limit".
pub fn set_send_timeout(socket: impl AsFd, timeout: Option<Duration>) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::SendTimeout, &time_value(timeout)?)?)
}

/// Sets how many bytes may wait to be read by the peer. The kernel doubles the number for its own
/// bookkeeping and silently caps it at net.core.wmem_max.
///
/// # Errors
/// The kernel's, none expected.
pub fn set_send_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::SndBuf, &bytes)?)
}

/// Sets how many bytes may wait to be read here. A Unix stream is bounded by the *sender's* buffer
/// ([`set_send_buffer`]); the kernel accepts this one and does not use it.
///
/// # Errors
/// The kernel's, none expected.
pub fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::RcvBuf, &bytes)?)
}

fn time_value(timeout: Option<Duration>) -> io::Result<TimeVal> {
    let Some(timeout) = timeout else {
        return Ok(TimeVal::new(0, 0));
    };
    if timeout.is_zero() {
        return Err(Errno::EINVAL.into());
    }
    let rounded = timeout.saturating_add(Duration::from_nanos(999));
    let seconds = rounded.as_secs().try_into().unwrap_or(i64::MAX);
    Ok(TimeVal::new(seconds, rounded.subsec_micros().into()))
}
