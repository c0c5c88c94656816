"""What all adapters rest on: trouble is one warning, the task is the open one, all ranks save together."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import trainwire
from trainwire.adapters._link import Link


class Task:
    """Writes down what it is told."""

    def __init__(self, workdir: Path, *, rank: int = 0, world_size: int = 1) -> None:
        self.workdir, self.world_size, self.is_primary = workdir, world_size, rank == 0
        self.attempt, self.max_epochs, self.should_stop = 1, 10, False
        self.last_checkpoint = self.resume_path = None
        self.rows: list[tuple[float | None, dict[str, Any]]] = []
        self.checkpoints: list[Path] = []

    def report(self, row: Any, *, epoch: float | None = None, **_: Any) -> None:
        self.rows.append((epoch, dict(row)))

    def checkpoint(self, path: Path, **_: Any) -> None:
        assert path.exists()
        self.checkpoints.append(path)

    def agree_to_stop(self) -> bool:
        return self.should_stop

    def tick(self) -> None: ...


@pytest.fixture
def no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's one task has ended."""

    def connect() -> trainwire.Task:
        raise trainwire.TaskStateError("connect() gives one task per process, and it has ended")

    monkeypatch.setattr(trainwire, "current", lambda: None)
    monkeypatch.setattr(trainwire, "connect", connect)


@pytest.mark.usefixtures("no_task")
def test_trouble_is_one_warning_of_each_kind() -> None:
    link = Link()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for epoch in range(3):
            link.report({"loss": 1}, epoch=epoch)
            assert link.stops() is False and link.stops_within() is False
            link.save("model", lambda path: path.touch(), epoch=epoch)
            link.announce("model", epoch=epoch)
    kinds = [str(warning.message).split(":")[1].strip() for warning in said]
    assert kinds == ["report", "stop", "save", "checkpoint"]
    assert all("connect() gives one task" in str(warning.message) for warning in said)


def test_a_callback_that_outlives_a_task_goes_on_with_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = Task(tmp_path), Task(tmp_path)
    link = Link()
    for task in (first, second):
        monkeypatch.setattr(trainwire, "current", lambda task=task: task)
        link.report({"loss": 1}, epoch=0)
    assert len(first.rows) == len(second.rows) == 1


@pytest.mark.parametrize(("collective", "writers"), [(False, [0]), (True, [0, 1])])
def test_ranks_save_together_or_the_first_one_does(
    tmp_path: Path, collective: bool, writers: list[int]
) -> None:
    wrote = []
    for rank in (0, 1):
        task: Any = Task(tmp_path / str(rank), rank=rank, world_size=2)
        task.workdir.mkdir()

        def write(path: Path, rank: int = rank) -> None:
            wrote.append(rank)
            path.touch()

        Link(task).save("model", write, epoch=0, collective=collective)
        assert task.checkpoints == ([task.workdir / "model"] if rank == 0 else [])
        Link(task, save=False).save("model", write, epoch=0, collective=collective)
    assert wrote == writers


def test_ranks_do_not_stop_one_by_one(tmp_path: Path) -> None:
    for world_size, stops in ((1, True), (2, False)):
        task: Any = Task(tmp_path, world_size=world_size)
        task.should_stop = True
        assert Link(task).stops_within() is stops and Link(task).stops() is True


def test_lightgbm_reports_the_round_in_which_early_stopping_ends_it(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.datasets import load_diabetes

    from trainwire.adapters.lightgbm import TrainwireCallback

    features, target = load_diabetes(return_X_y=True)
    data = lightgbm.Dataset(features[:300], target[:300])
    task: Any = Task(tmp_path)
    lightgbm.train(
        {"objective": "l2", "num_threads": 1, "verbose": -1},
        data,
        num_boost_round=4,
        valid_sets=[lightgbm.Dataset(features[300:], target[300:], reference=data)],
        callbacks=[lightgbm.early_stopping(2, verbose=False), TrainwireCallback(task, save_every=1)],
    )
    assert [epoch for epoch, _ in task.rows] == [0, 1, 2, 3]
    assert task.checkpoints[-1].name == "booster-3.txt"


def test_hugging_face_goes_on_with_the_newest_whole_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from trainwire.adapters.huggingface import TrainwireCallback

    task: Any = Task(tmp_path)
    callback = TrainwireCallback(task)
    for step, files in [
        (9, ["model.safetensors", "trainer_state.json"]),
        (10, ["model.safetensors", "trainer_state.json"]),  # not announced: its attempt was killed
        (11, ["model.safetensors"]),  # half written
        (12, ["trainer_state.json", "training_args.bin"]),  # no model
    ]:
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in files:
            (tmp_path / f"checkpoint-{step}" / name).touch()
    assert callback.resume_path is None, "a first attempt begins anew"
    task.attempt = 2
    assert callback.resume_path == str(tmp_path / "checkpoint-10")
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}/trainer_state.json").unlink()
    with pytest.warns(RuntimeWarning, match="is whole; beginning anew"):
        assert callback.resume_path is None
