"""Keras 3, with any backend: `model.fit(..., callbacks=[callback], initial_epoch=callback.start)`.

The logs of each epoch are reported under their own names, and the model is saved then. A stop ends training
after the batch, and the model is saved as it is: `fit` cannot go on within an epoch, so that epoch is done
again, with what its first batches have taught already.
"""

from __future__ import annotations

from typing import Any

from trainwire import Task
from trainwire.adapters._link import Link, Resumes, missing, within

try:
    import keras
except ModuleNotFoundError as error:
    raise missing("Keras", "keras") from error

__all__ = ["TrainwireCallback"]


class TrainwireCallback(Resumes, keras.callbacks.Callback):
    """Go on with `keras.models.load_model(callback.resume_path)` and `initial_epoch=callback.start`.

    Args:
        task: The open one unless set.
        save: Whether to save `model-{epoch}.keras`, optimizer included, in the task's work folder after each
            epoch, and `model-{epoch}-part.keras` when a stop ends one in the middle.
        keep_last: How many of them stay.
    """

    def __init__(self, task: Task | None = None, *, save: bool = True, keep_last: int | None = 2) -> None:
        super().__init__()
        self._link = Link(task, save=save, keep_last=keep_last)
        self._part: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._part = None
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._link.stops_within():
            batches = self.params.get("steps")
            if batch + 1 != batches:
                self._part = within(self._epoch, batch + 1, batches)
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._link.report(dict(logs or {}), epoch=epoch)
        if self._link.stops():
            self.model.stop_training = True
        if self._part is None:
            self._link.save(f"model-{epoch}.keras", self.model.save, epoch=epoch)
        elif self._link.wants_checkpoint():
            self._link.save(f"model-{epoch}-part.keras", self.model.save, epoch=self._part)
