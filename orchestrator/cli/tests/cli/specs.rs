use crate::sandbox::Sandbox;

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
