//! Any bytes as a task: refused, or every field can be read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trainwire_protocol::msgpack;
use trainwire_protocol::task::VerifiedTask;

fuzz_target!(|data: &[u8]| {
    if let Ok(task) = VerifiedTask::verify(Bytes::copy_from_slice(data)) {
        let _ = format!("{task:?}");
        let _ = msgpack::check(&task.hyperparams_bytes());
    }
});
