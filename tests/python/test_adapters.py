"""Each adapter with the real framework, under a real orchestrator that stops and kills it.

What is not installed here is skipped: `make test-frameworks` has all of them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples/frameworks"
pytestmark = pytest.mark.timeout(400)


def framework(name: str, example: str) -> Any:
    skipped = pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")
    return pytest.param(EXAMPLES / example, id=example.removesuffix(".py"), marks=skipped)


frameworks = pytest.mark.parametrize(
    "example",
    [
        framework("sklearn", "sklearn_digits.py"),
        framework("sklearn", "sklearn_logistic.py"),
        framework("xgboost", "xgboost_cancer.py"),
        framework("lightgbm", "lightgbm_diabetes.py"),
        framework("torch", "torch_digits.py"),
        framework("keras", "keras_digits.py"),
        framework("lightning", "lightning_digits.py"),
        framework("transformers", "huggingface_digits.py"),
    ],
)
# Under the framework's own names.
METRICS = {
    "sklearn_digits": "val/score",
    "sklearn_logistic": "val/score",
    "xgboost_cancer": "val/logloss",
    "lightgbm_diabetes": "val/l2",
    "torch_digits": "train/loss",
    "keras_digits": "val_accuracy",
    "lightning_digits": "train/loss",
    "huggingface_digits": "loss",
}
LIMITS: Any = {"start_timeout": "5m", "timeout_s": 300.0}
ENVIRONMENT = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}


def numbers(example: Path, run: Any) -> list[int]:
    """Epochs from 0; Hugging Face says how many are over."""
    over = 1 if "huggingface" in example.name else 0
    return sorted({round(row["epoch"]) - over for row in run.metrics if row.get("epoch") is not None})


@frameworks
def test_a_crash_goes_on_from_the_checkpoint(trainwire_orchestrator: Any, example: Path) -> None:
    run = trainwire_orchestrator.run(
        str(example),
        max_epochs=4,
        params=params_of(example),
        kill_at_epoch=2,
        environment=ENVIRONMENT,
        **LIMITS,
    )
    assert run.state == "succeeded" and run.attempts == 2, run.log
    assert any(METRICS[example.stem] in row["metrics"] for row in run.metrics), run.metrics
    assert numbers(example, run) == [0, 1, 2, 3]
    again = [row["epoch"] for row in run.metrics if row["attempt"] == 2]
    assert min(again) >= 1, "it began anew"


@frameworks
def test_a_stop_ends_the_frameworks_own_loop(trainwire_orchestrator: Any, example: Path) -> None:
    run = trainwire_orchestrator.run(
        str(example),
        max_epochs=50,
        params=params_of(example),
        stop_at_epoch=2,
        environment=ENVIRONMENT,
        **LIMITS,
    )
    assert run.state == "stopped", run.log
    assert max(numbers(example, run)) < 49
    assert run.checkpoints and Path(run.checkpoints[-1]["path"]).exists()


@frameworks
def test_an_example_runs_by_itself(example: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAINWIRE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning:__main__", example],
        cwd=tmp_path,
        env={**environment, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trainwire:" not in done.stderr


def params_of(example: Path) -> dict[str, float]:
    names = {
        "sklearn_logistic": "C",
        "xgboost_cancer": "eta",
        "lightgbm_diabetes": "learning_rate",
        "huggingface_digits": "learning_rate",
    }
    return {names.get(example.stem, "lr"): 0.05}
