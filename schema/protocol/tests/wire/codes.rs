//! Codes are for programs: they only grow.

use std::collections::BTreeSet;
use std::time::Duration;

use flatbuffers::InvalidFlatbuffer;
use trainwire_protocol::error::{Fault, ProtocolError};
use trainwire_protocol::frame::Kind;
use trainwire_protocol::id::SlabId;
use trainwire_protocol::msgpack::{MsgpackError, MsgpackErrorKind};
use trainwire_protocol::task::TaskError;

/// Every code this crate gives. Append; a code that was in a release is never renamed or removed.
const CODES: [&str; 35] = [
    "bad_flags",
    "bad_job_id",
    "bad_length",
    "bad_max_epochs",
    "bad_meta",
    "bad_padding",
    "bad_range",
    "bad_report",
    "bad_task",
    "bad_value",
    "descriptor_not_given",
    "descriptor_surplus",
    "frame_timeout",
    "handshake_timeout",
    "hello_expected",
    "hello_twice",
    "message_too_large",
    "meta_too_large",
    "msgpack_length",
    "msgpack_not_utf8",
    "msgpack_reserved",
    "msgpack_too_deep",
    "msgpack_trailing_bytes",
    "msgpack_truncated",
    "protocol_version",
    "string_too_long",
    "task_field_empty",
    "task_field_nul",
    "task_field_too_long",
    "task_too_large",
    "too_many_entries",
    "unknown_kind",
    "unsendable",
    "wrong_direction",
    "wrong_task",
];

#[test]
fn codes_are_unique_and_listed() {
    let mut seen = BTreeSet::new();
    let protocol = protocol_errors();
    let tasks = task_errors();
    let msgpack = msgpack_errors();
    let codes = (protocol.iter().map(ProtocolError::code))
        .chain(tasks.iter().map(TaskError::code))
        .chain(msgpack.iter().map(MsgpackError::code))
        .chain(["bad_job_id"]);
    for code in codes {
        assert!(seen.insert(code), "{code} is given twice");
        assert!(code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{code}");
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), CODES);
}

#[test]
fn errors_say_whose_fault_they_are_and_what_is_wrong() {
    for error in protocol_errors() {
        let callers = ["bad_range", "descriptor_not_given", "message_too_large", "unsendable", "wrong_task"];
        let callers = callers.contains(&error.code());
        assert_eq!(error.fault(), if callers { Fault::Caller } else { Fault::Peer });
        assert!(!error.to_string().is_empty());
    }
}

fn protocol_errors() -> Vec<ProtocolError> {
    let (kind, field, after) = (Kind::Deliver, "Deliver.work", Duration::from_secs(5));
    vec![
        ProtocolError::BadLength { length: 3, kind_byte: 5, limit: 4 },
        ProtocolError::MetaTooLarge { size_bytes: 2, limit_bytes: 1 },
        ProtocolError::BadFlags { flags: 2, kind },
        ProtocolError::UnknownKind { kind_byte: 99 },
        ProtocolError::WrongDirection { kind },
        ProtocolError::BadPadding { task_size: 1, after_meta_bytes: 16 },
        ProtocolError::BadMeta { kind, cause: InvalidFlatbuffer::TooManyTables },
        ProtocolError::StringTooLong { field, size_bytes: 2, limit_bytes: 1 },
        ProtocolError::TooMany { field, count: 2, limit: 1 },
        ProtocolError::BadValue { field, problem: "is missing" },
        ProtocolError::BadReport { names: 1, times: 1, steps: 0, epochs: 0, values: 2 },
        ProtocolError::HelloExpected { kind },
        ProtocolError::HelloTwice { kind },
        ProtocolError::Version { ours: (1, 1), theirs: (2, 3) },
        ProtocolError::HandshakeTimeout { after },
        ProtocolError::FrameTimeout { after },
        ProtocolError::DescriptorSurplus,
        ProtocolError::MessageTooLarge { kind, size_bytes: 2, limit_bytes: 1 },
        ProtocolError::Unsendable(Box::new(ProtocolError::TooMany { field, count: 2, limit: 1 })),
        ProtocolError::WrongTask { announced_bytes: 1, size_bytes: 2, place: "inline" },
        ProtocolError::DescriptorNotGiven,
        ProtocolError::BadRange { slab: SlabId(1), offset: 4, size: 2 },
    ]
}

fn task_errors() -> Vec<TaskError> {
    let field = "task_id";
    vec![
        TaskError::TooLarge { size_bytes: 2, limit_bytes: 1 },
        TaskError::NotATask(InvalidFlatbuffer::TooManyTables),
        TaskError::Empty { field },
        TaskError::TooLong { field, size_bytes: 2, limit_bytes: 1 },
        TaskError::Nul { field, at: 0 },
        TaskError::NegativeEpochs { max_epochs: -1 },
    ]
}

fn msgpack_errors() -> Vec<MsgpackError> {
    use MsgpackErrorKind::{LengthBeyondEnd, NotUtf8, Reserved, TooDeep, TrailingBytes, Truncated};
    [Truncated, LengthBeyondEnd, Reserved, TooDeep, NotUtf8, TrailingBytes]
        .map(|kind| MsgpackError { kind, at_byte: 0 })
        .to_vec()
}
