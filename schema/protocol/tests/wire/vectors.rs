//! The golden vectors of `tests/vectors`: bytes and what they mean, read here and from Python. What
//! they say is only ever added to: these are the bytes other releases send.
//!
//! `cargo test -p trainwire-protocol --test wire -- --ignored write_the_vectors` writes them anew.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use trainwire_protocol::id::{Delivery, Instance, JobId, SlabId, Token};
use trainwire_protocol::message::{
    AckEntry, AckKind, Bye, Checkpoint, CheckpointRef, Deliver, FromTrainer, Heartbeat, Hello, InHand,
    InHandState, Metric, MetricValue, Outcome, Place, Refused, Report, Role, Slab, Stop, TaskResult,
    ToTrainer, TrainerError, Welcome,
};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::json::{hex, msgpack, received, task, unhex};
use crate::messages::{Sent, receive, stream_of};

const FRAMES: &str = include_str!("../../../../tests/vectors/frames.json");
const TASKS: &str = include_str!("../../../../tests/vectors/tasks.json");
const MSGPACK: &str = include_str!("../../../../tests/vectors/msgpack.json");

/// The cases of a file, each with its bytes.
fn cases(file: &str) -> Vec<(String, Vec<u8>, Value)> {
    let file: Value = serde_json::from_str(file).unwrap();
    let cases = file.as_array().unwrap().iter();
    cases
        .map(|case| (case["name"].to_string(), unhex(case["bytes"].as_str().unwrap()), case.clone()))
        .collect()
}

#[test]
fn streams_mean_what_the_vectors_say_whole_and_byte_by_byte() {
    for (name, bytes, case) in cases(FRAMES) {
        for cuts in [vec![], vec![1; bytes.len()]] {
            assert_eq!(
                stream_case(&bytes, &cuts),
                (case["messages"].clone(), case["error"].clone()),
                "{name}"
            );
        }
    }
}

#[test]
fn tasks_mean_what_the_vectors_say() {
    for (name, bytes, case) in cases(TASKS) {
        match VerifiedTask::verify(Bytes::from(bytes)) {
            Ok(verified) => assert_eq!(task(&verified), case["task"], "{name}"),
            Err(error) => assert_eq!(error.code(), case["error"], "{name}"),
        }
    }
}

