"""Stops, from whatever side they come."""

from __future__ import annotations

from pathlib import Path

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, metrics, text
from test_endings import outcome


def test_epochs_end_early(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for epoch in task.epochs():
                task.report(epoch=epoch)
                time.sleep(0.01)
            stop = task.stop
            print(stop.reason, stop.want_checkpoint, 0 < stop.time_left <= 30)
            print(0 < stop.deadline - time.monotonic() <= 30)
            task.finish(epochs=epoch)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=100_000))
    peer.until(wire.REPORT)
    peer.stop(1, wantCheckpoint=True)
    result = peer.acked_result()
    assert outcome(result) == "Stopped"
    assert "epochs" in metrics(result)
    assert trainer.ends().splitlines() == ["cancelled True True", "True"]


def test_raise_if_stopped_passes_except_exception(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                task.report(n=1)
                while True:
                    try:
                        time.sleep(0.01)
                        task.raise_if_stopped()
                    except Exception:
                        pass
        print("over")
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.until(wire.REPORT)
    peer.stop(1)
    assert outcome(peer.acked_result()) == "Stopped"
    peer.bye()
    assert trainer.ends() == "over\n"


def test_a_stop_that_nobody_looked_at_changes_nothing(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            task.report(n=1)
            time.sleep(0.5)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.until(wire.REPORT)
    peer.stop(1)
    peer.stop(99)  # not in hand: ignored
    peer.bye()
    assert outcome(peer.acked_result()) == "Succeeded"
    trainer.ends()


def test_a_failure_after_a_stop_is_a_failure(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            task.report(n=1)
            while not task.should_stop:
                time.sleep(0.01)
            raise ValueError
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.until(wire.REPORT)
    peer.stop(1)
    assert outcome(peer.acked_result()) == "Failed"
    trainer.ends(1)


def test_what_was_not_begun_is_returned(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                print(task.attempt)
                while not task.should_stop:
                    time.sleep(0.01)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.deliver(2, attempt=2)
    peer.expect(wire.STARTED)
    peer.stop(2)
    result = peer.acked_result(2)
    assert (outcome(result), text(result.code)) == ("Returned", "stopped_before_start")
    peer.stop(1)
    assert outcome(peer.acked_result(1)) == "Stopped"
    peer.bye()
    assert trainer.ends() == "1\n"


def test_what_waits_can_be_asked_back_and_what_runs_is_not_disturbed(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                task.report(n=1)
                while not os.path.exists("go"):
                    time.sleep(0.01)
                print(task.attempt, task.should_stop)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.deliver(2, attempt=2)
    peer.until(wire.REPORT)
    peer.stop(1, reason="moved")
    peer.stop(2, reason="moved")
    result = peer.acked_result(2)
    assert (outcome(result), text(result.code)) == ("Returned", "moved")
    (tmp_path / "go").touch()
    assert outcome(peer.acked_result(1)) == "Succeeded"
    peer.bye()
    assert trainer.ends() == "1 False\n"


def test_a_stop_may_cross_the_result(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("for task in trainwire.tasks():\n    with task:\n        task.finish(n=1)\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    result = peer.result()
    peer.stop(1)
    peer.ack(result)
    peer.bye()
    assert outcome(result) == "Succeeded"
    trainer.ends()


@pytest.mark.parametrize("holds_the_gil", [False, True])
def test_stacks_of_all_threads(orchestrator: Orchestrator, start: Start, holds_the_gil: bool) -> None:
    trainer = start(f"""
        import ctypes, threading
        def deep_inside():
            threading.Event().wait()
        threading.Thread(target=deep_inside, daemon=True).start()
        with trainwire.connect() as task:
            task.report(n=1)
            if {holds_the_gil}:
                ctypes.PyDLL(None).sleep(2)
            while not task.should_stop:
                time.sleep(0.01)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.until(wire.REPORT)
    peer.stop(1, dumpStacks=True)
    assert outcome(peer.acked_result()) == "Stopped"
    trainer.ends()
    assert "deep_inside" in trainer.errors
