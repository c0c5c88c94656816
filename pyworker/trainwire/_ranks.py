"""What the ranks of a distributed training decide together. Imported when the first of them asks."""

import sys
import time
from contextlib import suppress

from trainwire.errors import TaskStateError


def agree(stop, is_primary, delivery):
    """Whether the primary is to stop: the same answer in all ranks, which all have to ask.

    It travels by one all_reduce of four bytes through PyTorch's default process group. Where there is none
    each rank goes by its own `stop`.
    """
    distributed = _distributed()
    if distributed is None:
        return stop
    torch = sys.modules["torch"]
    flag = torch.tensor([int(stop and is_primary)], dtype=torch.int32, device=_device(torch))
    work = distributed.all_reduce(flag, op=distributed.ReduceOp.MAX, async_op=True)
    _wait(work, distributed, delivery)
    return bool(flag.item())


def leave(rank, delivery):
    """This rank has done with the delivery, and will not be asked about it any more."""
    store = _store(_distributed())
    if store is not None:
        with suppress(RuntimeError):  # its server may have ended, and then nobody waits
            store.set(_key(delivery), str(rank))


def _wait(work, distributed, delivery):
    """As `work.wait()`, which waits for a rank that has left until PyTorch's own timeout: half an hour."""
    pause, look_at, left = PAUSE_MIN, time.monotonic() + BETWEEN_LOOKS, None
    while not work.is_completed():
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_MAX)
        if look_at < time.monotonic():
            if left is not None:  # it had, before the last look
                text = (
                    f"rank {left} has ended the task, and this rank waits for it in task.epochs() or "
                    "task.agree_to_stop(): a `break` has to be taken by all ranks or by none"
                )
                raise TaskStateError(text, code="rank_left")
            left, look_at = _left(distributed, delivery), time.monotonic() + BETWEEN_LOOKS
    work.wait()


def _left(distributed, delivery):
    """The rank that has left it, if one has."""
    store = _store(distributed)
    with suppress(RuntimeError):
        if store is not None and store.check([_key(delivery)]):
            return store.get(_key(delivery)).decode()
    return None


def _key(delivery):
    return f"trainwire/{delivery}/left"


def _store(distributed):
    """Where the ranks found each other; PyTorch has no public name for it."""
    try:
        return distributed.distributed_c10d._get_default_store()
    except (AttributeError, ValueError):
        return None


def _distributed():
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return None
    return distributed


def _device(torch):
    """Where the process group takes a tensor: the CPU, unless all its backends are an accelerator's."""
    if "cpu:" in str(torch.distributed.get_backend_config()):
        return torch.device("cpu")
    if hasattr(torch, "accelerator"):
        return torch.accelerator.current_accelerator()
    return torch.device("cuda", torch.cuda.current_device())


PAUSE_MIN = 0.0001
"""Seconds between two looks whether all are there: little beside an epoch."""
PAUSE_MAX = 0.002

BETWEEN_LOOKS = 1.0
"""Seconds between two looks for ranks that have left."""
