//! Tasks and code this project did not write: the stock `flatbuffers` of Python and of C++, each with
//! the classes its own flatc generates from `training_task.fbs`.

mod foreign;

use std::fs;

use foreign::{Foreign, Task};
use trainwire::record::Scalar;
use trainwire::{Job, TaskEnd, TrainingTask};
use trainwire_protocol::task_builder::{TaskBuilder, task_head};
use trainwire_tests::{Peer, Stage, Watch, result, within};

#[tokio::test]
async fn tasks_of_python_flatbuffers_arrive_and_ours_are_read_by_it() {
    let Some(python) = Foreign::python() else { return };
    theirs_arrive(&python).await;
    ours_are_read(&python);
}

#[tokio::test]
async fn tasks_of_cpp_flatbuffers_arrive_and_ours_are_read_by_it() {
    let Some(cpp) = Foreign::cpp() else { return };
    theirs_arrive(&cpp).await;
    ours_are_read(&cpp);
}

/// One that travels through the socket, one that travels as a descriptor.
fn tasks() -> [Task; 2] {
    let bytes = |count: usize| (0..count).map(|number| number.to_le_bytes()[0]).collect();
    let task = |task_id: &str, hyperparams| Task {
        task_id: task_id.to_owned(),
        model_name: "Größe/模型".to_owned(),
        hyperparams,
        max_epochs: 7,
    };
    [task("small", bytes(257)), task("large", bytes(200_003))]
}

async fn theirs_arrive(foreign: &Foreign) {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        Path(task.task_id).write_bytes(task.hyperparams)
        task.finish(id=task.task_id, model=task.model_name, epochs=task.max_epochs)
";
    let tasks = tasks();
    let buffers = tasks.each_ref().map(|task| foreign.write(task));
    let submitted =
        || buffers.iter().map(|buffer| TrainingTask::from_buffer(buffer.clone()).expect("it verifies"));
    let mut watch = Watch::new(&stage.submit(stage.job("fields", program).tasks(submitted())).await);
    for (task, outcome) in tasks.iter().zip(watch.outcome().await.tasks) {
        let TaskEnd::Succeeded { metrics } = outcome.state else { panic!("{:#?}", watch.seen) };
        let told: Vec<_> = metrics.into_iter().map(|(_, value)| value).collect();
        let text = |text: &String| Scalar::Text(text.clone());
        assert_eq!(told, [text(&task.task_id), text(&task.model_name), Scalar::Number(7.0)]);
        assert!(fs::read(stage.path(&task.task_id)).expect("a file") == task.hyperparams);
    }

    // Not only the fields: the buffer itself, here the small one.
    let job = Job::new("bytes").expect("an id").attach(true).tasks(submitted().take(1));
    let job = stage.submit(job).await;
    within(async {
        while !job.socket_path().exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut peer = Peer::connect(job.socket_path()).await;
    peer.join("bytes").await;
    let (deliver, arrived) = peer.delivered().await.expect("a task");
    assert!(arrived == buffers[0], "the buffer changed on its way");
    peer.send(&[result(deliver.delivery, 1)]).await;
    drop(peer);
    assert!(within(job.outcome()).await.expect("an outcome").succeeded());
}

fn ours_are_read(foreign: &Foreign) {
    for task in tasks() {
        let ours = TaskBuilder::new(task.task_id.clone(), task.model_name.clone())
            .hyperparams(task.hyperparams.clone())
            .max_epochs(task.max_epochs)
            .build()
            .expect("a task");
        assert_eq!(foreign.read(&ours.as_bytes().to_bytes()), task);
        // As produced in place: the hyperparameters lie behind the rest.
        let size = task.hyperparams.len();
        let head = task_head(&task.task_id, &task.model_name, task.max_epochs, size).expect("a head");
        assert_eq!(foreign.read(&[head.as_slice(), &task.hyperparams].concat()), task);
    }
}
