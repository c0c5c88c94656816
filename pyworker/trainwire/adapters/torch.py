"""PyTorch loops of one's own: everything with a `state_dict` saved and restored in one line each.

start = restore(task, model=model, optimizer=optimizer)
for epoch in task.epochs(start):
    ...
    save(task, epoch, model=model, optimizer=optimizer)
"""

from __future__ import annotations

import random
import sys
from typing import Any

from trainwire import Task
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
    torch.save({"epoch": epoch, "parts": state, "random": _random()}, new)
    task.checkpoint(new.replace(path), epoch=epoch, step=step, keep_last=keep_last)


def restore(task: Task, *, map_location: Any = "cpu", **parts: Any) -> int:
    """Loads what an earlier attempt saved into `parts`; returns the epoch to go on with, 0 at first.

    The random number generators go on, too: of several ranks each with the first one's state.

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
    _go_on_with(saved["random"])
    return int(saved["epoch"]) + 1


def _random() -> dict[str, Any]:
    """Of types that are loaded without running code."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = {"cpu": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        name, keys, *rest = numpy.random.get_state()
        states["numpy"] = (name, keys.tolist(), *rest)
    return states


def _go_on_with(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
    random.setstate(states["python"])
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
