//! Memory that cannot be had is an error where it is asked for, never a SIGBUS later. Alone in its
//! process, because the limit is the process's.
#![allow(unsafe_code, reason = "a signal disposition has no safe interface")]

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use trainwire_unix::{Errno, PayloadBuffer, SealedError, SealedPayload};

#[test]
fn a_payload_that_does_not_fit_is_an_error() {
    // A limit on file sizes is the one way to run out of a memfd that needs no privilege. It comes
    // with a signal.
    // SAFETY: ignoring runs no code.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
    let len = (1 << 20) + 1;
    let expected = SealedError::OutOfMemory { len, source: Errno::EFBIG };
    assert_eq!(PayloadBuffer::allocate(len).unwrap_err(), expected);
    assert_eq!(SealedPayload::from_bytes(&vec![1; len]).unwrap_err(), expected);
    assert_eq!(expected.code(), "payload_out_of_memory");
    PayloadBuffer::allocate(len - 1).unwrap().as_mut_slice().fill(1);

    setrlimit(Resource::RLIMIT_AS, 1 << 30, 1 << 30).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).unwrap();
    let payload = SealedPayload::from_bytes(&[1; 4096]).unwrap();
    let views: Vec<_> = std::iter::from_fn(|| payload.map().ok()).take(1 << 20).collect();
    let error = payload.map().unwrap_err();
    assert_eq!(error, SealedError::OutOfMemory { len: 4096, source: Errno::ENOMEM });
    assert!(views.iter().all(|view| view[4095] == 1));
}
