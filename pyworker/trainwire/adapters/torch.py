"""PyTorch loops of one's own: everything with a `state_dict` saved and restored in one line each.

start = restore(task, model=model, optimizer=optimizer)
for epoch in task.epochs(start):
    ...
    save(task, epoch, model=model, optimizer=optimizer)
"""

from __future__ import annotations

from typing import Any

from trainwire import Task, _random
from trainwire.adapters._link import missing

try:
    import torch
except ModuleNotFoundError as error:
    raise missing("PyTorch", "torch") from error

__all__ = ["restore", "save"]


def save(task: Task, epoch: int, *, step: int | None = None, keep_last: int | None = 2, **parts: Any) -> None:
    """Saves `epoch-{epoch}.pt` in the task's work folder and announces it; of several ranks the first does.

    Args:
        task: The task.
        epoch: The one that is done.
        step: The optimizer steps that are.
        keep_last: How many of the saved files stay.
        parts: Models, optimizers, schedulers, scalers: what has `state_dict()`. The states of the random
            number generators go along: PyTorch's, Python's, and NumPy's global one if it was imported.

    Raises:
        OSError: It cannot be written. Your loop, your decision: nothing is hidden here.
    """
    if not task.is_primary:
        return
    state = {name: part.state_dict() for name, part in parts.items()}
    path = task.workdir / f"epoch-{epoch}.pt"
    new = path.with_suffix(".new")
    torch.save({"epoch": epoch, "parts": state, "random": _random.states()}, new)
    task.checkpoint(new.replace(path), epoch=epoch, step=step, keep_last=keep_last)


def restore(task: Task, *, map_location: Any = "cpu", **parts: Any) -> int:
    """Loads what an earlier attempt saved into `parts`; returns the epoch to go on with, 0 at first.

    The random number generators go on, too, but not those of several ranks: these draw differently, and only
    the first one has saved.

    Raises:
        KeyError: The file has no part of that name.
    """
    path = task.resume_path
    if path is None:
        return 0
    saved = torch.load(path, map_location=map_location, weights_only=True)
    for name, part in parts.items():
        if name not in saved["parts"]:
            raise KeyError(f"{path} has {', '.join(saved['parts'])}, and no {name}")
        part.load_state_dict(saved["parts"][name])
    if task.world_size == 1:
        _random.put_back(saved["random"])
    return int(saved["epoch"]) + 1
