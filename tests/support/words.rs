//! What the orchestrator tells the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Everything logged at level warn or above in this process, from the first call on.
#[derive(Clone, Default)]
pub struct Words(Arc<Mutex<Vec<u8>>>);

impl Words {
    pub fn listen() -> Self {
        static WORDS: OnceLock<Words> = OnceLock::new();
        let listen = || {
            let words = Self::default();
            let writer = words.clone();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
                .with_writer(move || writer.clone())
                .init();
            words
        };
        WORDS.get_or_init(listen).clone()
    }

    pub fn contain(&self, text: &str) -> bool {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).contains(text)
    }
}

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
