"""Programs that look at a trainer from outside."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest


def needed(program: str) -> str:
    """Its path. Without it the test is skipped, but in CI, which has it."""
    path = shutil.which(program)
    if path is None and "CI" not in os.environ:
        pytest.skip(f"needs {program}")
    assert path is not None, f"needs {program}"
    return path


def strace(log: Path, *options: str) -> list[str]:
    """Runs a trainer and writes the system calls of its main thread into a log, a line each; with `-f` of all
    its threads."""
    return [needed("strace"), "-q", "-e", "signal=none", *options, "-o", str(log)]


def folders_synced(log: Path) -> set[str]:
    """Names in a log that was written with strace's `-y`."""
    return set(re.findall(r"fsync\(\d+<([^>]+)>\) += 0", log.read_text()))
