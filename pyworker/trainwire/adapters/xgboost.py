"""XGBoost: `xgboost.train(..., callbacks=[callback], xgb_model=callback.resume_path)`.

Each round is an epoch: its metrics are reported as `{data}/{metric}`, and a stop ends training after it.
"""

from __future__ import annotations

from typing import Any

from trainwire import Task
from trainwire.adapters._link import Link, Resumes, missing

try:
    from xgboost.callback import TrainingCallback
except ModuleNotFoundError as error:
    raise missing("XGBoost", "xgboost") from error

__all__ = ["TrainwireCallback"]


class TrainwireCallback(Resumes, TrainingCallback):
    """Go on with `num_boost_round=task.max_epochs - callback.start, xgb_model=callback.resume_path`.

    Args:
        task: The open one unless set.
        save_every: Rounds between two models saved in the task's work folder, `booster-{round}.ubj`; 0 for
            none. The last one before a stop is saved besides.
        keep_last: How many of them stay.
    """

    def __init__(self, task: Task | None = None, *, save_every: int = 10, keep_last: int | None = 2) -> None:
        super().__init__()
        self._link = Link(task, save=save_every > 0, keep_last=keep_last)
        self._every = max(save_every, 1)
        self._first = 0

    def before_training(self, model: Any) -> Any:
        # XGBoost counts from 0 again when it goes on with a model.
        self._first = model.num_boosted_rounds() if hasattr(model, "num_boosted_rounds") else 0
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        link, epoch = self._link, self._first + epoch
        row = {f"{data}/{name}": values[-1] for data, of in evals_log.items() for name, values in of.items()}
        row = {name: value[0] if isinstance(value, tuple) else value for name, value in row.items()}
        link.report(row, epoch=epoch)
        stops = link.stops()
        if hasattr(model, "save_model") and (stops or (epoch + 1) % self._every == 0):
            link.save(f"booster-{epoch}.ubj", model.save_model, epoch=epoch)
        return stops
