//! A slab's owner writes where nobody else of its process looks; everyone else only reads, and is known
//! to be through with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use trainwire_unix::slab::Leases;
use trainwire_unix::{ReceivedSlab, SealedError, SealedPayload, Slab, SlabRange};

const ALL: [SealFlag; 4] =
    [SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_FUTURE_WRITE, SealFlag::F_SEAL_SEAL];

#[test]
fn what_is_written_after_the_seals_is_read_elsewhere() {
    for len in [1, 4096, 100_000, 5 << 20] {
        let slab = Slab::allocate(len).unwrap();
        let received = ReceivedSlab::receive(descriptor(&slab), len as u64).unwrap();
        let mut leases = Leases::default();
        for round in 1..4 {
            let mut range = slab.claim(len / 2, len - len / 2).unwrap();
            range.as_mut_slice().fill(round);
            let written = range.into_bytes();
            let view = leases.lend(round, &received, len as u64 / 2, written.len() as u64).unwrap();
            assert_eq!(view, written);
            assert!(view.iter().all(|byte| *byte == round));
        }
        assert_eq!(collected(&mut leases), [1, 2, 3]);
    }
}

#[test]
fn all_pages_are_there_before_anything_is_written() {
    for len in [10_000, 9 << 20] {
        let slab = Slab::allocate(len).unwrap();
        let found = nix::sys::stat::fstat(&slab).unwrap();
        // Blocks are of 512 bytes.
        assert!(found.st_blocks * 512 >= i64::try_from(len).unwrap(), "{} blocks", found.st_blocks);
    }
}

#[test]
fn claims_never_share_a_byte() {
    let slab = Slab::allocate(64).unwrap();
    let mut claims: BTreeMap<usize, SlabRange> = BTreeMap::new();
    let mut random = 1_u32;
    let mut below = |limit: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((random >> 16) % limit) as usize
    };
    for _ in 0..20_000 {
        let (offset, len) = (below(70), below(12));
        if below(3) == 0 {
            claims.remove(&offset);
            continue;
        }
        let free = |byte| {
            !claims.values().any(|range| (range.offset()..range.offset() + range.len()).contains(&byte))
        };
        let expected = len > 0 && offset + len <= 64 && (offset..offset + len).all(free);
        let claim = slab.claim(offset, len);
        assert_eq!(claim.is_some(), expected, "{offset} {len} {claims:?}");
        if let Some(mut range) = claim {
            let mark = u8::try_from(offset).unwrap();
            range.as_mut_slice().fill(mark);
            claims.insert(offset, range);
        }
        for (offset, range) in &claims {
            assert!(range.as_ref().iter().all(|byte| usize::from(*byte) == *offset));
        }
    }
    for (offset, len) in [(64, 1), (usize::MAX, 1), (1, usize::MAX), (0, 65)] {
        assert!(slab.claim(offset, len).is_none());
    }
}

#[test]
fn a_claim_lasts_as_long_as_its_last_view() {
    let slab = Slab::allocate(8192).unwrap();
    let bytes = slab.claim(0, 4096).unwrap().into_bytes();
    let slice = bytes.slice(100..200);
    drop(bytes);
    assert!(slab.claim(4095, 1).is_none());
    std::thread::spawn(move || drop(slice)).join().unwrap();
    assert!(slab.claim(0, 4096).is_some());
}

#[test]
fn a_lease_is_over_when_its_last_view_is() {
    let slab = Slab::allocate(8192).unwrap();
    let received = ReceivedSlab::receive(descriptor(&slab), 8192).unwrap();
    let mut leases = Leases::default();
    let first = leases.lend("first", &received, 0, 4096).unwrap();
    let second = leases.lend("second", &received, 4096, 4096).unwrap();
    let (slice, clone) = (first.slice(1..2), second.clone());
    drop(first);
    assert_eq!(collected(&mut leases), [""; 0]);
    let thread = std::thread::spawn(move || drop(slice));
    thread.join().unwrap();
    assert_eq!(collected(&mut leases), ["first"]);
    drop(second);
    assert_eq!(collected(&mut leases), [""; 0]);
    drop(received); // the mapping stays for its views
    assert_eq!(clone.len(), 4096);
    drop(clone);
    assert_eq!(collected(&mut leases), ["second"]);
    assert_eq!(collected(&mut leases), [""; 0]);
}

