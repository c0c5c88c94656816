use std::process::Stdio;

use crate::sandbox::{Ran, Sandbox};

#[test]
fn mistakes_are_shown_where_they_are() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.toml", include_str!("golden/bad.toml"));
    let ran = sandbox.run(&["bad.toml"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.stderr, include_str!("golden/bad.stderr"));
    assert_eq!(ran.stdout, "");
    assert!(!sandbox.path(".trainwire").exists(), "nothing was started");
}

#[test]
fn hyperparameters_come_from_files_fifos_and_standard_input() {
    use std::io::Write;

    let sandbox = Sandbox::new();
    let data: Vec<u8> = (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    sandbox.write("data", &data);
    nix::unistd::mkfifo(&sandbox.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = sandbox.path("fifo");
    let copy = data.clone();
    let writer = std::thread::spawn(move || std::fs::write(fifo, copy).unwrap());
    sandbox.write(
        "many.toml",
        "command = ['nobody']\n\
         durability = 'volatile'\n\
         [[task]]\ntask_id = 'file'\nhyperparams_file = 'data'\n\
         [[task]]\ntask_id = 'fifo'\nhyperparams_file = 'fifo'\n\
         [[task]]\ntask_id = 'input'\nhyperparams_file = '-'\n",
    );
    let piped = |args: &[&str]| {
        let mut child = sandbox.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&data).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    };
    let (soon, later) = ("--backoff-min=1ms", "--backoff-max=1ms");
    // Nobody can be started, so the tasks die and keep what the journal has of them.
    let ran = piped(&["--json", "--state=many", "--job-id=many", soon, later, "many.toml"]);
    writer.join().unwrap();
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let submitted: Vec<_> = ran.stdout.lines().filter(|line| line.contains("task_submitted")).collect();
    assert_eq!(submitted.len(), 3, "{}", ran.stdout);
    assert!(!sandbox.path("many/jobs").join("many").join("payloads").exists());

    let ran = piped(&["--state=one", "--job-id=one", soon, later, "--hyperparams-file=-", "--", "./nobody"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let kept: Vec<_> = std::fs::read_dir(sandbox.path("one/jobs/one/payloads")).unwrap().collect();
    let kept = std::fs::read(kept[0].as_ref().unwrap().path()).unwrap();
    assert!(kept.len() == 4096 + data.len() && kept[4096..] == data);

    let ran = sandbox.run(&["--hyperparams-file=nowhere", "--", "./nobody"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("--hyperparams-file nowhere: cannot be read: No such file"),
        "{}",
        ran.stderr
    );
    let ran = sandbox.run(&["--hyperparams-file=.", "--", "./nobody"]);
    assert!(ran.stderr.contains("--hyperparams-file .: the payload cannot be read"), "{}", ran.stderr);
}

#[test]
fn trainers_have_their_gpus_for_themselves() {
    let sandbox = Sandbox::new();
    let script = "echo $CUDA_VISIBLE_DEVICES $TRAINWIRE_SLOTS >> out";
    let ran = sandbox.run(&[
        "--slots=4,GPU-a",
        "--gpus=2",
        "--trainers=2",
        "--grid=n=1,2",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let out = std::fs::read_to_string(sandbox.path("out")).unwrap();
    assert_eq!(out, "4,GPU-a 4,GPU-a\n4,GPU-a 4,GPU-a\n");
    let ran = sandbox.run(&["--slots=4", "--gpus=2", "--", "true"]);
    assert!(ran.code != Some(0) && ran.stderr.contains("needs 2 slots, and there are 1"), "{}", ran.stderr);
    sandbox.write("both.toml", "command = ['true']\ngpus = 1\nslots = 1\n");
    let ran = sandbox.run(&["both.toml"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("set one of them"), "{:?} {}", ran.code, ran.stderr);
}

#[test]
fn a_spec_is_run() {
    let sandbox = Sandbox::new();
    sandbox.write("params.msgpack", b"\x81\xa1b\x01");
    sandbox.write(
        "sweep.toml",
        "command = ['sh', '-c', 'echo \"$GREETING $TRAINWIRE_PARAMS $TRAINWIRE_MAX_EPOCHS\" >> out; pwd >> where']\n\
         script = true\n\
         working_dir = 'sub'\n\
         environment = { GREETING = 'hi' }\n\
         [defaults]\n\
         max_epochs = 7\n\
         params = { a = 1, list = [1, 2.5] }\n\
         [grid]\n\
         lr = [0.5]\n\
         [[task]]\n\
         task_id = 'raw'\n\
         hyperparams_file = 'params.msgpack'\n",
    );
    std::fs::create_dir(sandbox.path("sub")).unwrap();
    let ran = sandbox.run(&["sweep.toml"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let out = std::fs::read_to_string(sandbox.path("sub/out")).unwrap();
    let mut lines: Vec<_> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["hi {\"a\":1,\"list\":[1,2.5],\"lr\":0.5} 7", "hi {\"b\":1} 7"]);
    assert!(ran.stderr.contains("sweep-2"), "named after the spec: {}", ran.stderr);
}

#[test]
fn a_search_is_drawn_again_from_its_seed() {
    let sandbox = Sandbox::new();
    let search = |seed: &[&str]| {
        let drawn = ["--random=lr=log:1e-4..1e-1", "--samples=3", "--grid=kind=a,b"];
        let script = ["--", "sh", "-c", "echo $TRAINWIRE_TASK_ID $TRAINWIRE_SWEEP_SEED >> out"];
        let ran = sandbox.run(&[&drawn[..], seed, &script].concat());
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
        let out = std::fs::read_to_string(sandbox.path("out")).unwrap();
        std::fs::remove_file(sandbox.path("out")).unwrap();
        (out, ran.stderr)
    };
    let (first, said) = search(&[]);
    assert_eq!(first.lines().count(), 6, "{first}");
    assert!(first.starts_with("kind=a,sample=0,lr="), "{first}");
    let seed = said.split("--seed ").nth(1).unwrap().split('.').next().unwrap();
    assert!(first.trim_end().ends_with(seed), "{first}");
    let (again, said) = search(&["--seed", seed]);
    assert!(again == first && !said.contains("were drawn with"), "{again} {said}");
}
