//! Reporting on allocates nothing, in the buffer, the session and the writer alike. A test of its own:
//! the allocator that counts is the whole process's.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use common::{DELIVERY, running};
use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::session::{Numbers, Row, RowBuffer, RowLimits, Then};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised us; it came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised us; it came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn reporting_on_allocates_nothing() {
    let now = Instant::now();
    let mut session = running(now);
    let mut rows = RowBuffer::new(RowLimits::default());
    let metrics = [("loss", 0.0), ("a", 0.0), ("b", 0.0), ("c", 0.0)];
    let like = Row { time_us: 0, step: Some(0), epoch: None, metrics: &metrics };
    let shape = rows.shape_of(DELIVERY, &like).expect("a plain row");
    let mut writer = FrameWriter::default();
    let mut sent_bytes = 0;
    let mut report = |steps: std::ops::Range<u64>| {
        for step in steps {
            let values = [&[0.5, 1.0][..], &[2.0, 3.0], &[]];
            let row = Numbers { time_us: step, step: Some(step as i64), epoch: None, values };
            assert!(rows.push(shape, DELIVERY, row));
            if rows.then(step, false) == Then::Send {
                session.report(now, &mut rows);
                while {
                    session.poll_transmit(now, &mut writer).expect("plain rows can be sent");
                    !writer.is_empty()
                } {
                    let bytes = writer.io_slices().iter().map(|slice| slice.len()).sum();
                    sent_bytes += bytes;
                    writer.advance(bytes);
                }
            }
        }
    };
    report(0..50_000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    report(50_000..550_000);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert!(sent_bytes > 500_000 * 48, "{sent_bytes}");
}
