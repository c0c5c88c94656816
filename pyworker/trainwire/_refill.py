"""Putting what was saved back into an object that is there, so that everybody who has it sees it: as `pickle`
fills an object it has just made, and as arrays, tensors and what has a `state_dict()` are filled.
"""

from __future__ import annotations

import copyreg
import pickle
import sys
from collections import Counter
from enum import Enum
from pathlib import PurePath
from typing import Any

__all__ = ["can_be_filled", "fill", "has_state_dict", "is_value", "kind_of"]


def is_value(part: Any) -> bool:
    """Whether a new one takes the place of the old one."""
    numpy = sys.modules.get("numpy")
    return isinstance(part, VALUES) or (numpy is not None and isinstance(part, numpy.generic))


def has_state_dict(part: Any) -> bool:
    return callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))


def can_be_filled(part: Any) -> bool:
    if has_state_dict(part) or _fills_itself(part):
        return True
    try:
        made_by, _, state, items, pairs = _reduced(part)
    except Exception:  # it cannot even be pickled
        return False
    by_attributes = made_by is copyreg.__newobj__ and hasattr(part, "__dict__")  # type: ignore[attr-defined]
    return by_attributes or any(of is not None for of in (state, items, pairs))


def fill(part: Any, saved: Any) -> None:
    """Makes `part` what `saved` is, in place: others have it, too."""
    if has_state_dict(part):
        part.load_state_dict(saved)
        return
    if type(part) is not type(saved):
        raise TypeError(f"it is a {kind_of(part)} now, and was a {kind_of(saved)}")
    if not _fills_itself(part):
        _rebuild(part, saved)
    elif hasattr(part, "bit_generator"):
        part.bit_generator.state = saved.bit_generator.state
    elif isinstance(part, (set, Counter)):
        part.clear()
        part.update(saved)
    else:
        if part.shape != saved.shape:
            raise ValueError(f"it has the shape {part.shape} now, and had {saved.shape}")
        whole = part.detach() if hasattr(part, "detach") else part
        whole[...] = saved


def _fills_itself(part: Any) -> bool:
    """What pickle makes in one step, and can be filled all the same."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    return (
        isinstance(part, (set, Counter))
        or (numpy is not None and isinstance(part, (numpy.ndarray, numpy.random.Generator)))
        or (torch is not None and isinstance(part, torch.Tensor))
    )


def _rebuild(part: Any, saved: Any) -> None:
    """As pickle fills an object it has just made."""
    _, _, state, items, pairs = _reduced(saved)
    if items is not None:
        part.clear()
        part.extend(items)
    if pairs is not None:
        part.clear()
        for key, value in pairs:
            part[key] = value
    if hasattr(part, "__setstate__"):
        if state is not None:
            part.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if hasattr(part, "__dict__"):
        vars(part).clear()
        vars(part).update(attributes or {})
    for name, value in (slots or {}).items():
        setattr(part, name, value)


def _reduced(part: Any) -> tuple[Any, ...]:
    """How it is made, with what, and what is put into it: attributes, items, pairs."""
    reduced = part.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
    return (*reduced, None, None, None)[:5] if isinstance(reduced, tuple) else (None,) * 5


def kind_of(part: Any) -> str:
    kind = type(part)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


VALUES = (bool, int, float, complex, str, bytes, tuple, frozenset, range, type(None), Enum, PurePath)
