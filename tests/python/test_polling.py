"""Where a job asks for it, a trainer that waits looks again before it sleeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Start
from orchestrator import Orchestrator
from traced import strace


@pytest.mark.parametrize("poll_us", [0, 1_000])
def test_a_trainer_looks_again_before_it_sleeps(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, poll_us: int
) -> None:
    log = tmp_path / "calls"
    script = """
        for task in trainwire.tasks():
            with task:
                task.finish(loss=0.5)
    """
    trainer = start(script, through=strace(log))
    peer = orchestrator.accept().welcome(pollUs=poll_us)
    # It waits for its first task.
    while not (looks := re.findall(r"recvmsg\(.* EAGAIN ", log.read_text())):
        assert trainer.poll() is None, "strace may not trace"
    peer.deliver(1)
    peer.acked_result(1)
    peer.bye()
    trainer.ends()
    # The first look; without polling it sleeps at once.
    assert ("MSG_DONTWAIT" in looks[0]) == (poll_us > 0), looks
