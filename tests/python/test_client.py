"""Submitting from Python, through a daemon that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainwire
from trainwire._client.embedded import Server

TRAIN = """
import time, trainwire
for task in trainwire.tasks():
    with task:
        at = task.workdir / "next"
        start = int(at.read_text()) if at.exists() else 0
        for epoch in task.epochs(start):
            if task.params.get("wait"):
                time.sleep(0.02)
            task.report({"val/loss": task.params["lr"] / (epoch + 1)}, epoch=epoch)
            at.write_text(str(epoch + 1))
            task.checkpoint(at, epoch=epoch)
        if task.params["lr"] > 1 and task.attempt == 1:
            print("too large")
            raise ValueError("the loss is not a number any more")
        task.finish(accuracy=1 - task.params["lr"])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a trainer in it; and the default daemon's folder is one nobody uses."""
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TRAINWIRE_STATE", raising=False)
    return tmp_path


@pytest.fixture
def daemon(folder: Path) -> Iterator[Server]:
    server = Server(folder / "state/trainwire", "--stop-trainers", "--socket-dir", str(folder))
    yield server
    server.close()


def until(condition: object, what: str) -> None:
    """Waits for what other processes do."""
    assert callable(condition)
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"never: {what}")


def test_import_brings_in_nothing_of_it() -> None:
    """A trainer's start is most of a short task."""
    script = "import sys; a = set(sys.modules); import trainwire; print(*sorted(set(sys.modules) - a))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    mine = {"trainwire", "trainwire._core", "trainwire._trainer", "trainwire.errors", "__future__"}
    assert set(done.stdout.split()) <= mine


