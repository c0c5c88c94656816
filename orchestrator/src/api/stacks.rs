//! What a trainer is doing right now.

use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::JobHandle;
use crate::clock;
use crate::driver::{Message, Query};
use crate::error::StacksError;
use crate::status::Stacks;

impl JobHandle {
    /// Makes the trainer that has this task write the Python stacks of all its threads into its log, and gives
    /// them. It goes on with what it does. A thread that holds the GIL in a C call keeps nobody from that.
    ///
    /// # Errors
    /// See [`StacksError`]: nobody has the task, or who has it cannot do this.
    pub async fn dump_stacks(&self, task_id: &str) -> Result<Stacks, StacksError> {
        let task = self.task_no(task_id)?;
        let (reply, answer) = oneshot::channel();
        let log = self.inner.ask(Message::Ask(Query::Stacks { task, reply }), answer).await??;
        Ok(match log {
            Some((log, from)) => Stacks { text: written(&log, from).await, log: Some(log) },
            None => Stacks { text: String::new(), log: None },
        })
    }
}

/// What comes after byte `from`, once it has a stack in it and no more comes.
async fn written(log: &Path, from: u64) -> String {
    let deadline = clock::monotonic() + PATIENCE;
    let mut text = String::new();
    while clock::monotonic() < deadline {
        sleep(PAUSE).await;
        let now = read_from(log, from);
        if now.contains(STACK) && now.len() == text.len() {
            break;
        }
        text = now;
    }
    text
}

fn read_from(log: &Path, from: u64) -> String {
    use std::io::{Read, Seek, SeekFrom};

    let mut bytes = Vec::new();
    let read = std::fs::File::open(log).and_then(|mut log| {
        log.seek(SeekFrom::Start(from))?;
        log.take(TEXT_SIZE_BYTES_MAX).read_to_end(&mut bytes)
    });
    // What cannot be read has nothing in it.
    let _ = read;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How `faulthandler` begins the stack of a thread.
const STACK: &str = "(most recent call first):";

/// Hundreds of deep stacks are written in milliseconds; a trainer that cannot be scheduled takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at the log.
const PAUSE: Duration = Duration::from_millis(50);

/// The stacks of some thousand threads.
const TEXT_SIZE_BYTES_MAX: u64 = 1 << 20;
