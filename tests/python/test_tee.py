"""Rows for TensorBoard and others: the calls they get, and that their trouble is not the training's.

The real packages are heavy; `tests/frameworks` runs against them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import Start
from orchestrator import Orchestrator

# A stand-in for the package `tensorboard`, which writes down how it was called.
WRITER = """
import json
class Writer:
    def __init__(self, folder):
        self.folder = folder
        self.log = open("calls", "a")
    def write(self, *call):
        print(json.dumps(call), file=self.log, flush=True)
    def add_scalar(self, name, value, step):
        self.write(self.folder, name, value, step)
        if value == 13:
            raise OSError("the disk is full")
    def flush(self): pass
    def close(self):
        self.write(self.folder, "closed")
"""

SCRIPT = """
    with trainwire.connect() as task:
        task.report({"loss": 0.5, "nested": {"a": 1}}, step=7, epoch=1)
        task.report(loss=0.25, epoch=2)
        task.report(loss=13)
        task.report(loss=0.125, step=9)
        task.finish(accuracy=1)
"""


@pytest.fixture
def tensorboard(tmp_path: Path) -> Path:
    package = tmp_path / "packages/tensorboard/summary"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(WRITER)
    return tmp_path / "packages"


def test_rows_go_to_both_until_one_is_in_trouble(
    orchestrator: Orchestrator, start: Start, tensorboard: Path, tmp_path: Path
) -> None:
    trainer = start(SCRIPT, TRAINWIRE_TEE="tensorboard", PYTHONPATH=beside(tensorboard))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    trainer.ends()
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert {call[0] for call in calls} == {"runs/job-1/t1"}
    assert [call[1:] for call in calls] == [
        ["loss", 0.5, 7],
        ["nested/a", 1, 7],
        ["epoch", 1, 7],
        ["loss", 0.25, 2],
        ["epoch", 2, 2],
        ["loss", 13, 2],
    ]
    assert trainer.errors.count("nothing more goes to TRAINWIRE_TEE: OSError: the disk is full") == 1


def beside(folder: Path) -> str:
    """On the path, before what is there already."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.mark.parametrize(
    ("tee", "said"),
    [
        ("tensorbored", "it takes tensorboard and wandb, not tensorbored"),
        ("wandb", "Weights & Biases is not installed: pip install wandb"),
    ],
)
def test_what_cannot_be_opened_is_one_warning(
    orchestrator: Orchestrator, start: Start, tee: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "wandb.py").write_text("raise ModuleNotFoundError('wandb')")
    trainer = start(SCRIPT, TRAINWIRE_TEE=tee, PYTHONPATH=beside(tmp_path))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    trainer.ends()
    assert trainer.errors.count(said) == 1


def test_it_is_closed_with_its_task(start: Start, tensorboard: Path, tmp_path: Path) -> None:
    trainer = start(
        """
        with trainwire.connect() as task:
            task.report(loss=1)
            task.finish()
        """,
        TRAINWIRE_TEE="tensorboard",
        TRAINWIRE_SOCKET=None,
        PYTHONPATH=beside(tensorboard),
        TRAINWIRE_TEE_DIR=str(tmp_path / "there"),
    )
    trainer.ends()
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls[0][1:] == ["loss", 1, 0] and calls[-1] == [str(tmp_path / "there/offline/offline"), "closed"]
