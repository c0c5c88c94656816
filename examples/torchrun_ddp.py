"""Processes that train one model together, with PyTorch's DistributedDataParallel. Rank 0 speaks for all.

torchrun --standalone --nproc-per-node=2 examples/torchrun_ddp.py      # once, by itself
trainwire run examples/torchrun_ddp.toml                               # a sweep, under the orchestrator
"""

import sys
from pathlib import Path

import trainwire

try:
    import torch
    import torch.distributed as dist
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel
except ModuleNotFoundError as missing:
    sys.exit(f"this example needs PyTorch and scikit-learn: pip install torch scikit-learn ({missing})")


def main() -> None:
    dist.init_process_group("gloo")  # "nccl" on GPUs
    try:
        for task in trainwire.tasks(params={"lr": 0.1}, max_epochs=5):  # the same task in every rank
            with task:
                fit(task)
    finally:
        dist.destroy_process_group()


def fit(task: trainwire.Task) -> None:
    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    train, test = slice(task.rank, 1400, task.world_size), slice(1400, None)  # to each rank its share

    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=task.params["lr"], momentum=0.9)
    start = 0
    if task.resume_path is not None:  # the same one in every rank
        state = torch.load(task.resume_path)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"] + 1

    for epoch in task.epochs(start):  # when the task is stopped, all ranks leave after the same epoch
        for batch in torch.arange(len(targets[train])).split(50):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[train][batch]), targets[train][batch])
            loss.backward()  # here the ranks' gradients become one
            optimizer.step()
        accuracy = (model(inputs[test]).argmax(1) == targets[test]).float().mean()
        task.report({"val/accuracy": accuracy, "train/loss": loss}, epoch=epoch)  # rank 0's counts
        if task.is_primary:
            path = Path(task.workdir, "model.pt")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, path.with_suffix(".new"))
            task.checkpoint(path.with_suffix(".new").replace(path), epoch=epoch)


if __name__ == "__main__":
    main()
