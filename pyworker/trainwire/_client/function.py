"""A function as a trainer, in a process of its own: `python -m trainwire._client.function`."""

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
    try:
        file = inspect.getsourcefile(fit)
    except TypeError:
        file = None
    if "<" in name or file is None or not Path(file).exists():
        raise TypeError(
            f"{name} is not found by its name in another process, and a trainer is one of its own, so that "
            "it can be killed: write it as a function at the top of a file"
        )
    # Not run again as a script: what stands under `if __name__ == "__main__"` is for this process.
    module = "__trainwire_main__" if fit.__module__ == "__main__" else fit.__module__
    path = os.pathsep.join(folder for folder in sys.path if folder)
    words = [sys.executable, "-m", "trainwire._client.function", str(Path(file).absolute()), name, module]
    return words, {"PYTHONPATH": path}


def main(file: str, name: str, module_name: str) -> None:
    import trainwire

    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        sys.exit(f"{file} is no Python file")
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
