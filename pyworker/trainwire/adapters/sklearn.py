"""scikit-learn: epochs of `partial_fit`, with metrics, checkpoints and stops.

An estimator that can be stopped and continued is one with `partial_fit`. (The callbacks of scikit-learn 1.9
watch some others, which begin anew after a stop; there is no adapter for them.)
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from trainwire import Task
from trainwire.adapters._link import Link

__all__ = ["fit_epochs"]

_Estimator = TypeVar("_Estimator")


def fit_epochs(
    estimator: _Estimator,
    X: Any,  # noqa: N803 - scikit-learn's word
    y: Any = None,
    *,
    classes: Iterable[Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    task: Task | None = None,
    keep_last: int | None = 2,
) -> _Estimator:
    """Calls `partial_fit` for each epoch of the task; returns the estimator, or the one it went on with.

    Each epoch reports `train/loss`, where the estimator has `loss_`, and `val/score`, and saves it as
    `estimator-{epoch}.pickle` in the task's work folder. An attempt begins with the one saved last.

    Args:
        estimator: Anything with `partial_fit`.
        X: What to train on, shape (samples, features).
        y: Its targets, shape (samples,); none for a transformer.
        classes: All there are, which a classifier has to know at its first `partial_fit`.
        validation: `(X, y)` to score after each epoch.
        task: The open one unless set.
        keep_last: How many of the saved ones stay.
    """
    link = Link(task, keep_last=keep_last)
    earlier = link.task.last_checkpoint
    if earlier is not None:
        estimator = pickle.loads(Path(earlier).read_bytes())
    fit: Any = estimator
    extra = {} if classes is None else {"classes": list(classes)}
    for epoch in link.task.epochs(0 if earlier is None or earlier.epoch is None else earlier.epoch + 1):
        fit.partial_fit(X, *([] if y is None else [y]), **extra)
        row = {"train/loss": fit.loss_} if hasattr(fit, "loss_") else {}
        if validation is not None:
            row["val/score"] = fit.score(*validation)
        link.report(row, epoch=epoch)
        link.save(f"estimator-{epoch}.pickle", lambda path: path.write_bytes(pickle.dumps(fit)), epoch=epoch)
    return estimator
