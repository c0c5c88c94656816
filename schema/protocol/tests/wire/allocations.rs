//! The steady path: what a connection costs in memory once it runs.
#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, AckKind, Deliver, FromTrainer, Heartbeat, Place, ToTrainer};
use trainwire_protocol::task_builder::TaskBuilder;

use crate::messages::reader;

struct Counting;

thread_local! {
    /// Of this thread, because tests run beside each other.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the ones `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn deliver(task: &Bytes) -> Deliver {
    Deliver::new(Delivery(7), task.len() as u64, Place::Inline)
}

/// Moves what the writer holds into the reader, as far as it takes it at once.
fn pass_on(writer: &mut FrameWriter, reader: &mut FrameReader) {
    let spare = reader.spare();
    let mut n = 0;
    for slice in writer.io_slices().iter() {
        let step = slice.len().min(spare.len() - n);
        spare[n..n + step].copy_from_slice(&slice[..step]);
        n += step;
    }
    writer.advance(n);
    reader.advance(n);
}

/// Sends a task and gives what the other end makes of it.
fn send(writer: &mut FrameWriter, reader: &mut FrameReader, deliver: &Deliver, task: &Bytes) -> Bytes {
    writer.push_deliver(deliver, DeliverPayload::Inline(task.clone().into())).unwrap();
    loop {
        pass_on(writer, reader);
        if let Some(frame) = reader.next().unwrap() {
            return frame.decode_to_trainer().unwrap().1.unwrap();
        }
    }
}

#[test]
fn dropped_tasks_leave_their_block_to_the_next() {
    for size_bytes in [256, 4 << 10, 20 << 10, 64 << 10, 1 << 20] {
        let task = Bytes::from(vec![7; size_bytes]);
        let (deliver, mut writer, mut reader) = (deliver(&task), FrameWriter::default(), reader());
        let mut rounds = |count: usize| {
            for _ in 0..count {
                assert_eq!(send(&mut writer, &mut reader, &deliver, &task), task);
            }
        };
        rounds(3);
        let tasks = if cfg!(miri) { 5 } else { 100 };
        let allocations = allocations_of(|| rounds(tasks));
        assert_eq!(allocations, tasks as u64, "one a task of {size_bytes} bytes: its handle or its copy");
        assert!(
            reader.blocks_allocated() <= 3,
            "{} blocks for {size_bytes} bytes",
            reader.blocks_allocated()
        );
    }
}

#[test]
fn a_task_above_4_kib_is_copied_by_the_kernel_alone() {
    for size_bytes in [(4 << 10) + 8, 20 << 10, 64 << 10, 1 << 20] {
        let task = Bytes::from(vec![7; size_bytes]);
        let (deliver, mut writer, mut reader) = (deliver(&task), FrameWriter::default(), reader());
        let mut copied = (0, 0);
        let mut rounds = |count: usize| {
            for _ in 0..count {
                copied = (0, 0);
                writer.push_deliver(&deliver, DeliverPayload::Inline(task.clone().into())).unwrap();
                let offered = writer.io_slices().iter().map(|slice| shared(slice, &task)).sum::<usize>();
                copied.0 = size_bytes - offered;
                let mut lent = Vec::new();
                let received = loop {
                    lent.push(reader.spare().as_ptr_range());
                    pass_on(&mut writer, &mut reader);
                    if let Some(frame) = reader.next().unwrap() {
                        break frame.decode_to_trainer().unwrap().1.unwrap();
                    }
                };
                // What lies where the kernel was asked to put it, was put there by the kernel.
                let end = lent.last().unwrap().end;
                let in_place =
                    lent.iter().filter(|lent| lent.end == end).map(|lent| lent.start).min().unwrap();
                let from = received.as_ptr().max(in_place);
                copied.1 = size_bytes - (received.as_ptr_range().end.addr().saturating_sub(from.addr()));
            }
            copied
        };
        rounds(3);
        for _ in 0..if cfg!(miri) { 3 } else { 50 } {
            assert_eq!(rounds(1), (0, 0), "copied of {size_bytes} bytes by the sender and the receiver");
        }
    }
}

