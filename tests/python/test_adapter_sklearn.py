"""scikit-learn's own callbacks: what `TrainwireCallback` hears of, what it can stop, what it leaves alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_adapter_link import Task

callbacks = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from trainwire.adapters.sklearn import TrainwireCallback  # noqa: E402

features, labels = load_iris(return_X_y=True)


class Scores:
    """Calls a function of the fitted estimator."""

    def __init__(self, score: Callable[[Any], float]) -> None:
        self.score = score

    def __call__(self, *given: Any) -> float:
        return self.score(given[0])


def fit(callback: TrainwireCallback, max_iter: int = 200) -> LogisticRegression:
    model = LogisticRegression(max_iter=max_iter, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        return callback.restore(model).set_callbacks(callback).fit(features, labels)


def test_each_iteration_is_an_epoch(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)
    model = fit(TrainwireCallback(task, save_every=2), max_iter=5)
    assert [epoch for epoch, _ in task.rows] == [0, 1, 2, 3, 4]
    assert [path.name for path in task.checkpoints] == ["fitted-1.pickle", "fitted-3.pickle"]
    assert task.rows[-1][1] == {"train/score": model.score(features, labels)}


def test_it_scores_what_is_asked_for(tmp_path: Path) -> None:
    for scoring, names in (
        (None, {"val/score"}),
        ("neg_log_loss", {"val/neg_log_loss"}),
        (["accuracy", "neg_log_loss"], {"val/accuracy", "val/neg_log_loss"}),
        (Scores(lambda model: float(model.coef_.sum())), {"val/score"}),
    ):
        task: Any = Task(tmp_path)
        fit(TrainwireCallback(task, validation=(features, labels), scoring=scoring), max_iter=2)
        assert [set(row) for _, row in task.rows] == [names, names]


def test_a_stop_ends_the_solver_with_what_it_has_found(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)

    def score(model: Any) -> float:
        task.should_stop = len(task.rows) == 2
        return float(model.score(features, labels))

    model = fit(TrainwireCallback(task, scoring=Scores(score)))
    assert [epoch for epoch, _ in task.rows] == [0, 1, 2]
    assert [path.name for path in task.checkpoints] == ["fitted-2.pickle"]
    assert model.score(features, labels) == task.rows[-1][1]["train/score"]
    assert model.n_iter_ == [3]

    after = task.goes_on()
    callback = TrainwireCallback(after)
    before = callback.restore(LogisticRegression())
    assert (before.coef_ == model.coef_).all() and before.score(features, labels) == model.score(
        features, labels
    )
    assert callback.start == 3
    fit(callback)
    assert after.rows[0][0] == 3


def test_an_estimator_made_for_callbacks_hears_the_answer(tmp_path: Path) -> None:
    class Counts(callbacks.CallbackSupportMixin, BaseEstimator):  # type: ignore[misc, name-defined]
        @callbacks.with_callbacks
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
            root = self._init_callback_context(max_subtasks=10)
            root.call_on_fit_task_begin(estimator=self, X=X, y=y)
            for count in range(10):
                step = root.subcontext(task_name="count").call_on_fit_task_begin(estimator=self)
                self.count_ = count
                if step.call_on_fit_task_end(
                    estimator=self, X=X, y=y, reconstruction_attributes={"count_": count}
                ):
                    break
            root.call_on_fit_task_end(estimator=self)
            return self

    task: Any = Task(tmp_path)

    def score(model: Any) -> float:
        task.should_stop = model.count_ == 4
        return float(model.count_)

    callback = TrainwireCallback(task, scoring=Scores(score))
    model = Counts().set_callbacks(callback).fit(features, labels)
    assert model.count_ == 4 and [row["train/score"] for _, row in task.rows] == [0, 1, 2, 3, 4]


def test_trouble_with_scores_is_one_warning(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)

    def score(model: Any) -> float:
        raise ValueError(f"no such metric of {type(model).__name__}")

    model = LogisticRegression(max_iter=3).set_callbacks(TrainwireCallback(task, scoring=Scores(score)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(features, labels)
    ours = [str(warning.message) for warning in said if "trainwire" in str(warning.message)]
    assert ours == ["trainwire: score: ValueError: no such metric of LogisticRegression"]


def test_what_does_not_iterate_counts_as_alive(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    pipeline.set_callbacks(TrainwireCallback(task)).fit(features, labels)
    assert task.rows == [] and task.ticks > 0


def test_processes_of_joblib_tell_nothing(tmp_path: Path) -> None:
    task: Any = Task(tmp_path)
    model = LogisticRegression(max_iter=5).set_callbacks(TrainwireCallback(task))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(model, {"C": [0.1, 1.0]}, cv=2, n_jobs=2, refit=False).fit(features, labels)
    assert len(search.cv_results_["params"]) == 2 and task.rows == []
