//! Bytes and descriptors over a real socket pair.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use trainwire_unix::descriptors::{
    DESCRIPTORS_PER_CALL_MAX, Received, receive, receive_plain, refuse_descriptors, send,
};
use trainwire_unix::{Wait, socket};

#[test]
fn bytes_and_a_descriptor_arrive_and_are_closed_on_exec() {
    let (here, there) = UnixStream::pair().unwrap();
    let (pipe, mut write) = pipe();
    let slices = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")];
    assert_eq!(send(&here, &slices, Some(pipe.as_fd()), Wait::Block).unwrap(), 5);
    drop(pipe);
    let (received, bytes, mut descriptors) = take(&there);
    assert_eq!(received, Received { bytes: 5, descriptors: 1, control_truncated: false });
    assert_eq!(bytes, b"hello");
    let mut pipe = File::from(descriptors.remove(0));
    assert_eq!(fcntl(&pipe, FcntlArg::F_GETFD).unwrap(), libc::FD_CLOEXEC);
    write.write_all(b"through the pipe").unwrap();
    drop(write);
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through the pipe");
}

#[test]
fn a_descriptor_can_come_with_the_bytes_of_an_earlier_send() {
    let (here, there) = UnixStream::pair().unwrap();
    let (pipe, _write) = pipe();
    send(&here, &[IoSlice::new(b"earlier ")], None, Wait::Block).unwrap();
    send(&here, &[IoSlice::new(b"its own ")], Some(pipe.as_fd()), Wait::Block).unwrap();
    send(&here, &[IoSlice::new(b"later")], None, Wait::Block).unwrap();
    let (first, bytes, descriptors) = take(&there);
    assert_eq!((first.descriptors, descriptors.len()), (1, 1));
    assert_eq!(bytes, b"earlier its own ");
    let (second, bytes, _) = take(&there);
    assert_eq!((second.descriptors, &bytes[..]), (0, &b"later"[..]));
}

#[test]
fn after_a_partial_write_the_descriptor_has_gone() {
    let (here, there) = UnixStream::pair().unwrap();
    socket::set_send_buffer(&here, 4096).unwrap();
    let (pipe, _write) = pipe();
    let message = vec![7; 1 << 20];
    let mut sent = send(&here, &[IoSlice::new(&message)], Some(pipe.as_fd()), Wait::DontWait).unwrap();
    assert!(0 < sent && sent < message.len());
    let full = send(&here, &[IoSlice::new(&message[sent..])], None, Wait::DontWait);
    assert_eq!(full.unwrap_err().kind(), ErrorKind::WouldBlock);

    let (mut bytes, mut descriptors) = (0, Vec::new());
    let mut buffer = vec![0; 64 << 10];
    while bytes < message.len() {
        bytes += receive(&there, &mut buffer, &mut descriptors, Wait::Block).unwrap().bytes;
        if sent < message.len() {
            match send(&here, &[IoSlice::new(&message[sent..])], None, Wait::DontWait) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    assert_eq!((bytes, descriptors.len()), (message.len(), 1));
}

#[test]
fn a_descriptor_without_bytes_is_refused() {
    let (here, there) = UnixStream::pair().unwrap();
    for slices in [&[][..], &[IoSlice::new(b""), IoSlice::new(b"")]] {
        let error = send(&here, slices, Some(there.as_fd()), Wait::Block).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_peer_that_has_gone_is_an_error_and_no_signal() {
    // Rust ignores SIGPIPE, Python does too, programs in other languages may not.
    // SAFETY: the default disposition runs no code.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let (pipe, _write) = pipe();
    drop(there);
    for descriptor in [None, Some(pipe.as_fd())] {
        let error = send(&here, &[IoSlice::new(b"x")], descriptor, Wait::Block).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    // SAFETY: ignoring runs no code.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }.unwrap();
}

#[test]
fn the_end_is_zero_bytes_and_nothing_yet_is_would_block() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut buffer = [0; 8];
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    let nothing = receive(&there, &mut buffer, &mut descriptors, Wait::DontWait);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
    let nothing = receive_plain(&there, &mut buffer, Wait::DontWait);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(here);
    let end = receive(&there, &mut buffer, &mut descriptors, Wait::Block).unwrap();
    assert_eq!(end, Received { bytes: 0, descriptors: 0, control_truncated: false });
    assert_eq!(receive_plain(&there, &mut buffer, Wait::Block).unwrap(), 0);
}

#[test]
fn surplus_descriptors_are_reported() {
    let (here, there) = UnixStream::pair().unwrap();
    let (pipe, _write) = pipe();
    for (attached, received, truncated) in [(1, 1, false), (2, 2, false), (3, 2, true), (253, 2, true)] {
        let rights = vec![pipe.as_raw_fd(); attached];
        let control = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None).unwrap();
        let (answer, _, descriptors) = take(&there);
        assert_eq!(answer, Received { bytes: 1, descriptors: received, control_truncated: truncated });
        assert_eq!(descriptors.len(), received);
        assert!(received <= DESCRIPTORS_PER_CALL_MAX);
    }
}

#[test]
fn the_kernel_refuses_descriptors_where_it_can() {
    let (here, there) = UnixStream::pair().unwrap();
    let (pipe, _write) = pipe();
    let refusing = refuse_descriptors(&there).unwrap();
    let sent = send(&here, &[IoSlice::new(b"x")], Some(pipe.as_fd()), Wait::Block);
    if refusing {
        assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::EPERM));
        send(&here, &[IoSlice::new(b"y")], None, Wait::Block).unwrap();
    } else {
        sent.unwrap();
    }
    assert_eq!(receive_plain(&there, &mut [0; 8], Wait::Block).unwrap(), 1);
    assert!(refuse_descriptors(&pipe).is_err());
}

#[test]
fn a_signal_handler_interrupts_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let (_here, there) = UnixStream::pair().unwrap();
    let done = AtomicBool::new(false);
    // SAFETY: pthread_self has no conditions.
    let waiting = unsafe { libc::pthread_self() };
    let mut buffer = [0; 8];
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // SAFETY: the thread that waits outlives this scope.
                unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                std::thread::yield_now();
            }
        });
        let kinds = [
            receive(&there, &mut buffer, &mut descriptors, Wait::Block).unwrap_err().kind(),
            receive_plain(&there, &mut [0; 8], Wait::Block).unwrap_err().kind(),
        ];
        done.store(true, Ordering::SeqCst);
        assert_eq!(kinds, [ErrorKind::Interrupted; 2]);
    });
}

fn pipe() -> (OwnedFd, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (read, File::from(write))
}

fn take(socket: &UnixStream) -> (Received, Vec<u8>, Vec<OwnedFd>) {
    let mut buffer = vec![0; 1024];
    let mut descriptors = Vec::new();
    let received = receive(socket, &mut buffer, &mut descriptors, Wait::Block).unwrap();
    buffer.truncate(received.bytes);
    (received, buffer, descriptors)
}
