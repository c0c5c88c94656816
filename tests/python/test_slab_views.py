"""Bytes in a slab stay as long as anybody looks at them, however they are kept, and are released then."""

from __future__ import annotations

import numpy as np
import pytest
import slab
import wire
from conftest import Start
from orchestrator import Orchestrator, Peer, metrics
from slab import MIB, Slab, deliveries, large_task, released, welcomed
from test_endings import outcome


def heartbeats_only(peer: Peer, count: int = 3) -> None:
    """That many heartbeats, and nothing else between them."""
    peer.heartbeats.clear()
    while len(peer.heartbeats) < count:
        before = len(peer.received)
        data = peer.socket.recv(1 << 16)
        assert data, "the trainer has gone"
        peer.received += data
        assert len(peer.received) > before
        while (taken := wire.take_frame(peer.received)) is not None:
            kind, message, size = taken
            peer.received = peer.received[size:]
            assert kind == wire.HEARTBEAT, f"{wire.TABLES[kind]}: {vars(message)}"
            peer.heartbeats.append(message)


KEPT: dict[str, tuple[str, str]] = {
    "the buffer": ("kept = task.hyperparams", "del kept"),
    "a buffer among the parameters": ("kept = task.params['weights']", "del kept"),
    "the parameters": ("kept = task.params", "kept.clear()"),
    "a slice": ("kept = task.hyperparams[100:110]", "kept.release()"),
    "a slice of a slice, cast": ("kept = memoryview(task.hyperparams)[8:][8:16].cast('Q')", "del kept"),
    "an array": ("kept = np.frombuffer(task.hyperparams, np.uint8)", "del kept"),
    "a view of a view of an array": (
        "kept = np.frombuffer(task.hyperparams, np.uint8, 70_000)[::2].reshape(7, -1)[1:, ::3].T",
        "del kept",
    ),
    "an array in a cycle": (
        "kept = [np.frombuffer(task.hyperparams, np.uint8)]; kept.append(kept)",
        "del kept; gc.collect()",
    ),
    "the task in a cycle": (
        "kept = type('Model', (), {})(); kept.task, kept.me = task, kept",
        "del kept; gc.collect()",
    ),
    "a generator": (
        "kept = (byte for byte in memoryview(task.hyperparams)); next(kept)",
        "kept.close()",
    ),
    "a traceback": (
        """
def write(view):
    view[0] = 1
try:
    write(memoryview(task.hyperparams))
except TypeError as error:
    kept = error
""",
        "del kept",
    ),
    "another thread": (
        """
leave = threading.Event()
def hold(view):
    leave.wait()
kept = threading.Thread(target=hold, args=(memoryview(task.hyperparams)[5:],))
kept.start()
""",
        "leave.set(); kept.join()",
    ),
}


@pytest.mark.parametrize("keep", KEPT)
def test_it_is_released_when_the_last_view_is_gone(
    orchestrator: Orchestrator, start: Start, keep: str
) -> None:
    take, let_go = KEPT[keep]
    trainer = start(f"""
        import gc, threading
        import numpy as np
        gc.disable()
        tasks = trainwire.tasks()
        task = next(tasks)
        with task:
            exec({take!r})
        task = next(tasks)
        with task:
            while not task.should_stop:
                time.sleep(0.01)
            exec({let_go!r})
            task.finish()
    """)
    peer = welcomed(orchestrator)
    memory = Slab(MIB)
    memory.share(peer)
    memory.deliver(peer, 1, large_task())
    peer.acked_result(1)
    peer.deliver(2)
    peer.until(wire.STARTED)
    heartbeats_only(peer)
    peer.stop(2)
    assert released(peer) == [1]
    assert outcome(peer.acked_result(2)) == "Stopped"
    trainer.ends()