#[test]
fn msgpack_means_what_the_vectors_say() {
    for (name, bytes, case) in cases(MSGPACK) {
        match msgpack(&bytes) {
            Ok(value) => assert_eq!(value, case["value"], "{name}"),
            Err(error) => {
                assert_eq!(
                    (json!(error.code()), json!(error.at_byte)),
                    (case["error"].clone(), case["at_byte"].clone()),
                    "{name}"
                );
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "minutes, to compare texts")]
fn the_vectors_are_the_bytes_this_release_writes() {
    for (file, cases) in [(FRAMES, frames()), (TASKS, tasks()), (MSGPACK, msgpacks())] {
        let file: Vec<Value> = serde_json::from_str(file).unwrap();
        for case in cases {
            assert!(file.contains(&case), "{} is missing or differs", case["name"]);
        }
    }
}

#[test]
#[ignore = "writes into the source tree"]
fn write_the_vectors() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors");
    for (name, cases) in [("frames", frames()), ("tasks", tasks()), ("msgpack", msgpacks())] {
        let lines: Vec<_> = cases.iter().map(|case| format!("  {case}")).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        std::fs::write(format!("{folder}/{name}.json"), text).unwrap();
    }
}

fn stream_case(bytes: &[u8], cuts: &[usize]) -> (Value, Value) {
    let (messages, error) = receive(bytes, cuts);
    (messages.iter().map(received).collect(), json!(error.map(|error| error.code())))
}

fn frames() -> Vec<Value> {
    let case = |name: &str, bytes: &[u8]| {
        let (messages, error) = stream_case(bytes, &[]);
        json!({ "name": name, "bytes": hex(bytes), "messages": messages, "error": error })
    };
    let mut cases: Vec<_> =
        named_messages().iter().map(|(name, sent)| case(name, &stream_of(slice(sent)))).collect();
    let all: Vec<_> = named_messages().into_iter().map(|(_, sent)| sent).collect();
    cases.push(case("a whole connection in one stream", &stream_of(&all)));

    let good = stream_of(&[heartbeat()]);
    let spoilt = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (name, sent) in slab_messages().into_iter().chain(group_messages()) {
        cases.push(case(name, &stream_of(slice(&sent))));
    }
    cases.push(case("nothing", b""));
    cases.push(case("half a frame is no error", &good[..good.len() / 2]));
    cases.push(case("a frame and half a frame", &[&good[..], &good[..9]].concat()));
    cases.push(case("a length that is not 4 modulo 8", &spoilt(0, good[0] + 1)));
    cases.push(case("a length shorter than the meta part", &spoilt(0, good[0] - 8)));
    cases.push(case("a length longer than the meta part", &spoilt(0, good[0] + 8)));
    cases.push(case("a length of almost 4 GiB", &[&[0xfc, 0xff, 0xff, 0xff], &good[4..]].concat()));
    cases.push(case("kind 0", &spoilt(4, 0)));
    cases.push(case("kind 15", &spoilt(4, 15)));
    cases.push(case("a Slab without a descriptor", &spoilt(4, 4)));
    cases.push(case("a Release that is a Heartbeat", &spoilt(4, 13)));
    cases.push(case("a Slab of number 0", &stream_of(&[Sent::Slab(Slab { slab: SlabId(0), size: 1 }, 1)])));
    let mut with_more = stream_of(&[in_slab()]);
    with_more[0] += 8;
    with_more.extend_from_slice(&[0; 8]);
    cases.push(case("a Deliver in a slab that carries bytes as well", &with_more));
    cases.push(case("an unknown flag", &spoilt(5, 2)));
    cases.push(case("the descriptor flag on a Heartbeat", &spoilt(5, 1)));
    cases.push(case("more meta than 64 KiB", &spoilt(7, 0xff)));
    cases.push(case("a root offset beyond the end", &spoilt(8, 0xf0)));
    cases.push(case(
        "the good frame before a bad one still counts",
        &[&good[..], &spoilt(4, 99)[..]].concat(),
    ));
    let mut padded = stream_of(&[inline(b"thirteen byte")]);
    *padded.last_mut().unwrap() = 1;
    cases.push(case("padding that is not zero", &padded));
    let mut short = stream_of(&[inline(&[7; 16])]);
    short.truncate(short.len() - 8);
    short[0] -= 8;
    cases.push(case("a task shorter than announced", &short));
    cases
}

fn slice<T>(one: &T) -> &[T] {
    std::slice::from_ref(one)
}

fn heartbeat() -> Sent {
    Sent::FromTrainer(FromTrainer::Heartbeat(Heartbeat {
        running: Some(Delivery(7)),
        progress_age: Duration::from_millis(1_250),
    }))
}

fn deliver(task_size: u64, place: Place) -> Deliver {
    Deliver {
        delivery: Delivery(7),
        attempt: 2,
        task_size,
        place,
        work: Some("/var/lib/trainwire/digits/lr-0.1".into()),
        last_checkpoint: Some(CheckpointRef {
            path: "/data/epoch-1.pt".into(),
            step: Some(1_000),
            epoch: Some(1.0),
        }),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        time_left: Some(Duration::from_secs(3_600)),
    }
}

fn inline(task: &'static [u8]) -> Sent {
    Sent::Inline(deliver(task.len() as u64, Place::Inline), Bytes::from_static(task))
}

fn in_slab() -> Sent {
    Sent::InSlab(deliver(256 << 20, Place::Slab { slab: SlabId(1), offset: 4_096 }))
}

fn result(seq: u64, outcome: Outcome, metrics: Vec<Metric>) -> Sent {
    Sent::FromTrainer(FromTrainer::Result(TaskResult { delivery: Delivery(7), seq, outcome, metrics }))
}

fn named_messages() -> Vec<(&'static str, Sent)> {
    let number = |name: &str, value| Metric { name: name.into(), value: MetricValue::Number(value) };
    let metrics = || {
        vec![
            number("val/loss", 0.25),
            number("diverged", f64::NAN),
            Metric { name: "best".into(), value: MetricValue::Text("epoch-3.pt".into()) },
        ]
    };
    let error = |fatal| TrainerError {
        kind: "ValueError".into(),
        text: "Verlust ist unendlich – naïve Lernrate?".into(),
        traceback: "Traceback (most recent call last):\n  …\nValueError".into(),
        fatal,
        restarts: false,
    };
    let in_hand = |delivery, last_seq, state| InHand { delivery: Delivery(delivery), last_seq, state };
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        job_id: JobId::new("digits-2026.11").unwrap(),
        version: "trainwire 0.1.0 (Python 3.11)".into(),
        token: Some(Token(*b"0123456789abcdef")),
        instance: Instance(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        connection: 2,
        role: Role::Replica,
        rank: 3,
        world_size: 0,
        restart: 0,
        in_hand: vec![
            in_hand(5, 9, InHandState::Finished),
            in_hand(7, 1, InHandState::Running),
            in_hand(8, 0, InHandState::Queued),
        ],
        can_dump_stacks: true,
        held: vec![],
    };
    let by_hand =
        Hello { token: None, in_hand: vec![], role: Role::Primary, rank: 0, connection: 1, ..hello.clone() };
    let newer = Hello { protocol_min: 2, protocol_max: 9, ..by_hand.clone() };
    let welcome = Welcome {
        protocol: 1,
        heartbeat: Duration::from_secs(1),
        recv_timeout: Duration::from_secs(5),
        orphan_timeout: Duration::from_secs(600),
        spool: Some("/var/lib/trainwire/spool".into()),
        in_hand: vec![(Delivery(7), true), (Delivery(8), false)],
        poll: Duration::ZERO,
    };
    let refused = Refused {
        code: "protocol_version".into(),
        text: "this orchestrator speaks version 1; install trainwire 0.1".into(),
        retry_later: false,
        protocol_min: 1,
        protocol_max: 1,
    };
    let report = |steps, epochs, values: Vec<f64>, names: &[&str]| {
        Sent::FromTrainer(FromTrainer::Report(Report {
            delivery: Delivery(7),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            times_us: vec![1_763_900_000_000_000, 1_763_900_000_100_000],
            steps,
            epochs,
            values,
            thinned: 4,
        }))
    };
    let checkpoint = Checkpoint {
        delivery: Delivery(7),
        seq: 1,
        at: CheckpointRef { path: "/data/epoch-1.pt".into(), step: None, epoch: Some(1.0) },
        metrics: metrics(),
    };
    let ack = |seq, kind| AckEntry { delivery: Delivery(7), seq, kind };
    let stop = Stop {
        delivery: Delivery(7),
        reason: "cancelled".into(),
        time_left: Duration::from_secs(30),
        want_checkpoint: true,
        dump_stacks: true,
    };
    let bye = Bye { code: "job_done".into(), text: String::new() };
    let retry = Outcome::Retry { error: error(false), after: Some(Duration::from_millis(1_500)) };
    let returned = Outcome::Returned { code: "descriptor_missing".into() };
    vec![
        ("Hello of a started trainer that comes again", Sent::FromTrainer(FromTrainer::Hello(hello))),
        ("Hello of a trainer started by hand", Sent::FromTrainer(FromTrainer::Hello(by_hand))),
        ("Hello of a later protocol: the frozen fields", Sent::FromTrainer(FromTrainer::Hello(newer))),
        ("Welcome", Sent::ToTrainer(ToTrainer::Welcome(welcome))),
        ("Refused", Sent::ToTrainer(ToTrainer::Refused(refused))),
        ("Deliver with its task inline, no padding", inline(b"sixteen bytes ok")),
        ("Deliver with its task inline, padded", inline(b"thirteen byte")),
        ("Deliver with a descriptor", Sent::Flagged(deliver(1 << 30, Place::Descriptor), 1)),
        ("Started", Sent::FromTrainer(FromTrainer::Started(Delivery(7)))),
        (
            "Report with steps and epochs",
            report(Some(vec![1, 2]), Some(vec![0.5, 1.0]), vec![0.5, 1.0, 0.25, 2.0], &["loss", "lr"]),
        ),
        (
            "Report with neither, not finite",
            report(None, None, vec![f64::INFINITY, f64::NEG_INFINITY], &["loss"]),
        ),
        ("Report without metrics", report(Some(vec![-1, i64::MAX]), None, vec![], &[])),
        ("Checkpoint", Sent::FromTrainer(FromTrainer::Checkpoint(checkpoint))),
        ("Result: succeeded", result(2, Outcome::Succeeded, metrics())),
        ("Result: failed", result(2, Outcome::Failed(error(true)), vec![])),
        ("Result: stopped", result(2, Outcome::Stopped, metrics())),
        ("Result: retry", result(2, retry, vec![])),
        ("Result: returned", result(1, returned, vec![])),
        ("Ack", Sent::ToTrainer(ToTrainer::Ack(vec![ack(1, AckKind::Stored), ack(2, AckKind::Superseded)]))),
        ("Stop", Sent::ToTrainer(ToTrainer::Stop(stop))),
        ("Heartbeat", heartbeat()),
        (
            "Heartbeat of an idle trainer",
            Sent::FromTrainer(FromTrainer::Heartbeat(Heartbeat {
                running: None,
                progress_age: Duration::ZERO,
            })),
        ),
        ("Bye", Sent::ToTrainer(ToTrainer::Bye(bye))),
    ]
}

/// Not in the connection above, which is older.
fn slab_messages() -> Vec<(&'static str, Sent)> {
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        job_id: JobId::new("digits-2026.11").unwrap(),
        version: "trainwire 0.1.0 (Python 3.11)".into(),
        token: None,
        instance: Instance(7),
        connection: 2,
        role: Role::Primary,
        rank: 0,
        world_size: 0,
        restart: 0,
        in_hand: vec![],
        can_dump_stacks: false,
        held: vec![Delivery(3), Delivery(7)],
    };
    let welcome = Welcome {
        protocol: 1,
        heartbeat: Duration::from_secs(1),
        recv_timeout: Duration::from_secs(5),
        orphan_timeout: Duration::from_secs(600),
        spool: None,
        in_hand: vec![],
        poll: Duration::from_micros(50),
    };
    let released = vec![Delivery(3), Delivery(7)];
    vec![
        ("Hello of a trainer that holds parts of a slab", Sent::FromTrainer(FromTrainer::Hello(hello))),
        ("Welcome with polling", Sent::ToTrainer(ToTrainer::Welcome(welcome))),
        ("Slab", Sent::Slab(Slab { slab: SlabId(1), size: 512 << 20 }, 1)),
        ("Deliver in a slab", in_slab()),
        ("Release", Sent::FromTrainer(FromTrainer::Release(released))),
    ]
}

