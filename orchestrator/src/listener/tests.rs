use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicU64;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use trainwire_protocol::frame::ReaderLimits;
use trainwire_protocol::id::JobId;
use trainwire_protocol::session::Timeouts;

use super::*;
use crate::driver::Message;
use crate::record::JobNo;

#[tokio::test]
async fn the_name_is_private_and_goes_with_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (connector, mut inbox) = connector();
    let listener = Listener::bind(&path, connector).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let _stream = UnixStream::connect(&path).await.unwrap();
    let Some(Message::Connected { peer, .. }) = inbox.recv().await else { panic!("not a connection") };
    assert_eq!(peer.pid, std::process::id().cast_signed());
    assert!(peer.pidfd.is_some());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_name_that_is_taken_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    std::fs::write(&path, "mine").unwrap();
    let (connector, _inbox) = connector();
    let error = Listener::bind(&path, connector.clone()).unwrap_err();
    assert_eq!(error.code(), "socket_name_taken");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");

    std::fs::remove_file(&path).unwrap();
    let _other = Listener::bind(&path, connector.clone()).unwrap();
    let error = Listener::bind(&path, connector).unwrap_err();
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_name_that_a_cleaner_removed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (connector, mut inbox) = connector();
    let listener = Listener::bind_and_check(&path, connector, Duration::from_millis(5)).unwrap();
    let _early = UnixStream::connect(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    while !path.exists() {
        sleep(Duration::from_millis(1)).await;
    }
    let _late = UnixStream::connect(&path).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(inbox.recv().await, Some(Message::Connected { .. })));
    }
    drop(listener);
    assert!(!path.exists(), "the new name goes with the listener, too");
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_nonsense_is_ended_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (mut connector, mut inbox) = connector();
    connector.timeouts.handshake = Duration::from_millis(20);
    let _listener = Listener::bind(&path, connector).unwrap();
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let Some(Message::Connected { commands: _kept, .. }) = inbox.recv().await else { panic!() };
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let code = if bytes.is_empty() { "handshake_timeout" } else { "unknown_kind" };
        assert!(answer.windows(code.len()).any(|window| window == code.as_bytes()), "{answer:?}");
        assert!(matches!(inbox.recv().await, Some(Message::Arrived { .. })));
    }
}

fn connector() -> (Connector, mpsc::Receiver<Message>) {
    let (driver, inbox) = mpsc::channel(16);
    let connector = Connector {
        job: JobNo(1),
        job_id: JobId::new("a").unwrap(),
        attach: true,
        forward_heartbeats: false,
        timeouts: Timeouts::default(),
        limits: ReaderLimits { inline_task_size_bytes_max: 0 },
        driver,
        numbers: Arc::new(AtomicU64::new(1)),
    };
    (connector, inbox)
}