def test_views_alive_at_a_fork_are_never_released(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import hashlib, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        for task in trainwire.tasks():
            with task:
                view = memoryview(task.hyperparams)
                if task.task_id == "forks":
                    ready, go = os.pipe(), os.pipe()
                    before = hashlib.sha256(view).hexdigest()
                    if os.fork() == 0:
                        del task                       # the child's own copies come and go
                        os.close(go[1])
                        os.read(go[0], 1)              # until the parent is through with its own
                        same = hashlib.sha256(view).hexdigest() == before
                        print("same" if same else "changed", flush=True)
                        os._exit(0)
                if task.task_id == "last":
                    os.write(go[1], b"!")
                    os.wait()
                del view
    """)
    peer = welcomed(orchestrator)
    memory = Slab(2 * MIB)
    memory.share(peer)
    tasks = {name: wire.task(task_id=name, hyperparams=bytes([n]) * 100_000) for n, name in enumerate(NAMES)}
    for delivery, name in enumerate(NAMES, start=1):
        memory.deliver(peer, delivery, tasks[name], offset=4096 * 30 * delivery)
        if delivery > 1 and NAMES[delivery - 2] != "forks":
            assert released(peer) == [delivery - 1]
        peer.acked_result(delivery)
    # What was lent while the fork was made is still listed by the next Hello.
    peer.close()
    peer = welcomed(orchestrator)
    assert deliveries(peer.hello.held) in ([2], [2, 5])
    peer.bye()
    assert trainer.ends() == "same\n"


NAMES = ["before", "forks", "after", "again", "last"]


def test_a_new_connection_says_what_is_held(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        kept = {}
        for task in trainwire.tasks():
            with task:
                kept[task.task_id] = memoryview(task.hyperparams)
                while task.task_id == "waits" and not task.should_stop:
                    time.sleep(0.01)
                if task.task_id == "waits":
                    del kept["first"]
            del task
            kept.pop("third", None)
    """)
    task = {
        name: wire.task(task_id=name, hyperparams=bytes(100_000)) for name in ("first", "second", "third")
    }
    peer = welcomed(orchestrator)
    memory = Slab(MIB)
    memory.share(peer)
    for delivery, name in enumerate(("first", "second"), start=1):
        memory.deliver(peer, delivery, task[name], offset=4096 * 30 * delivery)
        peer.acked_result(delivery)
    peer.deliver(3, wire.task(task_id="waits"))
    peer.until(wire.STARTED)
    peer.stop(3)
    # Its Release may be lost with this connection.
    peer.close()
    peer = orchestrator.accept()
    peer.hello = peer.expect(wire.HELLO)
    held = deliveries(peer.hello.held)
    assert held in ([1, 2], [2])
    kept = [wire.make("KeptDelivery", delivery=one.delivery, keep=True) for one in peer.hello.inHand or []]
    peer.send(
        wire.WELCOME, protocol=1, heartbeatMs=50, recvTimeoutMs=5000, orphanTimeoutMs=600_000, inHand=kept
    )
    if kept:
        peer.stop(3)
        peer.acked_result(3)
    # A slab of another connection is not this one's.
    slab.deliver(peer, 4, len(task["third"]), 4096)
    result = peer.result(4)
    assert (outcome(result), result.code) == ("Returned", b"bad_range")
    peer.ack(result)
    memory.share(peer)
    memory.deliver(peer, 5, task["third"], offset=4096 * 90)
    peer.acked_result(5)
    while 5 not in released(peer):
        pass
    peer.close()
    peer = welcomed(orchestrator)
    assert deliveries(peer.hello.held) == [2]
    peer.bye()
    trainer.ends()