#[test]
fn hyperparameters_above_4_kib_are_sent_from_where_they_were_given() {
    for size_bytes in [(4 << 10) + 1, 20 << 10, 64 << 10] {
        let hyperparams = vec![7; size_bytes];
        let given = hyperparams.as_ptr_range();
        let task = TaskBuilder::new("t", "m").hyperparams(hyperparams).build().unwrap();
        let bytes = task.as_bytes().to_bytes();
        let (deliver, mut writer) = (deliver(&bytes), FrameWriter::default());
        writer.push_deliver(&deliver, DeliverPayload::Inline(task.as_bytes().clone())).unwrap();
        assert!(writer.io_slices().iter().any(|slice| slice.as_ptr_range() == given));
        let mut reader = reader();
        let received = loop {
            pass_on(&mut writer, &mut reader);
            if let Some(frame) = reader.next().unwrap() {
                break frame.decode_to_trainer().unwrap().1.unwrap();
            }
        };
        assert_eq!(received, bytes);
    }
}

/// How much of a piece lies in a task.
fn shared(piece: &[u8], task: &Bytes) -> usize {
    let (piece, task) = (piece.as_ptr_range(), task.as_ptr_range());
    piece.end.min(task.end).addr().saturating_sub(piece.start.max(task.start).addr())
}

#[test]
fn a_task_that_is_kept_is_never_written_over() {
    let (mut writer, mut reader) = (FrameWriter::default(), reader());
    let mut kept = Vec::new();
    for n in 0..if cfg!(miri) { 4 } else { 50_u8 } {
        let task = Bytes::from(vec![n; 10_000 + usize::from(n)]);
        kept.push((send(&mut writer, &mut reader, &deliver(&task), &task), task));
        if n % 3 == 0 {
            kept.remove(usize::from(n) % kept.len());
        }
        assert!(kept.iter().all(|(received, sent)| received == sent));
    }
}

#[test]
fn a_kept_task_keeps_at_most_eight_times_its_size() {
    let (mut writer, mut reader) = (FrameWriter::default(), reader());
    let large = Bytes::from(vec![7; 64 << 10]);
    send(&mut writer, &mut reader, &deliver(&large), &large);
    let small = Bytes::from(vec![7; 256]);
    let before = reader.blocks_allocated();
    let kept: Vec<_> = (0..100).map(|_| send(&mut writer, &mut reader, &deliver(&small), &small)).collect();
    assert_eq!(reader.blocks_allocated(), before, "copies keep no block");
    assert!(kept.iter().all(|task| *task == small));
}

#[test]
fn messages_of_a_short_task_cost_nothing_to_write_and_little_to_read() {
    let (mut writer, mut reader) = (FrameWriter::default(), reader());
    let ack = ToTrainer::Ack(vec![AckEntry { delivery: Delivery(7), seq: 1, kind: AckKind::Stored }]);
    let heartbeat =
        FromTrainer::Heartbeat(Heartbeat { running: None, progress_age: std::time::Duration::ZERO });
    let mut round = || {
        writer.push_from_trainer(&FromTrainer::Started(Delivery(7))).unwrap();
        writer.push_from_trainer(&heartbeat).unwrap();
        writer.push_to_trainer(&ack).unwrap();
        pass_on(&mut writer, &mut reader);
        for _ in 0..2 {
            reader.next().unwrap().unwrap().decode_from_trainer().unwrap();
        }
        reader.next().unwrap().unwrap().decode_to_trainer().unwrap();
    };
    round();
    assert_eq!(allocations_of(round), 1, "the entries of the Ack");
    assert_eq!(reader.blocks_allocated(), 1);
}
