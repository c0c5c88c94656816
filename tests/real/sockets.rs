//! The job's socket: private, gone at the end, and never at the expense of what was there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use trainwire::record::Record;
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch};

#[tokio::test]
async fn a_socket_is_for_its_owner_alone_and_gone_at_the_end() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        wait_for('go')
        task.finish()
";
    let job = stage.submit(stage.job("private", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::Started { .. }).then_some(())).await;
    let socket = fs::symlink_metadata(job.socket_path()).expect("a socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    assert_eq!(job.socket_path(), stage.path("ai-task-sock-private"));
    stage.open("go");
    assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
    assert!(!job.socket_path().exists());
}

#[tokio::test]
async fn a_name_that_is_taken_is_left_as_it_is_and_the_job_says_by_what() {
    let stage = Stage::new().await;
    let path = |kind: &str| stage.path(&format!("ai-task-sock-{kind}"));
    fs::write(path("file"), "precious").expect("a file");
    fs::create_dir(path("folder")).expect("a folder");
    symlink("nowhere", path("link")).expect("a link");
    let listener = UnixListener::bind(path("socket")).expect("a socket");

    for kind in ["file", "folder", "link", "socket"] {
        let inode = fs::symlink_metadata(path(kind)).expect("an inode").ino();
        let job = stage.command(kind, ["true"]).task(TrainingTask::new("t", "m"));
        let mut watch = Watch::new(&stage.submit(job).await);
        let TaskEnd::Dead { cause, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
        assert!(cause.contains(path(kind).to_str().expect("UTF-8")), "{kind}: {cause}");
        assert!(watch.records().all(|record| !matches!(record, Record::TrainerSpawning { .. })));
        assert_eq!(fs::symlink_metadata(path(kind)).expect("still there").ino(), inode, "{kind}");
    }
    assert_eq!(fs::read_to_string(path("file")).expect("a file"), "precious");
    assert_eq!(fs::read_link(path("link")).expect("a link").to_str(), Some("nowhere"));
    let _client = UnixStream::connect(path("socket")).expect("it still listens");
    listener.accept().expect("it still accepts");
}

#[tokio::test]
async fn a_job_id_that_could_lead_elsewhere_is_refused_before_anything_is_touched() {
    let stage = Stage::new().await;
    let before = fs::read_dir(stage.path("")).expect("a folder").count();
    for id in ["", "../x", "a/b", "a\0b", "..", &"x".repeat(300)] {
        let mut job = stage.command("good", ["true"]).task(TrainingTask::new("t", "m"));
        job.spec.job_id = id.to_owned();
        let error = stage.orchestrator.submit(job).await.expect_err(id);
        assert_eq!(error.code(), "bad_job_id", "{error}");
    }
    assert_eq!(fs::read_dir(stage.path("")).expect("a folder").count(), before);
}
