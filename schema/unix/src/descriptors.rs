//! Bytes and descriptors over a connected Unix stream socket, one system call each.
//!
//! Three rules of the kernel are kept here so that nobody else has to know them: a write to a peer
//! that has gone is an error and never SIGPIPE, a received descriptor is closed on exec and owned
//! from the moment it exists, and a control buffer that was too small is reported.
//!
//! Every call returns `EINTR` ([`io::ErrorKind::Interrupted`]) instead of retrying: the Python side
//! has to run signal handlers (Ctrl-C) between two tries.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

/// Whether a call may sleep. [`Wait::DontWait`] answers [`io::ErrorKind::WouldBlock`] instead, also
/// on a socket in blocking mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleep as the socket's own mode and timeouts say.
    Block,
    /// Never sleep (`MSG_DONTWAIT`).
    DontWait,
}

/// What [`receive`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes now in the buffer; 0 means that the peer will send no more.
    pub bytes: usize,
    /// Descriptors handed to the caller by this call, at most [`DESCRIPTORS_PER_CALL_MAX`].
    pub descriptors: usize,
    /// Descriptors were lost (`MSG_CTRUNC`). With fewer than [`DESCRIPTORS_PER_CALL_MAX`] received,
    /// this process is at its descriptor limit; otherwise the peer sent more than the protocol
    /// allows.
    pub control_truncated: bool,
}

/// Descriptors one [`receive`] can take. The protocol sends one a call; room for a second, which
/// alignment gives for free, tells a peer that sends more from a process at its descriptor limit.
pub const DESCRIPTORS_PER_CALL_MAX: usize = 2;

/// Writes the start of `bytes`, with `descriptor` attached to the first byte, and says how many
/// bytes went. When that is fewer than offered, go on *without* the descriptor: it has gone already.
///
/// # Errors
/// The kernel's, among them `EPIPE` for a peer that has gone (no SIGPIPE is raised), `WouldBlock`,
/// `Interrupted`, and `EMSGSIZE` for more than 1,024 slices. A descriptor without a byte to travel
/// with is `InvalidInput`: the kernel would drop it silently.
pub fn send(
    socket: impl AsFd,
    bytes: &[IoSlice<'_>],
    descriptor: Option<BorrowedFd<'_>>,
    wait: Wait,
) -> io::Result<usize> {
    let socket = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_NOSIGNAL | wait.flags();
    let Some(descriptor) = descriptor else {
        return Ok(sendmsg::<()>(socket, bytes, &[], flags, None)?);
    };
    if bytes.iter().all(|slice| slice.is_empty()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor needs a byte to travel with"));
    }
    let rights = [descriptor.as_raw_fd()];
    Ok(sendmsg::<()>(socket, bytes, &[ControlMessage::ScmRights(&rights)], flags, None)?)
}

/// Reads bytes, and appends the descriptors that came with them to `descriptors`.
///
/// A descriptor can arrive with the bytes of an *earlier* frame than the one it belongs to, so
/// callers queue them. `buffer` must not be empty, or 0 bytes would not mean the end.
///
/// # Errors
/// The kernel's, among them `WouldBlock` and `Interrupted`.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut impl Extend<OwnedFd>,
    wait: Wait,
) -> io::Result<Received> {
    let mut control = ControlBuffer([0; CONTROL_BUFFER_SIZE_BYTES]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr: null pointers with lengths of 0.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BUFFER_SIZE_BYTES as _;
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | wait.flags();
    // SAFETY: `message` points to `buffer` and `control` with their true lengths; both outlive the
    // call.
    let count = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags.bits()) };
    // Negative exactly when the call failed; no descriptor was installed then.
    let bytes = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;

    // nix's recvmsg is not used because it hides the descriptors that did fit when others did not,
    // which leaks them.
    // SAFETY: the kernel has just filled `message`, `control` is alive, and each descriptor in it
    // is new and given to nobody else.
    let received = unsafe { take_descriptors(&message) };
    let descriptor_count = received.iter().flatten().count();
    descriptors.extend(received.into_iter().flatten());
    Ok(Received {
        bytes,
        descriptors: descriptor_count,
        control_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// Reads bytes only; descriptors a peer attached are closed by the kernel unseen. 0 bytes mean that
/// the peer will send no more, so `buffer` must not be empty.
///
/// # Errors
/// The kernel's, among them `WouldBlock` and `Interrupted`.
pub fn receive_plain(socket: impl AsFd, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    Ok(recv(socket.as_fd().as_raw_fd(), buffer, wait.flags())?)
}

/// Asks the kernel to answer `EPERM` to peers that attach descriptors, instead of queueing them
/// (`SO_PASSRIGHTS=0`). Sockets accepted from a listener inherit it.
///
/// Returns `false` where the kernel is older than 6.16; [`receive_plain`] still drops them there.
///
/// # Errors
/// The kernel's, for a descriptor that is not a Unix socket.
pub fn refuse_descriptors(socket: impl AsFd) -> io::Result<bool> {
    let off: libc::c_int = 0;
    // SAFETY: the option's value is one int, which lives until the call returns.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            INT_LEN,
        )
    };
    if answer == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
        error => Err(error),
    }
}

impl Wait {
    fn flags(self) -> MsgFlags {
        match self {
            Self::Block => MsgFlags::empty(),
            Self::DontWait => MsgFlags::MSG_DONTWAIT,
        }
    }
}

/// Owns every descriptor in the control buffer.
///
/// # Safety
/// `message` was filled by `recvmsg`, its control buffer is alive, and nobody else has taken the
/// descriptors in it.
unsafe fn take_descriptors(message: &libc::msghdr) -> [Option<OwnedFd>; DESCRIPTORS_PER_CALL_MAX] {
    let mut taken = [const { None }; DESCRIPTORS_PER_CALL_MAX];
    let mut free = taken.iter_mut();
    // SAFETY: upheld by the caller. The CMSG functions stay within msg_controllen, and cmsg_len
    // covers whole descriptors, which may lie unaligned.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            if (control.cmsg_level, control.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                #[allow(clippy::unnecessary_cast)] // narrower than usize on musl
                let data_len = control.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..data_len / INT_SIZE_BYTES {
                    let owned = OwnedFd::from_raw_fd(ptr::read_unaligned(data.add(index)));
                    // The buffer has room for no more than `free` holds; were it otherwise, the
                    // surplus would be closed here.
                    if let Some(place) = free.next() {
                        *place = Some(owned);
                    }
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    taken
}

/// Aligned as the kernel's `cmsghdr` wants it.
#[repr(C, align(8))]
struct ControlBuffer([u8; CONTROL_BUFFER_SIZE_BYTES]);

const INT_SIZE_BYTES: usize = mem::size_of::<libc::c_int>();

/// The same for calls that count in 32 bits.
#[allow(clippy::cast_possible_truncation)] // 4
const INT_LEN: libc::socklen_t = INT_SIZE_BYTES as libc::socklen_t;

#[allow(clippy::cast_possible_truncation)] // 8
const DESCRIPTORS_SIZE_BYTES: u32 = (DESCRIPTORS_PER_CALL_MAX * INT_SIZE_BYTES) as u32;

// SAFETY: CMSG_SPACE only computes.
const CONTROL_BUFFER_SIZE_BYTES: usize = unsafe { libc::CMSG_SPACE(DESCRIPTORS_SIZE_BYTES) } as usize;

/// In libc only for SPARC yet. This is the number of every architecture but SPARC and PA-RISC.
const SO_PASSRIGHTS: libc::c_int = 83;
