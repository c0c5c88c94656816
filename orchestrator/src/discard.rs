//! Letting go of what is large.

/// Lets go of memory and files elsewhere: a gigabyte of small pages, or on the disk, takes the kernel
/// 0.1 s to free. Needs a runtime.
pub(crate) fn discard(large: impl Send + 'static) {
    tokio::task::spawn_blocking(move || drop(large));
}
