"""Descriptors that are not what they should be: each has its code, none is kept, none is believed."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wire
from conftest import Start, Trainer
from hostile import ALL_SEALS, Handles, ends, impostors, memfd
from orchestrator import Orchestrator, Peer, deliver_frame, metrics, text
from test_endings import outcome

COUNTED_LOOP = """
    def descriptors():
        return set(os.listdir("/proc/self/fd"))

    tasks = trainwire.tasks()
    before = descriptors()
    print("ready", flush=True)
    ended = "over"
    try:
        for task in tasks:
            with task:
                task.finish(size=len(task.hyperparams))
    except trainwire.ProtocolError as error:
        ended = error.code
    # All that came has gone, and perhaps the socket.
    print(ended, len(descriptors() - before), flush=True)
"""


def ready(trainer: Trainer) -> None:
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "ready\n"


def send(peer: Peer, data: bytes, descriptors: list[int]) -> None:
    sent = socket.send_fds(peer.socket, [data], descriptors)
    assert sent == len(data)


def flagged(delivery: int, size: int) -> bytes:
    fields = {"delivery": delivery, "attempt": 1, "taskSize": size, "place": wire.messages().Place.Descriptor}
    return wire.message(wire.DELIVER, flags=wire.WITH_DESCRIPTOR, **fields)


def test_every_impostor_is_returned_with_its_code(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    trainer = start(COUNTED_LOOP)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    task = wire.task(hyperparams=bytes(10_000))
    wanted = {}
    for delivery, (name, (code, make, size)) in enumerate(impostors(task, tmp_path).items(), start=1):
        descriptor = make()
        send(peer, flagged(delivery, size), [descriptor])
        os.close(descriptor)
        wanted[delivery] = (name, "Returned", code)
    missing, honest = len(wanted) + 1, len(wanted) + 2
    found = {}
    for delivery, (name, _, _) in wanted.items():
        result = peer.acked_result(delivery)
        found[delivery] = (name, outcome(result), text(result.code))
    assert found == wanted
    # The connection is as good as before.
    peer.socket.sendall(flagged(missing, len(task)))
    assert text(peer.acked_result(missing).code) == "descriptor_missing"
    peer.deliver_descriptor(honest, [memfd(task)], len(task))
    assert metrics(peer.acked_result(honest)) == {"size": 10_000}
    peer.bye()
    assert trainer.ends() == "over 0\n"


def unflagged() -> dict[str, Callable[[], bytes]]:
    ack = [wire.make("AckEntry", delivery=9, seq=1)]
    return {
        "Deliver": lambda: deliver_frame(1),
        "Ack": lambda: wire.message(wire.ACK, entries=ack),
        "Stop": lambda: wire.message(wire.STOP, delivery=9, reason="cancelled", timeLeftMs=1),
        "Bye": lambda: wire.message(wire.BYE, code="job_done"),
    }


@pytest.mark.parametrize("kind", unflagged())
@pytest.mark.parametrize("count", [1, 2, 253])
def test_a_descriptor_with_a_frame_that_has_none(
    orchestrator: Orchestrator, start: Start, kind: str, count: int
) -> None:
    trainer = start(COUNTED_LOOP)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    send(peer, unflagged()[kind](), [memfd(b"x")] * count)
    assert trainer.ends() == "descriptor_surplus 0\n"
    assert parting(peer) == "descriptor_surplus"


def test_a_descriptor_with_the_welcome(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        try:
            for task in trainwire.tasks():
                pass
        except trainwire.ProtocolError as error:
            held = [name for name in os.listdir("/proc/self/fd") if int(name) > 2]
            links = [os.path.realpath(f"/proc/self/fd/{name}") for name in held]
            print(error.code, any("hostile" in link for link in links))
    """)
    peer = orchestrator.accept()
    peer.expect(wire.HELLO)
    terms = {"protocol": 1, "heartbeatMs": 1000, "recvTimeoutMs": 5000, "orphanTimeoutMs": 1}
    send(peer, wire.message(wire.WELCOME, **terms), [memfd(b"x")])
    assert trainer.ends() == "descriptor_surplus False\n"


def parting(peer: Peer) -> str:
    """The code of the trainer's last word."""
    kind, message = peer.closed()[-1]
    assert kind == wire.BYE
    return text(message.code)


