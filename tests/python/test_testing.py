"""The pytest plugin `trainwire.testing`, used as researchers use it: in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TRAIN = """
import time, trainwire

def work(task):
    at = task.workdir / "next"
    start = int(open(task.last_checkpoint).read()) if task.last_checkpoint else 0
    for epoch in task.epochs(start):
        print("attempt", task.attempt, "epoch", epoch, flush=True)
        task.report({"val/loss": 1 / (epoch + 1)}, epoch=epoch)
        at.write_text(str(epoch + 1))
        task.checkpoint(at, epoch=epoch)
    if task.params.get("fail", 0) >= task.attempt:
        raise ValueError("as asked")
    task.finish(loss=0.5)

if __name__ == "__main__":
    for task in trainwire.tasks():
        with task:
            work(task)
"""


Check = Callable[..., pytest.RunResult]

CONFTEST = """
import pathlib, pytest

@pytest.fixture(autouse=True)
def say_where(trainwire_orchestrator):
    pathlib.Path("folder").write_text(str(trainwire_orchestrator.folder))
"""


@pytest.fixture
def check(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs tests in a pytest process of their own; nothing of them is left after it."""
    mark = f"testing-{os.getpid()}-{pytester.path.name}"
    monkeypatch.setenv("TESTING", mark)
    pytester.makepyfile(train=TRAIN)
    pytester.makeconftest(CONFTEST)

    def check(tests: str, **outcomes: int) -> pytest.RunResult:
        pytester.makepyfile(test_it=tests)
        result = pytester.runpytest_subprocess("-p", "trainwire.testing", "-W", "error")
        result.assert_outcomes(**(outcomes or {"passed": tests.count("def test_")}))
        assert not Path((pytester.path / "folder").read_text()).exists()
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        assert not [entry for entry in processes if f"TESTING={mark}".encode() in environment_of(entry)]
        return result

    return check


def environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is not ours


def test_five_lines(check: Check) -> None:
    check(
        """
        def test_resumes(trainwire_orchestrator):
            run = trainwire_orchestrator.run(
                "train.py", params={"lr": 0.1}, max_epochs=5, kill_at_epoch=2, max_losses=2)
            assert run.state == "succeeded"
            assert run.attempts == 2
            assert run.epochs == [0, 1, 2, 3, 4]
            # More of what it says; the row of epoch 2 came before its checkpoint.
            assert run.epochs_of(1) == [0, 1, 2] and run.epochs_of(2) == [2, 3, 4]
            assert run.endings == ["crashed", "succeeded"] and run.result == {"loss": 0.5}
            assert [c["epoch"] for c in run.checkpoints] == [0, 1, 2, 3, 4]
            assert "attempt 2 epoch 4" in run.log and run.traceback is None
            assert run.metrics[0]["metrics"] == {"val/loss": 1.0}

        def test_dies_for_good(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", kill_at_epoch=0, max_losses=1)
            assert run.state == "dead" and run.epochs == [0] and "SIGKILL" in run.error

        def test_stops(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", max_epochs=5, stop_at_epoch=1)
            assert run.state == "stopped" and run.epochs == [0, 1]
            again = run.retry()
            assert again.state == "succeeded" and again.attempts == 2
            assert again.epochs_of(2) == [2, 3, 4]

        def test_starves(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", max_epochs=5, starve_at_epoch=1, starve_s=0.5)
            assert run.state == "succeeded" and run.attempts == 1 and run.epochs == [0, 1, 2, 3, 4]

        def test_one_thing_after_the_other(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", max_epochs=9, kill_at_epoch=1, stop_at_epoch=3)
            assert run.state == "stopped" and run.attempts == 2 and run.endings == ["crashed", "stopped"]
            assert run.epochs == [0, 1, 2, 3]

        def test_fails(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", params={"fail": 1}, max_epochs=1, max_failures=2)
            assert run.state == "succeeded" and run.endings == ["failed", "succeeded"]
            assert "ValueError: as asked" in run.traceback
            run = trainwire_orchestrator.run("train.py", params={"fail": 1}, max_epochs=1)
            assert run.state == "dead" and "as asked" in run.error
        """
    )


def test_functions_of_the_test(check: Check) -> None:
    check(
        """
        import pytest
        import trainwire
        from train import work

        def fit(task):
            work(task)

        @trainwire.trainer
        def decorated(task):
            return {"attempt": task.attempt}

        def loop():
            for task in trainwire.tasks():
                with task:
                    task.finish(lr=task.params["lr"])

        class Model:
            @staticmethod
            def fit(task):
                return {"epochs": task.max_epochs}

        def test_with_a_task(trainwire_orchestrator):
            run = trainwire_orchestrator.run(fit, max_epochs=4, kill_at_epoch=1)
            assert run.attempts == 2 and run.epochs == [0, 1, 2, 3] and run.result == {"loss": 0.5}

        def test_others(trainwire_orchestrator):
            assert trainwire_orchestrator.run(decorated).result == {"attempt": 1}
            assert trainwire_orchestrator.run(loop, params={"lr": 0.1}).result == {"lr": 0.1}
            assert trainwire_orchestrator.run(Model.fit, max_epochs=3).result == {"epochs": 3}

        def test_that_cannot_be_found(trainwire_orchestrator):
            with pytest.raises(TypeError, match="write it as a function at the top of a file"):
                trainwire_orchestrator.run(lambda task: None)
        """
    )


def test_what_goes_wrong_is_explained(check: Check) -> None:
    result = check(
        """
        import pytest

        def test_never(trainwire_orchestrator):
            with pytest.raises(AssertionError, match="nothing to kill: the task ended .succeeded. without"):
                trainwire_orchestrator.run("train.py", max_epochs=2, kill_at_epoch=7)

        def test_hangs(trainwire_orchestrator):
            script = ["python", "-c", "import time; print('hanging', flush=True); time.sleep(1000)"]
            with pytest.raises(AssertionError, match="still at it after 0.5 s"):
                trainwire_orchestrator.run(script, timeout_s=0.5)

        def test_leaves_a_job_behind(trainwire_orchestrator):
            trainwire_orchestrator.submit(["sleep", "1000"])

        def test_shows_the_log(trainwire_orchestrator):
            run = trainwire_orchestrator.run("train.py", max_epochs=1)
            assert run.state == "stopped"
        """,
        passed=3,
        failed=1,
    )
    result.stdout.fnmatch_lines(["*trainwire: train-*: succeeded, attempts: 1*", "attempt 1 epoch 0"])


def test_the_environments_own_sitecustomize_counts(
    check: Check, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.mkdir("site").joinpath("sitecustomize.py").write_text("import os; os.environ['SITE'] = 'yes'\n")
    path = [str(pytester.path / "site"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    check(
        """
        import os
        import trainwire

        def fit(task):
            for epoch in task.epochs():
                task.report(x=1, epoch=epoch)
            task.finish(site=os.environ.get("SITE", "no"))

        def test_it(trainwire_orchestrator):
            run = trainwire_orchestrator.run(fit, max_epochs=3, stop_at_epoch=1)
            assert run.epochs == [0, 1] and run.result == {"site": "yes"}
        """
    )


def test_the_plugin_costs_others_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            assert "trainwire._client" not in sys.modules and "trainwire._testing" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "trainwire.testing").assert_outcomes(passed=1)


def test_without_pytest() -> None:
    script = "import sys; sys.modules['pytest'] = None; import trainwire.testing"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "trainwire.testing is a plugin of pytest: pip install pytest" in done.stderr
