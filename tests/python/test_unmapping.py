"""A large task is unmapped where nobody waits for it, and always is."""

from __future__ import annotations

import os
from pathlib import Path

import wire
from conftest import Start
from hostile import memfd
from orchestrator import Orchestrator, metrics
from traced import strace

SIZE = 32 << 20

LOOKS_AT_ITS_MAPS = """
    def mapped():
        return "memfd:hostile" in open("/proc/self/maps").read()
"""


def test_another_thread_unmaps_a_task_when_the_next_is_there(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    script = (
        LOOKS_AT_ITS_MAPS
        + """
    for task in trainwire.tasks():
        with task:
            task.finish(last=task.hyperparams[-1])
    del task
    while mapped():
        pass
    print("gone")
    """
    )
    trainer = start(script, through=strace(log))
    peer = orchestrator.accept().welcome()
    for delivery in range(1, 4):
        data = wire.task(hyperparams=bytes(SIZE - 1) + bytes([delivery]))
        descriptor = memfd(data)
        peer.deliver_descriptor(delivery, [descriptor], len(data))
        os.close(descriptor)
        assert metrics(peer.acked_result(delivery)) == {"last": delivery}
    peer.bye()
    assert trainer.ends() == "gone\n"
    # The main thread's: mmap(0x7f…, 33554…, PROT_READ, MAP_SHARED|MAP_FIXED, 5, 0) = …
    lengths = {
        call: [
            int(line.split(", ")[1].split(")")[0])
            for line in log.read_text().splitlines()
            if line.startswith(f"{call}(")
        ]
        for call in ("mmap", "munmap")
    }
    assert sum(length > SIZE for length in lengths["mmap"]) >= 3
    assert max(lengths["munmap"], default=0) < SIZE


def test_where_no_thread_can_be_had_a_task_is_unmapped_at_once(
    orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start(
        LOOKS_AT_ITS_MAPS
        + """
    import resource
    for task in trainwire.tasks():
        with task:
            task.finish()
    assert mapped()
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (0, unlimited[1]))  # no stack for a thread
    del task
    resource.setrlimit(resource.RLIMIT_AS, unlimited)
    print(mapped())
    """
    )
    give_one_large_task(orchestrator)
    assert trainer.ends() == "False\n"


def test_a_forked_child_unmaps_its_own(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        LOOKS_AT_ITS_MAPS
        + """
    for task in trainwire.tasks():
        with task:
            task.finish()
    if (child := os.fork()) == 0:
        del task
        while mapped():
            pass
        os._exit(7)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(ended, task.hyperparams[-1])
    """
    )
    give_one_large_task(orchestrator)
    assert trainer.ends() == "7 7\n"


def give_one_large_task(orchestrator: Orchestrator) -> None:
    peer = orchestrator.accept().welcome()
    data = wire.task(hyperparams=bytes(SIZE - 1) + b"\7")
    peer.deliver_descriptor(1, [memfd(data)], len(data))
    peer.acked_result(1)
    peer.bye()
