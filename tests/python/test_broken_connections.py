"""A connection that breaks again and again, anywhere, loses nothing and does nothing twice."""

from __future__ import annotations

import random

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, Peer, deliver_frame, metrics

TASKS = 200
WINDOW = 8


def hyperparams(delivery: int) -> bytes:
    return b"\x81\xa1n\xcd" + delivery.to_bytes(2, "big")


class Sweep:
    """Deliveries 1, 2, …, and the results that came."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.delivered: set[int] = set()
        self.results: dict[int, int] = {}

    def complete(self) -> bool:
        return len(self.results) == TASKS

    def greet(self, peer: Peer) -> None:
        hello = peer.expect(wire.HELLO)
        in_hand = {one.delivery for one in hello.inHand or []}
        kept = [wire.make("KeptDelivery", delivery=delivery, keep=True) for delivery in in_hand]
        terms = {"protocol": 1, "heartbeatMs": 1000, "recvTimeoutMs": 5000, "orphanTimeoutMs": 60_000}
        peer.send(wire.WELCOME, inHand=kept, **terms)
        # Lost on the way, as the Hello proves.
        for delivery in self.delivered - in_hand - self.results.keys():
            peer.deliver(delivery, wire.task(hyperparams=hyperparams(delivery)))

    def work(self, peer: Peer, messages: int) -> None:
        for _ in range(messages):
            while len(self.delivered) - len(self.results) < WINDOW and len(self.delivered) < TASKS:
                delivery = len(self.delivered) + 1
                self.delivered.add(delivery)
                peer.deliver(delivery, wire.task(hyperparams=hyperparams(delivery)))
            kind, message = peer.next()
            if kind == wire.RESULT:
                assert metrics(message) == {"n": message.delivery}
                assert self.results.setdefault(message.delivery, message.seq) == message.seq
                if self.chance.random() < 0.9:
                    peer.ack(message)
            if self.complete():
                return


@pytest.mark.parametrize("seed", range(3))
def test_every_task_runs_once(orchestrator: Orchestrator, start: Start, seed: int) -> None:
    chance = random.Random(seed)
    trainer = start("""
        import random
        ran = []
        for task in trainwire.tasks():
            with task:
                time.sleep(random.choice([0, 0, 0, 0.005]))
                task.report(n=1)
                ran.append(task.params["n"])
                task.finish(n=ran[-1])
        print(len(ran), len(set(ran)))
    """)
    sweep = Sweep(chance)
    while True:
        peer = orchestrator.accept()
        try:
            sweep.greet(peer)
            sweep.work(peer, chance.randrange(1, 60))
            if sweep.complete():
                break
            if chance.random() < 0.5:
                peer.socket.sendall(deliver_frame(999)[: chance.randrange(1, 100)])
        except (BrokenPipeError, ConnectionResetError, EOFError):
            pass
        peer.close()
    peer.send(
        wire.ACK,
        entries=[
            wire.make("AckEntry", delivery=delivery, seq=seq) for delivery, seq in sweep.results.items()
        ],
    )
    peer.bye()
    assert trainer.ends() == f"{TASKS} {TASKS}\n"
