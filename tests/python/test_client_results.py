"""`trainwire.results`: of any job, whoever ran it, and without a daemon."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import trainwire
from trainwire._client.embedded import Server, find_program

TRAIN = """
import trainwire
with trainwire.connect() as task:
    for epoch in task.epochs():
        task.report({"val/loss": task.params["lr"] / (epoch + 1)}, epoch=epoch)
    task.finish(accuracy=1 - task.params["lr"])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TRAINWIRE_STATE", raising=False)
    return tmp_path


def command(folder: Path, verb: str, *arguments: str) -> None:
    said = [find_program(), verb, *arguments, "--max-epochs=2", "--", "python", "train.py"]
    subprocess.run(said, cwd=folder, check=True, capture_output=True)


def test_of_a_run_by_its_id_and_by_its_folder(folder: Path) -> None:
    command(folder, "run", "--job-id=digits", "--socket-dir=.", "--grid=lr=0.1,0.5", "--trainers=2")
    results = trainwire.results("digits")
    assert [(row.task, row.state, row.params) for row in results] == [
        ("lr=0.1", "succeeded", {"lr": 0.1}),
        ("lr=0.5", "succeeded", {"lr": 0.5}),
    ]
    assert results.best("val/loss").metrics == {"val/loss": 0.05, "accuracy": 0.9}
    assert results.job_id == "digits" and results[0].duration_s is not None
    again = trainwire.results(Path(".trainwire/digits"))
    assert again.to_dicts() == results.to_dicts()
    assert trainwire.results("digits", daemon=".trainwire/digits").to_dicts() == results.to_dicts()

    results.to_csv("python.csv")
    said = [find_program(), "results", "digits", "--csv"]
    printed = subprocess.run(said, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[0] == Path("python.csv").read_text().splitlines()[0], "the same columns"
    assert not (folder / ".trainwire/serve").exists(), "nothing was started for a look"


def test_of_a_job_that_somebody_else_submitted(folder: Path) -> None:
    server = Server(folder / "state/trainwire", "--stop-trainers", "--socket-dir", str(folder))
    try:
        command(folder, "submit", "--job-id=other", "--random=lr=log:1e-4..1e-1", "--samples=3", "--seed=7")
        job = trainwire.job("other")
        job.wait(timeout=60)
        while_it_runs = job.results()
    finally:
        server.close()
    assert trainwire.results("other").to_dicts() == while_it_runs.to_dicts()
    drawn = trainwire.sweep(
        "train.py", random={"lr": ("log", 1e-4, 1e-1)}, samples=3, seed=7, max_epochs=2, job_id="mine"
    )
    assert [(row.task, row.params) for row in drawn] == [(row.task, row.params) for row in while_it_runs]
    assert trainwire.results("mine")[0].metrics == while_it_runs[0].metrics, "of this process's own daemon"


@pytest.mark.usefixtures("folder")
def test_a_job_that_is_not_there() -> None:
    with pytest.raises(trainwire.DaemonError, match="there is no job digits in") as raised:
        trainwire.results("digits")
    assert raised.value.code == "no_such_job"
    with pytest.raises(trainwire.DaemonError, match="nowhere is no state folder") as raised:
        trainwire.results("digits", daemon="nowhere")
    assert raised.value.code == "state_dir"
