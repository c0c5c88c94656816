"""`task.epochs(state=…)`: what a loop makes is there again after a SIGKILL, as if nothing had happened."""

from __future__ import annotations

import collections
import pickle
import random
import re
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, metrics, text

import trainwire
from trainwire import _refill, _state
from trainwire._client.embedded import Server

# A training that draws at random, and kills itself in the epoch it is told to on its first attempt.
TRAIN = """
import json, os, random, signal, sys, trainwire
import numpy

class Model:
    def __init__(self):
        self.weights = numpy.zeros(3)
        self.seen = []

task = trainwire.connect()
random.seed(1)
numpy.random.seed(2)
model, generator = Model(), numpy.random.default_rng(3)
history = {"losses": []}
state = {"model": model, "generator": generator, "history": history, "best": 0.0}
began = None
for epoch in task.epochs(state=state):
    began = epoch if began is None else began
    model.weights += numpy.random.normal(size=3) + generator.normal()
    model.seen.append(random.randrange(1000))
    history["losses"].append(float(model.weights.sum()))
    state["best"] = max(state["best"], history["losses"][-1])
    task.report(loss=history["losses"][-1], epoch=epoch)
    if epoch == task.params["kill"] and task.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
if task.params.get("kill_after") and task.attempt == 1:
    os.kill(os.getpid(), signal.SIGKILL)
made = json.dumps([model.weights.tolist(), model.seen, history, state["best"]])
task.finish(made=made, began=began, last=epoch)
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TRAINWIRE_STATE", raising=False)
    server = Server(tmp_path / "state/trainwire", "--stop-trainers", "--socket-dir", str(tmp_path))
    yield server
    server.close()


@pytest.mark.usefixtures("daemon")
def test_a_killed_loop_goes_on_as_if_nothing_had_happened() -> None:
    pytest.importorskip("numpy")
    limits = {"max_epochs": 6, "backoff_min": 0.001}
    runs = {
        kill: trainwire.run("train.py", params={"kill": kill}, **limits)[0]  # type: ignore[arg-type]
        for kill in (None, 0, 3, 5)
    }
    for kill, run in runs.items():
        assert run.state == "succeeded", f"{run.error}\n{run.traceback}"
        assert run.attempts == (1 if kill is None else 2)
        assert run.metrics["made"] == runs[None].metrics["made"], f"killed in epoch {kill}"
        assert (run.metrics["began"], run.metrics["last"]) == (kill or 0, 5)


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("max_epochs", [1, 4])
def test_a_loop_that_was_done_repeats_its_last_epoch(max_epochs: int) -> None:
    """What stands behind it needs the variables of the loop."""
    pytest.importorskip("numpy")
    runs = [
        trainwire.run("train.py", params={"kill": None, "kill_after": after}, max_epochs=max_epochs)[0]
        for after in (False, True)
    ]
    assert [run.attempts for run in runs] == [1, 2]
    assert runs[0].metrics["made"] == runs[1].metrics["made"]
    assert runs[1].metrics["began"] == max_epochs - 1
    checkpoint = Path(str(runs[1].checkpoint))
    assert checkpoint.name == f"epoch-{max_epochs - 1}"
    assert sorted(file.name for file in checkpoint.iterdir()) == [
        *("_random.pickle", "best.pickle", "generator.pickle", "history.pickle", "model.pickle")
    ]


STOPPED = """
    task = trainwire.connect()
    holder = {"epochs": 0}
    for epoch in task.epochs(state=holder, save_every=10):
        holder["epochs"] = epoch
        task.report(epoch=epoch, loss=1.0)
        while epoch == 3 and not task.should_stop:
            time.sleep(0.01)
    task.finish(epoch=epoch)
"""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stop_saves_the_epoch_it_came_in_if_that_is_wanted(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, wanted: bool
) -> None:
    start(STOPPED)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=100), work=str(tmp_path / "work"))
    peer.until(wire.REPORT, lambda report: 3.0 in (report.epochs if report.epochs is not None else []))
    peer.stop(1, "interrupted" if wanted else "cancelled", wantCheckpoint=wanted)
    if wanted:
        saved = peer.until(wire.CHECKPOINT)
        assert saved.epoch == 3.0 and text(saved.path) == str(tmp_path / "work/state/epoch-3")
        peer.ack(saved)
    assert peer.acked_result().outcome == wire.messages().Outcome.Stopped
    assert (tmp_path / "work/state").exists() == wanted


LOOP = """
    task = trainwire.connect()
    state = {state}
    for epoch in task.epochs(state=state, {more}):
        pass
    task.finish(state=repr(state))
