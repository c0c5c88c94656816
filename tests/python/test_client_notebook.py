"""What a notebook shows while a sweep runs, and after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from test_client import TRAIN

import trainwire
from trainwire._client.embedded import Server


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINWIRE_STATE", str(tmp_path / "state"))
    server = Server(tmp_path / "state", "--stop-trainers", "--socket-dir", str(tmp_path))
    yield server
    server.close()


@pytest.mark.usefixtures("daemon")
def test_a_table_is_drawn_again_as_things_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what a kernel has of IPython: a shell with a `kernel`, and displays that can be updated."""
    drawn: list[str] = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    vars(ipython).update(get_ipython=lambda: SimpleNamespace(kernel=object()), display=display)
    handle = SimpleNamespace(update=drawn.append)
    vars(display).update(HTML=str, display=lambda *_, display_id: handle if display_id else None)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)

    trainwire.run("train.py", grid={"lr": [0.1, 5.0]}, max_epochs=2)
    assert "<td>lr=0.1</td><td>succeeded</td>" in drawn[-2] and "failed once: ValueError" in drawn[-2]
    assert "2 tasks, all over" in drawn[-1]
    seen = len(drawn)
    trainwire.run("train.py", params={"lr": 0.1}, max_epochs=1, show=False)
    assert len(drawn) == seen


def test_in_a_real_kernel(daemon: Server, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [
        "import trainwire\ntrainwire.sweep('train.py', grid={'lr': [0.1, 0.2]}, max_epochs=2)",
        "job = trainwire.submit('train.py', params={'lr': 0.1}, max_epochs=2)\n"
        "[event['event'] async for event in job][-1]",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "TRAINWIRE_STATE": str(daemon.control.state_dir)})
    shown, table = notebook.cells[0].outputs
    assert "2 tasks, all over" in shown["data"]["text/html"]
    assert "<td>lr=0.2</td><td>succeeded</td>" in table["data"]["text/html"]
    assert notebook.cells[1].outputs[0]["data"]["text/plain"] == "'job_ended'"