def test_all_names_are_there() -> None:
    for name in trainwire.__all__:
        assert getattr(trainwire, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        _ = trainwire.sumbit  # type: ignore[attr-defined]


@pytest.mark.usefixtures("daemon")
def test_a_grid_is_trained_and_read() -> None:
    results = trainwire.run(
        "train.py", grid={"lr": [0.1, 0.5]}, params={"depth": 2}, max_epochs=3, trainers=2
    )
    assert [(row.task, row.state, row.attempts) for row in results] == [
        ("lr=0.1", "succeeded", 1),
        ("lr=0.5", "succeeded", 1),
    ]
    assert results["lr=0.1"].params == {"depth": 2, "lr": 0.1}
    assert results[0].metrics == {"val/loss": 0.1 / 3, "accuracy": 0.9}
    assert results.best("val/loss").task == "lr=0.1"
    assert results.best("val/loss", mode="max").task == "lr=0.5"
    with pytest.raises(ValueError, match="'loss'; there are accuracy, val/loss"):
        results.best("loss")
    results.raise_for_failures()
    assert results.failures == []


def test_failures_are_named_and_tried_again(daemon: Server) -> None:
    results = trainwire.run("train.py", grid={"lr": [0.1, 5.0]}, max_epochs=2, job_id="sweep")
    failed = results["lr=5.0"]
    assert failed.state == "dead" and failed.traceback is not None and "raise ValueError" in failed.traceback
    with pytest.raises(trainwire.TasksFailedError) as raised:
        results.raise_for_failures()
    assert raised.value.code == "tasks_failed"
    for said in ("lr=5.0: failed once: ValueError: the loss", "    |     raise ValueError", str(failed.log)):
        assert said in str(raised.value)
    assert "dead" in repr(results) and "<td>dead</td>" in results._repr_html_()

    job = trainwire.job("sweep", daemon=daemon.control.state_dir)
    assert "too large" in job.logs("lr=5.0") and "Traceback" in job.logs("lr=5.0")
    assert job.retry("lr=5.0", max_failures=2, backoff_min=0.001) == 1
    job.wait(timeout=60)
    again = trainwire.results("sweep")
    assert [row.state for row in again] == ["succeeded", "succeeded"] and again["lr=5.0"].attempts == 2
    assert [row["epoch"] for row in job.metrics("lr=5.0")] == [0, 1]


@pytest.mark.usefixtures("daemon")
def test_the_same_again_is_the_same_job() -> None:
    first = trainwire.submit("train.py", params={"lr": 0.1}, job_id="one", max_epochs=1)
    first.wait(timeout=60)
    assert (
        trainwire.submit("train.py", params={"lr": 0.1}, job_id="one", max_epochs=1).results()[0].attempts
        == 1
    )
    with pytest.raises(trainwire.ConflictError) as raised:
        trainwire.submit("train.py", params={"lr": 0.1, "depth": 2, "x": 1}, job_id="one", max_epochs=1)
    assert raised.value.code == "job_conflict"


@pytest.mark.usefixtures("daemon")
def test_refusals_have_the_daemons_words() -> None:
    with pytest.raises(trainwire.DaemonError, match="there is no job x") as raised:
        trainwire.job("x")
    assert raised.value.code == "no_such_job"
    with pytest.raises(trainwire.DaemonError, match="trainers must be at least 1") as raised:
        trainwire.submit("train.py", params={"lr": 0.1}, trainers=0)
    assert raised.value.code == "bad_spec"


def test_nobody_listens(folder: Path) -> None:
    with pytest.raises(trainwire.NoDaemonError, match=r"no daemon listens on .*control\.sock") as raised:
        trainwire.submit("train.py", daemon=True)
    assert raised.value.code == "no_daemon"
    with pytest.raises(trainwire.NoDaemonError):
        trainwire.job("x", daemon=folder)


@pytest.mark.usefixtures("daemon")
def test_events_from_the_first_to_the_last() -> None:
    job = trainwire.submit("train.py", params={"lr": 0.1}, max_epochs=2)
    events = list(job.events())
    names = [event["event"] for event in events]
    assert names[0] == "job_submitted" and names[-1] == "job_ended" and "checkpoint" in names
    [started] = [event for event in events if event["event"] == "started"]
    assert next(e["event"] for e in job.events(since=started["seq"])) not in ("job_submitted", "started")

    async def follow() -> list[str]:
        return [event["event"] async for event in job]

    assert set(asyncio.run(follow())) <= set(names)


def test_a_cancelled_iteration_closes_its_connection(daemon: Server) -> None:
    job = trainwire.submit("train.py", params={"lr": 0.1, "wait": True}, max_epochs=100_000)

    def connections() -> int:
        """At its end, each named as the socket that listens, which is one of them."""
        lines = Path("/proc/net/unix").read_text().splitlines()
        return sum(line.endswith(f" {daemon.control.path}") for line in lines)

    async def follow() -> None:
        seen = asyncio.Event()

        async def look() -> None:
            async for event in job:
                if event["event"] == "progress":
                    seen.set()

        looking = asyncio.create_task(look())
        await seen.wait()
        assert connections() == 2
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        while connections() > 1:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(follow(), 100))
    job.stop()
    [row] = job.results()
    assert row.state == "stopped" and row.checkpoint is not None


@pytest.mark.usefixtures("daemon")
def test_one_task_is_stopped_and_goes_on_later() -> None:
    tasks: list[dict[str, object]] = [
        {"task_id": "long", "params": {"lr": 0.1, "wait": True}, "max_epochs": 100_000},
        {"task_id": "short", "params": {"lr": 0.2}, "max_epochs": 1},
    ]
    job = trainwire.submit("train.py", tasks=tasks, trainers=2)  # type: ignore[arg-type]
    for event in job.events():
        if event["event"] == "progress" and event["task"] == "long":
            break
    with pytest.raises(TimeoutError, match="long goes on"):
        job.wait("long", timeout=0.01)
    job.stop("long")
    job.wait(timeout=60)
    assert [row.state for row in job.results()] == ["stopped", "succeeded"]
    with pytest.raises(ValueError, match="several tasks; name one of them: long, short"):
        job.logs()


