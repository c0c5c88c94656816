"""What `task.epochs(state=…)` does beside counting: what a loop has made is saved after each epoch, and put
back into the same objects when an attempt goes on where another has ended. Imported when a loop asks for it.

A checkpoint is a folder, `state/epoch-{n}` in the task's work folder, with a file for each part, which other
programs can read as well:

| file | of what | read by |
| --- | --- | --- |
| `model.pt` | a part with a `state_dict()`, where PyTorch is loaded; a tensor | `torch.load` |
| `model.pickle` | any other part | `pickle.load` |
| `_random.pickle` | the random number generators of Python, NumPy and PyTorch | |
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
import warnings
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from trainwire import _random
from trainwire._refill import can_be_filled, fill, has_state_dict, is_value, kind_of

if TYPE_CHECKING:
    from trainwire import Task

__all__ = ["Keeper"]


class Keeper:
    """Of one loop."""

    def __init__(self, task: Task, state: Any, save_every: int, keep_last: int | None) -> None:
        if save_every < 1:
            raise ValueError(f"save_every is {save_every}, and must be 1 or more")
        if keep_last is not None and keep_last < 2:
            raise ValueError(
                f"keep_last is {keep_last}, and must be 2 or more, or None for all: an attempt that finds "
                "all epochs done repeats the last one"
            )
        self._task = task
        self._save_every = save_every
        self._keep_last = keep_last
        self._of_one = not isinstance(state, MutableMapping)
        self._state: MutableMapping[str, Any] = {"state": state} if self._of_one else state
        self._check()

    def restore(self) -> int:
        """Puts back what the last attempt has left; the epoch to go on with."""
        folder = None if self._task.offline else self._found()
        if folder is None:
            return 0
        files = {path.stem: path for path in sorted(folder.iterdir()) if path.name != RANDOM}
        if missing := [name for name in self._state if name not in files]:
            raise ValueError(
                f"{folder} has nothing of {', '.join(missing)}: it is of a loop with another state; delete "
                "the folder to begin anew"
            )
        for name, path in files.items():
            try:
                self._put_back(name, _read(path))
            except Exception as error:
                error.add_note(f"while putting {name!r} back from {path}; delete the folder to begin anew")
                raise
        if self._task.world_size == 1:  # several ranks draw differently, and one of them saved
            _random.put_back(_read(folder / RANDOM))
        return _epoch_of(folder) + 1

    def save(self, epoch: int, last: bool) -> None:
        """An epoch is done, perhaps the last one of this attempt.

        A disk that is full or broken is a warning: the training goes on, and another attempt begins with an
        earlier epoch.
        """
        task = self._task
        if task.offline or not task.is_primary or not (last or (epoch + 1) % self._save_every == 0):
            return
        if task.should_stop and task.stop is not None and not task.stop.want_checkpoint:
            return
        folder = task.workdir / FOLDER / f"epoch-{epoch}"
        new = folder.with_suffix(".new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for name, part in self._state.items():
                _write(new, name, part)
            _put(new / RANDOM, lambda file: pickle.dump(_random.states(), file))
            _sync(new)
            shutil.rmtree(folder, ignore_errors=True)
            task.checkpoint(new.rename(folder), epoch=epoch)
            # Of ours alone: what else the script announces is its own to keep.
            for older in self._saved()[: -self._keep_last] if self._keep_last else []:
                shutil.rmtree(older)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            text = f"trainwire: the state of epoch {epoch} is not saved: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def _check(self) -> None:
        """What cannot be saved or put back is said before hours of training, and not behind them."""
        for name, part in self._state.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(
                    f"a part of the state is called {name!r}; a name is that of a file: a letter first, then "
                    "letters, digits, '_', '.' and '-'"
                )
            called = "state" if self._of_one else f"state[{name!r}]"
            if is_value(part) and self._of_one:
                raise TypeError(
                    f"{called} is a {kind_of(part)}, which nothing can be put back into; keep it in a dict: "
                    "state={'name': value}, and use it from there"
                )
            if not is_value(part) and not can_be_filled(part):
                raise TypeError(
                    f"{called} is a {kind_of(part)}, which nothing can be put back into; give it "
                    "state_dict() and load_state_dict(), or keep what matters of it in a dict"
                )
            if not self._task.offline and not has_state_dict(part):
                try:
                    pickle.Pickler(_Nowhere()).dump(part)
                except Exception as error:
                    error.add_note(
                        f"{called}, a {kind_of(part)}, cannot be saved; leave out of it what cannot"
                    )
                    raise

    def _found(self) -> Path | None:
        """The newest checkpoint after which there is an epoch left: what stands behind the loop goes by what
        the last one has left in its variables.
        """
        newest = self._task.last_checkpoint
        if newest is None:
            if self._task.is_primary:  # of another job of this name, whose work folder was kept
                shutil.rmtree(self._task.workdir / FOLDER, ignore_errors=True)
            return None
        saved = self._saved()
        if not saved:
            raise ValueError(
                f"the newest checkpoint, {newest.path}, was not saved by epochs(state=…); load it by hand, "
                "or delete it to begin anew"
            )
        left = [folder for folder in saved if _epoch_of(folder) + 1 < self._task.max_epochs]
        return left[-1] if left else None

    def _saved(self) -> list[Path]:
        """Oldest first. Each is whole: it was on the disk before it had its name."""
        found = (self._task.workdir / FOLDER).glob("epoch-*")
        return sorted((folder for folder in found if folder.suffix != ".new"), key=_epoch_of)

    def _put_back(self, name: str, saved: Any) -> None:
        if name not in self._state or is_value(self._state[name]):
            self._state[name] = saved
        else:
            fill(self._state[name], saved)


def _write(folder: Path, name: str, part: Any) -> None:
    torch = sys.modules.get("torch")
    content = part.state_dict() if has_state_dict(part) else part
    by_torch = torch is not None and (content is not part or isinstance(part, torch.Tensor))
    save, suffix = (torch.save, "pt") if torch is not None and by_torch else (pickle.dump, "pickle")
    _put(folder / f"{name}.{suffix}", lambda file: save(content, file))


def _put(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Any:
    if path.suffix == ".pt":
        import torch

        return torch.load(path, map_location="cpu", weights_only=False)
    with path.open("rb") as file:
        return pickle.load(file)


def _epoch_of(folder: Path) -> int:
    return int(folder.name.removeprefix("epoch-"))


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


NAME = re.compile(r"[A-Za-z][\w.-]*")

# In the work folder. What lies in it is ours to delete.
FOLDER = "state"

# No part is called so.
RANDOM = "_random.pickle"
