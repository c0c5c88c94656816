"""What `report()` costs its caller: neither memory nor system calls, but for one every 100 ms."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from conftest import Start
from orchestrator import Orchestrator
from test_reports import until_result
from traced import needed, strace

COUNTED = """
import ctypes
counter = ctypes.CDLL(None).allocations_of_this_thread
counter.restype = ctypes.c_long

def report(task, count):
    before = counter()
    for step in range(count):
        task.report(step=step, loss=0.5, a=1.0, b=2.0, c=3.0)
        task.report({"loss": 0.5, "a": 1.0}, epoch=0.5)
        if step % 1_000 == 999:
            time.sleep(0.01)  # the peer reads: nothing is thinned
    return counter() - before

with trainwire.connect() as task:
    grown = report(task, 30_000)  # buffers get their size
    print(grown > 0, report(task, 30_000))
"""


def test_reporting_on_asks_for_no_memory(orchestrator: Orchestrator, start: Start, tmp_path: Path) -> None:
    compiler = needed("cc")
    library = tmp_path / "allocations.so"
    source = Path(__file__).with_name("allocations.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, source], check=True)
    trainer = start(COUNTED, LD_PRELOAD=str(library))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    assert trainer.ends() == "True 0\n"
    assert sum(report.thinned for report in reports) == 0
    assert sum(len(report.timesUs) for report in reports) == 120_000


def test_a_reporting_loop_makes_a_system_call_every_100_ms_at_most(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    script = """
        with trainwire.connect() as task:
            os.access("/the-loop-begins", os.F_OK)
            begun = time.monotonic()
            for step in range(1_000):
                task.report(step=step, loss=0.5)
                while time.monotonic() < begun + step / 1_000:
                    pass
            os.access("/the-loop-ends", os.F_OK)
            print(time.monotonic() - begun)
    """
    trainer = start(script, through=strace(log))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    seconds = float(trainer.ends())
    loop = re.search(r"the-loop-begins.*?\n(.*)\n.*?the-loop-ends", log.read_text(), re.DOTALL)
    assert loop is not None
    # The first row's besides.
    assert len(loop[1].splitlines()) <= seconds / 0.1 + 1, loop[1]
    assert sum(len(report.timesUs) for report in reports) == 1_000
