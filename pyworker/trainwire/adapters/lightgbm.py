"""LightGBM: `lightgbm.train(..., callbacks=[callback], init_model=callback.resume_path)`.

Each round is an epoch: its metrics are reported as `{data}/{metric}`. A stop ends training after it, the way
early stopping does. LightGBM calls it before its own callbacks, so early stopping takes no round from it.
"""

from __future__ import annotations

from trainwire import Task
from trainwire.adapters._link import Link, Resumes, missing

try:
    from lightgbm.callback import CallbackEnv, EarlyStopException
except ModuleNotFoundError as error:
    raise missing("LightGBM", "lightgbm") from error

__all__ = ["TrainwireCallback"]


class TrainwireCallback(Resumes):
    """Go on with `num_boost_round=task.max_epochs - callback.start, init_model=callback.resume_path`.

    Args:
        task: The open one unless set.
        save_every: Rounds between two models saved in the task's work folder, `booster-{round}.txt`; 0 for
            none. The last one before a stop is saved besides.
        keep_last: How many of them stay.
    """

    def __init__(self, task: Task | None = None, *, save_every: int = 10, keep_last: int | None = 2) -> None:
        self._link = Link(task, save=save_every > 0, keep_last=keep_last)
        self._every = max(save_every, 1)

    def __call__(self, env: CallbackEnv) -> None:
        link, results = self._link, env.evaluation_result_list or []
        # With `init_model` LightGBM goes on counting.
        epoch = env.iteration
        link.report({f"{data}/{name}": value for data, name, value, *_ in results}, epoch=epoch)
        stops = link.stops()
        if hasattr(env.model, "save_model") and (stops or (epoch + 1) % self._every == 0):
            link.save(f"booster-{epoch}.txt", env.model.save_model, epoch=epoch)
        if stops:
            raise EarlyStopException(env.iteration, env.evaluation_result_list or [])
