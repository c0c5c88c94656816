"""Programs that look at a trainer from outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def needed(program: str) -> str:
    """Its path. Without it the test is skipped, but in CI, which has it."""
    path = shutil.which(program)
    if path is None and "CI" not in os.environ:
        pytest.skip(f"needs {program}")
    assert path is not None, f"needs {program}"
    return path


def calls(process: int, log: Path, seen: str, then: Callable[[], None], *options: str) -> str:
    """The system calls of a process's main thread until it ends, a line each. `then` is called as soon as
    one has `seen` in its line. With strace's `-f` of all its threads."""
    strace = needed("strace")
    command = [strace, "-q", "-e", "signal=none", *options, "-o", log, "-p", str(process)]
    with subprocess.Popen(command) as tracing:
        while seen not in (log.read_text() if log.exists() else ""):
            assert tracing.poll() is None, "strace may not trace"
        then()
    return log.read_text()


def folders_synced(log: str) -> set[str]:
    """Names in a log that was written with strace's `-y`."""
    return set(re.findall(r"fsync\(\d+<([^>]+)>\) += 0", log))