@pytest.mark.usefixtures("daemon")
def test_an_open_job_takes_tasks_until_it_is_closed() -> None:
    job = trainwire.submit("train.py", open=True, max_epochs=1)
    job.add([{"task_id": "a", "params": {"lr": 0.1}}])
    job.wait("a", timeout=60)
    assert job.tasks()[0]["max_epochs"] == 1 and job.tasks()[0]["model_name"] == "train"
    job.add([{"task_id": "b", "params": {"lr": 0.2}}])
    job.close()
    job.wait(timeout=60)
    assert [(row.task, row.params["lr"], row.state) for row in job.results()] == [
        ("a", 0.1, "succeeded"),
        ("b", 0.2, "succeeded"),
    ]
    with pytest.raises(trainwire.DaemonError) as raised:
        job.add([{"task_id": "c", "params": {}}])
    assert raised.value.code in ("job_closed", "job_not_open")


def test_a_daemon_that_is_started_again_is_found_again(daemon: Server, folder: Path) -> None:
    job = trainwire.submit("train.py", params={"lr": 0.1, "wait": True}, max_epochs=200)
    events = job.events()
    names = []
    for event in events:
        names.append(event["event"])
        if event["event"] == "progress":
            break
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    again = Server(folder / "state/trainwire", "--stop-trainers", "--socket-dir", str(folder))
    try:
        names += [event["event"] for event in events]
        job.wait(timeout=60)
        assert job.results()[0].state == "succeeded" and job.results()[0].attempts == 1
    finally:
        again.close()
    assert names.count("job_submitted") == 1 and names.count("started") == 1 and names[-1] == "job_ended"


@pytest.mark.usefixtures("daemon")
def test_a_script_that_knows_nothing_of_trainwire(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "import json, os\nlr = json.loads(os.environ['TRAINWIRE_PARAMS'])['lr']\nassert lr < 1, 'too large'\n"
    )
    results = trainwire.sweep("plain.py", grid={"lr": [0.1, 5]})
    assert [row.state for row in results] == ["succeeded", "dead"]
    (folder / "arguments.py").write_text(
        "import sys\nsys.exit(sys.argv[1:] != ['--lr', '0.1', '--depth', '2'])\n"
    )
    [row] = trainwire.run("arguments.py --lr {lr} --depth {depth}", params={"lr": 0.1, "depth": 2})
    assert row.state == "succeeded"
    words = [sys.executable, "-c", "import sys; sys.exit(3)"]
    [row] = trainwire.run(words, working_dir=folder / "state")
    assert row.state == "dead" and row.error is not None and "3" in row.error


def fit(task: trainwire.Task) -> dict[str, float]:
    for epoch in task.epochs():
        task.report(loss=task.params["lr"] / (epoch + 1), epoch=epoch)
    return {"last": task.params["lr"]}


@pytest.mark.usefixtures("daemon")
def test_a_function() -> None:
    results = trainwire.sweep(fit, grid={"lr": [0.1, 0.2]}, max_epochs=2)
    assert [row.metrics for row in results] == [{"loss": 0.05, "last": 0.1}, {"loss": 0.1, "last": 0.2}]
    assert results.job_id.startswith("fit-")
    with pytest.raises(TypeError, match="<lambda> is not found by its name in another process"):
        trainwire.run(lambda task: None)  # noqa: ARG005


@pytest.mark.usefixtures("daemon")
def test_a_function_of_the_script_itself(folder: Path) -> None:
    (folder / "all.py").write_text(
        "import trainwire\n"
        "def fit(task): return {'twice': 2 * task.params['lr']}\n"
        "if __name__ == '__main__': print(trainwire.run(fit, params={'lr': 0.25})[0].metrics)\n"
    )
    done = subprocess.run([sys.executable, "all.py"], capture_output=True, text=True, check=False)
    assert done.stdout == "{'twice': 0.5}\n", done.stderr


@pytest.mark.usefixtures("daemon")
def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    trainwire.run("train.py", grid={"lr": [0.1, 5.0]}, max_epochs=1)
    assert capsys.readouterr() == ("", "")
    trainwire.run("train.py", grid={"lr": [0.1, 5.0]}, max_epochs=1, show=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "lr=0.1  succeeded" in shown.err and "lr=5.0  failed  failed once" in shown.err
