use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;

use crate::sandbox::Sandbox;

fn refused(sandbox: &Sandbox) {
    let ran = sandbox.run(&["--job-id=taken", "--", "touch", "ran"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("ai-task-sock-taken"), "{}", ran.stderr);
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn a_file() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("ai-task-sock-taken", "precious");
    refused(&sandbox);
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn a_folder() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("ai-task-sock-taken")).unwrap();
    refused(&sandbox);
    assert!(sandbox.path("ai-task-sock-taken").is_dir());
}

#[test]
fn a_dangling_link() {
    let sandbox = Sandbox::new();
    symlink(sandbox.path("nowhere"), sandbox.path("ai-task-sock-taken")).unwrap();
    refused(&sandbox);
    assert!(fs::symlink_metadata(sandbox.path("ai-task-sock-taken")).unwrap().is_symlink());
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn a_live_socket() {
    let sandbox = Sandbox::new();
    let listener = UnixListener::bind(sandbox.path("ai-task-sock-taken")).unwrap();
    refused(&sandbox);
    assert!(fs::symlink_metadata(sandbox.path("ai-task-sock-taken")).unwrap().file_type().is_socket());
    drop(listener);
}

#[test]
fn it_is_gone_after_the_job() {
    let sandbox = Sandbox::new();
    let script = "test -S \"$TRAINWIRE_SOCKET\" && test \"$(stat -c %a \"$TRAINWIRE_SOCKET\")\" = 600";
    let ran = sandbox.run(&["--job-id=mine", "--", "sh", "-c", script]);
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert!(!sandbox.path("ai-task-sock-mine").exists());
}
