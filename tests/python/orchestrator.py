"""An orchestrator for one trainer, as slow, silent or broken as a test wants it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wire

TOKEN = "00112233445566778899aabbccddeeff"


class Peer:
    """One connection of a trainer."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.received = b""
        self.heartbeats: list[Any] = []
        self.takes_one_task = False
        self.hello: Any = None

    def send(self, kind: int, **fields: Any) -> None:
        self.socket.sendall(wire.message(kind, **fields))

    def welcome(self, **fields: Any) -> Peer:
        self.hello = self.expect(wire.HELLO)
        defaults = {"protocol": 1, "heartbeatMs": 1000, "recvTimeoutMs": 5000, "orphanTimeoutMs": 600_000}
        self.send(wire.WELCOME, **defaults | fields)
        return self

    def deliver(self, delivery: int, task: bytes | None = None, **fields: Any) -> None:
        self.socket.sendall(deliver_frame(delivery, task, **fields))

    def deliver_descriptor(self, delivery: int, descriptors: list[int], size: int) -> None:
        place = wire.messages().Place.Descriptor
        fields = {"delivery": delivery, "attempt": 1, "taskSize": size, "place": place}
        data = wire.message(wire.DELIVER, flags=wire.WITH_DESCRIPTOR, **fields)
        sent = socket.send_fds(self.socket, [data], descriptors)
        assert sent == len(data)

    def ack(self, *results: Any) -> None:
        entries = [wire.make("AckEntry", delivery=one.delivery, seq=one.seq) for one in results]
        self.send(wire.ACK, entries=entries)

    def stop(self, delivery: int, reason: str = "cancelled", **fields: Any) -> None:
        self.send(wire.STOP, delivery=delivery, reason=reason, **{"timeLeftMs": 30_000} | fields)

    def bye(self, code: str = "job_done") -> None:
        self.send(wire.BYE, code=code)

    def next(self, until: float | None = None) -> tuple[int, Any]:
        """The next message. Heartbeats are kept aside, and the Bye of a trainer that takes one task."""
        until = until or time.monotonic() + 20
        while True:
            while (taken := wire.take_frame(self.received)) is None:
                self.socket.settimeout(max(until - time.monotonic(), 1e-3))
                data = self.socket.recv(1 << 16)
                if not data:
                    raise EOFError
                self.received += data
            kind, message, size = taken
            self.received = self.received[size:]
            if kind == wire.HEARTBEAT:
                self.heartbeats.append(message)
            elif kind == wire.BYE and text(message.code) == "one_task":
                self.takes_one_task = True
            else:
                return kind, message

    def expect(self, kind: int) -> Any:
        got, message = self.next()
        assert got == kind, f"expected {wire.TABLES[kind]}, got {wire.TABLES[got]}: {vars(message)}"
        return message

    def result(self, delivery: int = 1) -> Any:
        """The result of a delivery; what comes before it is passed over."""
        while True:
            kind, message = self.next()
            if kind == wire.RESULT and message.delivery == delivery:
                return message

    def acked_result(self, delivery: int = 1) -> Any:
        result = self.result(delivery)
        self.ack(result)
        return result

    def until(self, kind: int, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        while True:
            got, message = self.next()
            if got == kind and wanted(message):
                return message

    def closed(self) -> list[tuple[int, Any]]:
        """All that comes until the trainer closes."""
        rest = []
        try:
            while True:
                rest.append(self.next())
        except (EOFError, ConnectionResetError):
            return rest

    def close(self) -> None:
        self.socket.close()


class Orchestrator:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "ai-task-sock-job-1"
        self.peers: list[Peer] = []
        self.listen()

    def listen(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(20)

    def accept(self) -> Peer:
        self.peers.append(Peer(self.listener.accept()[0]))
        return self.peers[-1]

    def close(self) -> None:
        """As if killed, but for the name, which goes too."""
        for peer in self.peers:
            peer.close()
        self.listener.close()
        self.path.unlink(missing_ok=True)


def deliver_frame(delivery: int, task: bytes | None = None, **fields: Any) -> bytes:
    task = wire.task() if task is None else task
    defaults = {"delivery": delivery, "attempt": 1, "taskSize": len(task)}
    return wire.message(wire.DELIVER, task, **defaults | fields)


def text(value: Any) -> str:
    """Strings of the object API are bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def metrics(message: Any) -> dict[str, Any]:
    return {
        text(one.name): one.value if one.text is None else text(one.text) for one in message.metrics or []
    }
