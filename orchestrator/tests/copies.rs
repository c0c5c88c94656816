//! What a submission costs in memory: bytes from the heap are copied once, to where they travel from.
#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use trainwire::{Config, Durability, Job, Orchestrator, TrainingTask};

struct Counting;

/// In bytes, of all threads: the copy is made on one of the runtime's.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[tokio::test]
async fn a_large_task_is_copied_into_the_memory_it_travels_in_and_nowhere_else() {
    const SIZE_BYTES: usize = 32 << 20;
    let folder = tempfile::tempdir().unwrap();
    let config = Config { socket_dir: folder.path().to_owned(), ..Config::default() };
    let orchestrator = Orchestrator::start(config).await.unwrap();
    for slab in [None, Some(4 * SIZE_BYTES as u64)] {
        let mut job = Job::new(if slab.is_some() { "slab" } else { "sealed" }).unwrap();
        job = job.attach(true).open().durability(Durability::Volatile);
        if let Some(size_bytes) = slab {
            job = job.slab(size_bytes);
        }
        let job = orchestrator.submit(job).await.unwrap();
        let task = TrainingTask::new("large", "m").hyperparams(vec![7; SIZE_BYTES]);
        let before = ALLOCATED.load(Ordering::Relaxed);
        job.submit(task).await.unwrap();
        let allocated = ALLOCATED.load(Ordering::Relaxed) - before;
        assert!(allocated < SIZE_BYTES / 16, "{allocated} bytes on the heap");
        assert_eq!(job.slab_usage().map(|usage| usage.used_bytes > SIZE_BYTES as u64), slab.map(|_| true));
        job.kill().await.unwrap();
    }
}
