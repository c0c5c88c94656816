//! Only readable memory with all four seals and the announced size passes, and it never changes.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use trainwire_unix::{PAYLOAD_SIZE_BYTES_MAX, PayloadBuffer, SealedError, SealedPayload};

const ALL: [SealFlag; 4] =
    [SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_SEAL];

#[test]
fn bytes_written_in_place_are_read_by_the_receiver() {
    let mut buffer = PayloadBuffer::allocate(100_000).unwrap();
    buffer.as_mut_slice()[99_999] = 7;
    buffer.write_all(b"head").unwrap();
    buffer.write_all(b"er").unwrap();
    let sent = buffer.seal().unwrap();
    let received = SealedPayload::receive(sent.as_fd().try_clone_to_owned().unwrap(), 100_000).unwrap();
    drop(sent);
    let view = received.map().unwrap();
    drop(received);
    let tail = view.slice(6..);
    drop(view);
    assert_eq!((tail.len(), tail[0], tail[tail.len() - 1]), (99_994, 0, 7));
}

#[test]
fn copied_bytes_huge_pages_and_nothing_at_all_work_alike() {
    let copied = SealedPayload::from_bytes(b"copied").unwrap();
    assert_eq!(&copied.map().unwrap()[..], b"copied");

    let mut huge = PayloadBuffer::allocate(9 << 20).unwrap();
    huge.as_mut_slice().fill(3);
    let huge = huge.seal().unwrap();
    assert!(huge.map().unwrap().iter().all(|&byte| byte == 3));

    for empty in
        [SealedPayload::from_bytes(b"").unwrap(), PayloadBuffer::allocate(0).unwrap().seal().unwrap()]
    {
        assert!(empty.is_empty() && empty.map().unwrap().is_empty());
        assert!(SealedPayload::receive(empty.into(), 0).unwrap().is_empty());
    }
}

#[test]
fn every_page_is_there_before_anything_is_written() {
    for len in [1_000_000, 7_000_001] {
        let payload = PayloadBuffer::allocate(len).unwrap().seal().unwrap();
        let found = nix::sys::stat::fstat(&payload).unwrap();
        // Blocks are of 512 bytes.
        assert!(found.st_blocks * 512 >= len.try_into().unwrap(), "{} blocks", found.st_blocks);
    }
}

#[test]
fn writing_ends_at_the_end_of_the_buffer() {
    let mut buffer = PayloadBuffer::allocate(3).unwrap();
    assert_eq!(buffer.write(b"four").unwrap(), 3);
    assert_eq!(buffer.write(b"r").unwrap(), 0);
    assert_eq!(buffer.len(), 3);
    assert_eq!(&buffer.seal().unwrap().map().unwrap()[..], b"fou");
}

#[test]
fn every_way_to_write_leaves_the_same_bytes() {
    let expected: Vec<u8> =
        (0..(9_u32 << 20) + 4321).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let len = expected.len();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &expected).unwrap();

    let mut in_place = PayloadBuffer::allocate(len).unwrap();
    in_place.as_mut_slice().copy_from_slice(&expected);
    let mut written = PayloadBuffer::allocate(len).unwrap();
    for part in expected.chunks(1_000_003) {
        written.write_all(part).unwrap();
    }
    assert_eq!(written.write(b"more").unwrap(), 0);
    let (pipe, mut into_pipe) = std::io::pipe().unwrap();
    let bytes = expected.clone();
    let writer = std::thread::spawn(move || into_pipe.write_all(&bytes).unwrap());
    let from_pipe = PayloadBuffer::read_from(4096, pipe.as_fd()).unwrap();
    writer.join().unwrap();
    let from_file = PayloadBuffer::read_from(4096, File::open(&path).unwrap().as_fd()).unwrap();

    let copied = SealedPayload::from_bytes(&expected).unwrap();
    assert!(copied.map().unwrap() == expected);
    for (buffer, start) in [(in_place, 0), (written, 0), (from_pipe, 4096), (from_file, 4096)] {
        let view = buffer.seal().unwrap().map().unwrap();
        assert!(view[..start].iter().all(|&byte| byte == 0) && view[start..] == expected);
    }
    let out = File::create(folder.path().join("out")).unwrap();
    copied.copy_to(&out).unwrap();
    assert!(std::fs::read(folder.path().join("out")).unwrap() == expected);
}

