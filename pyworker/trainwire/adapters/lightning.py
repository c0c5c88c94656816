"""Lightning: `Trainer(callbacks=[TrainwireCallback()])`, of `lightning` or `pytorch_lightning`.

What a module logs is reported under its own names at the end of each epoch, and a checkpoint is saved then. A
stop ends training after the batch, and Lightning goes on from there; several ranks stop together, after the
epoch.
"""

from __future__ import annotations

from typing import Any

from trainwire import Task
from trainwire.adapters._link import Link, Resumes, missing, within

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
        save: Whether to save `lightning-{epoch}.ckpt` in the task's work folder after each epoch, and
            `lightning-{epoch}-part.ckpt` when a stop ends one in the middle. Without it, announce what a
            `ModelCheckpoint` has saved by `task.checkpoint`.
        keep_last: How many of them stay.
    """

    def __init__(self, task: Task | None = None, *, save: bool = True, keep_last: int | None = 2) -> None:
        super().__init__()
        self._link = Link(task, save=save, keep_last=keep_last)
        self._part: float | None = None

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        self._part = None

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        link = self._link
        if not link.stops_within():
            return
        trainer.should_stop = True
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._part = within(trainer.current_epoch, number + 1, trainer.num_training_batches)
            if link.wants_checkpoint():  # here: what is saved at the end of an epoch begins with the next one
                name, step = f"lightning-{trainer.current_epoch}-part.ckpt", trainer.global_step
                link.save(name, trainer.save_checkpoint, epoch=self._part, step=step)

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        link, epoch, step = self._link, trainer.current_epoch, trainer.global_step
        link.report(dict(trainer.callback_metrics), step=step, epoch=epoch)
        if link.stops():
            trainer.should_stop = True
        if self._part is None:
            name = f"lightning-{epoch}.ckpt"
            link.save(name, trainer.save_checkpoint, epoch=epoch, step=step, collective=True)
