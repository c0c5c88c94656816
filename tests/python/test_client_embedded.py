"""Submitting from Python where no daemon runs: one of the process's own, which ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_client import TRAIN, until

import trainwire
from trainwire._client import embedded

HEAD = "import os, signal, sys, time, trainwire\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "train.py").write_text(TRAIN)
    yield tmp_path
    # A process that was killed leaves the folder of its jobs' sockets, empty, to the next one of its place.
    Path(embedded._socket_dir(tmp_path / ".trainwire/serve")).rmdir()


def start(folder: Path, script: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    environment.pop("TRAINWIRE_STATE", None)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", HEAD + script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def ends(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, errors = process.communicate(timeout=100)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{errors}"
    return out, errors


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


SAY_PID = "from trainwire._client import embedded; print(embedded.server().process.pid)\n"
FOR_LONG = "'train.py', params={'lr': 0.1, 'wait': True}, max_epochs=100_000, job_id='long'"
LONG = f"job = trainwire.submit({FOR_LONG})\n"
UNDER_WAY = "next(e for e in job.events() if e['event'] == 'checkpoint'); print('training')\n"


def test_nothing_is_left_when_the_process_ends(folder: Path) -> None:
    out, errors = ends(
        start(
            folder,
            "r = trainwire.sweep('train.py', grid={'lr': [0.1, 0.2]}, max_epochs=2, trainers=2)\n"
            "assert len(r) == 2 and r.best('val/loss').task == 'lr=0.1', r\n" + SAY_PID,
        )
    )
    assert has_ended(int(out)) and errors == ""
    assert not (folder / ".trainwire/serve/control.sock").exists()


def test_a_job_nobody_waited_for_is_stopped_and_goes_on_later(folder: Path) -> None:
    out, errors = ends(start(folder, LONG + UNDER_WAY + SAY_PID))
    assert "stopping long: running tasks save a checkpoint" in errors
    until(lambda: has_ended(int(out.split()[-1])), "the daemon ends")
    out, errors = ends(
        start(
            folder,
            "job = trainwire.job('long'); print(job.results()[0].state)\n"
            "assert job.retry() == 1\n"
            "event = next(e for e in job.events() if e['event'] == 'checkpoint' and e['attempt'] == 2)\n"
            "print('epoch', event['epoch'] > 0); job.stop()\n",
        )
    )
    assert out.split() == ["stopped", "epoch", "True"] and errors == ""


def test_a_killed_process_leaves_nothing_running(folder: Path) -> None:
    process = start(folder, SAY_PID + LONG + UNDER_WAY + "time.sleep(1000)\n")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert process.stdout.readline() == "training\n"
    trainers = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    process.kill()
    process.communicate()
    until(lambda: has_ended(pid) and all(map(has_ended, trainers)), "the daemon and its trainers end")
    out, _ = ends(start(folder, "print(trainwire.results('long')[0].state)"))
    assert out == "stopped\n"


def test_ctrl_c_waits_for_checkpoints(folder: Path) -> None:
    script = (
        "import threading\n"
        "def interrupt():\n"
        "    job = None\n"
        "    while job is None:\n"
        "        try: job = trainwire.job('long')\n"
        "        except trainwire.TrainwireError: time.sleep(0.01)\n"
        "    next(e for e in job.events() if e['event'] == 'checkpoint')\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "trainwire.submit('train.py', params={'lr': 0.1}, max_epochs=1).wait()\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n"
        f"    trainwire.run({FOR_LONG})\n"
        "except KeyboardInterrupt as interrupt:\n"
        "    print(interrupt.__notes__)\n"
        "[row] = trainwire.results('long')\n"
        "print(row.state, row.checkpoint is not None)\n"
    )
    out, _ = ends(start(folder, script))
    assert "trainwire.results('long')" in out and out.endswith("stopped True\n")


def test_the_same_job_id_in_two_folders(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other/train.py").write_text(TRAIN)
    first = start(folder, LONG + UNDER_WAY + "sys.stdin = open('go'); print(job.results()[0].state)\n")
    os.mkfifo(folder / "go")
    assert first.stdout is not None and first.stdout.readline() == "training\n"
    out, _ = ends(start(folder / "other", LONG + UNDER_WAY + "job.stop(); print(job.results()[0].state)\n"))
    assert out == "training\nstopped\n"
    (folder / "go").write_text("")
    out, _ = ends(first)
    assert out == "running\n"


def test_a_second_process_has_a_folder_of_its_own(folder: Path) -> None:
    first = start(folder, SAY_PID + "sys.stdin = open('go')\n")
    os.mkfifo(folder / "go")
    assert first.stdout is not None and first.stdout.readline()
    ends(start(folder, "print(trainwire.run('train.py', params={'lr': 0.1}, max_epochs=1))"))
    assert (folder / ".trainwire/serve-2/journal.sqlite").exists()
    (folder / "go").write_text("")
    ends(first)


def test_a_forked_child_keeps_nothing_alive(folder: Path) -> None:
    script = (
        SAY_PID + "child = os.fork()\n"
        "if child == 0:\n    os.close(1); os.close(2); time.sleep(1000)\n"
        "print(child); sys.stdout.flush(); os._exit(0)\n"
    )
    out, _ = ends(start(folder, script))
    server, child = map(int, out.split())
    try:
        until(lambda: has_ended(server), "the daemon ends though a child of its owner lives")
        assert not has_ended(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(embedded.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(trainwire.NoDaemonError, match="no program `trainwire`") as raised:
        embedded.find_program()
    assert raised.value.code == "no_program"


def test_a_folder_too_deep_for_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    (deep / "train.py").write_text(TRAIN)
    monkeypatch.chdir(deep)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    script = "print(trainwire.run('train.py', params={'lr': 0.1}, max_epochs=1)[0].state)"
    done = subprocess.run(
        [sys.executable, "-c", HEAD + script], capture_output=True, text=True, check=False, cwd=deep
    )
    assert done.stdout == "succeeded\n", done.stderr
    assert not (deep / ".trainwire").exists()
