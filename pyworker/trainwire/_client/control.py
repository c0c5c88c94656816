"""The daemon's control socket: HTTP and JSON, described in docs/openapi.json."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from trainwire.errors import ConflictError, DaemonError, NoDaemonError

__all__ = ["Control", "default_state_dir", "encoded"]


class Control:
    """A daemon as this process sees it. Each request is a connection of its own, so that a daemon that was
    started again meanwhile is found again.

    Requests are HTTP/1.0: an answer ends where its connection does, which is all there is to parse.
    """

    def __init__(self, state_dir: Path, *, restarts: bool = True) -> None:
        self.state_dir = state_dir
        self.path = state_dir / "control.sock"
        self.restarts = restarts

    def listens(self) -> bool:
        """Whether somebody answers there."""
        try:
            self._connect().close()
        except OSError:
            return False
        return True

    def get(self, path: str, **query: Any) -> Any:
        """Raises `DaemonError` with the daemon's own code and text, `NoDaemonError` where none answers."""
        return self._ask("GET", _target(path, query), None)

    def post(self, path: str, body: Any) -> Any:
        """As `get`."""
        return self._ask("POST", path, body)

    def get_patiently(self, path: str, **query: Any) -> Any:
        """As `get`; looks for a minute for a daemon that is being started again."""
        tries_left = RESTART_TRIES if self.restarts else 0
        while True:
            try:
                return self.get(path, **query)
            except DaemonError as error:
                if tries_left == 0 or not (isinstance(error, NoDaemonError) or error.code == "draining"):
                    raise
            tries_left -= 1
            time.sleep(RESTART_INTERVAL_S)

    def lines(self, path: str, **query: Any) -> Iterator[bytes]:
        """The lines of an answer as they come. Closing the iterator closes the connection."""
        with self._send("GET", _target(path, query), None) as connection, connection.makefile("rb") as answer:
            status = _read_head(answer.readline)[0]
            if status != 200:
                raise _refusal(answer.read())
            yield from answer

    async def alines(self, path: str, **query: Any) -> AsyncIterator[bytes]:
        """As `lines`, without a thread."""
        import asyncio

        try:
            reader, writer = await asyncio.open_unix_connection(str(self.path), limit=LINE_SIZE_BYTES_MAX)
        except OSError as error:
            raise self._not_reached(error) from None
        try:
            writer.write(_request("GET", _target(path, query), None))
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            status = _read_head(iter(head.splitlines(keepends=True)).__next__)[0]
            if status != 200:
                raise _refusal(await reader.read())
            while line := await reader.readline():
                yield line
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise self._broken(error) from error
        finally:
            writer.close()

    def _ask(self, method: str, target: str, body: Any) -> Any:
        try:
            with (
                self._send(method, target, body) as connection,
                connection.makefile("rb") as answer,
            ):
                status, size_bytes = _read_head(answer.readline)
                content = answer.read()
        except ConnectionError as error:
            raise self._broken(error) from error
        if size_bytes is not None and len(content) != size_bytes:
            raise self._broken(EOFError(f"{len(content)} of {size_bytes} bytes came"))
        if not 200 <= status < 300:
            raise _refusal(content)
        return json.loads(content)

    def _send(self, method: str, target: str, body: Any) -> socket.socket:
        try:
            connection = self._connect()
        except OSError as error:
            raise self._not_reached(error) from None
        try:
            connection.sendall(_request(method, target, body))
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _not_reached(self, error: OSError) -> NoDaemonError:
        if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            text = (
                f"no daemon listens on {self.path}; start one with `trainwire serve`, or name another folder"
            )
        else:
            text = f"the daemon on {self.path} cannot be reached: {error}"
        return NoDaemonError(text)

    def _broken(self, error: BaseException) -> NoDaemonError:
        return NoDaemonError(
            f"the daemon on {self.path} did not answer ({error}); whether it has done what was asked is "
            "unknown: ask again, which is harmless where the job's id is the same",
            code="no_answer",
        )


def default_state_dir() -> Path:
    """Where `trainwire serve` has its folder unless it is told otherwise."""
    if said := os.environ.get("TRAINWIRE_STATE"):
        return Path(said).absolute()
    base = os.environ.get("XDG_STATE_HOME", "")
    # The base directory specification wants relative ones ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "trainwire"


def encoded(part: str) -> str:
    """A part of a path, whatever it holds."""
    return quote(part, safe="")


def _target(path: str, query: dict[str, Any]) -> str:
    said = {name: str(value).lower() if value is True else value for name, value in query.items() if value}
    return f"{path}?{urlencode(said)}" if said else path


def _request(method: str, target: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body, allow_nan=False).encode()
    head = f"{method} {target} HTTP/1.0\r\nhost: trainwire\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def _read_head(line: Any) -> tuple[int, int | None]:
    """The status and, where it is said, the size of what follows."""
    first: bytes = line()
    parts = first.split()
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        raise ConnectionResetError("the connection ended before an answer came" if not first else "no HTTP")
    size_bytes = None
    while (header := line().strip().lower()) != b"":
        name, _, value = header.partition(b":")
        if name == b"content-length":
            size_bytes = int(value)
    return int(parts[1]), size_bytes


def _refusal(content: bytes) -> DaemonError:
    try:
        said = json.loads(content)
        code, text = str(said["code"]), str(said["text"])
    except (ValueError, KeyError, TypeError):
        text = content[:200].decode(errors="replace")
        return DaemonError(f"the daemon refused without words: {text}", code="daemon_refused")
    kind = ConflictError if code in ("job_conflict", "task_conflict") else DaemonError
    return kind(text, code=code)


# An event with the tracebacks and the last output of an attempt; the daemon's own limits are far below.
LINE_SIZE_BYTES_MAX = 64 << 20

# A minute.
RESTART_TRIES = 120
RESTART_INTERVAL_S = 0.5
