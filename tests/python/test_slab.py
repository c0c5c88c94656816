"""Tasks in memory that is filled again: read in place, and given back when nobody looks any more."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import slab
import wire
from conftest import Start, Trainer
from orchestrator import Orchestrator, Peer
from slab import MIB, Slab, deliveries, large_task, released, welcomed
from test_endings import outcome


def test_a_task_is_read_where_it_is(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import copy, hashlib, pickle
        import numpy as np
        for task in trainwire.tasks():
            with task:
                weights = task.params["weights"]
                array = np.frombuffer(weights, dtype=np.uint8)
                address = array.__array_interface__["data"][0]
                for line in open("/proc/self/maps"):
                    start, end = (int(part, 16) for part in line.split()[0].split("-"))
                    if start <= address < end:
                        print(line.split()[1], "slab-of-a-test" in line)
                print(type(weights).__name__, len(weights), array.sum(), array.flags.writeable)
                print(task.task_id, task.model_name, task.max_epochs, len(task.hyperparams))
                for copied in (pickle.loads(pickle.dumps(weights)), copy.deepcopy(weights)):
                    print(type(copied).__name__, copied == weights, hash(copied) == hash(weights))
                print(weights[3], bytes(weights[:2]), weights == weights[:], repr(weights))
                del weights, array
            del task
    """)
    peer = welcomed(orchestrator)
    memory = Slab(MIB)
    memory.share(peer)
    memory.deliver(peer, 1, large_task(), offset=4096)
    assert outcome(peer.acked_result()) == "Succeeded"
    assert released(peer) == [1]
    peer.bye()
    assert trainer.ends().splitlines() == [
        "r--s True",
        "Buffer 200000 1400000 False",
        "t1 sgd 10 200014",
        "bytes True True",
        "bytes True True",
        "7 b'\\x07\\x07' True <trainwire.Buffer of 200000 bytes>",
    ]


