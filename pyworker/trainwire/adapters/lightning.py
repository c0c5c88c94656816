"""Lightning: `Trainer(callbacks=[TrainwireCallback()])`, of `lightning` or `pytorch_lightning`.

What a module logs is reported under its own names at the end of each epoch, and a checkpoint is saved then. A
stop ends training after the batch; several ranks stop together, after the epoch.
"""

from __future__ import annotations

from typing import Any

from trainwire import Task
from trainwire.adapters._link import Link, Resumes, missing

try:
    from lightning.pytorch.callbacks import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning.callbacks import Callback
    except ModuleNotFoundError as error:
        raise missing("Lightning", "lightning") from error

__all__ = ["TrainwireCallback"]


class TrainwireCallback(Resumes, Callback):
    """Go on with `trainer.fit(model, ckpt_path=callback.resume_path)`.

    Args:
        task: The open one unless set.
        save: Whether to save `lightning-{epoch}.ckpt` in the task's work folder after each epoch. Without it,
            announce what a `ModelCheckpoint` has saved by `task.checkpoint`.
        keep_last: How many of them stay.
    """

    def __init__(self, task: Task | None = None, *, save: bool = True, keep_last: int | None = 2) -> None:
        super().__init__()
        self._link = Link(task, save=save, keep_last=keep_last)
        self._within = False

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        self._within = False

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self._link.stops_within():
            progress = trainer.fit_loop.epoch_loop.batch_progress
            self._within = not progress.is_last_batch
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        link, epoch = self._link, trainer.current_epoch
        link.report(dict(trainer.callback_metrics), step=trainer.global_step, epoch=epoch)
        if link.stops():
            trainer.should_stop = True
        if not self._within:  # what an epoch was left in the middle of is done again
            step, name = trainer.global_step, f"lightning-{epoch}.ckpt"
            link.save(name, trainer.save_checkpoint, epoch=epoch, step=step, collective=True)
