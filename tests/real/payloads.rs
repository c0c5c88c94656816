//! What arrives: large tasks, many tasks, and a journal others can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use trainwire::record::{Record, Scalar};
use trainwire::{Event, Seq, TaskBuffer, TaskEnd, TaskOutcome, TrainingTask, What};
use trainwire_tests::{Stage, Watch, within};

#[tokio::test]
async fn three_mebibytes_arrive_as_sealed_memory_byte_for_byte() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        Path(task.task_id).write_bytes(task.hyperparams)
        maps = Path('/proc/self/maps').read_text()
        task.finish(mapped=any('memfd:' in line for line in maps.splitlines()))
";
    // No repetition a lost or doubled page could hide in.
    let bytes: Vec<u8> =
        (0..3_u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).step_by(4).collect();
    let job = stage.job("large", program);
    let large = TrainingTask::new("large", "m").hyperparams(bytes.clone());
    let small = TrainingTask::new("small", "m").hyperparams(&bytes[..1000]);
    let mut watch = Watch::new(&stage.submit(job.task(small).task(large)).await);
    let outcome = watch.outcome().await;
    let mapped: Vec<_> = outcome
        .tasks
        .iter()
        .map(|task| match &task.state {
            TaskEnd::Succeeded { metrics } => format!("{:?}", metrics[0].1),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(mapped, ["Number(0.0)", "Number(1.0)"]);
    assert!(fs::read(stage.path("large")).expect("a file") == bytes);
    assert!(fs::read(stage.path("small")).expect("a file") == bytes[..1000]);
}

#[tokio::test]
async fn what_is_produced_in_place_is_what_numpy_reads_in_every_attempt() {
    let stage = Stage::new().await;
    let program = "
import numpy

for task in trainwire.tasks():
    with task:
        view = numpy.frombuffer(task.hyperparams, dtype=numpy.uint8)
        start = view.ctypes.data
        for line in Path('/proc/self/maps').read_text().splitlines():
            low, high = (int(end, 16) for end in line.split()[0].split('-'))
            if low <= start < high:
                name, inode = line.split()[5], int(line.split()[4])
        with open(task.task_id, 'a') as attempts:
            attempts.write(f'{inode}\\n')
        if task.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        task.finish(
            text=f'{task.task_id} {task.model_name} {task.max_epochs}',
            name=name,
            in_page=start % 4096,
            writable=view.flags.writeable,
            size=view.size,
            sum=int(view.sum(dtype=numpy.uint64)),
        )
";
    // Small pages and huge ones, written as a slice and as a stream.
    let sizes = [100_000, (9 << 20) + 1];
    let bytes = |size: u32| (0..size).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    let mut slice = TaskBuffer::new("slice", "größe", sizes[0]).expect("memory").max_epochs(3);
    for (place, byte) in slice.as_mut_slice().iter_mut().zip(bytes(100_000)) {
        *place = byte;
    }
    let mut stream = TaskBuffer::new("stream", "größe", sizes[1]).expect("memory").max_epochs(4);
    let all: Vec<u8> = bytes(u32::try_from(sizes[1]).expect("a size")).collect();
    for part in all.chunks(1 << 20) {
        stream.write_all(part).expect("room");
    }
    let tasks = [slice, stream].map(|buffer| buffer.finish().expect("a task"));
    let job = stage.job("in-place", program).max_losses(2).tasks(tasks);
    let mut watch = Watch::new(&stage.submit(job).await);
    let outcome = watch.outcome().await;
    for (task, (size, epochs)) in outcome.tasks.iter().zip(sizes.into_iter().zip([3, 4])) {
        let sum: u64 = all[..size].iter().copied().map(u64::from).sum();
        let numbers = ["in_page", "writable", "size", "sum"].map(|name| number(task, name));
        assert_eq!(numbers, [0.0, 0.0, size as f64, sum as f64], "{:#?}", watch.seen);
        assert_eq!(metric(task, "text"), Scalar::Text(format!("{} größe {epochs}", task.task_id)));
        assert_eq!(metric(task, "name"), Scalar::Text("/memfd:trainwire-payload".to_owned()));
        let attempts = fs::read_to_string(stage.path(&task.task_id)).expect("a file");
        let mut memories: Vec<_> = attempts.lines().collect();
        assert!(memories.len() >= 2, "{attempts}");
        memories.dedup();
        assert_eq!(memories.len(), 1, "filled again: {attempts}");
    }
}

#[tokio::test]
async fn many_short_tasks_sent_ahead_all_succeed_exactly_once() {
    let stage = Stage::new().await;
    let program = "
with open('done', 'a', buffering=1) as done:
    for task in trainwire.tasks():
        with task:
            done.write(task.task_id + '\\n')
            task.finish(n=task.params['n'])
";
    let tasks = (0..1_000).map(|n: u32| {
        TrainingTask::new(format!("task-{n}"), "m").params(&BTreeMap::from([("n", n)])).expect("params")
    });
    let job = stage.job("many", program).trainers(2).window(64).tasks(tasks);
    let mut watch = Watch::new(&stage.submit(job).await);
    let outcome = watch.outcome().await;
    for (n, task) in outcome.tasks.iter().enumerate() {
        let TaskEnd::Succeeded { metrics } = &task.state else { panic!("{task:?}") };
        assert_eq!(format!("{:?}", metrics[0].1), format!("Number({n}.0)"));
        assert_eq!(task.attempts, 1);
    }
    let mut done: Vec<_> =
        fs::read_to_string(stage.path("done")).expect("a file").lines().map(str::to_owned).collect();
    done.sort();
    done.dedup();
    assert_eq!((outcome.tasks.len(), done.len(), watch.endings().len()), (1_000, 1_000, 1_000));
}

#[tokio::test]
async fn the_journal_is_the_event_stream_and_any_sqlite_reads_it() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.report(loss=0.5)
        if task.attempt == 1:
            raise ValueError('once')
        task.finish(accuracy=0.9)
";
    let job = stage.job("told", program).max_failures(2);
    let tasks = ["a", "b"].map(|id| TrainingTask::new(id, "m"));
    let job = stage.submit(job.tasks(tasks)).await;
    let mut watch = Watch::new(&job);
    assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
    let is_record = |event: &Event| matches!(event.what, What::Record(_));
    let live: Vec<Event> = std::mem::take(&mut watch.seen).into_iter().filter(is_record).collect();
    assert!(live.windows(2).all(|pair| pair[0].seq < pair[1].seq));

    let mut again = Watch::new(&job);
    again.outcome().await;
    assert_eq!(again.seen, live);
    let middle = live[live.len() / 2].seq;
    let mut rest = job.events_since(middle);
    let mut later = Vec::new();
    while let Some(event) = within(rest.next()).await {
        later.push(event);
    }
    assert_eq!(later, live[live.len() / 2 + 1..]);

    stage.orchestrator.shutdown().await;
    let journal = rusqlite::Connection::open(stage.path("state/journal.sqlite")).expect("a database");
    let mut statement = journal.prepare("SELECT seq, event, body FROM records ORDER BY seq").expect("SQL");
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)));
    let rows: Vec<_> = rows.expect("rows").collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows.len(), live.len());
    for ((seq, name, body), event) in rows.iter().zip(&live) {
        assert_eq!(Seq(u64::try_from(*seq).expect("a number")), event.seq);
        assert!(body.contains(name.as_str()), "{name}: {body}");
    }
    let ended = live.iter().filter(|event| matches!(event.what, What::Record(Record::Ended { .. }))).count();
    assert_eq!(rows.iter().filter(|(_, name, _)| name == "ended").count(), ended);
}

/// A metric of a task that succeeded.
fn metric(task: &TaskOutcome, name: &str) -> Scalar {
    let TaskEnd::Succeeded { metrics } = &task.state else { panic!("{task:?}") };
    let found = metrics.iter().find(|(found, _)| *found == *name);
    found.unwrap_or_else(|| panic!("no {name}: {metrics:?}")).1.clone()
}

fn number(task: &TaskOutcome, name: &str) -> f64 {
    match metric(task, name) {
        Scalar::Number(number) => number,
        Scalar::Text(text) => panic!("{name} is {text:?}"),
    }
}
