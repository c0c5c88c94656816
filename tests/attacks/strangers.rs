//! Processes of another user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::process::Command;
use trainwire_tests::{python, within};

use crate::Arena;

/// Becomes nobody, connects, and prints whatever it is told.
const STRANGER: &str = "
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
except PermissionError:
    print('not let near')
else:
    while words := connection.recv(4096):
        sys.stdout.buffer.write(words)
";

/// Only root can become somebody else; elsewhere there is nothing to test with.
#[tokio::test]
async fn other_uid_is_refused_before_a_byte_is_read() {
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0) {
        eprintln!("skipped: not root, so nobody else to be");
        return;
    }
    let arena = Arena::new().await;
    let socket = arena.connector.socket().to_owned();
    let folder = socket.parent().expect("a folder");
    fs::set_permissions(folder, Permissions::from_mode(0o711)).expect("our folder");

    assert_eq!(stranger(&socket).await, "not let near\n", "the socket's mode keeps strangers away");

    // Even where somebody has opened it.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("our socket");
    let words = stranger(&socket).await;
    assert!(words.contains("other_uid"), "{words:?}");
    arena.stands().await;
}

async fn stranger(socket: &Path) -> String {
    let told = Command::new(python()).args(["-c", STRANGER]).arg(socket).output();
    let told = within(told).await.expect("python starts");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout).into_owned()
}
