"""What every receiver does with a task, and the clock it does it by."""

import os
import sys
import time

import numpy as np

CHECK_MASK = (1 << 52) - 1


def pin() -> list[str]:
    """Binds this process to the core it was told, and gives the other arguments."""
    core, *arguments = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    return arguments


def ready() -> None:
    print("ready", flush=True)


def measure(task_id: str, model_name: str, max_epochs: int, hyperparams) -> tuple[int, int, int]:
    """(read_ns, touched_ns, check) of the harness's `Answer`, for four fields just read."""
    view = np.frombuffer(hyperparams, np.uint8)
    read_ns = time.monotonic_ns()
    touched_ns = 0
    words = view.view(np.uint64)
    if model_name == "sum":
        view[::4096].max()
        touched_ns = time.monotonic_ns()
        total = int(words.sum())
    else:
        total = int(words[0]) + int(words[-1])
    return read_ns, touched_ns, (total + int(task_id[5:]) + max_epochs + view.size) & CHECK_MASK
