"""Sets of parameters: every combination of a grid, or random samples."""

from __future__ import annotations

import itertools
import math
import random as randomness
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Combination", "grid_of", "plain", "samples_of"]

Combination = tuple[str, dict[str, Any]]
"""A task's id and its parameters."""


def grid_of(grid: Mapping[str, Iterable[Any]]) -> list[Combination]:
    """All combinations, the last parameter varying fastest; e.g. `lr=0.1,depth=2`."""
    axes = [[(name, plain(value, name)) for value in _values(name, values)] for name, values in grid.items()]
    if not axes:
        return []
    size = math.prod(len(axis) for axis in axes)
    if size > TASKS_MAX:
        raise ValueError(f"the grid has {size} tasks, at most {TASKS_MAX} are allowed")
    return [(_task_id(point), dict(point)) for point in itertools.product(*axes)]


def samples_of(space: Mapping[str, Any], samples: int, seed: int) -> list[Combination]:
    """So many draws, the same for the same seed. Ids are `sample-0` and so on, with leading zeros."""
    if not 1 <= samples <= TASKS_MAX:
        raise ValueError(f"samples is {samples}, and must be from 1 to {TASKS_MAX}")
    source = randomness.Random(seed)
    digits = len(str(samples - 1))
    return [
        (
            f"sample-{number:0{digits}}",
            {name: plain(_draw(name, of, source), name) for name, of in space.items()},
        )
        for number in range(samples)
    ]


def plain(value: Any, name: str) -> Any:
    """As JSON has it: numbers of NumPy and torch become Python's, paths become text."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the parameter {name} is {value}, which JSON does not have")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(inner, f"{name}[{place}]") for place, inner in enumerate(value)]
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    if hasattr(value, "item"):
        return plain(value.item(), name)
    raise TypeError(
        f"the parameter {name} is a {type(value).__name__}; a parameter is a number, a text, a bool, None, "
        "or lists and dicts of these"
    )


def _values(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"the grid's {name} is {values!r}; give a list of the values it takes")
    found = list(values)
    if not found:
        raise ValueError(f"the grid's {name} has no values")
    texts = [_text(plain(value, name)) for value in found]
    if twice := next((text for place, text in enumerate(texts) if text in texts[:place]), None):
        raise ValueError(f"{name}={twice} is in the grid twice; each value makes a task of its own")
    return found


def _draw(name: str, of: Any, source: randomness.Random) -> Any:
    match of:
        case ("log", float() | int() as low, float() | int() as high) if 0 < low < high:
            return math.exp(source.uniform(math.log(low), math.log(high)))
        case (int() as low, int() as high) if low <= high:
            return source.randint(low, high)
        case (float() | int() as low, float() | int() as high) if low <= high:
            return source.uniform(low, high)
        case list() | range() if len(of) > 0:
            return source.choice(of)
    raise TypeError(
        f"{name}: {of!r} does not say what to draw from; write [a, b, c] for one of these, (low, high) for a "
        'number between, whole where both are, ("log", low, high) for one even over orders of magnitude'
    )


def _task_id(point: Iterable[tuple[str, Any]]) -> str:
    return ",".join(f"{name}={_text(value)}" for name, value in point)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# A slip of the finger, not a sweep; the same as of the command line.
TASKS_MAX = 100_000
