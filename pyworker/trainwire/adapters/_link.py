"""What the adapters share: the task, rows that cannot hurt, one answer about stopping."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trainwire
from trainwire import Task

__all__ = ["Link", "missing"]


class Link:
    """A framework's callback and its task."""

    def __init__(self, task: Task | None = None, *, save: bool = True, keep_last: int | None = 2) -> None:
        self._task = task
        self._save = save
        self._keep_last = keep_last
        self._warned: set[str] = set()

    @property
    def task(self) -> Task:
        """The one that was given, else the open one, else this process's one."""
        if self._task is None:
            self._task = trainwire.current() or trainwire.connect()
        return self._task

    def report(self, row: Mapping[str, Any], *, step: int | None = None, epoch: float | None = None) -> None:
        self.quietly("report", lambda: self.task.report(row, step=step, epoch=epoch))

    def stops(self) -> bool:
        """Whether to end, asked where all ranks come by, as at the end of an epoch."""
        return bool(self.quietly("stop", self.task.agree_to_stop))

    def stops_within(self) -> bool:
        """Whether to end now, asked oftener: of several ranks none does, because they would not agree."""
        task = self.task
        self.quietly("tick", task.tick)
        return task.world_size == 1 and task.should_stop

    def save(
        self, name: str, write: Callable[[Path], object], *, epoch: float, step: int | None = None
    ) -> None:
        """Lets `write` make a file in the work folder, and announces it once it is whole."""
        if self._save and self.task.is_primary:
            self.quietly("save", lambda: self._replace(name, write, epoch, step))

    def _replace(self, name: str, write: Callable[[Path], object], epoch: float, step: int | None) -> None:
        path = self.task.workdir / name
        new = path.with_name(f"new-{name}")  # frameworks go by the ending
        write(new)
        self.announce(new.replace(path), epoch=epoch, step=step)

    def announce(self, path: str | os.PathLike[str], *, epoch: float | None, step: int | None = None) -> None:
        """Tells of a checkpoint that the framework has written."""
        task, keep_last = self.task, self._keep_last
        self.quietly("checkpoint", lambda: task.checkpoint(path, epoch=epoch, step=step, keep_last=keep_last))

    def quietly(self, what: str, do: Callable[[], Any]) -> Any:
        """What goes wrong is one warning of each kind, and not the training's trouble."""
        try:
            return do()
        except Exception as error:
            if what not in self._warned:
                self._warned.add(what)
                warnings.warn(
                    f"trainwire: {what}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=4
                )
            return None

    @property
    def start(self) -> int:
        """The epoch to go on with: 0, or the one after the checkpoint's."""
        at = self.task.last_checkpoint
        return 0 if at is None or at.epoch is None else int(at.epoch) + 1

    @property
    def resume_path(self) -> str | None:
        """What an earlier attempt has saved, if it is still there."""
        return self.task.resume_path


def missing(package: str, install: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"{package} is not installed: pip install {install}")
