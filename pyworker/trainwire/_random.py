"""The random number generators of a process that goes on where another one ended: Python's, and, if loaded,
NumPy's global one and PyTorch's.
"""

from __future__ import annotations

import random
import sys
from typing import Any

__all__ = ["put_back", "states"]


def states() -> dict[str, Any]:
    """Of plain types and tensors, so that `torch.load` reads them without running code."""
    found: dict[str, Any] = {"python": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = (name, keys.tolist(), *rest)
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = torch.get_rng_state()
        found["cuda"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return found


def put_back(found: dict[str, Any]) -> None:
    random.setstate(found["python"])
    if "numpy" in found and (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.set_state(found["numpy"])
    if "torch" in found and (torch := sys.modules.get("torch")) is not None:
        torch.set_rng_state(found["torch"].cpu())  # loaded to somewhere else, perhaps
        if torch.cuda.is_available() and len(found["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in found["cuda"]])
