use crate::sandbox::Sandbox;

#[test]
fn one_event_a_line() {
    let sandbox = Sandbox::new();
    let script = "if [ $TRAINWIRE_TASK_ID = n=2 ]; then echo bad; exit 3; fi";
    let ran = sandbox.run(&["--json", "--job-id=j", "--grid=n=1,2", "--", "sh", "-c", script]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1 of 2 tasks succeeded, 1 failed"),
        "the table goes to standard error: {}",
        ran.stderr
    );

    let mut seq = 0;
    let mut events = Vec::new();
    for line in ran.stdout.lines() {
        assert!(line.starts_with("{\"v\":1,\"seq\":"), "{line}");
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["job"], "j");
        let at = event["at"].as_str().unwrap();
        assert!(at.len() == 27 && at.ends_with('Z') && &at[10..11] == "T", "{at}");
        assert!(event["seq"].as_u64().unwrap() > seq, "{line}");
        seq = event["seq"].as_u64().unwrap();
        events.push(event);
    }
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["job_submitted", "task_submitted", "task_submitted"]);
    assert_eq!(names.last(), Some(&"job_ended"));
    let of = |task: &str, name: &str| {
        let found = events.iter().find(|event| event["task"] == task && event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} of {task} in {}", ran.stdout)).clone()
    };
    assert_eq!(of("n=1", "started")["attempt"], 1);
    assert_eq!(of("n=1", "ended")["state"], "succeeded");
    let failed = of("n=2", "ended");
    assert_eq!(
        (&failed["ending"], &failed["state"], &failed["log_tail"]),
        (&"failed".into(), &"failed".into(), &"bad".into())
    );
    assert_eq!(failed["exit"], serde_json::json!({ "how": "code", "code": 3 }));
    assert!(!ran.stdout.contains("token"), "{}", ran.stdout);
}
