"""Sends what is reported to TensorBoard or Weights & Biases, too.

Asked for by `TRAINWIRE_TEE=tensorboard`, `=wandb` or both with a comma between, in the environment of
`trainwire run`, in a spec's `environment`, or of a script that runs by itself. Each task is one run, under
the same name on every attempt: `{job_id}/{task_id}`.

- TensorBoard: event files in `runs/{job_id}/{task_id}`; another folder by `TRAINWIRE_TEE_DIR`. Needs the
  package `tensorboard`.
- Weights & Biases: a run with this id and `resume="allow"`, in the project `WANDB_PROJECT` or, without that
  variable, the job's id; the parameters are its config. Needs the package `wandb`.

What goes wrong here is one warning, and never the training's trouble.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

__all__ = ["open"]


class _Sink(Protocol):
    def report(self, row: dict[str, Any], at: int) -> None: ...
    def close(self, result: dict[str, Any], /) -> None: ...


class _Tee:
    """What the extension talks to."""

    def __init__(self, sinks: list[_Sink]) -> None:
        self.sinks = sinks
        self.rows = 0
        self.lock = threading.Lock()  # any thread may report

    def report(self, row: dict[str, Any], step: int | None, epoch: float | None) -> None:
        """A row at its step, else its epoch, else its place among the rows."""
        if epoch is not None:
            row = {**row, "epoch": epoch}
        with self.lock:
            at = step if step is not None else int(epoch) if epoch is not None else self.rows
            self.rows += 1
            for sink in self.sinks:
                sink.report(row, at)

    def close(self, result: dict[str, Any]) -> None:
        with self.lock:
            for sink in self.sinks:
                sink.close(result)


def open(job_id: str, task_id: str, params: dict[str, Any] | None) -> _Tee:  # noqa: A001
    """The sinks that `TRAINWIRE_TEE` names, for one task."""
    names = [name.strip() for name in os.environ["TRAINWIRE_TEE"].split(",") if name.strip()]
    unknown = [name for name in names if name not in _SINKS]
    if unknown:
        raise ValueError(f"it takes {' and '.join(_SINKS)}, not {', '.join(unknown)}")
    return _Tee([_SINKS[name](job_id, task_id, params or {}) for name in names])


class _TensorBoard:
    def __init__(self, job_id: str, task_id: str, _params: dict[str, Any]) -> None:
        try:
            from tensorboard.summary import Writer
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("TensorBoard is not installed: pip install tensorboard") from error
        folder = Path(os.environ.get("TRAINWIRE_TEE_DIR", "runs"), job_id, _file_name(task_id))
        self.writer = Writer(str(folder))

    def report(self, row: dict[str, Any], at: int) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name, value, at)
        self.writer.flush()  # an attempt may end without a warning

    def close(self, _result: dict[str, Any]) -> None:
        self.writer.close()


class _Wandb:
    def __init__(self, job_id: str, task_id: str, params: dict[str, Any]) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("Weights & Biases is not installed: pip install wandb") from error
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", job_id),
            group=job_id,
            name=task_id,
            id=_run_id(job_id, task_id),
            resume="allow",
            config=params,
            reinit="create_new",
        )

    def report(self, row: dict[str, Any], at: int) -> None:
        # Not `step=at`: after a crash an attempt goes back, and W&B takes no step twice.
        self.run.log({**row, "trainwire/step": at})

    def close(self, result: dict[str, Any]) -> None:
        self.run.summary.update(result)
        self.run.finish()


def _file_name(task_id: str) -> str:
    return re.sub(r"[^\w.,=+-]", "_", task_id).lstrip(".") or "_"


def _run_id(job_id: str, task_id: str) -> str:
    """W&B wants few characters in an id; the digest tells apart what looks the same without the others."""
    name = re.sub(r"[^A-Za-z0-9-]", "-", f"{job_id}-{task_id}")[:48]
    return f"{name}-{hashlib.sha256(f'{job_id}/{task_id}'.encode()).hexdigest()[:8]}"


_SINKS: dict[str, Callable[[str, str, dict[str, Any]], _Sink]] = {
    "tensorboard": _TensorBoard,
    "wandb": _Wandb,
}
