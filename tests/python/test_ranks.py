"""What a process does that is one of several: as the launcher's environment says, over the wire."""

from __future__ import annotations

from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import TOKEN, Orchestrator


def rank(number: int, world_size: int = 2, restart: int = 0, restarts: int = 0) -> dict[str, str]:
    """The environment torchrun gives a rank."""
    return {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(world_size),
        "TORCHELASTIC_RESTART_COUNT": str(restart),
        "TORCHELASTIC_MAX_RESTARTS": str(restarts),
        "TORCHELASTIC_RUN_ID": "none",
    }


def test_rank_0_is_the_primary(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        """
        with trainwire.connect() as task:
            print(task.is_primary, task.rank, task.world_size)
        """,
        **rank(0, restart=1, restarts=3),
    )
    peer = orchestrator.accept().welcome()
    assert peer.hello.role == wire.messages().Role.Primary
    assert (peer.hello.rank, peer.hello.worldSize, peer.hello.restart) == (0, 2, 1)
    assert bytes(peer.hello.token).hex() == TOKEN
    peer.deliver(1)
    peer.acked_result()
    assert trainer.ends() == "True 0 2\n"


def test_replicas_read_and_say_nothing(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        """
        with trainwire.connect() as task:
            print(task.is_primary, task.rank, task.world_size, task.params)
            task.report(loss=1)
            task.report({"loss": object()}, nothing="at all")
            for _ in task.track(range(3)):
                pass
            task.checkpoint("nowhere")
            task.finish(loss=1)
        """,
        **rank(1),
    )
    peer = orchestrator.accept().welcome(spool="/nowhere")
    assert (peer.hello.role, peer.hello.rank) == (wire.messages().Role.Replica, 1)
    peer.deliver(1)
    peer.expect(wire.STARTED)
    result = peer.expect(wire.RESULT)
    assert not result.metrics
    peer.ack(result)
    assert trainer.ends() == "False 1 2 {'lr': 0.1}\n"


def test_nobody_waits_for_the_result_of_a_replica(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        """
        for task in trainwire.tasks():
            with task:
                task.finish()
            print("finished", flush=True)
        """,
        **rank(1),
    )
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.result()
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "finished\n"
    # It has been given this one, and waits for the next.
    peer.deliver(1)
    peer.bye()
    trainer.ends()
    assert peer.closed() == []


@pytest.mark.parametrize(
    ("environment", "ending", "restarts"),
    [
        (rank(0, restarts=1), "ValueError('x')", True),
        (rank(1, restarts=1), "ValueError('x')", True),
        (rank(0, restarts=1), "SystemExit(3)", True),
        (rank(0, restart=1, restarts=1), "ValueError('x')", False),
        (rank(0, restarts=1), "trainwire.Fatal('x')", False),
        (rank(0, restarts=1), "KeyboardInterrupt()", False),
        ({}, "ValueError('x')", False),
    ],
)
def test_an_error_says_whether_the_launcher_goes_on(
    environment: dict[str, str], ending: str, restarts: bool, orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start(f"with trainwire.connect(): raise {ending}", **environment)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert peer.acked_result().error.restarts == restarts
    trainer.communicate(timeout=30)


def test_an_error_that_is_swallowed_is_final(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        """
        for task in trainwire.tasks(keep_going=True):
            with task:
                raise ValueError
        """,
        **rank(0, restarts=1),
    )
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert not peer.acked_result().error.restarts
    peer.bye()
    trainer.ends()


# PyTorch's part in it: `all_reduce` gives what another rank has said, by epoch.
STUB = """
import types
class Flag(list):
    def item(self): return self[0]
asked = []
def all_reduce(flag, op, async_op):
    asked.append(flag[0])
    flag[0] = max(flag[0], int(len(asked) == 4))
    return types.SimpleNamespace(is_completed=lambda: True, wait=lambda: None)
torch = types.ModuleType("torch")
torch.int32, torch.device = "int32", str
torch.tensor = lambda values, dtype, device: Flag(values)
torch.distributed = types.SimpleNamespace(
    is_available=lambda: True, is_initialized=lambda: True, all_reduce=all_reduce,
    get_backend_config=lambda: "cpu:gloo", ReduceOp=types.SimpleNamespace(MAX="max"),
)
sys.modules["torch"] = torch
"""

LOOP = """
with trainwire.connect() as task:
    print(*task.epochs(), task.should_stop, *asked)
"""


@pytest.mark.parametrize("number", [0, 1])
def test_ranks_stop_where_the_others_do(number: int, orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(STUB + LOOP, **rank(number))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert peer.acked_result().outcome == wire.messages().Outcome.Stopped
    assert trainer.ends() == "0 1 2 True 0 0 0 0\n"


@pytest.mark.parametrize(("number", "flags"), [(0, "1"), (1, "0 0 0 0")])
def test_the_primary_s_word_counts(number: int, flags: str, orchestrator: Orchestrator, start: Start) -> None:
    wait = "while not task.should_stop: time.sleep(0.01)"
    trainer = start(STUB + LOOP.replace("    print", f"    {wait}\n    print"), **rank(number))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.expect(wire.STARTED)
    peer.stop(1)
    assert peer.acked_result().outcome == wire.messages().Outcome.Stopped
    assert trainer.ends().endswith(f"True {flags}\n")


def test_without_a_process_group_each_rank_hears_for_itself(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(
        """
        with trainwire.connect() as task:
            print(task.agree_to_stop(), flush=True)
            for epoch in task.epochs():
                time.sleep(0.01)
            print(task.agree_to_stop())
        """,
        **rank(1),
    )
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=1_000_000))
    peer.expect(wire.STARTED)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "False\n"
    peer.stop(1)
    peer.acked_result()
    assert trainer.ends() == "True\n"


def test_one_rank_alone_asks_nobody(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(STUB + LOOP, **rank(0, world_size=1))
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(max_epochs=3))
    peer.acked_result()
    assert trainer.ends() == "0 1 2 False\n"


@pytest.mark.parametrize(
    "environment", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "1"}, {"RANK": "x", "WORLD_SIZE": "y"}]
)
def test_what_is_no_place_among_several_is_none(
    environment: dict[str, str], orchestrator: Orchestrator, start: Start
) -> None:
    start("trainwire.tasks()", **environment)
    hello: Any = orchestrator.accept().welcome().hello
    assert (hello.role, hello.rank, hello.worldSize) == (wire.messages().Role.Primary, 0, 1)


def test_offline_the_primary_is_rank_0_all_the_same(start: Start) -> None:
    script = (
        STUB
        + """
with trainwire.connect(max_epochs=2) as task:
    task.checkpoint("nowhere") if task.rank else None
    print(task.is_primary, task.rank, *task.epochs(), *asked)
"""
    )
    assert start(script, TRAINWIRE_SOCKET=None, **rank(1)).ends() == "False 1 0 1\n"
    assert start(script, TRAINWIRE_SOCKET=None, **rank(0)).ends() == "True 0 0 1\n"
