//! The only clock of this crate: everything that decides is told the time.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use trainwire_unix::BootId;

use crate::record::Uptime;
use crate::scheduler::Now;

/// Both clocks, read once for everything that is decided together.
pub(crate) fn now() -> Now {
    // As precise as the journal, so that an event reads the same live and later.
    Now { monotonic: Instant::now(), wall: from_micros(to_micros(SystemTime::now())) }
}

/// For deadlines.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// As records have it: they share the text of this boot.
pub(crate) fn boot_id_text(boot: BootId) -> Arc<str> {
    static OF_THIS_BOOT: OnceLock<Arc<str>> = OnceLock::new();
    match BootId::current() {
        Ok(this) if this == boot => Arc::clone(OF_THIS_BOOT.get_or_init(|| this.to_string().into())),
        _ => boot.to_string().into(),
    }
}

/// For waits that go on after a restart. `None` where /proc does not tell which boot this is.
pub(crate) fn uptime() -> Option<Uptime> {
    let boot_id = BootId::current().ok()?.to_string();
    let passed = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?.into();
    Some(Uptime { boot_id, passed })
}

/// As it lies in the journal: microseconds since 1970.
pub(crate) fn to_micros(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The inverse of [`to_micros`].
pub(crate) fn from_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
