"""Ranks that torchrun starts, with PyTorch's own process group between them (gloo, on the CPU)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from torchrun import ENVIRONMENT, ROOT, TorchRun

pytest.importorskip("torch")

BEGIN = """
import os, signal, sys, time
from pathlib import Path
import torch
import torch.distributed as dist
import trainwire

restart = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
# A store of its own for each start: in torchrun's, gloo sometimes finds addresses of ranks that are gone
# (seen with PyTorch 2.15, without trainwire).
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
store = f"file://{Path.cwd()}/store-{restart}"
dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)

def together():
    "As a training step does: nobody goes on before everybody is here."
    dist.all_reduce(torch.ones(1))

"""


class Run(TorchRun):
    def __init__(self, folder: Path, script: str, *torchrun: str, **limits: Any) -> None:
        super().__init__(folder, BEGIN + script, *torchrun, **limits)


def test_all_ranks_leave_after_the_same_epoch(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        left = -1
        for epoch in task.epochs():
            together()
            time.sleep(0.001 * task.rank)  # one hears of the stop before the other
            if epoch == 3 and task.is_primary:
                Path("ready").touch()
            left = epoch
        assert task.should_stop
        Path(f"left-{task.rank}").write_text(str(left))
        together()  # nobody waits in another collective
        """,
    )
    run.wait_for("ready")
    run.process.send_signal(signal.SIGINT)
    assert run.ending()["ending"] == "stopped"
    first, second = run.written("left")
    assert first == second and int(first) >= 3


def test_they_agree_inside_an_epoch(folder: Path) -> None:
    run = Run(
        folder,
        """
with trainwire.connect() as task:
    for step in range(10**9):
        together()
        if step == 3 and task.is_primary:
            Path("ready").touch()
        if step % 10 == 0 and task.agree_to_stop():
            break
    Path(f"left-{task.rank}").write_text(str(step))
        """,
    )
    run.wait_for("ready")
    run.process.send_signal(signal.SIGINT)
    assert run.ending()["ending"] == "stopped"
    first, second = run.written("left")
    assert first == second


def test_the_first_error_is_the_cause_though_others_fall_over_it(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        for epoch in task.epochs():
            if epoch == 2 and task.rank == 1:
                raise ValueError("bad batch")
            together()
        """,
    )
    ending = run.ending()
    assert (ending["ending"], ending["state"]) == ("failed", "failed")
    assert ending["error"]["type"] == "ValueError", ending
    assert ending["error"]["text"] == "rank 1: bad batch"
    assert 'raise ValueError("bad batch")' in ending["error"]["traceback"]
    assert "rank 1: bad batch" in run.table, "the closing table"


def test_a_restart_by_torchrun_is_no_new_attempt(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        start = 0 if task.last_checkpoint is None else int(task.last_checkpoint.epoch) + 1
        for epoch in task.epochs(start):
            together()
            if task.is_primary:
                path = task.workdir / "model.pt"
                path.write_text("weights")
                task.checkpoint(path, epoch=epoch)
            together()
            if epoch == 2 and restart == 0 and task.rank == 1:
                raise ValueError("once")
            if epoch == 5:
                break
        Path(f"began-{task.rank}").write_text(f"{restart} {start} {task.attempt}")
        task.finish()
        """,
        "--max-restarts=1",
    )
    ending = run.ending()
    assert (ending["ending"], ending["attempt"]) == ("succeeded", 1)
    assert run.written("began") == ["1 3 1", "1 3 1"]
    bound = [event.get("restart") for event in run.events if event["event"] == "trainer_connected"]
    assert bound == [None, 1]


def test_restarts_that_are_used_up(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        together()
        if task.rank == 1:
            raise ValueError(f"life {restart}")
        together()
        """,
        "--max-restarts=1",
    )
    ending = run.ending()
    assert (ending["ending"], ending["attempt"]) == ("failed", 1)
    assert ending["error"]["text"] == "rank 1: life 1"


def test_a_rank_that_is_killed(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        for epoch in task.epochs():
            together()
            if epoch == 2 and task.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    ending = run.ending()
    assert ending["ending"] == "failed"
    assert "rank 1 ended without a word" in ending["error"]["text"], ending


def test_one_rank_that_keeps_going_after_an_error_leaves_nobody_waiting(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks(keep_going=True):
    with task:
        for epoch in task.epochs():
            together()
            if epoch == 2 and task.rank == 1:
                raise ValueError("only here")
        """,
        stop_grace="1s",
    )
    ending = run.ending()
    assert (ending["ending"], ending["error"]["text"]) == ("failed", "rank 1: only here")


@pytest.mark.parametrize("leaves", [0, 1])
def test_nobody_waits_long_for_a_rank_that_has_left(folder: Path, leaves: int) -> None:
    run = Run(
        folder,
        f"""
for task in trainwire.tasks():
    with task:
        for epoch in task.epochs():
            together()
            if epoch == 3 and task.rank == {leaves}:
                break
time.sleep(3600)  # or its end would tell the others
        """,
    )
    ending = run.ending()
    if leaves == 1:  # the primary says so
        assert ending["error"]["type"] == "trainwire.TaskStateError", ending
        assert ending["error"]["text"].startswith("rank 1 has ended the task")
    else:  # its word was that all is well
        assert ending["ending"] == "succeeded"
        logs = "".join(log.read_text() for log in folder.glob(".trainwire/*/jobs/*/logs/*.log"))
        assert "rank 0 has ended the task, and this rank waits for it" in logs


def test_ranks_go_on_through_the_death_of_the_orchestrator(folder: Path) -> None:
    run = Run(
        folder,
        """
for task in trainwire.tasks():
    with task:
        Path(f"began-{task.rank}-{os.getpid()}").touch()
        for epoch in task.epochs():
            go = torch.tensor([float(Path("go").exists())])
            dist.all_reduce(go)
            task.report(epoch=epoch, go=go)
            if epoch == 3 and task.is_primary:
                Path("ready").touch()
            if Path("alone").exists() and task.is_primary:
                Path("went-on").touch()
            if go:
                break
            time.sleep(0.01)
        Path(f"left-{task.rank}").write_text(str(epoch))
        task.finish(epoch=epoch)
        """,
        job_id="ranks",  # the next run of this id goes on with it
    )
    run.wait_for("ready")
    run.process.kill()
    run.process.communicate()
    (folder / "alone").touch()
    until = time.monotonic() + 60
    while not (folder / "went-on").exists():
        assert time.monotonic() < until, "nobody trains while there is no orchestrator"
        time.sleep(0.02)

    run.start()
    (folder / "go").touch()
    ending = run.ending()
    assert (ending["ending"], ending["attempt"]) == ("succeeded", 1)
    assert len(list(folder.glob("began-*"))) == 2, "nobody was started again"
    first, second = run.written("left")
    assert first == second


def test_the_example(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    command = ["trainwire", "run", "examples/torchrun_ddp.toml"]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 tasks succeeded" in done.stdout + done.stderr
