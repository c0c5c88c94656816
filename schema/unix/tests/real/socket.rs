//! Names are bound privately, never stolen, and removed only by the one who made them.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use trainwire_unix::descriptors::receive_plain;
use trainwire_unix::socket::{
    SOCKET_PATH_LEN_MAX, SocketPathError, set_nonblocking, set_receive_buffer, set_receive_timeout,
    set_send_buffer, set_send_timeout,
};
use trainwire_unix::{BindError, ConnectError, Occupant, Wait, bind_private, connect, rebind_private};

use crate::as_nobody;

#[test]
fn a_bound_socket_is_connected_to_and_removed() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let (listener, name) = bind_private(&path, 0o600).unwrap();
    assert_eq!(name.path(), path);
    assert!(name.still_there().unwrap());
    let nothing = listener.accept().unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock, "the listener never blocks");
    let connected = connect(&path).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    for socket in [connected.as_fd(), listener.as_fd()] {
        let flags = fcntl(socket, FcntlArg::F_GETFD).unwrap();
        assert_eq!(flags, nix::libc::FD_CLOEXEC);
    }
    let mode = OFlag::from_bits_retain(fcntl(&connected, FcntlArg::F_GETFL).unwrap());
    assert!(!mode.contains(OFlag::O_NONBLOCK), "the connection blocks");
    drop(accepted);
    assert_eq!(receive_plain(&connected, &mut [0; 8], Wait::Block).unwrap(), 0);

    assert!(name.remove().unwrap());
    assert!(!path.exists() && !name.still_there().unwrap());
    assert!(!name.remove().unwrap(), "removing again does no harm");
}

#[test]
fn a_name_that_was_replaced_is_left_alone() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let (_listener, name) = bind_private(&path, 0o600).unwrap();
    fs::rename(&path, folder.path("moved")).unwrap();
    fs::write(&path, b"another's").unwrap();
    assert!(!name.still_there().unwrap());
    assert!(!name.remove().unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"another's");
    fs::remove_file(&path).unwrap();
    symlink(folder.path("moved"), &path).unwrap();
    assert!(!name.remove().unwrap(), "a link to our socket is not our name");
    assert!(path.exists());
}

#[test]
fn a_live_socket_is_named_with_its_process() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let (listener, _name) = bind_private(&path, 0o600).unwrap();
    let (error, what) = taken(&path);
    let Occupant::LiveSocket { owner, pid } = what else { panic!("{what:?}") };
    assert_eq!(pid, Some(std::process::id()));
    assert_eq!(owner.uid, nix::unistd::geteuid().as_raw());
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    // The probe was a connection like any other, closed at once.
    let (probe, _) = listener.accept().unwrap();
    assert_eq!(receive_plain(&probe, &mut [0; 8], Wait::Block).unwrap(), 0);
    connect(&path).unwrap();
}

#[test]
fn a_dead_socket_is_not_removed() {
    let folder = Folder::new();
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    let (error, what) = taken(&path);
    assert!(matches!(what, Occupant::DeadSocket { .. }), "{what:?}");
    assert!(error.to_string().contains("rm "), "{error}");
    assert_eq!(connect(&path).unwrap_err(), ConnectError::NobodyListens { path });
}

