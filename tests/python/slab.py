"""An orchestrator's slab, in Python: a memory file that is filled again and again."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
from typing import Any

import wire
from orchestrator import Orchestrator, Peer

SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 16
SEALS = SEAL | SHRINK | GROW | FUTURE_WRITE

MIB = 1 << 20

# Python 3.11 has no name for it.
F_ADD_SEALS = 1033


class Slab:
    def __init__(self, size: int, seals: int = SEALS, number: int = 1) -> None:
        self.number = number
        self.size = size
        self.descriptor = os.memfd_create("slab-of-a-test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(self.descriptor, 0, size)
        self.memory = mmap.mmap(self.descriptor, size)
        fcntl.fcntl(self.descriptor, F_ADD_SEALS, seals)

    def share(self, peer: Peer, **fields: Any) -> None:
        share(peer, [self.descriptor], **{"slab": self.number, "size": self.size} | fields)

    def deliver(self, peer: Peer, delivery: int, task: bytes, offset: int = 0, **fields: Any) -> None:
        self.memory[offset : offset + len(task)] = task
        deliver(peer, delivery, len(task), offset, self.number, **fields)


def share(peer: Peer, descriptors: list[int], **fields: Any) -> None:
    data = wire.message(wire.SLAB, flags=wire.WITH_DESCRIPTOR, **fields)
    assert socket.send_fds(peer.socket, [data], descriptors) == len(data)


def deliver(peer: Peer, delivery: int, size: int, offset: int, slab: int = 1, **fields: Any) -> None:
    place = wire.messages().Place.Slab
    places = {"place": place, "taskSize": size, "slab": slab, "offset": offset}
    peer.send(wire.DELIVER, **{"delivery": delivery, "attempt": 1} | places | fields)


def deliveries(numbers: Any) -> list[int]:
    """The object API gives None for an absent vector, and an array for one of numbers."""
    return [] if numbers is None else [int(number) for number in numbers]


def large_task(fill: int = 7, size: int = 200_000) -> bytes:
    """Its one parameter is a byte string that is read in place."""
    weights = b"\x81\xa7weights\xc6" + size.to_bytes(4, "big") + bytes([fill]) * size
    return wire.task(hyperparams=weights)


def welcomed(orchestrator: Orchestrator) -> Peer:
    """The IO thread ticks with its heartbeats."""
    return orchestrator.accept().welcome(heartbeatMs=50)


def released(peer: Peer) -> list[int]:
    return deliveries(peer.until(wire.RELEASE).deliveries)
