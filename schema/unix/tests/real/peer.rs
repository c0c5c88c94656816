//! Who is at the other end, asked of real processes.

use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use nix::libc;
use nix::unistd::{getegid, geteuid};
use trainwire_unix::{
    ExitStatus, Kernel, PeerCredentials, PeerError, PidFd, Signal, connect, require_same_uid,
};

use crate::{NOBODY, as_nobody};

const KERNELS: [Kernel; 2] = [Kernel::Running, Kernel::Oldest];

#[test]
fn a_pair_is_of_this_process() {
    let (here, _there) = UnixStream::pair().unwrap();
    let peer = require_same_uid(&here).unwrap();
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    assert_eq!(peer, PeerCredentials { pid: Some(std::process::id()), uid, gid });
    assert_eq!(PeerCredentials::of(&here).unwrap(), peer);
    for kernel in KERNELS {
        assert_eq!(peer_pidfd(&here, kernel).unwrap().pid(), Some(std::process::id()));
    }
}

#[test]
fn both_ends_see_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    open_to_all(folder.path());
    open_to_all(&path);
    let Some(seen_by_nobody) = as_nobody(|| {
        let connected = connect(&path).unwrap();
        (require_same_uid(&connected).unwrap_err(), connected)
    }) else {
        return;
    };
    let (accepted, _) = listener.accept().unwrap();
    let seen_here = require_same_uid(&accepted).unwrap_err();
    for (error, peer_uid, own) in [(seen_here, NOBODY, 0), (seen_by_nobody.0, 0, NOBODY)] {
        let PeerError::OtherUser { peer, own_uid } = error else { panic!("{error:?}") };
        assert_eq!((peer.uid, own_uid), (peer_uid, own));
        assert_eq!(error.code(), "peer_other_user");
        assert!(error.to_string().contains(&format!("uid {peer_uid}")), "{error}");
    }
}

#[test]
fn what_is_no_socket_has_no_peer() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = require_same_uid(&file).unwrap_err();
    assert_eq!(error, PeerError::System { source: trainwire_unix::Errno::ENOTSOCK });
    assert!(peer_pidfd(&file, Kernel::Running).is_err());
    assert!(peer_pidfd(&file, Kernel::Oldest).is_err());
}

#[test]
fn the_pidfd_is_of_the_process_that_connected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    for kernel in KERNELS {
        let child = connected(Command::new("sleep").arg("1000"), &path);
        let (accepted, _) = listener.accept().unwrap();
        let pidfd = peer_pidfd(&accepted, kernel).unwrap();
        assert_eq!(pidfd.pid(), Some(child.id()));
        pidfd.signal(Signal::SIGKILL).unwrap();
        let status = pidfd.wait_status().unwrap();
        assert_eq!(status, ExitStatus::Signal { signal: 9, core_dumped: false });
    }
}

#[test]
fn a_peer_that_was_reaped_is_not_mistaken_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // The fork keeps the connection open; the process that made it is gone.
    let script = "sleep 1000 & exit 0";
    let child = connected(Command::new("sh").args(["-c", script]).process_group(0), &path);
    let (accepted, _) = listener.accept().unwrap();
    let pidfd = PidFd::open(child.id()).unwrap();
    assert_eq!(pidfd.wait_status().unwrap(), ExitStatus::Code(0));
    for kernel in KERNELS {
        let error = peer_pidfd(&accepted, kernel).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{kernel:?}");
    }
    pidfd.signal_group(Signal::SIGKILL, Kernel::Running).unwrap();
}

#[test]
fn by_pid_a_connection_that_was_hung_up_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let child = connected(&mut Command::new("true"), &path);
    let (accepted, _) = listener.accept().unwrap();
    let pidfd = PidFd::open(child.id()).unwrap();
    assert!(pidfd.poll(None).unwrap());
    // A zombie still has its pid, and newer kernels open it by the socket.
    assert_eq!(peer_pidfd(&accepted, Kernel::Oldest).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    assert_eq!(pidfd.wait_status().unwrap(), ExitStatus::Code(0));
}

/// Starts `command` with a connection to `path` made by the child itself.
fn connected(command: &mut Command, path: &Path) -> Child {
    let path = path.to_owned();
    // SAFETY: the child makes system calls only; `connect` allocates nothing unless it fails.
    unsafe {
        command.pre_exec(move || {
            let connection = connect(&path).map_err(|_| std::io::ErrorKind::NotConnected)?;
            // A duplicate is not closed on exec.
            mem::forget(nix::unistd::dup(&connection)?);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn open_to_all(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(path, mode).unwrap();
}

fn peer_pidfd(socket: impl AsFd, kernel: Kernel) -> io::Result<PidFd> {
    PeerCredentials::of(&socket)?.open(socket, kernel)
}