def test_no_byte_under_a_view_changes(orchestrator: Orchestrator, start: Start) -> None:
    """The orchestrator overwrites what is released at once, while the trainer keeps views of older tasks
    in every order."""
    trainer = start("""
        import hashlib, random, threading
        import numpy as np
        random.seed(7)
        kept, wrong = [], []
        def check():
            for digest, view in list(kept):
                if hashlib.blake2b(view).digest() != digest:
                    wrong.append(digest)
        for task in trainwire.tasks():
            with task:
                view = task.params["weights"] if random.random() < 0.5 else task.hyperparams
                if random.random() < 0.5:
                    view = np.frombuffer(view, np.uint8)[random.randrange(1000):]
                kept.append((hashlib.blake2b(view).digest(), view))
                del view
                check()
                while len(kept) > 3 or (kept and random.random() < 0.3):
                    kept.pop(random.randrange(len(kept)))
                checker = threading.Thread(target=check)
                checker.start(), checker.join()
            del task
        print(len(wrong))
    """)
    peer = welcomed(orchestrator)
    slots, slot_size = 6, 256 << 10
    memory = Slab(slots * slot_size)
    memory.share(peer)
    free, used = list(range(slots)), {}
    random = np.random.default_rng(7)
    refilled = 0
    for delivery in range(1, 301):
        while not free:
            free += [used.pop(one) for one in released(peer)]
        slot = free.pop(0)
        refilled += delivery > slots
        # Noise over all of the slot first: whoever still looked would see it.
        memory.memory[slot * slot_size : (slot + 1) * slot_size] = random.bytes(slot_size)
        used[delivery] = slot
        memory.deliver(peer, delivery, large_task(fill=delivery % 251, size=180_000), offset=slot * slot_size)
        while True:
            kind, message = peer.next()
            if kind == wire.RELEASE:
                free += [used.pop(one) for one in deliveries(message.deliveries)]
            elif kind == wire.RESULT and message.delivery == delivery:
                assert outcome(message) == "Succeeded", metrics(message)
                peer.ack(message)
                break
    assert refilled > 200
    peer.bye()
    assert trainer.ends() == "0\n"


@pytest.mark.parametrize("again", [False, True], ids=["the same slab", "another slab"])
def test_no_byte_under_a_view_changes_over_connections(
    orchestrator: Orchestrator, start: Start, again: bool
) -> None:
    """Each connection begins with what the Hello says is held, and everything else is overwritten at once."""
    trainer = start("""
        import hashlib
        import numpy as np
        kept, wrong = [], 0
        for task in trainwire.tasks():
            with task:
                view = np.frombuffer(task.hyperparams, np.uint8)[17:]
                kept.append((hashlib.blake2b(view).digest(), view))
                wrong += sum(hashlib.blake2b(view).digest() != digest for digest, view in kept)
                if len(kept) > 4:
                    kept.pop(1)  # the first is kept for good
                del view
                task.finish(wrong=wrong, kept=len(kept))
            del task
    """)
    slots, slot_size = 12, 256 << 10
    memory = Slab(slots * slot_size)
    slot_of: dict[int, tuple[Slab, int]] = {}
    random = np.random.default_rng(7)
    deliveries_made = 0
    for connection in range(1, 9):
        peer = welcomed(orchestrator)
        held = deliveries(peer.hello.held)
        assert connection == 1 or 1 in held, "kept for good"
        slot_of = {delivery: slot_of[delivery] for delivery in held}
        if again and connection > 1:
            memory = Slab(slots * slot_size, number=connection)
        memory.share(peer)
        taken = [slot for of, slot in slot_of.values() if of is memory]
        for slot in set(range(slots)) - set(taken):
            memory.memory[slot * slot_size : (slot + 1) * slot_size] = random.bytes(slot_size)
        for slot in sorted(set(range(slots)) - set(taken))[:3]:
            deliveries_made += 1
            slot_of[deliveries_made] = (memory, slot)
            task = large_task(fill=deliveries_made, size=180_000)
            memory.deliver(peer, deliveries_made, task, offset=slot * slot_size)
            result = peer.acked_result(deliveries_made)
            assert metrics(result)["wrong"] == 0
        assert metrics(result)["kept"] >= 3
        # Without a word, and perhaps before a Release.
        peer.close()
    peer = welcomed(orchestrator)
    peer.bye()
    trainer.ends()
