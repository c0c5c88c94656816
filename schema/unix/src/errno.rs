//! The kernel's number inside a standard error, so that our errors can be compared.

use std::io;

use nix::errno::Errno;

/// `EIO` for an error that did not come from the kernel.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
