"""A function of a test as a trainer, in a process of its own: `python -m trainwire._testing.call`."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["command_of"]


def command_of(function: Callable[..., Any]) -> tuple[list[str], dict[str, str]]:
    """The command that calls it, and the environment it needs.

    Raises `TypeError` for what another process cannot find by its name.
    """
    fit = getattr(function, "fit", function)  # of a `Trainer`
    name = getattr(fit, "__qualname__", "<unnamed>")
    file = inspect.getsourcefile(fit)
    if "<" in name or file is None:
        raise TypeError(
            f"{name} is not found by its name in another process, and a trainer is run in one of its own, so "
            "that it can be killed: write it as a function at the top of its file"
        )
    path = os.pathsep.join(folder for folder in sys.path if folder)
    words = [
        sys.executable,
        "-m",
        "trainwire._testing.call",
        str(Path(file).absolute()),
        name,
        fit.__module__,
    ]
    return words, {"PYTHONPATH": path}


def main(file: str, name: str, module_name: str) -> None:
    import trainwire

    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None, (
        f"{file} was a Python file when it was imported before"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    if isinstance(found, trainwire.Trainer):
        found.serve()
    elif inspect.signature(found).parameters:
        trainwire.trainer(found).serve()
    else:
        found()


if __name__ == "__main__":
    main(*sys.argv[1:])