/// What ranks of a group say of themselves.
fn group_messages() -> Vec<(&'static str, Sent)> {
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        job_id: JobId::new("digits-2026.11").unwrap(),
        version: "trainwire 0.1.0 (Python 3.11)".into(),
        token: Some(Token(*b"0123456789abcdef")),
        instance: Instance(8),
        connection: 1,
        role: Role::Replica,
        rank: 1,
        world_size: 2,
        restart: 1,
        in_hand: vec![],
        can_dump_stacks: false,
        held: vec![],
    };
    let error = TrainerError {
        kind: "ValueError".into(),
        text: "bad batch".into(),
        traceback: String::new(),
        fatal: false,
        restarts: true,
    };
    vec![
        ("Hello of a replica that was started anew", Sent::FromTrainer(FromTrainer::Hello(hello))),
        ("Result of a rank that will be started anew", result(1, Outcome::Failed(error), vec![])),
    ]
}

fn tasks() -> Vec<Value> {
    let case = |name: &str, bytes: Vec<u8>| match VerifiedTask::verify(Bytes::from(bytes.clone())) {
        Ok(verified) => json!({ "name": name, "bytes": hex(&bytes), "task": task(&verified) }),
        Err(error) => json!({ "name": name, "bytes": hex(&bytes), "error": error.code() }),
    };
    let built = |builder: TaskBuilder| builder.build().unwrap().as_bytes().to_bytes().to_vec();
    let whole = unhex(BY_BUILDER[0].1);
    let raw = crate::raw::meta;
    use crate::raw::Field::{Text, Word};
    let long = "x".repeat(4_097);
    let cases = BY_BUILDER.map(|(name, bytes)| case(name, unhex(bytes))).into_iter();
    let cases = cases.chain([
        case("built by flatbuffers for Python", unhex(BY_PYTHON)),
        case("built by flatbuffers for Python, with a file identifier", unhex(BY_PYTHON_IDENTIFIED)),
        case("nothing", vec![]),
        case("three bytes", whole[..3].to_vec()),
        case("the first half", whole[..whole.len() / 2].to_vec()),
        case("zeros", vec![0; 64]),
        case("text", b"this is not a FlatBuffer, whatever its length".to_vec()),
        case("no task_id", raw(&[(1, Text("sgd"))])),
        case("no model_name", raw(&[(0, Text("a"))])),
        case("an empty task_id", raw(&[(0, Text("")), (1, Text("sgd"))])),
        case("a task_id with a NUL", raw(&[(0, Text("a\0b")), (1, Text("sgd"))])),
        case("a task_id of 4,097 bytes", raw(&[(0, Text(&long)), (1, Text("sgd"))])),
        case("negative max_epochs", raw(&[(0, Text("a")), (1, Text("sgd")), (3, Word(u64::MAX))])),
        case("a field of a later version", raw(&[(0, Text("a")), (1, Text("sgd")), (4, Word(1))])),
        case("laid out here", built(TaskBuilder::new("lr-0.1", "sgd").hyperparams(LR).max_epochs(20))),
        case("laid out here, defaults", built(TaskBuilder::new("a", "b"))),
        case("laid out here, no epochs at all", built(TaskBuilder::new("a", "b").max_epochs(0))),
        case("laid out here, names beyond ASCII", built(TaskBuilder::new("größe/½", "模型"))),
    ]);
    cases.collect()
}