"""


def ends(orchestrator: Orchestrator, work: Path, saves: int, **fields: Any) -> Any:
    """The result of an attempt of five epochs whose checkpoints are stored."""
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=5), work=str(work), **fields)
    for _ in range(saves):
        peer.ack(peer.until(wire.CHECKPOINT))
    return peer.acked_result()


def test_so_many_are_saved_and_kept(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    for more, saves, kept in [("", 5, [3, 4]), ("keep_last=3", 5, [2, 3, 4]), ("save_every=2", 3, [3, 4])]:
        work = tmp_path / f"work-{more}"
        trainer = start(LOOP.format(state="{'n': 0}", more=more))
        ends(orchestrator, work, saves)
        trainer.ends()
        assert sorted(path.name for path in (work / "state").iterdir()) == [f"epoch-{n}" for n in kept]


def test_what_the_script_announces_itself_stays_and_is_not_taken_for_the_state(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    script = """
        task = trainwire.connect()
        seen = []
        for epoch in task.epochs(state=seen):
            seen.append(epoch)
            (task.workdir / f"mine-{epoch}.pt").write_text("")
            task.checkpoint(task.workdir / f"mine-{epoch}.pt", epoch=epoch)
            if epoch == 3 and task.attempt == 1:
                os.kill(os.getpid(), 9)
        task.finish(seen=repr(seen))
    """
    start(script)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=5), work=str(work))
    for _ in range(7):
        peer.ack(peer.until(wire.CHECKPOINT))
    peer.closed()
    start(script)
    newest = wire.make("CheckpointRef", path=str(work / "mine-3.pt"), epoch=3.0)
    result = ends(orchestrator, work, 4, attempt=2, lastCheckpoint=newest)
    assert metrics(result) == {"seen": "[0, 1, 2, 3, 4]"}
    assert len(list(work.glob("mine-*.pt"))) == 5


def test_what_another_job_has_left_is_not_gone_on_with(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    for _ in range(2):
        start(LOOP.format(state="[1]", more=""))
        result = ends(orchestrator, tmp_path / "work", 5)
        assert result.outcome == wire.messages().Outcome.Succeeded
    names = sorted(path.name for path in (tmp_path / "work/state").iterdir())
    assert names == ["epoch-3", "epoch-4"]


def test_what_is_saved_is_of_this_loop(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    work = tmp_path / "work"
    start(LOOP.format(state="{'n': 1, 'kind': 'a'}", more=""))
    ends(orchestrator, work, 5)
    checkpoint = wire.make("CheckpointRef", path=str(work / "state/epoch-4"), epoch=4.0)
    for state, said in [
        ("{'n': 1, 'more': 2}", "ValueError: .*epoch-3 has nothing of more: .* delete the folder"),
        ("{'n': [], 'kind': ''}", "TypeError: it is a list now, and was a int.*putting 'n' back"),
    ]:
        trainer = start(LOOP.format(state=state, more=""))
        error = ends(orchestrator, work, 0, attempt=2, lastCheckpoint=checkpoint).error
        trainer.ends(1)
        assert re.search(said, trainer.errors, re.DOTALL), trainer.errors
        assert text(error.type) == said.partition(":")[0]
    work = tmp_path / "other"
    work.mkdir()
    by_hand = work / "mine.pt"
    by_hand.write_text("")
    start(LOOP.format(state="{'n': 1}", more=""))
    found = wire.make("CheckpointRef", path=str(by_hand), epoch=2.0)
    error = ends(orchestrator, work, 0, attempt=2, lastCheckpoint=found).error
    assert "was not saved by epochs(state=…)" in text(error.text)


def test_a_disk_that_is_full_is_a_warning(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "state").write_text("in the way")
    trainer = start(LOOP.format(state="{'n': 1}", more=""))
    assert ends(orchestrator, work, 0).outcome == wire.messages().Outcome.Succeeded
    trainer.ends()
    assert "the state of epoch 0 is not saved: " in trainer.errors


def test_without_an_orchestrator_nothing_is_saved(start: Start, tmp_path: Path) -> None:
    script = """
        task = trainwire.connect(max_epochs=3)
        epochs = task.epochs(state={"n": 1})
        print(len(epochs), list(epochs))
        try:
            task.epochs(1, state={"n": 1})
        except ValueError as error:
            print(error)
    """
    said = start(script, TRAINWIRE_SOCKET=None, TRAINWIRE_TOKEN=None).ends()
    assert said.startswith("3 [0, 1, 2]\nthe checkpoint of the state says where to start")
    assert not (tmp_path / ".trainwire").exists()


class Slotted:
    __slots__ = ("a", "b")


class OfState:
    def __init__(self) -> None:
        self.loaded: list[Any] = []

    def state_dict(self) -> dict[str, int]:
        return {"a": 1}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.loaded.append(state)


def same_in_place(part: Any, changed: Any) -> Any:
    assert _refill.can_be_filled(part), part
    saved = pickle.loads(pickle.dumps(changed))
    _refill.fill(part, saved)
    return part


def test_what_pickle_can_save_is_put_back_in_place() -> None:
    namespace = types.SimpleNamespace(a=1, gone=2)
    assert vars(same_in_place(namespace, types.SimpleNamespace(a=3))) == {"a": 3}
    assert same_in_place([1], [2, 3]) == [2, 3] and same_in_place({1}, {2}) == {2}
    assert same_in_place({"a": 1, "b": 2}, {"a": {"c": [3]}}) == {"a": {"c": [3]}}
    assert same_in_place(collections.deque([1], 3), collections.deque([2], 3)) == collections.deque([2])
    assert same_in_place(collections.Counter("a"), collections.Counter("bb")) == {"b": 2}
    slotted, other = Slotted(), Slotted()
    slotted.a, other.a, other.b = 1, 2, 3  # type: ignore[attr-defined]
    assert same_in_place(slotted, other).b == 3
    draws, ahead = random.Random(1), random.Random(2)
    assert same_in_place(draws, ahead).random() == ahead.random()
    stateful = OfState()
    _refill.fill(stateful, {"a": 2})
    assert stateful.loaded == [{"a": 2}]


def test_arrays_and_estimators_are_put_back_in_place() -> None:
    numpy = pytest.importorskip("numpy")
    linear = pytest.importorskip("sklearn.linear_model")
    array = numpy.zeros(3)
    view = array[1:]
    same_in_place(array, numpy.arange(3.0))
    assert view.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"the shape \(3,\) now, and had \(4,\)"):
        _refill.fill(array, numpy.zeros(4))
    ahead = numpy.random.default_rng(2)
    assert same_in_place(numpy.random.default_rng(1), ahead).random() == ahead.random()
    trained = linear.SGDClassifier(random_state=0).partial_fit([[0], [1]], [0, 1], classes=[0, 1])
    model = same_in_place(linear.SGDClassifier(random_state=0), trained)
    again = [estimator.partial_fit([[1], [0]], [1, 0]).coef_.tolist() for estimator in (model, trained)]
    assert again[0] == again[1]


class Offline:
    offline = True
    world_size = 1


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (3, "state is a int, which nothing can be put back into; keep it in a dict"),
        ({"lock": threading.Lock()}, r"state\['lock'\] is a _thread.lock, which"),
        ({"rows": (row for row in [1])}, r"state\['rows'\] is a generator"),
        ({"a/b": 1}, "called 'a/b'; a name is that of a file"),
        ({1: 1}, "called 1; a name"),
    ],
)
def test_what_cannot_be_put_back_is_said_first(state: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        _state.Keeper(Offline(), state, 1, 2)  # type: ignore[arg-type]


def test_what_cannot_be_saved_is_said_first() -> None:
    task = types.SimpleNamespace(offline=False)
    with pytest.raises((AttributeError, TypeError)) as raised:
        _state.Keeper(task, {"model": types.SimpleNamespace(f=lambda: 1)}, 1, 2)  # type: ignore[arg-type]
    assert "state['model'], a types.SimpleNamespace, cannot be saved" in raised.value.__notes__[0]
    for said in ({"save_every": 0, "keep_last": 2}, {"save_every": 1, "keep_last": 1}):
        with pytest.raises(ValueError, match="must be"):
            _state.Keeper(Offline(), {}, **said)  # type: ignore[arg-type]
