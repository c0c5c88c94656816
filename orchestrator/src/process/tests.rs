use std::collections::BTreeMap;
use std::path::Path;

use trainwire_protocol::id::{JobId, Token};
use trainwire_protocol::task_builder::TaskBuilder;
use trainwire_unix::ProcessIdentity;

use super::*;
use crate::job::JobSpec;
use crate::record::{Exit, TrainerNo};

#[tokio::test]
async fn exits_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let code = |code| Exit::Code { code };
    let signal = |signal| Exit::Signal { signal, core_dumped: false, out_of_memory: false };
    for (script, expected) in [
        ("exit 0", code(0)),
        ("exit 3", code(3)),
        ("kill -TERM $$", signal(15)),
        ("kill -KILL $$", signal(9)),
        // A real-time signal, which nix has no name for.
        ("kill -40 $$", signal(40)),
    ] {
        let (process, _) = start(&shell(folder.path(), script)).unwrap();
        assert_eq!(ended(&process), expected, "{script}");
        drop(Remains::of(TrainerNo(1), process));
    }
}

#[tokio::test]
async fn a_trainer_leads_a_group_that_dies_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! > child; read never; exit 0";
    let (process, identity) = start(&shell(folder.path(), script)).unwrap();
    let child_file = folder.path().join("child");
    assert_eq!(ended(&process), Exit::Code { code: 0 }, "stdin is empty, so read ends at once");
    let child: u32 = std::fs::read_to_string(child_file).unwrap().trim().parse().unwrap();
    let child = ProcessIdentity::of(child).unwrap().open().unwrap().unwrap();
    assert!(!child.is_dead().unwrap(), "the leader's death alone leaves its children");
    // The leader is a zombie, so nobody else can have its number.
    assert_eq!(ProcessIdentity::of(identity.pid).unwrap(), identity);
    drop(Remains::of(TrainerNo(1), process));
    assert!(child.poll(None).unwrap());
    assert!(identity.open().unwrap().is_none(), "it was reaped");
}

#[tokio::test]
async fn a_signal_reaches_the_group_and_no_kill_of_ours_is_called_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; sleep 600 & echo $! > child; mv child ready; wait; wait; sleep 600";
    let (process, _) = start(&shell(folder.path(), script)).unwrap();
    let ready = folder.path().join("ready");
    while !ready.exists() {
        tokio::task::yield_now().await;
    }
    let child: u32 = std::fs::read_to_string(ready).unwrap().trim().parse().unwrap();
    let child = ProcessIdentity::of(child).unwrap().open().unwrap().unwrap();
    process.signal(Signal::Terminate);
    process.signal(Signal::Kill);
    let killed = Exit::Signal { signal: 9, core_dumped: false, out_of_memory: false };
    assert_eq!(ended(&process), killed);
    assert!(child.poll(None).unwrap());
    drop(Remains::of(TrainerNo(1), process));
}

#[test]
fn what_left_the_group_and_lost_its_parents_is_swept_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'setsid sleep 600 & echo $! > child; mv child ready' & while [ ! -e ready ]; do :; done";
    let (process, _) = start(&shell(folder.path(), script)).unwrap();
    let (neighbour, _) =
        start(&Order { token: Token([7; 16]), ..shell(folder.path(), "sleep 600") }).unwrap();
    assert_eq!(ended(&process), Exit::Code { code: 0 });
    let child: u32 = std::fs::read_to_string(folder.path().join("ready")).unwrap().trim().parse().unwrap();
    let child = ProcessIdentity::of(child).unwrap().open().unwrap().unwrap();
    let remains = [Remains::of(TrainerNo(1), process).unwrap()];
    assert!(!child.is_dead().unwrap(), "no signal to the group reaches it");
    assert_eq!(sweep(&remains), [TrainerNo(1)]);
    assert!(child.poll(None).unwrap());
    while !sweep(&remains).is_empty() {}
    assert!(!neighbour.pidfd().is_dead().unwrap());
    neighbour.signal(Signal::Kill);
    ended(&neighbour);
    drop(Remains::of(TrainerNo(2), neighbour));
}