#[test]
fn a_source_is_read_from_where_it_stands_to_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"headtail").unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(std::io::SeekFrom::Start(4)).unwrap();
    assert_eq!(
        &PayloadBuffer::read_from(0, file.as_fd()).unwrap().seal().unwrap().map().unwrap()[..],
        b"tail"
    );
    // At its end, and further.
    for at in [8, 100] {
        file.seek(std::io::SeekFrom::Start(at)).unwrap();
        assert_eq!(PayloadBuffer::read_from(7, file.as_fd()).unwrap().len(), 7);
    }
    // Files whose size says nothing.
    let endless = File::open("/proc/self/maps").unwrap();
    assert!(PayloadBuffer::read_from(0, endless.as_fd()).unwrap().len() > 100);

    let folder = File::open(folder.path()).unwrap();
    let error = PayloadBuffer::read_from(0, folder.as_fd()).unwrap_err();
    assert_eq!(error, SealedError::Source { source: Errno::EISDIR });
    assert_eq!(error.code(), "payload_source");
    let sparse = File::create(&path).unwrap();
    sparse.set_len(PAYLOAD_SIZE_BYTES_MAX as u64).unwrap();
    let error = PayloadBuffer::read_from(1, File::open(&path).unwrap().as_fd()).unwrap_err();
    assert_eq!(error, SealedError::TooLarge { len: PAYLOAD_SIZE_BYTES_MAX as u64 + 1 });
}

#[test]
fn nobody_changes_a_sealed_payload() {
    let payload = SealedPayload::from_bytes(b"for ever").unwrap();
    let view = payload.map().unwrap();
    let mut file = File::from(payload.as_fd().try_clone_to_owned().unwrap());
    for refused in [
        file.write_all_at(b"now", 0),
        file.set_len(1),
        file.set_len(100),
        file.seek(std::io::SeekFrom::End(0)).and_then(|_| file.write_all(b"x")),
    ] {
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    // SAFETY: the map is refused.
    let writable = unsafe { memmap2::MmapOptions::new().map_mut(&file) };
    assert_eq!(writable.unwrap_err().raw_os_error(), Some(libc::EPERM));
    let more = fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_FUTURE_WRITE));
    assert_eq!(more, Err(Errno::EPERM));
    assert_eq!(&view[..], b"for ever");
}

#[test]
fn sealing_succeeds_while_a_child_is_between_fork_and_exec() {
    let mut buffer = PayloadBuffer::allocate(8192).unwrap();
    buffer.write_all(b"in the parent only").unwrap();
    let (wait_here, go_on) = nix::unistd::pipe().unwrap();
    let (forked, tell) = nix::unistd::pipe().unwrap();
    let mut command = Command::new("true");
    // SAFETY: reads and writes are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::write(&tell, b"!")?;
            nix::unistd::read(&wait_here, &mut [0])?;
            Ok(())
        });
    }
    let child = std::thread::spawn(move || command.status().unwrap());
    nix::unistd::read(&forked, &mut [0]).unwrap();
    let sealed = buffer.seal();
    nix::unistd::write(&go_on, b"!").unwrap();
    assert!(child.join().unwrap().success());
    assert_eq!(&sealed.unwrap().map().unwrap()[..18], b"in the parent only");
}

#[test]
fn every_other_combination_of_seals_is_refused_and_named() {
    for chosen in 0..16_u32 {
        let seals = ALL.iter().enumerate().filter(|(index, _)| chosen & (1 << index) != 0);
        let seals: SealFlag = seals.map(|(_, &seal)| seal).collect();
        let answer = SealedPayload::receive(memfd(5, seals | SealFlag::F_SEAL_FUTURE_WRITE), 5);
        let missing: Vec<_> = (SealFlag::from_iter(ALL) - seals).iter_names().map(|(name, _)| name).collect();
        if missing.is_empty() {
            assert_eq!(answer.unwrap().len(), 5);
        } else {
            let expected = SealedError::MissingSeals { missing: missing.join("|") };
            assert_eq!(answer.unwrap_err(), expected);
            assert_eq!(expected.code(), "payload_not_sealed");
        }
    }
}

#[test]
fn another_size_than_announced_is_refused() {
    for announced in [0, 4, 6, 4096, PAYLOAD_SIZE_BYTES_MAX as u64] {
        let error = SealedPayload::receive(sealed_memfd(5), announced).unwrap_err();
        assert_eq!(error, SealedError::SizeDiffers { announced, actual: 5 });
    }
    for len in [PAYLOAD_SIZE_BYTES_MAX as u64 + 1, u64::MAX] {
        assert_eq!(SealedPayload::receive(sealed_memfd(5), len).unwrap_err(), SealedError::TooLarge { len });
    }
    let len = PAYLOAD_SIZE_BYTES_MAX + 1;
    assert_eq!(PayloadBuffer::allocate(len).unwrap_err(), SealedError::TooLarge { len: len as u64 });
}

