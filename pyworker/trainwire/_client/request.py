"""What was said in Python, as the daemon wants it: a spec and its tasks."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict

from trainwire._client.combinations import Combination, plain
from trainwire._client.function import command_of

__all__ = ["Command", "Common", "Duration", "Limits", "TaskSpec", "job_request", "limits_of", "task_requests"]

Command = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Callable[..., Any]
Duration = float | str | timedelta
"""Seconds, a `timedelta`, or a text such as `"10m"` or `"1h30m"`."""


class Limits(TypedDict, total=False):
    """What a job may take, and when it is given up; see the reference of the spec for defaults."""

    gpus: int
    slots: int
    window: int
    poll_us: int
    slab: int
    """In bytes."""
    durability: Literal["durable", "volatile"]
    max_failures: int
    max_losses: int
    replace_after_failure: bool
    recv_timeout: Duration
    start_timeout: Duration
    stall_timeout: Duration | None
    lost_timeout: Duration
    stop_grace: Duration
    term_grace: Duration
    orphan_timeout: Duration
    backoff_min: Duration
    backoff_max: Duration


class TaskSpec(TypedDict, total=False):
    """One task of `tasks=[…]`."""

    task_id: str
    params: Mapping[str, Any]
    max_epochs: int
    model_name: str
    hyperparams_file: str | os.PathLike[str]
    """Goes to the trainer byte for byte, instead of `params`."""


def job_request(
    command: Command,
    tasks: list[dict[str, Any]],
    *,
    job_id: str | None,
    trainers: int,
    open: bool,  # noqa: A002 - the spec's word
    script: bool | None,
    environment: Mapping[str, str] | None,
    working_dir: str | os.PathLike[str] | None,
    limits: Limits,
    also: Iterable[str],
) -> dict[str, Any]:
    """The body of `POST /v1/jobs`. The command runs here, and `python` in it is this Python."""
    words, needed = words_of(command)
    small = all(
        "hyperparams_file" not in task and len(repr(task["params"])) < SCRIPT_PARAMS_SIZE_MAX
        for task in tasks
    )
    spec: dict[str, Any] = {
        "job_id": job_id or _job_id(stem_of(command)),
        "command": words,
        "environment": _environment({**needed, **(environment or {})}),
        "working_dir": str(Path(working_dir or ".").absolute()),
        "script": small if script is None else script,
        "open": open,
        "trainers": trainers,
        **limits_of(limits, also),
    }
    return {"spec": spec, "tasks": tasks}


@dataclass(frozen=True)
class Common:
    """What a job's tasks have in common, unless they say otherwise."""

    name: str
    """Of the only task, and of the model."""
    params: dict[str, Any] = field(default_factory=dict)
    max_epochs: int | None = None
    model_name: str | None = None


def task_requests(
    common: Common, combinations: list[Combination], tasks: Iterable[TaskSpec] | None
) -> list[dict[str, Any]]:
    """Every combination and every task of its own, on top of what is common; one task if there are none."""
    said: list[TaskSpec] = [{"task_id": task_id, "params": values} for task_id, values in combinations]
    said += list(tasks or [])
    if not said and tasks is None:
        said = [{"task_id": common.name}]
    requests = []
    for place, task in enumerate(said):
        if unknown := set(task) - set(TaskSpec.__annotations__):
            known = ", ".join(TaskSpec.__annotations__)
            raise TypeError(f"tasks[{place}] has the unknown key {min(unknown)!r}; there are {known}")
        request: dict[str, Any] = {
            "task_id": task.get("task_id", f"{common.name}-{place}"),
            "model_name": task.get("model_name", common.model_name or common.name),
        }
        if epochs := task.get("max_epochs", common.max_epochs):
            request["max_epochs"] = epochs
        if file := task.get("hyperparams_file"):
            request["hyperparams_file"] = str(Path(file).absolute())
        else:
            request["params"] = {**common.params, **plain(dict(task.get("params", {})), "params")}
        requests.append(request)
    return requests


def limits_of(limits: Mapping[str, Any], also: Iterable[str] = ()) -> dict[str, Any]:
    """Durations in milliseconds. `also` are other keywords that could have been meant by one that is none.

    Raises `TypeError`, as Python does for a keyword that is not there.
    """
    if unknown := set(limits) - set(Limits.__annotations__):
        from difflib import get_close_matches

        nearest = get_close_matches(min(unknown), [*Limits.__annotations__, *also], n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise TypeError(f"there is no keyword {min(unknown)!r}{hint}")
    return {
        name: _milliseconds(name, value) if name in DURATIONS else value for name, value in limits.items()
    }


def words_of(command: Command) -> tuple[list[str], dict[str, str]]:
    """A text is split as a shell would; a script that ends in `.py` is run by this Python. With the words
    comes what they need of the environment.
    """
    if callable(command):
        return command_of(command)
    if isinstance(command, str):
        words = shlex.split(command)
    elif isinstance(command, os.PathLike):
        words = [os.fspath(command)]
    else:
        words = [os.fspath(word) for word in command]
    if not words:
        raise ValueError('the command is empty; give a script or a program, e.g. "train.py"')
    return [sys.executable, *words] if words[0].endswith(".py") else words, {}


def stem_of(command: Command) -> str:
    """What is run, in one word: `train` of `python train.py`, of `python -m lab.train` and of a function."""
    if callable(command):
        return str(getattr(command, "__name__", "task"))
    words = words_of(command)[0]
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1].rpartition(".")[2]
    script = next((word for word in words if word.endswith((".py", ".sh")) and not word.isspace()), words[0])
    return Path(script).stem or "task"


def _environment(said: Mapping[str, str]) -> dict[str, str]:
    """What makes the command the one that was meant; a virtual environment need not be activated."""
    found = {name: os.environ[name] for name in SUBMITTERS_VARIABLES if name in os.environ}
    if sys.prefix != sys.base_prefix:
        scripts = str(Path(sys.executable).parent)
        path = found.get("PATH", os.defpath)
        if path.split(os.pathsep)[0] != scripts:
            found["PATH"] = f"{scripts}{os.pathsep}{path}"
    return {**found, **said}


def _job_id(stem: str) -> str:
    """E.g. `train-20261123-204710-3f9a`."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem)
    name = "-".join(part for part in letters.split("-") if part)[:40].strip("-") or "job"
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def _milliseconds(name: str, value: Duration | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, str):
        return _parsed(name, value)
    return round(value * 1000)


def _parsed(name: str, text: str) -> int:
    total, digits = 0, ""
    rest = text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        unit = next((unit for unit in UNITS if rest[len(digits) :].startswith(unit)), None)
        if not digits or unit is None:
            raise ValueError(f'{name} is {text!r}; write seconds, or a text such as "90s", "10m" or "1h30m"')
        total += int(digits) * UNITS[unit]
        rest = rest[len(digits) + len(unit) :]
    return total


DURATIONS = {name for name in Limits.__annotations__ if name.endswith(("_timeout", "_grace", "_min", "_max"))}

# In milliseconds; `ms` before `m`.
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}

# The same as of the command line.
SUBMITTERS_VARIABLES = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH")

# A script that does not know trainwire finds its parameters in a variable, which the kernel allows 128 KiB.
SCRIPT_PARAMS_SIZE_MAX = 64 << 10
