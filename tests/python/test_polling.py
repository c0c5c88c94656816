"""Where a job asks for it, a trainer that waits looks again before it sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Start
from orchestrator import Orchestrator
from traced import calls


@pytest.mark.parametrize("poll_us", [0, 1_000])
def test_a_trainer_looks_again_before_it_sleeps(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, poll_us: int
) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                task.finish(loss=0.5)
    """)
    peer = orchestrator.accept().welcome(pollUs=poll_us)

    def work() -> None:
        peer.deliver(1)
        peer.acked_result(1)
        peer.bye()

    # What it does while it waits for its first task.
    log = calls(trainer.pid, tmp_path / "calls", "EAGAIN", work)
    trainer.ends()
    looks = [
        line for line in log.splitlines() if line.startswith("recvmsg(") and line.endswith("unavailable)")
    ]
    assert looks
    # The first of them; without polling it sleeps at once.
    assert ("MSG_DONTWAIT" in looks[0]) == (poll_us > 0), log
