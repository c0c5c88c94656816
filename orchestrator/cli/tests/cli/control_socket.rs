//! The control socket: who may ask, in what words, and what nonsense is answered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::daemon::{Daemon, control, trainwire};
use crate::sandbox::{Ran, Sandbox};

#[test]
fn what_is_not_there_is_said_by_name_and_code() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("there", &["--grid=n=1,2"], "exit 0");
    for (args, said) in [
        (
            vec!["show", "nowhere"],
            "there is no job nowhere; `trainwire ls --all` lists those there are (no_such_job)",
        ),
        (vec!["logs", "there", "n=3"], "the job there has no task \"n=3\" (no_such_task)"),
        (vec!["logs", "there"], "there has several tasks; name one of them: n=1, n=2"),
        (vec!["stop", "there", "n=3"], "(no_such_task)"),
    ] {
        let ran = daemon.ask(&args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn the_control_socket_is_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    let _daemon = Daemon::start(&sandbox, &[]);
    let mode = fs::metadata(control(&sandbox)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // Somebody opens it to all: the other's uid is looked at all the same.
    for (path, mode) in [("", 0o755), ("state", 0o755), ("state/control.sock", 0o666)] {
        fs::set_permissions(sandbox.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let script = "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'GET /v1/status HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n')\nprint(s.recv(100))";
    let asked = Command::new("python3").args(["-c", script]).arg(control(&sandbox)).output().unwrap();
    let asked: Ran = asked.into();
    assert!(
        asked.stdout == "b''\n" || asked.stderr.contains("Reset") || asked.stderr.contains("Broken"),
        "{}{}",
        asked.stdout,
        asked.stderr
    );
}

#[test]
fn nonsense_on_the_control_socket_hurts_nobody() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let idle: Vec<_> = (0..100).map(|_| daemon.connect().unwrap()).collect();
    let long = vec![b'a'; 1 << 20];
    for request in [&b"\0\0\0\0"[..], b"GET", b"GET / HTTP/9.9\r\n\r\n", &long] {
        let answer = daemon.raw_half(request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let post = |path: &str, body: &str| {
        let length = body.len();
        daemon.raw(
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
    };
    for (path, body, status, code) in [
        ("/v1/jobs", "{", "400", "bad_json"),
        ("/v1/jobs", "{\"spec\": {}, \"task\": []}", "422", "bad_json"),
        (
            "/v1/jobs",
            "{\"spec\": {\"job_id\": \"a\", \"comand\": []}}",
            "400",
            "did you mean \\\"command\\\"?",
        ),
        ("/v1/jobs", "{\"spec\": {\"job_id\": \"../a\", \"command\": [\"x\"]}}", "400", "code"),
        (
            "/v1/jobs",
            "{\"spec\": {\"job_id\": \"a\", \"command\": [\"x\"]}, \"tasks\": []}",
            "400",
            "no_tasks",
        ),
        ("/v1/jobs/a/stop", "{}", "404", "no_such_job"),
        ("/v1/nothing", "{}", "404", "no_such_path"),
        ("/v1/status", "{}", "405", "wrong_method"),
    ] {
        let answer = post(path, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {body}: {answer}");
        assert!(answer.contains(code), "{path} {body}: {answer}");
    }
    let relative = r#"{"spec": {"job_id": "a", "command": ["x"]}, "tasks": [{"task_id": "t", "model_name": "m", "hyperparams_file": "x"}]}"#;
    assert!(post("/v1/jobs", relative).contains("name it absolutely"));
    drop(idle);
    assert_eq!(daemon.json(&["ls", "--all"]), serde_json::json!([]), "nothing was taken");
}

impl Daemon<'_> {
    /// Bytes, and then nothing more.
    fn raw_half(&self, request: &[u8]) -> String {
        use std::io::{Read, Write};
        let mut socket = self.connect().unwrap();
        let _ = socket.write_all(request);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[test]
fn curl_is_a_client() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return;
    }
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    let curl = |args: &[&str]| -> serde_json::Value {
        let ran = Command::new("curl")
            .args(["-s", "--unix-socket"])
            .arg(control(&sandbox))
            .args(args)
            .output()
            .unwrap();
        serde_json::from_slice(&ran.stdout).unwrap()
    };
    let body = r#"{"spec": {"job_id": "curled", "command": ["true"], "script": true}, "tasks": [{"task_id": "t", "model_name": "m"}]}"#;
    let json = "content-type: application/json";
    assert_eq!(curl(&["-H", json, "-d", body, "http://trainwire/v1/jobs"])["job"], "curled");
    assert_eq!(curl(&["http://trainwire/v1/jobs/curled/wait"])["ended"], true);
    let events = Command::new("curl")
        .args(["-sN", "--unix-socket"])
        .arg(control(&sandbox))
        .arg("http://trainwire/v1/jobs/curled/events")
        .output()
        .unwrap();
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.lines().last().unwrap().contains("\"event\":\"job_ended\""), "{events}");
    drop(daemon);
}

#[test]
fn a_follower_that_goes_away_is_let_go() {
    let sandbox = Sandbox::new();
    let daemon = Daemon::start(&sandbox, &[]);
    daemon.submit("talks", &[], "while :; do echo line; sleep 0.01; done");
    let mut follower = trainwire(&sandbox)
        .args(["logs", "-f", "talks"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(200));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(daemon.ask(&["stop", "--kill", "talks"]).code, Some(0));
}
