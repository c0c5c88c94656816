use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn the_name_is_private_and_goes_with_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path, false).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(listener.accept().unwrap().is_none());
    let _stream = UnixStream::connect(&path).unwrap();
    let socket = listener.accept().unwrap().unwrap();
    let peer = admit(socket.as_fd(), true).unwrap();
    assert_eq!(peer.pid, std::process::id().cast_signed());
    assert!(peer.pidfd.is_some());
    assert!(admit(socket.as_fd(), false).unwrap().pidfd.is_none());
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn a_name_that_is_taken_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    std::fs::write(&path, "mine").unwrap();
    let error = Listener::bind(&path, false).unwrap_err();
    assert_eq!(error.code(), "socket_name_taken");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");

    std::fs::remove_file(&path).unwrap();
    let _other = Listener::bind(&path, false).unwrap();
    let error = Listener::bind(&path, false).unwrap_err();
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(path.exists());
}

#[test]
fn a_name_that_a_cleaner_removed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut listener = Listener::bind(&path, false).unwrap();
    let _early = UnixStream::connect(&path).unwrap();
    assert!(listener.renew_name().is_none());
    std::fs::remove_file(&path).unwrap();
    let nameless = listener.renew_name().unwrap();
    let _late = UnixStream::connect(&path).unwrap();
    assert!(nameless.accept().unwrap().is_some());
    assert!(listener.accept().unwrap().is_some());
    drop(nameless);
    assert!(path.exists(), "the name is the new one's");
    drop(listener);
    assert!(!path.exists());

    let mut listener = Listener::bind(&path, false).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    assert!(listener.renew_name().is_none());
    drop(listener);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}