#[test]
fn holes_are_refused() {
    for (len, written) in [(1_u64 << 30, 0), (8193, 8192), (8192, 1)] {
        let memory = memfd(written, SealFlag::empty());
        nix::unistd::ftruncate(&memory, len.cast_signed()).unwrap();
        fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::from_iter(ALL))).unwrap();
        let error = SealedPayload::receive(memory, len).unwrap_err();
        assert_eq!(error, SealedError::NotAllocated { len, allocated: written.next_multiple_of(4096) });
        assert_eq!(error.code(), "payload_not_allocated");
    }
}

#[test]
fn what_is_no_memory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"12345").unwrap();
    let (pipe, _write) = nix::unistd::pipe().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let impostors: [OwnedFd; 5] = [
        File::open(&path).unwrap().into(),
        File::open(folder.path()).unwrap().into(),
        File::open("/dev/null").unwrap().into(),
        pipe,
        socket.into(),
    ];
    for impostor in impostors {
        assert_eq!(SealedPayload::receive(impostor, 5).unwrap_err(), SealedError::NotMemory);
    }
}

#[test]
fn a_file_on_tmpfs_is_refused() {
    let path = format!("/dev/shm/trainwire-test-{}", std::process::id());
    let options = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let Ok(mut file) = options else {
        eprintln!("skipped: no writable /dev/shm");
        return;
    };
    std::fs::remove_file(&path).unwrap();
    file.write_all(b"12345").unwrap();
    let error = SealedPayload::receive(file.into(), 5).unwrap_err();
    let missing = "F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE".to_owned();
    assert_eq!(error, SealedError::MissingSeals { missing });
}

#[test]
fn sealed_memory_that_cannot_be_read_is_refused() {
    let payload = SealedPayload::from_bytes(b"12345").unwrap();
    let itself = format!("/proc/self/fd/{}", payload.as_fd().as_raw_fd());
    let by_path = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&itself).unwrap();
    assert_eq!(SealedPayload::receive(by_path.into(), 5).unwrap_err(), SealedError::NotReadable);

    let unsealed = memfd(5, SealFlag::empty());
    let itself = format!("/proc/self/fd/{}", unsealed.as_raw_fd());
    let write_only = OpenOptions::new().write(true).open(&itself).unwrap();
    fcntl(&unsealed, FcntlArg::F_ADD_SEALS(SealFlag::from_iter(ALL))).unwrap();
    assert_eq!(SealedPayload::receive(write_only.into(), 5).unwrap_err(), SealedError::NotReadable);
}

#[test]
fn sealed_huge_tlb_pages_are_refused() {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_HUGETLB;
    let Ok(memory) = memfd_create(c"hostile", flags) else {
        eprintln!("skipped: this kernel has no hugetlb pages");
        return;
    };
    let memory = File::from(memory);
    memory.set_len(1 << 30).unwrap();
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::from_iter(ALL))).unwrap();
    assert_eq!(SealedPayload::receive(memory.into(), 1 << 30).unwrap_err(), SealedError::NotMemory);
}

#[test]
fn the_memory_is_not_inherited_and_shows_its_name() {
    let payload = SealedPayload::from_bytes(b"x").unwrap();
    let flags = fcntl(&payload, FcntlArg::F_GETFD).unwrap();
    assert_eq!(flags, libc::FD_CLOEXEC);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", payload.as_fd().as_raw_fd())).unwrap();
    assert!(link.to_string_lossy().contains("trainwire-payload"), "{link:?}");
    let mut text = String::new();
    File::from(OwnedFd::from(payload)).read_to_string(&mut text).unwrap();
}

fn sealed_memfd(len: u64) -> OwnedFd {
    memfd(len, SealFlag::from_iter(ALL))
}

fn memfd(len: u64, seals: SealFlag) -> OwnedFd {
    let name = CString::new("hostile").unwrap();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = File::from(memfd_create(name.as_c_str(), flags).unwrap());
    memory.write_all_at(&vec![0; usize::try_from(len).unwrap()], 0).unwrap();
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    memory.into()
}
