"""What is said in Python becomes what the daemon is asked."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwire
from trainwire._client import combinations, request
from trainwire._client.display import Board
from trainwire._client.outcomes import Result, Results


def test_commands() -> None:
    assert request.words_of("train.py --fast 'a b'")[0] == [sys.executable, "train.py", "--fast", "a b"]
    assert request.words_of("torchrun train.py")[0] == ["torchrun", "train.py"]
    assert request.words_of(Path("lab/train.py"))[0] == [sys.executable, "lab/train.py"]
    assert request.words_of(["sh", "-c", "exit 3"])[0] == ["sh", "-c", "exit 3"]
    with pytest.raises(ValueError, match="empty"):
        request.words_of("")
    assert request.stem_of(["python", "lab/train.py"]) == "train"
    assert request.stem_of(["python", "-m", "lab.fit"]) == "fit"
    assert request.stem_of(["./run"]) == "run"


def test_durations_are_milliseconds() -> None:
    said = request.limits_of(
        {"stop_grace": 1.5, "stall_timeout": "1h30m", "lost_timeout": timedelta(seconds=2), "gpus": 1}
    )
    assert said == {"stop_grace": 1500, "stall_timeout": 5_400_000, "lost_timeout": 2000, "gpus": 1}
    assert request.limits_of({"stall_timeout": None, "backoff_min": "250ms"}) == {
        "stall_timeout": None,
        "backoff_min": 250,
    }
    with pytest.raises(TypeError, match="no keyword 'stop_grase'; did you mean 'stop_grace'"):
        request.limits_of({"stop_grase": 1})
    with pytest.raises(TypeError, match="no keyword 'max_epoch'; did you mean 'max_epochs'"):
        trainwire.submit("train.py", max_epoch=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="stop_grace is 'soon'; write seconds, or a text such as \"90s\""):
        request.limits_of({"stop_grace": "soon"})


def test_grids() -> None:
    found = combinations.grid_of({"lr": [0.1, 1e-5], "layers": range(1, 3), "bias": [True]})
    assert [task_id for task_id, _ in found] == [
        "lr=0.1,layers=1,bias=true",
        "lr=0.1,layers=2,bias=true",
        "lr=1e-05,layers=1,bias=true",
        "lr=1e-05,layers=2,bias=true",
    ]
    assert found[3][1] == {"lr": 1e-5, "layers": 2, "bias": True}
    for grid, wrong in [
        ({"lr": []}, "no values"),
        ({"lr": [1, 1]}, "lr=1 is in the grid twice"),
        ({"lr": "adam"}, "give a list"),
        ({"a": range(1000), "b": range(1000)}, "1000000 tasks, at most 100000"),
    ]:
        with pytest.raises((TypeError, ValueError), match=wrong):
            combinations.grid_of(grid)  # type: ignore[arg-type]


def test_ints_beside_floats_become_floats_and_keep_their_spelling() -> None:
    found = combinations.grid_of({"lr": [0.1, 1, np.int64(2), True, "auto"], "depth": [3]})
    assert [task_id for task_id, _ in found] == [
        f"lr={lr},depth=3" for lr in ("0.1", "1", "2", "true", "auto")
    ]
    assert repr([params["lr"] for _, params in found]) == "[0.1, 1.0, 2.0, True, 'auto']"
    assert repr([params["depth"] for _, params in found]) == "[3, 3, 3, 3, 3]"
    assert combinations.grid_of({"n": [0.5, 2**53 + 1]})[1][1] == {"n": 2**53 + 1}


DRAWS = json.loads((Path(__file__).parents[1] / "vectors/draws.json").read_text())


@pytest.mark.parametrize("vector", DRAWS, ids=lambda vector: vector["name"])
def test_draws_are_those_of_the_command_line(vector: dict[str, Any]) -> None:
    space = {
        name: of if vector["random"][name].startswith("choice:") else tuple(of)
        for name, of in vector["python"].items()
    }
    drawn = combinations.samples_of(space, vector["samples"], vector["seed"])
    # As text: 1 and 1.0 are not the same parameter.
    assert repr([{"task_id": task_id, "params": params} for task_id, params in drawn]) == repr(
        vector["tasks"]
    )


def test_samples_depend_on_seed_name_and_number() -> None:
    space = {"lr": ("log", 1e-5, 1e-1), "layers": (1, 4), "dropout": (0.0, 0.5), "kind": ["a", "b"]}
    drawn = combinations.samples_of(space, 50, seed=3)
    assert drawn == combinations.samples_of(space, 50, seed=3) != combinations.samples_of(space, 50, seed=4)
    alone = combinations.samples_of({"layers": (1, 4)}, 20, seed=3)
    assert [params["layers"] for _, params in alone] == [params["layers"] for _, params in drawn[:20]]
    for _, params in drawn:
        assert 1e-5 <= params["lr"] <= 1e-1 and 0 <= params["dropout"] <= 0.5
        assert params["layers"] in (1, 2, 3, 4) and params["kind"] in ("a", "b")
    assert {params["layers"] for _, params in drawn} == {1, 2, 3, 4}
    assert sum(params["lr"] < 1e-3 for _, params in drawn) in range(10, 41)


def test_samples_of_a_grid_and_slips() -> None:
    grid = combinations.grid_of({"depth": [2, 5]})
    drawn = combinations.samples_of({"kind": ["a"]}, 2, 0, grid)
    assert [task_id for task_id, _ in drawn] == [
        *("depth=2,sample=0,kind=a", "depth=2,sample=1,kind=a"),
        *("depth=5,sample=0,kind=a", "depth=5,sample=1,kind=a"),
    ]
    assert drawn[3][1] == {"depth": 5, "kind": "a"}
    with pytest.raises(TypeError, match="lr: 'wide' does not say what to draw from"):
        combinations.samples_of({"lr": "wide"}, 1, seed=0)
    for space, samples, seed, wrong in [
        ({}, 1, 0, "names no parameter"),
        ({"lr": (0, 1)}, 0, 0, "samples is 0"),
        ({"lr": (0, 1)}, 60_000, 0, "samples is 60000"),
        ({"lr": (0, 1)}, 1, -1, "seed is -1, and must be from 0 to 4294967295"),
        ({"depth": (0, 1)}, 1, 0, "depth is in the grid and drawn"),
    ]:
        with pytest.raises(ValueError, match=wrong):
            combinations.samples_of(space, samples, seed, grid)  # type: ignore[arg-type]


def test_values_of_other_libraries_become_plain() -> None:
    numpy = pytest.importorskip("numpy")
    found = combinations.plain({"a": numpy.float32(0.5), "b": numpy.arange(2), "c": Path("x")}, "params")
    assert found == {"a": 0.5, "b": [0, 1], "c": "x"} and type(found["a"]) is float
    with pytest.raises(ValueError, match=r"params.a is nan, which JSON does not have"):
        combinations.plain({"a": float("nan")}, "params")
    with pytest.raises(TypeError, match=r"params.a is a object"):
        combinations.plain({"a": object()}, "params")


def test_tasks_of_their_own() -> None:
    common = request.Common("train", {"a": 1}, max_epochs=3)
    [task] = request.task_requests(common, [], None)
    assert task == {"task_id": "train", "model_name": "train", "max_epochs": 3, "params": {"a": 1}}
    with pytest.raises(TypeError, match=r"tasks\[0\] has the unknown key 'lr'; there are .*task_id"):
        request.task_requests(common, [], [{"lr": 1}])  # type: ignore[typeddict-unknown-key]


def test_tables() -> None:
    results = Results(
        "job",
        [
            Result("a", "succeeded", 1, {"lr": 0.1, "depth": 2}, {"loss": 0.123456}),
            Result("b", "dead", 2, {"lr": 1, "depth": 2}, {}, error="failed once: <x>\nmore"),
        ],
    )
    assert repr(results).splitlines() == [
        "task  state      attempts  lr   loss    error",
        "a     succeeded  1         0.1  0.1235",
        "b     dead       2         1            failed once: <x>",
        "job: 1 succeeded, 1 dead",
    ]
    assert "&lt;x&gt;" in results._repr_html_()
    assert list(results.to_dicts()[1]) == [
        *(
            "task",
            "state",
            "attempts",
            "params.lr",
            "params.depth",
            "metrics.loss",
            "duration_s",
            "error",
            "log",
        )
    ]


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results("job", [Result("a", "succeeded", 1, {"lr": 0.1}, {"loss": 0.5})])
    results.to_csv(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "a,succeeded,1,0.1,0.5,,,"
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        results.to_pandas()
    with pytest.raises(ImportError, match="pip install pyarrow"):
        results.to_parquet(tmp_path / "a.parquet")


def test_pandas_and_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    results = Results("job", [Result("a", "succeeded", 1, {"lr": 0.1}, {"loss": 0.5})])
    assert results.to_pandas()["metrics.loss"].tolist() == [0.5]
    results.to_parquet(tmp_path / "a.parquet")
    assert pandas.read_parquet(tmp_path / "a.parquet")["params.lr"].tolist() == [0.1]


def test_the_board_of_a_notebook() -> None:
    board = Board()
    for event in [
        {"event": "job_submitted"},
        {"event": "task_submitted", "task": "a", "max_epochs": 4},
        {"event": "task_submitted", "task": "b", "max_epochs": 4},
        {"event": "started", "task": "a", "attempt": 1},
        {"event": "progress", "task": "a", "rows": [{"epoch": 1.0, "metrics": {"loss": 0.5}}]},
    ]:
        board.apply(event)
    shown = board.html()
    assert '<progress max="4" value="2"></progress>' in shown and "2 tasks, 1 waiting" in shown
    board.apply({"event": "ended", "task": "a", "state": "failed", "cause": "failed once: <x>"})
    assert "failed once: &lt;x&gt;" in board.html()
