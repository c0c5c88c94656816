//! Single operations of the hot paths, without sockets and threads: their time is measured by
//! `benches/micro.rs`, their instructions are counted by `instructions.rs`. Each checks what it did.

mod codec;
mod payloads;
mod scheduler;
mod sessions;
mod wire;

use std::fmt;

/// Something that can be done again and again, at the same cost each time.
pub struct Operation {
    /// In tables and in the file of counts.
    pub name: &'static str,
    prepare: fn() -> Run,
}

/// Does it once.
pub type Run = Box<dyn FnMut()>;

/// All of them, as they are shown.
pub const OPERATIONS: &[Operation] = &[
    Operation { name: "encode Deliver, 256 B inline", prepare: codec::encode_deliver },
    Operation { name: "decode Deliver, 256 B inline", prepare: codec::decode_deliver },
    Operation { name: "encode Report, 100 rows of 4", prepare: codec::encode_report },
    Operation { name: "decode Report, 100 rows of 4", prepare: codec::decode_report },
    Operation { name: "encode Result", prepare: codec::encode_result },
    Operation { name: "decode Result", prepare: codec::decode_result },
    Operation { name: "cut 64 KiB of heartbeats into frames", prepare: codec::cut_frames },
    Operation { name: "build a task of 256 B", prepare: payloads::build_task },
    Operation { name: "verify a task of 256 B", prepare: payloads::verify_small },
    Operation { name: "verify a task of 16 MiB", prepare: payloads::verify_large },
    Operation { name: "walk msgpack, 100 keys", prepare: payloads::walk_flat },
    Operation { name: "walk msgpack, 10,000 keys, nested", prepare: payloads::walk_nested },
    Operation { name: "put a row into columns", prepare: sessions::push_row },
    Operation { name: "a heartbeat through both sessions", prepare: sessions::heartbeat },
    Operation { name: "a task there and back through both sessions", prepare: sessions::task },
    Operation { name: "Scheduler: submit, deliver, start, result", prepare: scheduler::task },
    Operation { name: "Scheduler: a job from its Hello to its end", prepare: scheduler::job },
];

impl Operation {
    /// Everything that comes before, and what is then to be repeated.
    pub fn prepare(&self) -> Run {
        (self.prepare)()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_can_be_repeated() {
        for operation in OPERATIONS {
            let mut run = operation.prepare();
            (0..300).for_each(|_| run());
        }
    }
}
