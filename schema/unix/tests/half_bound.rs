//! Binding that fails after the name exists takes the name away again. Alone in its process,
//! because it changes the process's umask and descriptor limit.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use trainwire_unix::{BindError, Errno, bind_private};

#[test]
fn a_failure_leaves_no_name_behind() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let path = folder.path().join("socket");
    // The umask takes all rights, and there is room for the socket but not for the descriptor that
    // is needed to give them back.
    umask(Mode::from_bits_truncate(0o777));
    let lowest_free = File::open("/dev/null").unwrap().as_raw_fd();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(lowest_free).unwrap() + 1, hard).unwrap();
    let error = bind_private(&path, 0o600).unwrap_err();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    assert_eq!(error, BindError::System { path: path.clone(), call: "chmod", source: Errno::EMFILE });
    assert!(!path.exists());
    bind_private(&path, 0o600).unwrap();
}
