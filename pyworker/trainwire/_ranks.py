"""What the ranks of a distributed training decide together. Imported when the first of them asks."""

import sys


def agree(stop, is_primary):
    """Whether the primary is to stop: the same answer in all ranks, which all have to ask.

    It travels by one all_reduce of four bytes through PyTorch's default process group. Where there is none
    each rank goes by its own `stop`.
    """
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return stop
    flag = torch.tensor([int(stop and is_primary)], dtype=torch.int32, device=_device(torch))
    distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
    return bool(flag.item())


def _device(torch):
    """Where the process group takes a tensor: the CPU, unless all its backends are an accelerator's."""
    if "cpu:" in str(torch.distributed.get_backend_config()):
        return torch.device("cpu")
    if hasattr(torch, "accelerator"):
        return torch.accelerator.current_accelerator()
    return torch.device("cuda", torch.cuda.current_device())
