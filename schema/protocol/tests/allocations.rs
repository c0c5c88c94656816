//! Reporting on allocates nothing, in the buffer, the session and the writer alike. A test of its own:
//! the allocator that counts is the whole process's.
#![allow(unsafe_code, reason = "an allocator that counts")]
#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance, JobId};
use trainwire_protocol::message::{Deliver, Place, Role, ToTrainer, Welcome};
use trainwire_protocol::session::{
    Identity, Numbers, OutboxLimits, Row, RowBuffer, RowLimits, Then, TrainerSession,
};

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

const DELIVERY: Delivery = Delivery(1);

#[test]
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

/// A session in the middle of a task.
fn running(now: Instant) -> TrainerSession {
    let identity = Identity {
        job_id: JobId::new("job").expect("a job id"),
        token: None,
        instance: Instance(1),
        role: Role::Primary,
        rank: 0,
        version: String::new(),
        can_dump_stacks: false,
    };
    let mut session = TrainerSession::new(identity, OutboxLimits::default());
    session.connected(now);
    session.poll_transmit(now, &mut FrameWriter::default()).expect("a Hello");
    let mut writer = FrameWriter::default();
    let welcome = Welcome {
        protocol: 1,
        heartbeat: Duration::from_secs(1),
        recv_timeout: Duration::from_secs(5),
        orphan_timeout: Duration::from_secs(600),
        spool: None,
        in_hand: Vec::new(),
        poll: Duration::ZERO,
    };
    writer.push_to_trainer(&ToTrainer::Welcome(welcome)).expect("a Welcome");
    let deliver = Deliver {
        delivery: DELIVERY,
        attempt: 1,
        task_size: 8,
        place: Place::Inline,
        work: None,
        last_checkpoint: None,
        traceparent: None,
        time_left: None,
    };
    writer.push_deliver(&deliver, DeliverPayload::Inline(vec![0; 8].into())).expect("a Deliver");
    let mut reader = FrameReader::new(ReaderLimits::default());
    for slice in writer.io_slices().iter() {
        reader.spare()[..slice.len()].copy_from_slice(slice);
        reader.advance(slice.len());
    }
    while let Some(frame) = reader.next().expect("whole frames") {
        session.handle_frame(now, &frame).expect("an honest orchestrator");
    }
    while session.poll_event().is_some() {}
    assert!(session.start(now, DELIVERY));
    session
}
