//! A socket has the mode it was given from its first moment, whatever the umask. Alone in its
//! process, because the umask is the process's.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::{Mode, umask};
use trainwire_unix::bind_private;

#[test]
fn the_mode_is_exact_under_every_umask() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let path = folder.path().join("socket");
    for mask in [0o000, 0o022, 0o077, 0o777] {
        umask(Mode::from_bits_truncate(mask));
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let (_listener, name) = bind_private(&path, mode).unwrap();
            let found = std::fs::symlink_metadata(&path).unwrap().mode() & 0o7777;
            assert_eq!(found, mode, "umask {mask:o}: {found:o}");
            assert!(name.remove().unwrap());
        }
    }

    // Somebody who looks all the time never sees wider rights.
    umask(Mode::empty());
    let (done, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Ok(found) = std::fs::symlink_metadata(&path) {
                    assert_eq!(found.mode() & 0o7777, 0o600);
                    seen.store(true, Ordering::Relaxed);
                }
            }
        });
        // A busy machine may not let anybody look for a while.
        let mut rounds = 0;
        while rounds < 500 || !(seen.load(Ordering::Relaxed) || looking.is_finished()) {
            let (_listener, name) = bind_private(&path, 0o600).unwrap();
            name.remove().unwrap();
            rounds += 1;
        }
        done.store(true, Ordering::Relaxed);
        looking.join().unwrap();
    });
}
