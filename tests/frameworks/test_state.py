"""`task.epochs(state=…)` with PyTorch: killed and resumed comes to the same as not killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.timeout(400)

TRAIN = """
import json, os, signal
import torch, trainwire

task = trainwire.connect()
torch.manual_seed(1)
data = torch.randn(64, 8), torch.randn(64, 1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
average = torch.zeros(())
state = {"model": model, "optimizer": optimizer, "scheduler": scheduler, "average": average, "best": 1e9}
for epoch in task.epochs(state=state):
    for batch in torch.randperm(64).split(16):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(data[0][batch]), data[1][batch])
        loss.backward()
        optimizer.step()
        average.mul_(0.9).add_(loss.detach() * 0.1)
    scheduler.step()
    state["best"] = min(state["best"], loss.item())
    task.report(loss=loss.item(), lr=scheduler.get_last_lr()[0], epoch=epoch)
    if task.params["kill"] == epoch and task.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
weights = [float(part.double().sum()) for part in model.state_dict().values()]
task.finish(made=json.dumps([weights, average.item(), state["best"], scheduler.get_last_lr()]))
"""


def test_models_optimizers_and_schedulers_go_on_as_if_nothing_had_happened(
    trainwire_orchestrator: Any, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    limits = {"max_epochs": 6, "start_timeout": "5m", "timeout_s": 300.0}
    whole, killed = [
        trainwire_orchestrator.run(script, params={"kill": kill}, **limits) for kill in (None, 3)
    ]
    assert (whole.state, killed.state) == ("succeeded", "succeeded"), f"{killed.error}\n{killed.log}"
    assert (whole.attempts, killed.attempts) == (1, 2)
    assert whole.result["made"] == killed.result["made"]

    # Everything else can read what was saved.
    read = """
        import sys, torch
        state = torch.load(sys.argv[1] + "/model.pt", weights_only=True)
        print(sorted(state), torch.load(sys.argv[1] + "/average.pt", weights_only=True).shape)
    """
    checkpoint = killed.checkpoints[-1]["path"]
    said = [sys.executable, "-c", "\n".join(line.strip() for line in read.splitlines()), checkpoint]
    printed = subprocess.run(said, capture_output=True, text=True, check=True).stdout
    assert printed == "['0.bias', '0.weight', '2.bias', '2.weight'] torch.Size([])\n"
