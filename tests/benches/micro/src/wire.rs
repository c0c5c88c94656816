//! A connection without a socket, and the messages that go over it.

use std::sync::Arc;

use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter};
use trainwire_protocol::id::{Delivery, Instance, JobId};
use trainwire_protocol::message::{
    Deliver, Hello, Metric, MetricValue, Outcome, Place, Report, Role, TaskResult, Welcome,
};
use trainwire_protocol::session::Identity;
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

/// What a socket would do: everything the writer has goes into the reader.
pub(crate) fn carry(writer: &mut FrameWriter, reader: &mut FrameReader) {
    while !writer.is_empty() {
        let mut carried = 0;
        for slice in writer.io_slices().iter() {
            let spare = reader.spare();
            let count = slice.len().min(spare.len());
            spare[..count].copy_from_slice(&slice[..count]);
            reader.advance(count);
            carried += count;
            if count < slice.len() {
                break;
            }
        }
        writer.advance(carried);
    }
}

/// Of 256 bytes.
pub(crate) fn task() -> VerifiedTask {
    TaskBuilder::new("task-00000001", "model").hyperparams(vec![7; 160]).build().expect("a small task")
}

pub(crate) fn deliver(delivery: u64, size_bytes: usize) -> Deliver {
    let work = Some("/tmp/trainwire/jobs/job/work/1-task-00000001".to_owned());
    Deliver { work, ..Deliver::new(Delivery(delivery), size_bytes as u64, Place::Inline) }
}

pub(crate) fn inline(task: &VerifiedTask) -> DeliverPayload {
    DeliverPayload::Inline(task.as_bytes().clone())
}

pub(crate) fn report(rows: usize) -> Report {
    let names: Arc<[String]> = ["loss", "a", "b", "c"].map(str::to_owned).into();
    Report {
        delivery: Delivery(1),
        times_us: (0..rows as u64).collect(),
        steps: Some((0..rows as i64).collect()),
        epochs: None,
        values: (0..rows * names.len()).map(|value| value as f64).collect(),
        names,
        thinned: 0,
    }
}

pub(crate) fn metrics() -> Vec<Metric> {
    ["loss", "accuracy"].map(|name| Metric { name: name.to_owned(), value: MetricValue::Number(0.5) }).into()
}

pub(crate) fn result(delivery: u64) -> TaskResult {
    TaskResult { delivery: Delivery(delivery), seq: 1, outcome: Outcome::Succeeded, metrics: metrics() }
}

pub(crate) fn job_id() -> JobId {
    JobId::new("job").expect("a job id")
}

pub(crate) fn hello() -> Hello {
    Hello { version: "micro".to_owned(), ..Hello::new(job_id(), Instance(7)) }
}

pub(crate) fn identity() -> Identity {
    Identity {
        job_id: job_id(),
        token: None,
        instance: Instance(7),
        role: Role::Primary,
        rank: 0,
        world_size: 0,
        restart: 0,
        version: "micro".to_owned(),
        can_dump_stacks: false,
    }
}

pub(crate) fn welcome() -> Welcome {
    Welcome::default()
}
