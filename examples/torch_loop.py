"""A PyTorch training loop with trainwire's lines in it: report, checkpoint, resume, stop.

python examples/torch_loop.py                                                   # once, by itself
trainwire run --grid lr=0.001,0.01 -- python examples/torch_loop.py             # under the orchestrator
"""

import sys
from pathlib import Path

import trainwire

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    sys.exit("this example needs PyTorch: pip install torch")


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for task in trainwire.tasks(params={"lr": 0.01, "width": 64}):
        with task:
            fit(task, device)


def fit(task: trainwire.Task, device: str) -> None:
    torch.manual_seed(0)
    x = torch.linspace(-3.14, 3.14, 512, device=device).unsqueeze(1)
    y = torch.sin(2 * x)

    width = task.params.get("width", 64)
    model = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.params["lr"])

    start = 0
    if task.resume_path is not None:  # an earlier attempt came this far
        state = torch.load(task.resume_path, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"] + 1

    loss = torch.tensor(float("nan"))
    for epoch in task.epochs(start=start):  # ends early when the task is stopped
        for batch in torch.randperm(len(x), device=device).split(64):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        task.report({"train/loss": loss}, epoch=epoch)  # a 0-d tensor will do

        path = Path(task.workdir, "model.pt")
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, path.with_suffix(".new"))
        task.checkpoint(path.with_suffix(".new").replace(path), epoch=epoch)

    task.finish(loss=loss)


if __name__ == "__main__":
    main()