#[test]
fn views_are_within_the_slab() {
    let slab = Slab::allocate(4096).unwrap();
    let received = ReceivedSlab::receive(descriptor(&slab), 4096).unwrap();
    let mut leases = Leases::default();
    for (offset, len) in [(0, 4097), (4096, 1), (4097, 0), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)]
    {
        assert!(leases.lend((), &received, offset, len).is_none());
    }
    assert_eq!(leases.lend((), &received, 4096, 0).unwrap().len(), 0);
    assert_eq!(leases.lend((), &received, 0, 4096).unwrap().len(), 4096);
}

#[test]
fn only_the_owner_writes_and_nobody_resizes() {
    let slab = Slab::allocate(4096).unwrap();
    slab.claim(0, 4).unwrap().as_mut_slice().copy_from_slice(b"mine");
    let mut file = File::from(descriptor(&slab));
    for refused in [file.write_all_at(b"now", 0), file.set_len(1), file.set_len(8192), file.write_all(b"x")] {
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
    // SAFETY: the map is refused.
    let writable = unsafe { memmap2::MmapOptions::new().map_mut(&file) };
    assert_eq!(writable.unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert_eq!(slab.claim(0, 4).unwrap().as_ref(), b"mine");
    slab.claim(0, 4).unwrap().as_mut_slice().copy_from_slice(b"ours");
    assert_eq!(slab.claim(0, 4).unwrap().as_ref(), b"ours");
}

#[test]
fn every_other_combination_of_seals_is_refused_and_named() {
    for chosen in 0..16_u32 {
        let seals = ALL.iter().enumerate().filter(|(index, _)| chosen & (1 << index) != 0);
        let seals: SealFlag = seals.map(|(_, &seal)| seal).collect();
        let missing: Vec<_> = (SealFlag::from_iter(ALL) - seals).iter_names().map(|(name, _)| name).collect();
        let answer = ReceivedSlab::receive(memfd(5, seals), 5);
        if missing.is_empty() {
            assert_eq!(answer.unwrap().len(), 5);
        } else {
            let missing = missing.join("|");
            assert_eq!(answer.unwrap_err(), SealedError::MissingSeals { missing });
        }
    }
    // Memory that nobody at all can write to is as good.
    let payload = SealedPayload::from_bytes(b"12345").unwrap();
    assert_eq!(ReceivedSlab::receive(payload.into(), 5).unwrap().len(), 5);
}

#[test]
fn another_size_than_announced_and_what_is_no_memory_are_refused() {
    for announced in [0, 4095, 4097, u64::MAX] {
        let error = ReceivedSlab::receive(descriptor(&Slab::allocate(4096).unwrap()), announced).unwrap_err();
        assert_eq!(error, SealedError::SizeDiffers { announced, actual: 4096 });
    }
    let (pipe, _write) = nix::unistd::pipe().unwrap();
    for impostor in [pipe, File::open("/dev/null").unwrap().into()] {
        assert_eq!(ReceivedSlab::receive(impostor, 5).unwrap_err(), SealedError::NotMemory);
    }
}

#[test]
fn nothing_is_a_slab_too() {
    let slab = Slab::allocate(0).unwrap();
    assert!(slab.is_empty() && slab.claim(0, 0).is_none());
    assert!(ReceivedSlab::receive(descriptor(&slab), 0).unwrap().is_empty());
}

fn collected<K>(leases: &mut Leases<K>) -> Vec<K> {
    let mut over = Vec::new();
    leases.collect(|key| over.push(key));
    over
}

fn descriptor(slab: &Slab) -> OwnedFd {
    slab.as_fd().try_clone_to_owned().unwrap()
}

fn memfd(len: u64, seals: SealFlag) -> OwnedFd {
    let memory = memfd_create(c"hostile", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
    let memory = File::from(memory);
    memory.write_all_at(&vec![0; usize::try_from(len).unwrap()], 0).unwrap();
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).unwrap();
    memory.into()
}
