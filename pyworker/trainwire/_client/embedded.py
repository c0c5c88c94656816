"""A daemon of this process's own, for submitting where none runs: it ends when this process does.

It is `trainwire serve` in a folder of this project, `.trainwire/serve`. Its standard input is a pipe that
only this process holds. When the pipe ends, also because this process was killed, the daemon is told to
end: it asks its trainers to save a checkpoint and stop, and waits for them. So nothing is left running, and
nothing is lost: the folder stays, and a later process in the same place finds the jobs in it by their ids.

`trainwire run` in a child process would do for `run` alone: it takes no further tasks, stops no single one,
and tries none again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

from trainwire._client.control import Control, default_state_dir
from trainwire.errors import NoDaemonError

__all__ = ["Server", "find_program", "server"]

log = logging.getLogger("trainwire")


class Server:
    """A running `trainwire serve`."""

    def __init__(self, state_dir: Path, *arguments: str) -> None:
        """Raises `NoDaemonError` with what it said if it does not start."""
        state_dir.mkdir(parents=True, exist_ok=True)
        # One that died is not started again by anybody.
        self.control = Control(state_dir, restarts=False)
        self.pid = os.getpid()
        said = state_dir / "serve.log"
        with said.open("wb") as errors:
            self.process = subprocess.Popen(
                ["sh", "-c", WATCH, "sh", find_program(), "serve", "--state", state_dir, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # Ctrl-C is for this process, which decides what becomes of the jobs.
                start_new_session=True,
            )
        os.register_at_fork(after_in_child=self._release)
        try:
            pause = 0.002
            while not self._serves():
                if self.process.poll() is not None:
                    raise NoDaemonError(_why(said), code="not_started")
                time.sleep(pause)
                pause = min(pause * 2, 0.05)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends it, and waits until it has ended. A second Ctrl-C meanwhile kills the trainers."""
        if self.pid != os.getpid() or self.process.stdin is None:
            return
        self.process.stdin.close()
        while self.process.poll() is None:
            try:
                self.process.wait()
            except KeyboardInterrupt:
                self.process.terminate()

    def _serves(self) -> bool:
        """Whether it answers, and not another one that has the folder."""
        try:
            return bool(self.control.get("/v1/status")["pid"] == self.process.pid)
        except NoDaemonError:
            return False

    def _release(self) -> None:
        """A forked child must not keep the daemon alive."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()


def server() -> Server:
    """This process's own, started when it is first asked for."""
    global _server
    with _lock:
        if _server is None or _server.pid != os.getpid() or _server.process.poll() is not None:
            _server = _start()
            atexit.register(_close)
        return _server


def find_program() -> str:
    """The `trainwire` that was installed with this package, else the one on PATH."""
    folders = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    for program in (folder / "trainwire" for folder in folders):
        if os.access(program, os.X_OK):
            return str(program)
    if program_on_path := shutil.which("trainwire"):
        return program_on_path
    raise NoDaemonError(
        f"there is no program `trainwire` in {folders[0]}, where it comes with the package, nor on PATH; "
        "install the package again with `pip install --force-reinstall trainwire`",
        code="no_program",
    )


def _start() -> Server:
    """In the first folder that no other process has."""
    for number in range(1, FOLDERS_MAX + 1):
        try:
            folder = _folder(number)
            started = Server(folder, "--stop-trainers", "--socket-dir", _socket_dir(folder))
        except NoDaemonError as error:
            if IN_USE not in str(error) or number == FOLDERS_MAX:
                raise
            continue
        for job in started.control.get("/v1/jobs"):
            log.warning(
                "going on with the job %s, which an earlier process left unfinished; "
                "trainwire.job(%r).stop() ends it",
                job["job"],
                job["job"],
            )
        return started
    raise AssertionError("the loop ends by itself")


def _folder(number: int) -> Path:
    name = "serve" if number == 1 else f"serve-{number}"
    folder = Path.cwd() / ".trainwire" / name
    if len(os.fsencode(folder / "control.sock")) <= SOCKET_PATH_SIZE_BYTES_MAX:
        return folder
    return default_state_dir().with_name(f"trainwire-{_digest(folder)[:12]}")


def _socket_dir(folder: Path) -> str:
    """Its jobs' sockets are in one of their own: the same job id elsewhere is no conflict. A later daemon of
    this folder has the same, where trainers that lost theirs look for it.

    Short, because with the longest job id a socket's name has all the bytes it may have.
    """
    named = Path("/tmp") / f"tw-{_digest(folder)[:8]}"
    named.mkdir(mode=0o700, exist_ok=True)
    if named.is_symlink() or named.stat().st_uid != os.getuid():
        return tempfile.mkdtemp(prefix="tw-", dir="/tmp")
    return str(named)


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()


def _why(said: Path) -> str:
    lines = said.read_text(errors="replace").strip()[-2000:]
    return lines.removeprefix("error: ") or f"`trainwire serve` ended at once and said nothing in {said}"


def _close() -> None:
    if _server is None or _server.pid != os.getpid() or _server.process.poll() is not None:
        return
    try:
        unfinished = _server.control.get("/v1/jobs")
    except Exception:
        unfinished = []
    if unfinished:
        names = ", ".join(job["job"] for job in unfinished)
        log.warning(
            "stopping %s: running tasks save a checkpoint and end; wait() for a job to let it finish", names
        )
    _server.close()
    with contextlib.suppress(OSError):
        Path(_socket_dir(_server.control.state_dir)).rmdir()


_server: Server | None = None
_lock = threading.Lock()

# The watcher is of the daemon's own process group, so the pid cannot be another's while it looks.
WATCH = 'exec 3<&0 </dev/null; { read -r _ <&3; kill -TERM $$; } >/dev/null 2>&1 & exec 3<&-; exec "$@"'

# What `trainwire serve` says of a folder that another one has.
IN_USE = "is in use by process"

# More processes than anyone runs in one folder.
FOLDERS_MAX = 64

# The kernel's, of a socket's name.
SOCKET_PATH_SIZE_BYTES_MAX = 107
