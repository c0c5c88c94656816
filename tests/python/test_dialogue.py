"""One task after the other, over the wire."""

from __future__ import annotations

from pathlib import Path

import wire
from conftest import Start
from orchestrator import TOKEN, Orchestrator, metrics, text

LOOP = """
for task in trainwire.tasks():
    with task:
        print(task.task_id, task.params)
        task.finish(loss=0.5, best="best.pt")
print("over")
"""


def test_a_task_from_hello_to_bye(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome()
    assert (peer.hello.protocolMin, peer.hello.protocolMax) == (1, 1)
    assert text(peer.hello.jobId) == "job-1"
    assert bytes(peer.hello.token).hex() == TOKEN
    assert peer.hello.connection == 1
    assert not peer.hello.inHand

    peer.deliver(7)
    assert peer.expect(wire.STARTED).delivery == 7
    result = peer.expect(wire.RESULT)
    assert (result.delivery, result.outcome) == (7, wire.messages().Outcome.Succeeded)
    assert metrics(result) == {"loss": 0.5, "best": "best.pt"}
    peer.ack(result)
    peer.bye()
    assert trainer.ends() == "t1 {'lr': 0.1}\nover\n"
    assert peer.closed() == []


def test_many_tasks_at_once(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                task.finish(n=task.params["n"])
    """)
    peer = orchestrator.accept().welcome()
    count = 300
    for delivery in range(1, count + 1):
        params = b"\x81\xa1n\xcd" + delivery.to_bytes(2, "big")
        peer.deliver(delivery, wire.task(hyperparams=params))
    results = [peer.until(wire.RESULT) for _ in range(count)]
    assert [result.delivery for result in results] == list(range(1, count + 1))
    assert [metrics(result)["n"] for result in results] == list(range(1, count + 1))
    peer.ack(*results)
    peer.bye()
    trainer.ends()


def test_a_thread_that_comes_back_soon_reads_alone(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import pathlib
        import re

        def wake_ups():
            for thread in pathlib.Path("/proc/self/task").iterdir():
                if (thread / "comm").read_text() == "trainwire-io\\n":
                    status = (thread / "status").read_text()
                    return int(re.search(r"^voluntary_ctxt_switches:\\s+(\\d+)", status, re.M)[1])

        for task in trainwire.tasks():
            with task:
                if task.task_id == "first":
                    begin, before = time.monotonic(), wake_ups()
                time.sleep(0.0002)
                if task.task_id == "last":
                    print(wake_ups() - before, time.monotonic() - begin)
    """)
    peer = orchestrator.accept().welcome()
    rounds, names = 3, ["first", *["between"] * 300, "last"]
    for delivery, name in enumerate(names * rounds, 1):
        peer.deliver(delivery, wire.task(task_id=name))
        if delivery > 8:  # so many it has in hand, and each one comes alone
            peer.ack(peer.until(wire.RESULT))
    peer.ack(*[peer.until(wire.RESULT) for _ in range(8)])
    peer.bye()
    figures = [[float(figure) for figure in line.split()] for line in trainer.ends().splitlines()]
    # Timers wake the IO thread every few milliseconds, for results that are held back; tasks do not. On a
    # machine with more to do than it can, a round may look otherwise.
    assert len(figures) == rounds
    assert any(wake_ups < len(names) / 4 + seconds / 0.0025 for wake_ups, seconds in figures), figures


def test_what_is_delivered_with_a_task(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            assert task is trainwire.connect() is trainwire.current()
            print(task.task_id, task.model_name, task.job_id, task.max_epochs, task.attempt)
            print(task.offline, task.is_primary, task.resume_path, task.last_checkpoint)
            print(task.workdir, task.workdir.is_dir())
        print(task.ended, trainwire.current())
    """)
    peer = orchestrator.accept().welcome()
    (tmp_path / "model.pt").touch()
    checkpoint = wire.make("CheckpointRef", path=str(tmp_path / "model.pt"), step=40, epoch=3.0)
    work = tmp_path / "work" / "t1"
    peer.deliver(1, wire.task(max_epochs=33), attempt=2, work=str(work), lastCheckpoint=checkpoint)
    result = peer.acked_result()
    assert result.outcome == wire.messages().Outcome.Succeeded
    assert trainer.ends().splitlines() == [
        "t1 sgd job-1 33 2",
        f'False True {tmp_path}/model.pt Checkpoint(path="{tmp_path}/model.pt", step=40, epoch=3)',
        f"{work} True",
        "True None",
    ]
    # It was this process's one task.
    assert peer.takes_one_task


def test_a_frame_that_comes_byte_by_byte(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome()
    frames = wire.message(wire.DELIVER, wire.task(), delivery=1, attempt=1, taskSize=len(wire.task()))
    for byte in frames + wire.message(wire.BYE, code="job_done"):
        peer.socket.sendall(bytes([byte]))
    peer.acked_result()
    assert "over" in trainer.ends()


def test_reports_come_in_order_before_the_result(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for epoch in task.epochs():
                task.report({"val": {"loss": epoch / 2}}, epoch=epoch, step=10 * epoch, ok=True)
            task.report(last=1)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=50))
    epochs, steps, values = [], [], []
    peer.expect(wire.STARTED)
    while True:
        kind, message = peer.next()
        if kind == wire.RESULT:
            break
        names = [text(name) for name in message.names]
        if names == ["last"]:
            assert message.epochs is None and message.steps is None
            continue
        assert names == ["val/loss", "ok"]
        assert message.thinned == 0
        epochs += list(message.epochs)
        steps += list(message.steps)
        values += list(message.values)
        assert len(message.timesUs) == len(message.epochs)
    assert epochs == [float(epoch) for epoch in range(50)]
    assert steps == [10 * epoch for epoch in range(50)]
    assert values == [value for epoch in range(50) for value in (epoch / 2, 1.0)]
    peer.ack(message)
    trainer.ends()


def test_a_checkpoint_is_stored_when_the_call_returns(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            os.makedirs("model/shard")
            open("model/shard/0", "w").write("weights")
            task.checkpoint("model", step=5, epoch=1, metrics={"loss": 0.25})
            print("stored")
            try:
                task.checkpoint("nowhere")
            except FileNotFoundError as error:
                print(error)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    checkpoint = peer.until(wire.CHECKPOINT)
    assert text(checkpoint.path) == str(tmp_path / "model")
    assert (checkpoint.step, checkpoint.epoch, metrics(checkpoint)) == (5, 1.0, {"loss": 0.25})
    peer.ack(checkpoint)
    peer.acked_result()
    assert trainer.ends().splitlines() == [
        "stored",
        "no checkpoint at nowhere: save it before you announce it",
    ]


def test_an_attached_trainer_takes_the_job_from_the_path(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP, TRAINWIRE_TOKEN=None, TRAINWIRE_JOB_ID=None)
    peer = orchestrator.accept().welcome()
    assert text(peer.hello.jobId) == "job-1"
    assert peer.hello.token is None
    peer.bye()
    assert trainer.ends() == "over\n"


def test_the_token_leaves_the_environment(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import subprocess
        trainwire.tasks()
        assert "TRAINWIRE_TOKEN" not in os.environ
        print("TOKEN" in subprocess.run(["env"], capture_output=True, text=True).stdout)
    """)
    orchestrator.accept().welcome()
    assert trainer.ends() == "False\n"


def test_what_a_delivery_says_of_time_and_trace(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                left = task.time_left
                print(task.traceparent, left and 3590 < left <= 3600)
                task.finish()
    """)
    peer = orchestrator.accept().welcome()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    peer.deliver(1, timeLeftMs=3_600_000, traceparent=traceparent)
    peer.acked_result()
    peer.deliver(2)
    peer.acked_result(2)
    peer.bye()
    assert trainer.ends() == f"{traceparent} True\nNone None\n"


def test_a_script_that_wants_more_epochs_than_its_task_has_is_told(
    orchestrator: Orchestrator, start: Start
) -> None:
    for epochs, own, told in [(10, 50, True), (20, 50, False), (10, 5, False)]:
        trainer = start(f"task = trainwire.connect(max_epochs={own})\ntask.finish()")
        peer = orchestrator.accept().welcome()
        peer.deliver(1, wire.task(max_epochs=epochs))
        peer.acked_result()
        trainer.ends()
        assert ("this task has 10 epochs, which is the default" in trainer.errors) == told
        assert ("say --max-epochs 50" in trainer.errors) == told