#[test]
fn what_hides_its_origin_is_known_by_its_parents_if_it_is_signalled_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "setsid env -i /bin/sh -c 'echo $$ > child; mv child ready; while :; do /bin/sleep 1; done' & wait";
    let (process, _) = start(&shell(folder.path(), script)).unwrap();
    let ready = folder.path().join("ready");
    while !ready.exists() {
        std::thread::yield_now();
    }
    let child: u32 = std::fs::read_to_string(ready).unwrap().trim().parse().unwrap();
    let child = ProcessIdentity::of(child).unwrap().open().unwrap().unwrap();
    process.signal(Signal::Terminate);
    ended(&process);
    let remains = [Remains::of(TrainerNo(1), process).unwrap()];
    assert_eq!(sweep(&remains), [TrainerNo(1)]);
    assert!(child.poll(None).unwrap());
}

#[tokio::test]
async fn output_and_environment_are_as_promised() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo out; echo err >&2; env; cat; pwd";
    let mut order = shell(folder.path(), script);
    let task =
        TaskBuilder::new("t", "m").hyperparams(b"\x81\xa2lr\x01".to_vec()).max_epochs(7).build().unwrap();
    order.slots = vec!["0".to_owned(), "GPU-5".to_owned()];
    order.script = Some(ScriptTask { task, attempt: 2, work: folder.path().join("work") });
    for run in 1..=2 {
        let (process, _) = start(&order).unwrap();
        assert_eq!(ended(&process), Exit::Code { code: 0 });
        drop(Remains::of(TrainerNo(1), process));
        let text = std::fs::read_to_string(&order.log).unwrap();
        assert_eq!(text.matches("out\nerr\n").count(), run, "the log is appended to");
    }
    let text = std::fs::read_to_string(&order.log).unwrap();
    for line in [
        "TRAINWIRE_SOCKET=/s",
        "TRAINWIRE_TOKEN=30313233343536373839616263646566",
        "TRAINWIRE_JOB_ID=job",
        "TRAINWIRE_SLOTS=0,GPU-5",
        "TRAINWIRE_TRAINER=3031323334353637",
        "PYTHONUNBUFFERED=0", // the job's word counts
        "PYTHONFAULTHANDLER=1",
        "TRAINWIRE_PARAMS={\"lr\":1}",
        "TRAINWIRE_TASK_ID=t",
        "TRAINWIRE_MODEL_NAME=m",
        "TRAINWIRE_MAX_EPOCHS=7",
        "TRAINWIRE_ATTEMPT=2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(folder.path().join("work").is_dir());
}

#[test]
fn what_keeps_a_command_from_starting_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let not_executable = write("data", "", 0o644);
    let bad_interpreter = write("script", "#!/no/such/interpreter\n", 0o755);
    let dir = folder.path().to_str().unwrap().to_owned();
    for (program, words) in [
        ("no-such-program-1b3", "was not found in PATH (/usr/bin:/bin)"),
        ("/no/such/program", "No such file"),
        (not_executable.as_str(), "is not executable; chmod +x"),
        (bad_interpreter.as_str(), "the interpreter in the first line of"),
        (dir.as_str(), "is a folder, not a program"),
    ] {
        let mut order = shell(folder.path(), "");
        let mut spec = (*order.spec).clone();
        spec.command = vec![program.to_owned()];
        order.spec = Arc::new(spec);
        let error = start(&order).unwrap_err();
        assert!(error.contains(words) && error.contains(program), "{error}");
    }
    let mut order = shell(folder.path(), "");
    let mut spec = (*order.spec).clone();
    spec.working_dir = Some(folder.path().join("missing"));
    order.spec = Arc::new(spec);
    assert!(start(&order).unwrap_err().contains("working_dir"));
}

fn start(order: &Order) -> Result<(TrainerProcess, ProcessIdentity), String> {
    spawn(order).map_err(|exit| match exit {
        Exit::NotStarted { error, hopeless: true } => error,
        other => panic!("another try may help: {other}"),
    })
}

fn shell(folder: &Path, script: &str) -> Order {
    let environment = [("PATH", "/usr/bin:/bin"), ("PYTHONUNBUFFERED", "0")]
        .map(|(name, value)| (name.into(), value.into()));
    let spec = JobSpec {
        job_id: "job".to_owned(),
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        environment: BTreeMap::from(environment),
        working_dir: Some(folder.to_owned()),
        ..JobSpec::default()
    };
    Order {
        job_id: JobId::new("job").unwrap(),
        spec: Arc::new(spec),
        token: Token(*b"0123456789abcdef"),
        socket: "/s".into(),
        log: folder.join("logs/trainer-1.log"),
        slots: Vec::new(),
        script: None,
    }
}

fn ended(process: &TrainerProcess) -> Exit {
    assert!(process.pidfd().poll(None).unwrap());
    process.exit()
}
