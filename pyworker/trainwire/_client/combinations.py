"""Sets of parameters: every combination of a grid, or random samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["Combination", "grid_of", "plain", "samples_of"]

Combination = tuple[str, dict[str, Any]]
"""A task's id and its parameters."""


def grid_of(grid: Mapping[str, Iterable[Any]]) -> list[Combination]:
    """All combinations, the last parameter varying fastest; e.g. `lr=0.1,depth=2`."""
    axes = [[(name, *point) for point in _points(name, values)] for name, values in grid.items()]
    if not axes:
        return []
    size = math.prod(len(axis) for axis in axes)
    if size > TASKS_MAX:
        raise ValueError(f"the grid has {size} tasks, at most {TASKS_MAX} are allowed")
    return [
        (",".join(f"{name}={text}" for name, text, _ in points), {name: value for name, _, value in points})
        for points in itertools.product(*axes)
    ]


def samples_of(
    space: Mapping[str, Any], samples: int, seed: int, grid: Sequence[Combination] = ()
) -> list[Combination]:
    """Each of the grid's tasks with each sample; without a grid the samples alone.

    The same draws and ids as those of `trainwire run --random`: the value of a parameter in a sample depends
    on the seed, the parameter's name and the sample's number alone.
    """
    if not space:
        raise ValueError("random names no parameter to draw")
    if samples < 1 or samples * max(len(grid), 1) > TASKS_MAX:
        raise ValueError(f"samples is {samples}, and must make from 1 to {TASKS_MAX} tasks")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"seed is {seed}, and must be from 0 to {(1 << 32) - 1}")
    if twice := sorted(set(space) & {name for _, point in grid for name in point}):
        raise ValueError(f"{twice[0]} is in the grid and drawn at random; it can be only one of them")
    width = len(str(samples - 1))
    found = []
    for before, point in grid or [("", {})]:
        for number in range(samples):
            drawn = {name: _draw(name, of, seed, number) for name, of in space.items()}
            ids = [*([before] if before else []), f"sample={number:0{width}}"]
            ids += [f"{name}={text}" for name, (text, _) in drawn.items()]
            found.append((",".join(ids), {**point, **{name: value for name, (_, value) in drawn.items()}}))
    return found


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


def _points(name: str, values: Any) -> list[tuple[str, Any]]:
    """Each value, and before it how it is spelled in the task's id."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"the grid's {name} is {values!r}; give a list of the values it takes")
    found = [plain(value, name) for value in values]
    if not found:
        raise ValueError(f"the grid's {name} has no values")
    texts = [_text(value) for value in found]
    if twice := next((text for place, text in enumerate(texts) if text in texts[:place]), None):
        raise ValueError(f"{name}={twice} is in the grid twice; each value makes a task of its own")
    return list(zip(texts, _of_one_type(found), strict=True))


def _of_one_type(values: list[Any]) -> list[Any]:
    """Beside floats ints become such too: a parameter has one type, and code that takes a float may refuse an
    int. As `trainwire run` does it, ints of 32 bits."""
    if not any(isinstance(value, float) for value in values):
        return values
    return [float(value) if type(value) is int and -(2**31) <= value < 2**31 else value for value in values]


def _draw(name: str, of: Any, seed: int, sample: int) -> tuple[str, Any]:
    """A value, and how it is spelled in the task's id."""
    bits = _splitmix(_splitmix(seed ^ _fnv1a(name)) + sample)
    unit = (bits >> 11) / (1 << 53)
    match of:
        case ("log", float() | int() as low, float() | int() as high) if 0 < low < high:
            least = math.log(low)
            return _number(math.exp(least + unit * (math.log(high) - least)), low, high)
        case (int() as low, int() as high) if low <= high:
            whole = low + (bits * (high - low + 1) >> 64)
            return str(whole), whole
        case (float() | int() as low, float() | int() as high) if low <= high:
            return _number(low + unit * (high - low), low, high)
        case list() | range() if len(of) > 0:
            chosen, found = bits * len(of) >> 64, [plain(value, name) for value in of]
            return _text(found[chosen]), _of_one_type(found)[chosen]
    raise TypeError(
        f"{name}: {of!r} does not say what to draw from; write [a, b, c] for one of these, (low, high) for a "
        'number between, whole where both are, ("log", low, high) for one even over orders of magnitude'
    )


def _number(drawn: float, low: float, high: float) -> tuple[str, float]:
    """Six significant digits: what differs between the logarithms of two machines is beyond them."""
    rounded = min(max(float(f"{drawn:.5e}"), float(low)), float(high))
    exact = Decimal(repr(rounded)).normalize()
    if len(written := f"{exact:f}") <= 10:
        return written, rounded
    sign, digits, exponent = exact.as_tuple()
    first, *rest = map(str, digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' if sign else ''}{mantissa}e{int(exponent) + len(rest)}", rounded


def _fnv1a(text: str) -> int:
    """Fowler, Noll and Vo's hash, 64 bits."""
    found = 0xCBF2_9CE4_8422_2325
    for byte in text.encode():
        found = (found ^ byte) * 0x0100_0000_01B3 & BITS
    return found


def _splitmix(seed: int) -> int:
    """Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014."""
    z = seed + 0x9E37_79B9_7F4A_7C15 & BITS
    z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & BITS
    z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & BITS
    return z ^ z >> 31


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# A slip of the finger, not a sweep; the same as of the command line.
TASKS_MAX = 100_000

BITS = (1 << 64) - 1
