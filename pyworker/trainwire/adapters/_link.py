"""What the adapters share: the task, rows that cannot hurt, one answer about stopping."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trainwire
from trainwire import Task

__all__ = ["Link", "Resumes", "missing", "within"]


class Link:
    """A framework's callback and its task."""

    def __init__(self, task: Task | None = None, *, save: bool = True, keep_last: int | None = 2) -> None:
        self._task = task
        self._save = save
        self._keep_last = keep_last
        self._warned: set[str] = set()

    @property
    def task(self) -> Task:
        """The one that was given, else the open one, else this process's one. Asked anew: tasks end."""
        return self._task or trainwire.current() or trainwire.connect()

    def report(self, row: Mapping[str, Any], *, step: int | None = None, epoch: float | None = None) -> None:
        self.quietly("report", lambda: self.task.report(row, step=step, epoch=epoch))

    def stops(self) -> bool:
        """Whether to end, asked where all ranks come by, as at the end of an epoch."""
        return bool(self.quietly("stop", lambda: self.task.agree_to_stop()))

    def stops_within(self) -> bool:
        """Whether to end now, asked oftener: of several ranks none does, because they would not agree."""

        def ask() -> bool:
            task = self.task
            task.tick()
            return task.world_size == 1 and task.should_stop

        return bool(self.quietly("stop", ask))

    def wants_checkpoint(self) -> bool:
        """Whether whoever stops it is interested in how far it has come."""
        stop = self.quietly("stop", lambda: self.task.stop)
        return stop is None or bool(stop.want_checkpoint)

    def save(
        self,
        name: str,
        write: Callable[[Path], object],
        *,
        epoch: float,
        step: int | None = None,
        collective: bool = False,
    ) -> None:
        """Lets `write` make a file in the work folder, and announces it once it is whole.

        `collective`: all ranks have to call `write` together; else the first one does.
        """
        if self._save:
            self.quietly("save", lambda: self._replace(name, write, epoch, step, collective))

    def _replace(
        self,
        name: str,
        write: Callable[[Path], object],
        epoch: float,
        step: int | None,
        collective: bool,
    ) -> None:
        task = self.task
        if not (task.is_primary or collective):
            return
        new = task.workdir / f"new-{name}"  # frameworks go by the ending
        write(new)
        if task.is_primary:
            self.announce(new.replace(task.workdir / name), epoch=epoch, step=step)

    def announce(self, path: str | os.PathLike[str], *, epoch: float | None, step: int | None = None) -> None:
        """Tells of a checkpoint that the framework has written."""
        self.quietly(
            "checkpoint",
            lambda: self.task.checkpoint(path, epoch=epoch, step=step, keep_last=self._keep_last),
        )

    def quietly(self, what: str, do: Callable[[], Any]) -> Any:
        """What goes wrong is one warning of each kind, and not the training's trouble."""
        try:
            return do()
        except Exception as error:
            self.warn(what, f"{type(error).__name__}: {error}")
            return None

    def warn(self, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"trainwire: {what}: {text}", RuntimeWarning, stacklevel=4)


class Resumes:
    """The part of a callback that is asked before training begins."""

    _link: Link

    @property
    def resume_path(self) -> str | None:
        """What an earlier attempt saved last and is still there; `None` to begin anew."""
        return self._link.task.resume_path

    @property
    def start(self) -> int:
        """The epoch to go on with: 0, or the one after the checkpoint's. Boosting counts rounds.

        A checkpoint from within an epoch has a fraction (2.5: half of epoch 3 is done); that epoch is begun
        again.
        """
        at = self._link.task.last_checkpoint
        return 0 if at is None or at.epoch is None else math.floor(at.epoch) + 1


def within(epoch: int, done: float, of: float | None) -> float:
    """What a checkpoint from within an epoch says of itself, after `done` of its `of` batches."""
    share = done / of if of and math.isfinite(of) else 0.0
    return epoch - 1 + min(share, 1.0)


def missing(package: str, install: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"{package} is not installed: pip install {install}")