#[test]
fn whatever_else_has_the_name_is_left_alone() {
    let folder = Folder::new();

    let file = folder.path("file");
    fs::write(&file, b"precious").unwrap();
    assert!(matches!(taken(&file).1, Occupant::File { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert_eq!(connect(&file).unwrap_err(), ConnectError::NotAStreamSocket { path: file.clone() });

    let directory = folder.path("folder");
    fs::create_dir(&directory).unwrap();
    assert!(matches!(taken(&directory).1, Occupant::Folder { .. }));
    assert!(directory.is_dir());

    let dangling = folder.path("dangling");
    symlink(folder.path("nowhere"), &dangling).unwrap();
    let (error, what) = taken(&dangling);
    assert!(matches!(&what, Occupant::DanglingLink { target, .. } if *target == folder.path("nowhere")));
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert!(!folder.path("nowhere").exists(), "the link was not followed");
    assert!(dangling.is_symlink());

    let link = folder.path("link");
    symlink(&file, &link).unwrap();
    assert!(matches!(taken(&link).1, Occupant::Link { .. }));
    assert!(link.is_symlink());

    let datagram = folder.path("datagram");
    let _socket = UnixDatagram::bind(&datagram).unwrap();
    assert!(matches!(taken(&datagram).1, Occupant::LiveSocket { pid: None, .. }));
    assert_eq!(connect(&datagram).unwrap_err(), ConnectError::NotAStreamSocket { path: datagram.clone() });
    assert!(fs::symlink_metadata(&datagram).unwrap().file_type().is_socket());
}

#[test]
fn paths_no_socket_can_have_are_refused() {
    let folder = Folder::new();
    let fitting = SOCKET_PATH_LEN_MAX - folder.path("").as_os_str().len();
    let longest = folder.path(&"x".repeat(fitting));
    let (_listener, name) = bind_private(&longest, 0o600).unwrap();
    connect(&longest).unwrap();
    assert!(name.remove().unwrap());

    let path = folder.path(&"x".repeat(fitting + 1));
    let too_long = SocketPathError::TooLong { path: path.clone() };
    assert_eq!(bind_private(&path, 0o600).unwrap_err(), BindError::Path(too_long.clone()));
    assert_eq!(connect(&path).unwrap_err(), ConnectError::Path(too_long));

    for path in ["", "\0abstract", "/tmp/a\0b"].map(PathBuf::from) {
        let invalid = SocketPathError::Invalid { path: path.clone() };
        assert_eq!(bind_private(&path, 0o600).unwrap_err(), BindError::Path(invalid.clone()));
        assert_eq!(connect(&path).unwrap_err(), ConnectError::Path(invalid));
    }
}

#[test]
fn a_missing_folder_is_said_to_be_missing() {
    let folder = Folder::new();
    let path = folder.path("missing/socket");
    assert_eq!(bind_private(&path, 0o600).unwrap_err(), BindError::NoFolder { path: path.clone() });
    assert_eq!(connect(&path).unwrap_err(), ConnectError::NoSuchName { path });
    let path = folder.path("missing");
    assert_eq!(connect(&path).unwrap_err(), ConnectError::NoSuchName { path });
}

#[test]
fn another_user_gets_neither_the_name_nor_a_connection() {
    let folder = Folder::new();
    let (private, free) = (folder.path("private"), folder.path("free"));
    let (_listener, _name) = bind_private(&private, 0o600).unwrap();
    folder.set_mode(0o755);
    let Some((bound, connected)) = as_nobody(|| (bind_private(&free, 0o600), connect(&private))) else {
        return;
    };
    assert_eq!(bound.unwrap_err(), BindError::NotWritable { path: free, source: Errno::EACCES });
    assert_eq!(connected.unwrap_err(), ConnectError::NotPermitted { path: private.clone() });

    folder.set_mode(0o777);
    let taken = as_nobody(|| taken(&private));
    let Some((error, Occupant::ForeignSocket { owner })) = taken else { panic!("{taken:?}") };
    assert_eq!((owner.uid, owner.name.as_deref()), (0, Some("root")));
    assert!(error.to_string().contains("root (uid 0)"), "{error}");
}

#[test]
fn a_full_queue_is_no_wait() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let backlog = nix::sys::socket::Backlog::new(1).unwrap();
    nix::sys::socket::listen(&listener, backlog).unwrap();
    let waiting: Vec<_> = std::iter::from_fn(|| connect(&path).ok()).take(10).collect();
    assert!(waiting.len() < 10);
    assert_eq!(connect(&path).unwrap_err(), ConnectError::QueueFull { path: path.clone() });
    assert!(matches!(taken(&path).1, Occupant::LiveSocket { pid: None, .. }));
}

#[test]
fn options_are_set() {
    let (here, there) = UnixStream::pair().unwrap();
    let timeout = Some(Duration::from_millis(1_500));
    set_receive_timeout(&here, timeout).unwrap();
    set_send_timeout(&here, timeout).unwrap();
    assert_eq!((here.read_timeout().unwrap(), here.write_timeout().unwrap()), (timeout, timeout));
    set_receive_timeout(&here, Some(Duration::from_nanos(1))).unwrap();
    assert!(here.read_timeout().unwrap().is_some(), "never rounded down to no limit");
    let timed_out = receive_plain(&here, &mut [0; 8], Wait::Block).unwrap_err();
    assert_eq!(timed_out.kind(), std::io::ErrorKind::WouldBlock);
    set_receive_timeout(&here, None).unwrap();
    assert_eq!(here.read_timeout().unwrap(), None);
    assert!(set_receive_timeout(&here, Some(Duration::ZERO)).is_err());
    set_receive_timeout(&here, Some(Duration::MAX)).unwrap();

    set_nonblocking(&there, true).unwrap();
    let nothing = receive_plain(&there, &mut [0; 8], Wait::Block).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    set_nonblocking(&there, false).unwrap();

    set_send_buffer(&here, 10_000).unwrap();
    set_receive_buffer(&here, 10_000).unwrap();
    let size = nix::sys::socket::getsockopt(&here, nix::sys::socket::sockopt::SndBuf).unwrap();
    assert_eq!(size, 20_000);
}

/// Binds a name that must be taken, and checks that its file is the same afterwards.
fn taken(path: &Path) -> (BindError, Occupant) {
    let look =
        || fs::symlink_metadata(path).map(|found| (found.ino(), found.mode(), found.mtime_nsec())).unwrap();
    let before = look();
    let error = bind_private(path, 0o600).unwrap_err();
    assert_eq!(look(), before);
    assert_eq!(error.code(), "socket_name_taken");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let BindError::NameTaken(taken) = &error else { panic!("{error:?}") };
    assert_eq!(taken.path, path);
    let what = taken.what.clone();
    (error, what)
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir_in("/tmp").unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.0.path(), fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_dead_socket_of_ours_is_replaced_without_a_gap() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let (first, name) = rebind_private(&path, 0o600).unwrap();
    assert!(name.remove().unwrap(), "without anything there it is an ordinary bind");
    drop(first);

    // The name stays when a process is killed.
    drop(bind_private(&path, 0o600).unwrap());
    drop(bind_private(&folder.path(".socket"), 0o600).unwrap());
    let before = fs::symlink_metadata(&path).unwrap().ino();
    let (listener, name) = rebind_private(&path, 0o600).unwrap();
    assert_ne!(fs::symlink_metadata(&path).unwrap().ino(), before);
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path(".socket").exists());
    connect(&path).unwrap();
    listener.accept().unwrap();
    assert!(name.still_there().unwrap());
    assert!(name.remove().unwrap());
    assert!(!path.exists());
}

#[test]
fn what_is_not_a_dead_socket_of_ours_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.path("socket");
    let (_live, _name) = bind_private(&path, 0o600).unwrap();
    let occupied = rebind_private(&path, 0o600).unwrap_err();
    assert_eq!(occupied.code(), "socket_name_taken");
    connect(&path).unwrap();

    let file = folder.path("file");
    fs::write(&file, b"another's").unwrap();
    assert_eq!(rebind_private(&file, 0o600).unwrap_err().code(), "socket_name_taken");
    assert_eq!(fs::read(&file).unwrap(), b"another's");
    let link = folder.path("link");
    symlink(folder.path("dead"), &link).unwrap();
    drop(bind_private(&folder.path("dead"), 0o600).unwrap());
    assert_eq!(
        rebind_private(&link, 0o600).unwrap_err().code(),
        "socket_name_taken",
        "links are not followed"
    );
}
