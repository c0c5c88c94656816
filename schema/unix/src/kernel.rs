//! Which kernel features to use, so that every fallback can be tested by forcing it.

/// Whether a call may use what the running kernel adds to the oldest one supported.
///
/// Production code passes [`Kernel::Running`]. [`Kernel::Oldest`] takes the fallback even where the
/// newer call exists, which is how the fallbacks are tested on a new kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Try the newest call and fall back where the kernel does not know it.
    #[default]
    Running,
    /// Behave as on Linux 5.15.
    Oldest,
}