@pytest.mark.parametrize(
    ("frames", "descriptors"),
    [(1, 2), (1, 3), (1, 253), (2, 2), (2, 3)],
)
def test_more_than_one_descriptor_a_call(
    orchestrator: Orchestrator, start: Start, frames: int, descriptors: int
) -> None:
    trainer = start(COUNTED_LOOP)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    task = wire.task()
    data = b"".join(flagged(delivery, len(task)) for delivery in range(1, frames + 1))
    send(peer, data, [memfd(task)] * descriptors)
    assert trainer.ends() == "descriptor_surplus 0\n"
    assert parting(peer) == "descriptor_surplus"


def test_a_frame_that_trickles_in_brings_no_crowd(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(COUNTED_LOOP)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    descriptor = memfd(b"x")
    frame = deliver_frame(1, wire.task(hyperparams=bytes(60_000)))

    def trickle() -> None:
        for byte in frame:
            send(peer, bytes([byte]), [descriptor])

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        trickle()
    assert trainer.ends() == "descriptor_surplus 0\n"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wire.frame(wire.ACK, b"\0" * 8, flags=wire.WITH_DESCRIPTOR), "bad_flags"),
        (wire.message(wire.DELIVER, flags=wire.WITH_DESCRIPTOR, delivery=1, attempt=1), "bad_flags"),
        (struct.pack("<IBBH", 0xFFFF_FFFC, wire.DELIVER, 1, 0), "bad_length"),
        (wire.frame(wire.DELIVER, b"\xff" * 64, flags=wire.WITH_DESCRIPTOR), "bad_meta"),
    ],
    ids=["no task", "an inline task", "no length", "no meta"],
)
def test_a_descriptor_of_a_frame_that_is_none(
    orchestrator: Orchestrator, start: Start, data: bytes, code: str
) -> None:
    trainer = start(COUNTED_LOOP)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    send(peer, data, [memfd(b"x")])
    assert trainer.ends() == f"{code} 0\n"
    assert parting(peer) == code


def test_descriptors_of_deliveries_that_come_to_nothing(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        tasks = trainwire.tasks()
        before = set(os.listdir("/proc/self/fd"))
        print("ready", flush=True)
        for task in tasks:
            with task:
                while not task.should_stop:
                    time.sleep(0.01)
                print(len(set(os.listdir("/proc/self/fd")) - before), flush=True)
    """)
    peer = orchestrator.accept().welcome()
    ready(trainer)
    task = wire.task()
    peer.deliver_descriptor(1, [memfd(task)], len(task))
    assert peer.expect(wire.STARTED).delivery == 1
    for _ in range(20):  # in hand already
        peer.deliver_descriptor(1, [memfd(task)], len(task))
    for delivery in range(2, 20):
        peer.deliver_descriptor(delivery, [memfd(task)], len(task))
        peer.stop(delivery)
        assert text(peer.acked_result(delivery).code) == "stopped_before_start"
    peer.stop(1)
    assert outcome(peer.acked_result(1)) == "Stopped"
    peer.bye()
    assert trainer.ends() == "0\n"


FULL = """
    import resource
    tasks = trainwire.tasks()
    full = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            full.append(os.open("/", os.O_RDONLY))
    except OSError:
        pass
    for _ in range({room}):
        os.close(full.pop())
    print("full", flush=True)
    try:
        for task in tasks:
            with task:
                pass
    except trainwire.ProtocolError as error:
        print(error.code, flush=True)
"""


@pytest.mark.parametrize(
    ("room", "sent", "ended"),
    [(0, 2, ""), (1, 2, "descriptor_surplus"), (2, 2, "descriptor_surplus"), (0, 253, "")],
)
def test_control_messages_cut_short_at_the_limit_of_open_files(
    orchestrator: Orchestrator, start: Start, room: int, sent: int, ended: str
) -> None:
    trainer = start(FULL.format(room=room))
    peer = orchestrator.accept().welcome()
    assert trainer.stdout is not None and trainer.stdout.readline() == "full\n"
    task = wire.task()
    send(peer, flagged(1, len(task)), [memfd(task)] * sent)
    if not ended:
        # Nobody can say how many there were.
        assert text(peer.acked_result(1).code) == "descriptor_missing"
        peer.bye()
    assert trainer.ends().strip() == ended


def test_no_room_to_map_a_task(orchestrator: Orchestrator, start: Start) -> None:
    script = """
        import resource
        for task in trainwire.tasks():
            with task:
                if task.hyperparams == b"limit":
                    here = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
                    limit = here + (32 << 20)
                    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    """
    # A thread's first allocation would take 128 MiB of addresses and give half of them back, perhaps just
    # when the limit is set.
    trainer = start(script, MALLOC_ARENA_MAX="1")
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(hyperparams=b"limit"))
    assert outcome(peer.acked_result(1)) == "Succeeded"
    task = wire.task(hyperparams=bytes(64 << 20))
    peer.deliver_descriptor(2, [memfd(task)], len(task))
    result = peer.acked_result(2)
    assert (outcome(result), text(result.code)) == ("Returned", "payload_out_of_memory")
    peer.deliver(3)
    result = peer.acked_result(3)
    assert outcome(result) == "Succeeded", vars(result.error)
    peer.bye()
    trainer.ends()


def names() -> list[str]:
    handles = Handles(memfd(bytes(4096), 0))
    found = list(handles.attempts())
    handles.close()
    return found


HARMLESS = {"write to a private mapping", "write behind its pages in a pipe"}


@pytest.mark.parametrize("name", names())
def test_what_is_tried_below_would_change_memory_without_seals(name: str) -> None:
    data = bytes(range(256)) * 64
    handles = Handles(memfd(data, 0))
    if name in HARMLESS:
        with pytest.raises(PermissionError):
            handles.attempts()[name]()
    else:
        handles.attempts()[name]()
        changed = os.pread(handles.descriptor, 2 * len(data), 0)
        assert changed != data
    handles.close()


KEEPER = """
    import ctypes, hashlib, mmap
    import numpy as np
    libc = ctypes.CDLL(None)
    for task in trainwire.tasks():
        with task:
            view = np.frombuffer(task.hyperparams, dtype=np.uint8)
            print(os.getpid(), view.ctypes.data, flush=True)
            try:
                view.setflags(write=True)
                print("writable")
            except ValueError:
                pass
            first = hashlib.sha256(view).hexdigest()
            page = view.ctypes.data & ~4095
            both = mmap.PROT_READ | mmap.PROT_WRITE
            if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), both) == 0:
                print("writable")
            while not task.should_stop:
                digest = hashlib.sha256(view).hexdigest()
                if digest != first:
                    print("changed")
                time.sleep(0.001)
            print(first)
