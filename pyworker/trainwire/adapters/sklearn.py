"""scikit-learn: epochs of `partial_fit`, or the iterations of one `fit`; metrics, checkpoints and stops.

`fit_epochs` is for estimators with `partial_fit`: each call is an epoch. `TrainwireCallback` is for those
that call back while they `fit`, from scikit-learn 1.9 on: `model.set_callbacks(TrainwireCallback())`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from trainwire import Task
from trainwire.adapters._link import Link, Resumes

__all__ = ["TrainwireCallback", "fit_epochs"]

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


class TrainwireCallback(Resumes):
    """Each iteration of one `fit` is an epoch: a score, a checkpoint every few, and the end when asked to.

    In scikit-learn 1.9 `LogisticRegression` with its solver `lbfgs` has iterations to tell of, and so have
    estimators of others that were made for callbacks. A search, a pipeline or a scaler only counts as alive
    while its parts are fitted; it cannot be stopped between them. Set it on what iterates, and fit that once.

    Go on with `callback.restore(model)` and `max_iter=task.max_epochs - callback.start`, where the estimator
    has `warm_start`.

    Args:
        task: The open one unless set.
        validation: `(X, y)` to score after each iteration, as `val/...`. Unless set, what it is trained on
            is, as `train/...`.
        scoring: As everywhere in scikit-learn: a name, names, or a callable. The estimator's own `score`
            unless set.
        save_every: Iterations between two checkpoints in the task's work folder,
            `fitted-{iteration}.pickle`; 0 for none. The last one before a stop is saved besides.
        keep_last: How many of them stay.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        validation: tuple[Any, Any] | None = None,
        scoring: str | Iterable[str] | Callable[..., Any] | None = None,
        save_every: int = 10,
        keep_last: int | None = 2,
    ) -> None:
        self._link = Link(task, save=save_every > 0, keep_last=keep_last)
        self._validation = validation
        self._scoring = scoring
        self._every = max(save_every, 1)
        self._first = 0
        self._elsewhere = False

    def restore(self, estimator: _Estimator) -> _Estimator:
        """Gives it what an earlier attempt had learned; `warm_start=True` makes `fit` go on from there."""
        path = self.resume_path
        if path is not None:
            self._first = self.start
            for name, value in pickle.loads(Path(path).read_bytes()).items():
                setattr(estimator, name, value)
        return estimator

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,  # noqa: N803 - asked for by this name
        y: Any = None,
        fitted_estimator: Any = None,
    ) -> bool:
        if self._elsewhere:
            return False
        whole = context.parent is None or context.source_estimator_name is not None
        if whole or fitted_estimator is None:
            return self._link.stops_within()
        link, epoch = self._link, self._first + context.task_id
        link.report(link.quietly("score", lambda: self._scores(fitted_estimator, X, y)) or {}, epoch=epoch)
        stops = link.stops()
        if stops or (epoch + 1) % self._every == 0:
            learned = {name: value for name, value in vars(fitted_estimator).items() if _is_learned(name)}
            name = f"fitted-{epoch}.pickle"
            link.save(name, lambda path: path.write_bytes(pickle.dumps(learned)), epoch=epoch)
        if stops and context.task_name == _LBFGS_ITERATION:
            raise StopIteration  # what SciPy understands; scikit-learn 1.9 does not pass the answer on
        return stops

    def _scores(self, fitted: Any, X: Any, y: Any) -> dict[str, float]:  # noqa: N803
        where = "train"
        if self._validation is not None:
            where, (X, y) = "val", self._validation  # noqa: N806
        if self._scoring is None:
            return {f"{where}/score": fitted.score(X, y)}
        from sklearn.metrics import check_scoring

        scores = check_scoring(fitted, self._scoring)(fitted, X, y)
        if not isinstance(scores, dict):
            scores = {self._scoring if isinstance(self._scoring, str) else "score": scores}
        return {f"{where}/{name}": score for name, score in scores.items()}

    def __getstate__(self) -> dict[str, Any]:
        """For the processes of joblib, which have no task: nothing is told from there."""
        return {"_elsewhere": True}


def _is_learned(name: str) -> bool:
    """By scikit-learn's own rule for names."""
    return name.endswith("_") and not name.startswith("_")


_LBFGS_ITERATION = "lbfgs-iter"
