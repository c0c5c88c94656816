"""A trainer started by hand, say under a debugger or on a machine's only GPU.

trainwire run examples/attached.toml      # in one terminal
python examples/attached.py               # in another, as the same user
"""

import os
import sys
import time
from pathlib import Path

import trainwire

SOCKET = Path(os.environ.setdefault("TRAINWIRE_SOCKET", "/tmp/ai-task-sock-attached"))

# The line to be found: y = 2x + 1.
POINTS = [(x / 10, 2 * x / 10 + 1) for x in range(-10, 11)]


def main() -> None:
    wait_for(SOCKET, seconds=10)
    for task in trainwire.tasks():
        with task:
            slope = intercept = loss = 0.0
            for epoch in task.epochs():
                errors = [(slope * x + intercept - y, x) for x, y in POINTS]
                slope -= task.params["lr"] * 2 * sum(error * x for error, x in errors) / len(POINTS)
                intercept -= task.params["lr"] * 2 * sum(error for error, _ in errors) / len(POINTS)
                loss = sum(error * error for error, _ in errors) / len(POINTS)
                task.report(loss=loss, epoch=epoch)
            task.finish(slope=slope, intercept=intercept, loss=loss)


def wait_for(socket: Path, *, seconds: float) -> None:
    """The socket is there as soon as the job runs."""
    deadline = time.monotonic() + seconds
    while not socket.exists():
        if time.monotonic() > deadline:
            sys.exit(f"no job listens at {socket}; start one: trainwire run examples/attached.toml")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