fn msgpacks() -> Vec<Value> {
    let case = |name: &str, bytes: &[u8]| match msgpack(bytes) {
        Ok(value) => json!({ "name": name, "bytes": hex(bytes), "value": value }),
        Err(error) => {
            json!({ "name": name, "bytes": hex(bytes), "error": error.code(), "at_byte": error.at_byte })
        }
    };
    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    vec![
        case("hyperparameters", LR),
        case("an empty map", b"\x80"),
        case("a nested map", b"\x82\xa5model\x82\xa6layers\x93\x10\x20\x30\xa7dropout\xcb\x3f\xc9\x99\x99\x99\x99\x99\x9a\xa4seed\xcd\x30\x39"),
        case("every small scalar", b"\x99\xc0\xc2\xc3\x00\x7f\xe0\xff\xa0\xa3abc"),
        case("every integer", b"\x98\xcc\xff\xcd\xff\xff\xce\xff\xff\xff\xff\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd0\x80\xd1\x80\x00\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
        case("floats", b"\x92\xca\x3f\x00\x00\x00\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00"),
        case("floats that are not finite", b"\x93\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xca\x7f\x80\x00\x00\xca\xff\x80\x00\x00"),
        case("texts of every form", b"\x93\xd9\x02\xc3\xa9\xda\x00\x01a\xdb\x00\x00\x00\x01b"),
        case("bytes of every form", b"\x93\xc4\x01\x00\xc5\x00\x02\x01\x02\xc6\x00\x00\x00\x00"),
        case("extensions", b"\x93\xd4\x01\x00\xd6\xff\x00\x00\x00\x01\xc7\x03\x05abc"),
        case("long arrays and maps", b"\x92\xdc\x00\x01\xc0\xdf\x00\x00\x00\x01\xa1k\xdd\x00\x00\x00\x00"),
        case("keys that are not texts", b"\x82\x01\xa3one\xc0\xa4none"),
        case("20 levels", &nested(20)),
        case("129 levels", &nested(129)),
        case("10,000 levels", &nested(10_000)),
        case("nothing", b""),
        case("0xc1", b"\x92\x01\xc1"),
        case("cut in a number", b"\x81\xa2lr\xcb\x3f\xb9"),
        case("cut in a text", b"\x81\xa2lr\xa5ab"),
        case("an array longer than the rest", b"\x93\x01\x02"),
        case("an array of 4 billion", b"\xdd\xff\xff\xff\xff\x00"),
        case("a map of 4 billion", b"\x91\xdf\xff\xff\xff\xff\x00"),
        case("a text that is not UTF-8", b"\x81\xa1k\xa2\xff\xfe"),
        case("something behind the value", b"\x80\x00"),
    ]
}

/// `{"lr": 0.1}`, in 32 bit.
const LR: &[u8] = b"\x81\xa2lr\xca\x3d\xcc\xcc\xcd";

/// By the builder of the `flatbuffers` crate, before tasks were laid out head first.
const BY_BUILDER: [(&str, &str); 4] = [
    (
        "built here",
        "100000000c001400040008000c0010000c00000010000000180000001c00000014000000060000006c722d302e31000003000000736764000900000081a26c72ca3dcccccd000000",
    ),
    (
        "built here, defaults",
        "1000000000000a001000040008000c000a0000000c00000010000000140000000100000061000000010000006200000000000000",
    ),
    (
        "built here, no epochs at all",
        "100000000c001400040008000c0010000c000000100000001400000018000000000000000100000061000000010000006200000000000000",
    ),
    (
        "built here, names beyond ASCII",
        "1000000000000a001000040008000c000a0000000c00000018000000200000000a0000006772c3b6c39f652fc2bd000006000000e6a8a1e59e8b000000000000",
    ),
];

/// The stock package, version 25.12.19: lr-0.1, sgd, the bytes of `LR`, 20 epochs.
const BY_PYTHON: &str = "100000000c001400040008000c0010000c00000010000000180000001c00000014000000060000006c722d302e31000003000000736764000900000081a26c72ca3dcccccd000000";

/// The same, finished with a file identifier.
const BY_PYTHON_IDENTIFIED: &str = "140000005441534b0c001400040008000c0010000c00000010000000180000001c00000014000000060000006c722d302e31000003000000736764000900000081a26c72ca3dcccccd000000";
