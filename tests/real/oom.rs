//! A true kill for want of memory: the kernel's, in a cgroup with too little.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use trainwire::record::{Ending, Exit};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch, python};

#[test]
fn the_kernels_kill_for_want_of_memory_is_told_from_others() {
    let Some(cgroup) = Cgroup::new() else { return };
    let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", enter]).arg(&cgroup.0).arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", "oom::in_a_small_cgroup", "--ignored", "--nocapture"]);
    let ran = command.env(CGROUP, &cgroup.0).output().expect("a shell");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// What the test above runs where memory is short. The trainer is what the kernel takes first.
#[tokio::test]
#[ignore = "run by the other test"]
async fn in_a_small_cgroup() {
    if std::env::var_os(CGROUP).is_none() {
        return;
    }
    let stage = Stage::new().await;
    let hoard = "
import os
open('/proc/self/oom_score_adj', 'w').write('1000')
hoard = []
while True:
    hoard.append(bytearray(os.urandom(1 << 20)))
";
    let script = stage.path("hoard.py");
    fs::write(&script, hoard).expect("a script");
    let (python, script) = (python().display().to_string(), script.display().to_string());
    let ended = |job_id: &'static str, command: Vec<String>| {
        let job = stage.command(job_id, command).script(true).max_losses(1).task(TrainingTask::new("t", "m"));
        let stage = &stage;
        async move {
            let mut watch = Watch::new(&stage.submit(job).await);
            let TaskEnd::Dead { mut evidence, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
            evidence.remove(0)
        }
    };
    let shell = |line: &str| ["bash", "-c", line].map(str::to_owned).to_vec();
    let killed = |out_of_memory| Exit::Signal { signal: 9, core_dumped: false, out_of_memory };
    let direct = ended("direct", vec![python.clone(), script.clone()]).await;
    assert_eq!(direct, Ending::Crashed { exit: killed(true) });
    let plain = ended("plain", shell("kill -KILL $$")).await;
    assert_eq!(plain, Ending::Crashed { exit: killed(false) });
    let child = ended("child", shell(&format!("{python} {script}; exit $?"))).await;
    let Ending::Failed { error, exit: Some(Exit::Code { code: 137 }) } = child else { panic!("{child:?}") };
    assert!(error.text.contains("for want of memory"), "{error}");
    let plain = ended("plain-child", shell("sh -c 'kill -KILL $$'; exit $?")).await;
    let Ending::Failed { error, exit: Some(Exit::Code { code: 137 }) } = plain else { panic!("{plain:?}") };
    assert!(!error.text.contains("memory"), "{error}");
}

/// A group of processes with little memory; removed in the end.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Skips where the kernel, or who runs this, does not allow one.
    #[expect(clippy::print_stderr, reason = "a skip says why")]
    fn new() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !controllers.split_whitespace().any(|controller| controller == "memory") {
            eprintln!("skipped: this kernel has no memory controller in version 2 of cgroups");
            return None;
        }
        let cgroup = Self(root.join(format!("trainwire-test-{}", std::process::id())));
        let limits = [("memory.max", MEMORY_BYTES), ("memory.swap.max", "0")];
        let made = fs::create_dir(&cgroup.0).and_then(|()| {
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            // Without swap there is no such file.
            let set = |(file, bytes): &(&str, &str)| {
                !cgroup.0.join(file).exists() || fs::write(cgroup.0.join(file), bytes).is_ok()
            };
            fs::metadata(cgroup.0.join("memory.max")).map(|_| limits.iter().all(set))
        });
        if !made.as_ref().is_ok_and(|set| *set) {
            eprintln!("skipped: no cgroup can be made in {}: {made:?}", root.display());
            return None;
        }
        Some(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where the child is.
const CGROUP: &str = "TRAINWIRE_TEST_CGROUP";

/// Enough for an orchestrator and an interpreter.
const MEMORY_BYTES: &str = "268435456";
