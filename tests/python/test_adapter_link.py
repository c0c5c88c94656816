"""What all adapters rest on: trouble is one warning, the task is the open one, all ranks save together."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trainwire
from trainwire.adapters._link import Link


class Task:
    """Writes down what it is told."""

    def __init__(self, workdir: Path, *, rank: int = 0, world_size: int = 1) -> None:
        self.workdir, self.world_size, self.is_primary = workdir, world_size, rank == 0
        self.attempt, self.max_epochs, self.should_stop = 1, 10, False
        self.last_checkpoint: Any = None
        self.resume_path: str | None = None
        self.stop: Any = None
        self.rows: list[tuple[float | None, dict[str, Any]]] = []
        self.checkpoints: list[Path] = []
        self.epochs: list[float | None] = []
        self.ticks, self.stops_at_tick = 0, -1

    def report(self, row: Any, *, epoch: float | None = None, **_: Any) -> None:
        self.rows.append((epoch, dict(row)))

    def checkpoint(self, path: Path, *, epoch: float | None = None, **_: Any) -> None:
        assert path.exists()
        self.checkpoints.append(path)
        self.epochs.append(epoch)

    def goes_on(self) -> Task:
        """What the next attempt is given."""
        after = Task(self.workdir)
        after.attempt, after.resume_path = self.attempt + 1, str(self.checkpoints[-1])
        after.last_checkpoint = SimpleNamespace(epoch=self.epochs[-1])
        return after

    def agree_to_stop(self) -> bool:
        return self.should_stop

    def tick(self) -> None:
        self.ticks += 1
        self.should_stop = self.should_stop or self.ticks == self.stops_at_tick


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


def test_pytorch_goes_on_with_all_random_numbers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import numpy

    from trainwire.adapters.torch import restore, save

    def drawn() -> list[float]:
        return [random.random(), random.gauss(0, 1), float(numpy.random.rand()), float(torch.rand(1))]

    task: Any = Task(tmp_path)
    random.gauss(0, 1)  # of a pair, so that there is one more to give
    numpy.random.standard_normal()
    save(task, 3)
    expected = drawn()
    drawn()
    assert restore(task.goes_on()) == 4
    assert drawn() == expected


def whole_epochs_and_a_part(
    callback: Any, fit: Any, task: Task, *, batches: int, name: str, suffix: str
) -> Task:
    """Stopped in the second batch of epoch 2 of 4. Gives the task that went on from there."""
    task.stops_at_tick = 2 * batches + 2
    fit(callback(task))
    assert [epoch for epoch, _ in task.rows] == [0, 1, 2]
    files = [f"{name}-0.{suffix}", f"{name}-1.{suffix}", f"{name}-2-part.{suffix}"]
    assert [path.name for path in task.checkpoints] == files
    assert task.epochs == [0, 1, pytest.approx(1 + 2 / batches)]
    after = task.goes_on()
    assert callback(after).start == 2
    fit(callback(after))
    assert [epoch for epoch, _ in after.rows] == [2, 3]
    assert after.epochs == [2, 3]
    return after


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras has some with PyTorch
def test_keras_saves_what_a_stop_ends_in_the_middle(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    import numpy

    from trainwire.adapters.keras import TrainwireCallback

    def fit(callback: TrainwireCallback) -> None:
        if callback.resume_path is None:
            model = keras.Sequential([keras.layers.Dense(1)])
            model.compile("sgd", "mse")
        else:
            model = keras.models.load_model(callback.resume_path)
        data = numpy.ones((40, 3)), numpy.ones(40)
        first = callback.start
        model.fit(*data, batch_size=10, epochs=4, initial_epoch=first, callbacks=[callback], verbose=0)
        iterations.append(int(model.optimizer.iterations))

    iterations: list[int] = []
    task = Task(tmp_path)
    whole_epochs_and_a_part(TrainwireCallback, fit, task, batches=4, name="model", suffix="keras")
    assert iterations == [2 * 4 + 2, 2 * 4 + 2 + 2 * 4], "the optimizer goes on, the epoch is done again"


def test_keras_saves_no_part_that_nobody_wants(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    import numpy

    from trainwire.adapters.keras import TrainwireCallback

    task: Any = Task(tmp_path)
    task.stop, task.stops_at_tick = SimpleNamespace(want_checkpoint=False), 2
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(
        numpy.ones((40, 3)), numpy.ones(40), batch_size=10, callbacks=[TrainwireCallback(task)], verbose=0
    )
    assert int(model.optimizer.iterations) == 2 and task.checkpoints == []


def test_lightning_goes_on_within_an_epoch(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    import torch

    from trainwire.adapters.lightning import TrainwireCallback

    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch: Any) -> Any:
            return self.layer(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    def fit(callback: TrainwireCallback) -> None:
        trainer = lightning.Trainer(
            max_epochs=4,
            callbacks=[callback],
            default_root_dir=tmp_path,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = torch.utils.data.DataLoader(torch.ones(40, 3), batch_size=10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice
            trainer.fit(Model(), data, ckpt_path=callback.resume_path)
        steps.append(trainer.global_step)

    steps: list[int] = []
    task = Task(tmp_path)
    whole_epochs_and_a_part(TrainwireCallback, fit, task, batches=4, name="lightning", suffix="ckpt")
    assert steps == [2 * 4 + 2, 4 * 4], "no batch is left out, none is done twice"