def test_many_releases_share_a_frame(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        kept = []
        for task in trainwire.tasks():
            with task:
                if task.hyperparams:
                    kept.append(memoryview(task.hyperparams))
                else:
                    kept.clear()
    """)
    peer = welcomed(orchestrator)
    memory = Slab(8 * MIB)
    memory.share(peer)
    for delivery in range(1, 21):
        memory.deliver(peer, delivery, large_task(), offset=4096 * 64 * (delivery - 1))
        peer.acked_result(delivery)
    peer.deliver(21, wire.task(hyperparams=b""))
    assert released(peer) == list(range(1, 21))
    peer.acked_result(21)
    peer.bye()
    trainer.ends()


def test_what_is_not_in_the_slab_goes_back(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = welcomed(orchestrator)
    task = large_task()
    slab.deliver(peer, 1, len(task), 0)
    expect_return(peer, 1, b"bad_range")
    memory = Slab(MIB)
    memory.share(peer)
    bad = [
        (4, 100),
        (MIB, 8),
        (MIB - 8, 16),
        (2**64 - 8, 16),
        (0, MIB + 1),
        (8, 2**64 - 1),
        (2**64 - 8, 2**64 - 8),
    ]
    for delivery, (offset, size) in enumerate(bad, start=2):
        slab.deliver(peer, delivery, size, offset)
        expect_return(peer, delivery, b"bad_range")
    slab.deliver(peer, 20, len(task), 0, slab=2)
    expect_return(peer, 20, b"bad_range")
    slab.deliver(peer, 21, 0, MIB)
    expect_return(peer, 21, b"bad_task")
    memory.deliver(peer, 22, task, offset=MIB - len(task) // 8 * 8 - 8)
    assert outcome(peer.acked_result(22)) == "Succeeded"
    # The last one counts.
    other = Slab(2 * MIB, number=2)
    other.share(peer)
    slab.deliver(peer, 23, len(task), 0, slab=1)
    expect_return(peer, 23, b"bad_range")
    other.deliver(peer, 24, task, offset=MIB)
    assert outcome(peer.acked_result(24)) == "Succeeded"
    peer.bye()
    trainer.ends()


def pipe() -> int:
    return os.pipe()[0]


def unsealed(without: int) -> Callable[[], int]:
    return lambda: Slab(MIB, seals=slab.SEALS & ~without).descriptor


BAD_SLABS: dict[str, tuple[Callable[[], int], bytes]] = {
    "shrinkable": (unsealed(slab.SHRINK), b"not_sealed"),
    "growable": (unsealed(slab.GROW), b"not_sealed"),
    "writable": (unsealed(slab.FUTURE_WRITE), b"not_sealed"),
    "sealable": (unsealed(slab.SEAL), b"not_sealed"),
    "smaller than announced": (lambda: Slab(MIB - 4096).descriptor, b"size_mismatch"),
    "larger than announced": (lambda: Slab(MIB + 1).descriptor, b"size_mismatch"),
    "a pipe": (pipe, b"payload_not_memory"),
    "a file": (lambda: os.open("/dev/null", os.O_RDONLY), b"payload_not_memory"),
}


@pytest.mark.parametrize("bad", BAD_SLABS)
def test_a_slab_that_is_none(orchestrator: Orchestrator, start: Start, bad: str) -> None:
    make, code = BAD_SLABS[bad]
    trainer = start(LOOP)
    peer = welcomed(orchestrator)
    slab.share(peer, [make()], slab=1, size=MIB)
    slab.deliver(peer, 1, 1000, 0)
    expect_return(peer, 1, code)
    works_on(peer, trainer)


def test_a_slab_whose_descriptor_is_lost(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import resource
        tasks = trainwire.tasks()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        next_free = os.dup(0); os.close(next_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
        for task in tasks:
            with task:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            del task
    """)
    peer = welcomed(orchestrator)
    memory = Slab(MIB)
    peer.deliver(1)
    # In one piece with its frame, so that the limit is still in force.
    memory.share(peer)
    memory.deliver(peer, 2, large_task())
    results = {}
    while len(results) < 2:
        result = peer.until(wire.RESULT)
        results[result.delivery] = result
        peer.ack(result)
    assert outcome(results[1]) == "Succeeded"
    assert (outcome(results[2]), results[2].code) in (
        ("Returned", b"descriptor_missing"),
        ("Succeeded", None),
    )
    works_on(peer, trainer)


def test_a_delivery_stopped_before_its_start_is_released(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                while not task.should_stop:
                    time.sleep(0.01)
    """)
    peer = welcomed(orchestrator)
    memory = Slab(MIB)
    memory.share(peer)
    peer.deliver(1)
    peer.until(wire.STARTED)
    memory.deliver(peer, 2, large_task())
    peer.stop(2)
    assert released(peer) == [2]
    assert peer.acked_result(2).code == b"stopped_before_start"
    peer.stop(1)
    peer.acked_result(1)
    peer.bye()
    trainer.ends()


LOOP = """
for task in trainwire.tasks():
    with task:
        pass
    del task
"""


def expect_return(peer: Peer, delivery: int, code: bytes) -> None:
    """It comes back, nobody looks at it any more, and the connection goes on."""
    gone: list[int] = []
    result = None
    while result is None or delivery not in gone:
        kind, message = peer.next()
        if kind == wire.RELEASE:
            gone += deliveries(message.deliveries)
        elif kind == wire.RESULT:
            result = message
    assert result.delivery == delivery
    assert (outcome(result), result.code) == ("Returned", code)
    peer.ack(result)


def works_on(peer: Peer, trainer: Trainer) -> None:
    memory = Slab(MIB, number=9)
    memory.share(peer)
    memory.deliver(peer, 99, large_task())
    assert outcome(peer.acked_result(99)) == "Succeeded"
    assert 99 in released(peer)
    peer.bye()
    trainer.ends()