"""


def test_nothing_its_owner_tries_changes_a_byte(orchestrator: Orchestrator, start: Start) -> None:
    hyperparams = b"\x80" + os.urandom(1 << 20)
    task = wire.task(hyperparams=hyperparams)
    trainer = start(KEEPER)
    peer = orchestrator.accept().welcome()
    descriptor = memfd(task, 0)
    handles = Handles(descriptor)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, ALL_SEALS)
    peer.deliver_descriptor(1, [descriptor], len(task))
    peer.expect(wire.STARTED)
    assert trainer.stdout is not None
    pid, address = map(int, trainer.stdout.readline().split())

    for name, attempt in handles.attempts().items():
        with pytest.raises(OSError, match=r"Errno|^$"):
            attempt()
        assert os.fstat(descriptor).st_size == len(task), name
    # The trainer's own mapping, from outside.
    with pytest.raises(OSError, match="Errno"):
        overwrite(Path(f"/proc/{pid}/mem"), address)
    for mapping in Path(f"/proc/{pid}/map_files").glob("*"):
        if "hostile" in str(mapping.readlink()):
            with pytest.raises(OSError, match="Errno"):
                overwrite(mapping, 0)
    peer.stop(1)
    peer.acked_result(1)
    peer.bye()
    assert trainer.ends().split() == [hashlib.sha256(hyperparams).hexdigest()]
    handles.close()


def overwrite(path: Path, at: int) -> None:
    with path.open("r+b", buffering=0) as memory:
        memory.seek(at)
        memory.write(b"\xee" * 100)


@pytest.mark.parametrize("how", ["a writable mapping", "a page in a pipe"])
def test_what_could_still_be_written_cannot_be_sealed(how: str) -> None:
    descriptor = memfd(bytes(8192), 0)
    with ends() as (_, write):
        if how == "a writable mapping":
            kept: Any = mmap.mmap(descriptor, 8192)
        else:
            kept = os.splice(descriptor, write, 4096, offset_src=0)
        with pytest.raises(OSError, match="busy"):
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, ALL_SEALS)
        assert kept
    os.close(descriptor)
