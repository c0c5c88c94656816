//! Where log lines go: to standard error, but past a live view, which they would tear.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::paint::Paint;

/// The log's way out. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// While a live view draws: lines that wait for its next drawing.
    held: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Log {
    /// Takes over what is logged in this process. `live`: hold the lines back until [`Log::take`].
    pub(crate) fn install(live: bool, paint: Paint) -> Self {
        let log = Self { held: Arc::new(Mutex::new(live.then(Vec::new))) };
        let filter = EnvFilter::try_from_env("TRAINWIRE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(paint.is_on())
            .with_target(false)
            .with_writer(log.clone())
            .finish();
        // Fails only where one is installed already, which then has its way.
        let _ = tracing::subscriber::set_global_default(subscriber);
        log
    }

    /// What was held back.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on nothing is held back.
    pub(crate) fn release(&self) -> io::Result<()> {
        let held = self.lock().take().unwrap_or_default();
        io::stderr().lock().write_all(&held)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.lock() {
            Some(held) => held.write(bytes),
            None => io::stderr().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
