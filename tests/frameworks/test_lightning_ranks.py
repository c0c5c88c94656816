"""Lightning's own distributed training, two real ranks under torchrun, through the adapter."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from torchrun import TorchRun

pytest.importorskip("lightning")

SCRIPT = """
import os
from pathlib import Path

import lightning
import torch

import trainwire
from trainwire.adapters.lightning import TrainwireCallback


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch):
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        self.log("rank", float(self.global_rank), on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_start(self):
        if self.current_epoch == 3 and self.global_rank == 0:
            Path("ready").touch()
        crashes = "CRASHES" in os.environ and task.attempt == 1
        if self.current_epoch == 3 and self.global_rank == 1 and crashes:
            raise ValueError("bad batch")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


for task in trainwire.tasks():
    with task:
        callback = TrainwireCallback(save="SAVES" in os.environ)
        trainer = lightning.Trainer(
            max_epochs=int(os.environ.get("EPOCHS", 100_000)),
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            callbacks=[callback],
            default_root_dir=task.workdir,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = torch.utils.data.DataLoader(torch.ones(40, 3), batch_size=5)
        trainer.fit(Model(), data, ckpt_path=callback.resume_path)
        Path(f"left-{task.rank}").write_text(str(trainer.global_step))
"""


@pytest.mark.parametrize("saves", [True, False])
def test_a_stop_ends_both_ranks_after_the_same_epoch(folder: Path, saves: bool) -> None:
    run = TorchRun(folder, SCRIPT, environment={"SAVES": "1"} if saves else {})
    run.wait_for("ready")
    run.process.send_signal(signal.SIGINT)
    assert run.ending()["ending"] == "stopped", run.table
    first, second = run.written("left")
    assert first == second and int(first) % 4 == 0, "each has four of the eight batches"
    reports = [row for event in run.events for row in event.get("rows", [])]
    assert {frozenset(row["metrics"]) for row in reports} == {frozenset({"train/loss", "rank"})}
    assert all(row["metrics"]["rank"] == 0 for row in reports), "the first rank speaks"
    epochs = [row["epoch"] for row in reports]
    assert epochs == list(range(int(first) // 4)), "each epoch once"
    checkpoints = [event["path"] for event in run.events if event["event"] == "checkpoint"]
    assert len(checkpoints) == (len(epochs) if saves else 0)
    assert not saves or Path(checkpoints[-1]).exists()


def test_a_rank_that_fails_ends_both_and_all_go_on_from_the_checkpoint(folder: Path) -> None:
    environment = {"SAVES": "1", "CRASHES": "1", "EPOCHS": "5"}
    run = TorchRun(folder, SCRIPT, max_failures=2, environment=environment)
    events = run.ended()
    first, second = [event for event in events if event["event"] == "ended"]
    assert (first["ending"], first["error"]["text"]) == ("failed", "rank 1: bad batch")
    assert (second["ending"], second["attempt"]) == ("succeeded", 2)
    rows = [row for event in events for row in event.get("rows", [])]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert run.written("left") == ["20", "20"]
