//! A disk that is full now and then.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{FallocateFlags, fallocate};

use crate::random::Random;

/// Fills a disk and makes room again, until it is dropped.
pub(crate) struct Filler {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    pub(crate) fn start(disk: &Path, seed: u64) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (asked, fill) = (Arc::clone(&end), path(disk));
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(seed);
            while !asked.load(Ordering::Relaxed) {
                // Where there is no room for its name, it is full already.
                if let Ok(file) = File::create(&fill) {
                    let mut taken = 0;
                    for size in [1 << 20, 4 << 10] {
                        while fallocate(&file, FallocateFlags::empty(), taken, size).is_ok() {
                            taken += size;
                        }
                    }
                }
                std::thread::sleep(random.ms(0, 100));
                let _ = fs::remove_file(&fill);
                std::thread::sleep(random.ms(0, 500));
            }
        });
        Self { end, thread: Some(thread) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// There is room again after a power cut.
pub(crate) fn make_room(disk: &Path) {
    let _ = fs::remove_file(path(disk));
}

fn path(disk: &Path) -> PathBuf {
    disk.join("fill")
}
