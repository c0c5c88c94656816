//! No descriptor is ever leaked, whatever a peer attaches. Alone in its process, because it counts
//! the process's descriptors and lowers their limit.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use trainwire_unix::descriptors::{Received, receive, receive_plain};
use trainwire_unix::{SealedPayload, Wait};

#[test]
fn hostile_messages_leave_nothing_behind() {
    let (here, there) = UnixStream::pair().unwrap();
    let before = open_descriptors();

    for round in 0..2_000 {
        // 0 to 253, the most the kernel sends at once.
        attach(&here, round % 254);
        let mut descriptors = Vec::new();
        receive(&there, &mut [0; 16], &mut descriptors, Wait::Block).unwrap();
        for descriptor in descriptors {
            // None of them is a payload; each refusal closes it.
            SealedPayload::receive(descriptor, 5).unwrap_err();
        }
    }
    assert_eq!(open_descriptors(), before, "received and refused");

    for round in 0..500 {
        attach(&here, round % 254);
        assert_eq!(receive_plain(&there, &mut [0; 16], Wait::Block).unwrap(), 1);
    }
    assert_eq!(open_descriptors(), before, "dropped by a plain read");

    attach(&here, 2);
    assert_eq!(receive(&there, &mut [0; 16], &mut TakesOnlyOne, Wait::Block).unwrap().descriptors, 2);
    assert_eq!(open_descriptors(), before, "not taken by the caller");

    // At the limit the kernel drops what does not fit and says so.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let highest = before.iter().max().unwrap() + 1;
    for (room, attached) in [(0, 1), (0, 200), (1, 1), (1, 2), (1, 200)] {
        attach(&here, attached);
        let limit = u64::try_from(highest).unwrap() + room;
        // A new descriptor gets the lowest free number: fill the gaps below, so that the room is exact.
        let fillers = fill_gaps(highest);
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
        let mut descriptors = Vec::new();
        let received = receive(&there, &mut [0; 16], &mut descriptors, Wait::Block).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let expected = usize::try_from(room).unwrap();
        let lost = attached > expected;
        assert_eq!(received, Received { bytes: 1, descriptors: expected, control_truncated: lost });
        drop((descriptors, fillers));
    }
    assert_eq!(open_descriptors(), before, "at the limit");
}

fn attach(socket: &UnixStream, count: usize) {
    let rights = vec![socket.as_raw_fd(); count];
    let control = [ControlMessage::ScmRights(&rights)];
    let control = if count == 0 { &[][..] } else { &control };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"x")], control, MsgFlags::empty(), None).unwrap();
}

fn fill_gaps(highest: RawFd) -> Vec<OwnedFd> {
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    std::iter::repeat_with(null).take_while(|filler| filler.as_raw_fd() < highest).collect()
}

/// Numbers of the open descriptors, without the one that reads them.
fn open_descriptors() -> Vec<RawFd> {
    let listing = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<RawFd> =
        listing.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    numbers
}

struct TakesOnlyOne;

impl Extend<OwnedFd> for TakesOnlyOne {
    fn extend<T: IntoIterator<Item = OwnedFd>>(&mut self, descriptors: T) {
        drop(descriptors.into_iter().next());
    }
}
