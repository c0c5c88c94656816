from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from orchestrator import TOKEN, Orchestrator

Start = Callable[..., "Trainer"]


class Trainer(subprocess.Popen[str]):
    """A Python process with a script of the test."""

    def ends(self, code: int = 0) -> str:
        """Waits for the exit and gives what was printed."""
        out, err = self.communicate(timeout=30)
        assert self.returncode == code, f"exit {self.returncode}, wanted {code}\n{out}\n{err}"
        self.errors = err
        return out


@pytest.fixture
def orchestrator(tmp_path: Path) -> Iterator[Orchestrator]:
    orchestrator = Orchestrator(tmp_path)
    yield orchestrator
    orchestrator.close()


@pytest.fixture
def start(orchestrator: Orchestrator, tmp_path: Path) -> Iterator[Start]:
    """Starts a trainer, as the orchestrator would; `through` another program that runs it."""
    trainers: list[Trainer] = []

    def start(script: str, through: Sequence[str] = (), **environment: str | None) -> Trainer:
        variables = {
            **os.environ,
            "TRAINWIRE_SOCKET": str(orchestrator.path),
            "TRAINWIRE_JOB_ID": "job-1",
            "TRAINWIRE_TOKEN": TOKEN,
            "PYTHONFAULTHANDLER": "1",
            **environment,
        }
        trainer = Trainer(
            [
                *through,
                sys.executable,
                "-u",
                "-c",
                "import os, sys, time, trainwire\n" + textwrap.dedent(script),
            ],
            env={name: value for name, value in variables.items() if value is not None},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What runs the tests may ignore Ctrl-C, as a shell does for what it starts with `&`.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        trainers.append(trainer)
        return trainer

    yield start
    for trainer in trainers:
        if trainer.poll() is None:
            trainer.kill()
        with trainer:
            trainer.communicate()
