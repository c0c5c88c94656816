"""Ranks that torchrun starts, with PyTorch's own process group between them (gloo, on the CPU)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

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


class Run:
    """`trainwire run` with ranks of the script, in a folder of its own."""

    def __init__(self, folder: Path, script: str, *torchrun: str, **limits: Any) -> None:
        self.folder = folder
        (folder / "train.py").write_text(BEGIN + script)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        spec = {"command": [*command, *torchrun, "train.py"], "start_timeout": "5m", "backoff_min": "1ms"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in (spec | limits).items()]
        (folder / "spec.toml").write_text("\n".join(lines) + "\n\n[defaults]\nmax_epochs = 100000\n")
        self.process = subprocess.Popen(
            ["trainwire", "run", "spec.toml", "--json"],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def wait_for(self, name: str) -> None:
        """Until the ranks have written a file of this name."""
        until = time.monotonic() + 120
        while not (self.folder / name).exists():
            assert self.process.poll() is None and time.monotonic() < until, self.ended()
            time.sleep(0.02)

    def ended(self) -> list[dict[str, Any]]:
        """All events, once it is over; on the way out what was logged."""
        out, self.table = self.process.communicate(timeout=150)
        for log in self.folder.glob(".trainwire/*/jobs/*/logs/*.log"):
            print(log.read_text())
        return [json.loads(line) for line in out.splitlines()]

    def ending(self) -> dict[str, Any]:
        """The end of the one attempt of the one task."""
        self.events = self.ended()
        [ending] = [event for event in self.events if event["event"] == "ended"]
        return ending

    def written(self, name: str) -> list[str]:
        return [(self.folder / f"{name}-{rank}").read_text() for rank in range(2)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    mark = f"{tmp_path}/"
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and f"TRAINWIRE_SOCKET={mark}".encode() in (entry / "environ").read_bytes()
            ):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


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


def test_the_example(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    command = ["trainwire", "run", "examples/torchrun_ddp.toml"]
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 tasks succeeded" in done.stdout + done.stderr
