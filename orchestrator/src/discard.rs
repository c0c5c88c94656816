//! Letting go of what is large.

use std::thread::sleep;
use std::time::Duration;

/// Lets go of memory and files elsewhere: a gigabyte of small pages, or on the disk, takes the kernel
/// 0.1 s to free. Needs a runtime.
pub(crate) fn discard(large: impl Send + 'static) {
    tokio::task::spawn_blocking(move || drop(large));
}

/// As [`discard`], but whoever calls this has a task to hand out first: where both share a core, the
/// kernel would let it wait while pages are freed.
pub(crate) fn discard_after_delivery(large: impl Send + 'static) {
    tokio::task::spawn_blocking(move || {
        sleep(DELIVERED_WITHIN);
        drop(large);
    });
}

/// A task takes about 0.1 ms from being in its place to being sent, where a core is free.
const DELIVERED_WITHIN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says who let go of it.
    struct Large(Sender<ThreadId>);

    impl Drop for Large {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn another_thread_lets_go_of_it() {
        let (sender, dropped_by) = channel();
        discard(Large(sender.clone()));
        assert_ne!(dropped_by.recv().unwrap(), thread::current().id());
        discard_after_delivery(Large(sender));
        assert_ne!(dropped_by.recv().unwrap(), thread::current().id());
    }
}
