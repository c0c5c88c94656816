"""Connections that are refused, broken, lost and found again."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import wire
from conftest import Start
from hostile import memfd
from orchestrator import Orchestrator, Peer, deliver_frame, metrics, text
from test_endings import outcome
from traced import folders_synced, strace

LOOP = """
    for task in trainwire.tasks():
        with task:
            task.finish(n=1)
    print("over")
"""

REPORTS_THE_ERROR = """
    try:
        for task in trainwire.tasks():
            with task:
                pass
    except trainwire.TrainwireError as error:
        print(type(error).__name__, error.code)
        print(error)
"""


def left_behind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda _: None, "socket_no_such_name"),
        (lambda path: path.touch(), "socket_not_a_stream_socket"),
        (left_behind, "socket_nobody_listens"),
    ],
)
def test_nobody_to_connect_to(start: Start, tmp_path: Path, make: Any, code: str) -> None:
    path = tmp_path / "other"
    make(path)
    trainer = start(REPORTS_THE_ERROR, TRAINWIRE_SOCKET=str(path))
    kind, words = trainer.ends().splitlines()
    assert kind == f"ConnectError {code}"
    assert str(path) in words


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [("TRAINWIRE_TOKEN", "xyz", "bad_token"), ("TRAINWIRE_JOB_ID", "../x", "bad_job_id")],
)
def test_an_environment_that_cannot_be(start: Start, name: str, value: str, code: str) -> None:
    trainer = start(REPORTS_THE_ERROR, **{name: value})
    kind, words = trainer.ends().splitlines()
    assert kind == f"ConnectError {code}"
    assert name in words


def test_refused(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(REPORTS_THE_ERROR)
    peer = orchestrator.accept()
    peer.expect(wire.HELLO)
    peer.send(wire.REFUSED, code="token_in_use", text="another trainer has this token")
    assert trainer.ends() == "RefusedError token_in_use\nanother trainer has this token\n"


def header(length: int, kind: int = wire.DELIVER, flags: int = 0, words: int = 0) -> bytes:
    return struct.pack("<IBBH", length, kind, flags, words)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (header(0xFFFF_FFFC), "bad_length"),
        (header(5), "bad_length"),
        (header(4 + 8 * 9000, words=9000), "meta_too_large"),
        (header(4, kind=99), "unknown_kind"),
        (header(4, kind=15), "unknown_kind"),
        (wire.message(wire.STARTED, delivery=1), "wrong_direction"),
        (header(12, flags=2, words=1) + bytes(8), "bad_flags"),
        (wire.frame(wire.DELIVER, b"\xff" * 64), "bad_meta"),
        (wire.frame(wire.ACK, b""), "bad_meta"),
        (
            wire.message(wire.WELCOME, protocol=1, heartbeatMs=1000, recvTimeoutMs=5000, orphanTimeoutMs=1),
            "hello_twice",
        ),
        (deliver_frame(1, b"\1" * 9)[:-1] + b"\1", "bad_padding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_can_never_become_a_frame(
    orchestrator: Orchestrator, start: Start, data: bytes, code: str
) -> None:
    trainer = start(REPORTS_THE_ERROR)
    peer = orchestrator.accept().welcome()
    peer.socket.sendall(data)
    assert trainer.ends().startswith(f"ProtocolError {code}\n")


def test_the_first_word_must_be_an_answer(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(REPORTS_THE_ERROR)
    peer = orchestrator.accept()
    peer.expect(wire.HELLO)
    peer.deliver(1)
    assert trainer.ends().startswith("ProtocolError hello_expected\n")


@pytest.mark.parametrize(
    ("task", "code"),
    [(b"\xff" * 64, "bad_task"), (b"", "bad_task"), (wire.task(max_epochs=-1), "bad_max_epochs")],
)
def test_a_task_that_is_none_is_returned(
    orchestrator: Orchestrator, start: Start, task: bytes, code: str
) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, task)
    result = peer.acked_result(1)
    assert (outcome(result), text(result.code)) == ("Returned", code)
    peer.deliver(2)
    assert outcome(peer.acked_result(2)) == "Succeeded"
    peer.bye()
    assert trainer.ends() == "over\n"


def test_a_task_as_a_descriptor(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                view = memoryview(task.hyperparams)
                task.finish(size=len(view), last=view[-1])
        print(view[-1], len(os.listdir("/proc/self/fd")) < 12)
    """)
    peer = orchestrator.accept().welcome()
    size = 3 << 20
    data = wire.task(hyperparams=bytes(size - 1) + b"\7")
    for delivery in range(1, 30):
        descriptor = memfd(data)
        peer.deliver_descriptor(delivery, [descriptor], len(data))
        os.close(descriptor)
        assert metrics(peer.acked_result(delivery)) == {"size": size, "last": 7}
    peer.bye()
    assert trainer.ends() == "7 True\n"


def test_a_descriptor_lost_at_the_limit_of_open_files(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import resource
        tasks = trainwire.tasks()
        full = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                full.append(os.open("/", os.O_RDONLY))
        except OSError:
            print("full", flush=True)
        for task in tasks:
            with task:
                while full:
                    os.close(full.pop())
                task.finish(marked=task.hyperparams[0])
    """)
    peer = orchestrator.accept().welcome()
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "full\n"
    # The same size, so that nothing but the order tells them apart.
    first, second = (wire.task(hyperparams=bytes([mark]) * 8) for mark in (1, 2))
    peer.deliver_descriptor(1, [memfd(first)], len(first))
    result = peer.acked_result(1)
    assert (outcome(result), text(result.code)) == ("Returned", "descriptor_missing")
    peer.deliver(2)
    peer.acked_result(2)
    peer.deliver_descriptor(3, [memfd(second)], len(second))
    assert metrics(peer.acked_result(3)) == {"marked": 2}
    peer.bye()
    trainer.ends()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_socket_of_another_user(start: Start, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    path = tmp_path / "theirs" / "socket"
    if (child := os.fork()) == 0:
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            listener.accept()[0].recv(1)
        os._exit(0)
    while not path.exists():
        time.sleep(0.01)
    trainer = start(REPORTS_THE_ERROR, TRAINWIRE_SOCKET=str(path))
    kind, words = trainer.ends().splitlines()
    os.waitpid(child, 0)
    assert kind == "ConnectError other_uid"
    assert "65534" in words


def test_the_orchestrator_comes_back(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                task.report(n=1)
                print("running", flush=True)
                time.sleep(0.5)
                task.report(n=2)
                task.finish(n=3)
        print("over")
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.deliver(2)
    peer.until(wire.REPORT)
    orchestrator.close()
    time.sleep(0.2)
    orchestrator.listen()

    again = orchestrator.accept()
    again.welcome(inHand=[wire.make("KeptDelivery", delivery=delivery, keep=True) for delivery in (1, 2)])
    assert again.hello.connection > 1
    assert again.hello.instance.high == peer.hello.instance.high
    assert [(one.delivery, one.state) for one in again.hello.inHand] == [(1, 1), (2, 0)]
    assert metrics(again.acked_result(1)) == {"n": 3}
    assert metrics(again.acked_result(2)) == {"n": 3}
    again.bye()
    assert trainer.ends() == "running\nrunning\nover\n"


def test_a_result_is_sent_again_after_a_broken_connection(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    lost = peer.result(1)
    peer.close()
    again = orchestrator.accept()
    again.welcome(inHand=[wire.make("KeptDelivery", delivery=1, keep=True)])
    assert [(one.delivery, one.state) for one in again.hello.inHand] == [(1, 2)]
    result = again.acked_result(1)
    assert (result.seq, metrics(result)) == (lost.seq, metrics(lost))
    again.bye()
    assert trainer.ends() == "over\n"


def test_what_the_orchestrator_no_longer_wants_is_dropped(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                while not task.should_stop:
                    time.sleep(0.01)
                print(task.stop.reason)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.expect(wire.STARTED)
    peer.close()
    again = orchestrator.accept()
    again.welcome(inHand=[wire.make("KeptDelivery", delivery=1, keep=False)])
    again.bye()
    assert trainer.ends() == "superseded\n"


def spooled(path: Path) -> list[Any]:
    received = path.read_bytes()
    messages = []
    while received:
        taken = wire.take_frame(received)
        assert taken is not None
        kind, message, size = taken
        messages.append((wire.TABLES[kind], message))
        received = received[size:]
    return messages


def test_an_orphan_checkpoints_and_leaves_its_result_in_the_spool(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    trainer = start("""
        for task in trainwire.tasks():
            with task:
                print("running", flush=True)
                while not task.should_stop:
                    time.sleep(0.01)
                print(task.stop.reason, task.stop.want_checkpoint)
                open("model", "w").write("weights")
                task.checkpoint("model", epoch=3)
                task.finish(n=7)
        print("over")
    """)
    peer = orchestrator.accept().welcome(orphanTimeoutMs=300, spool=str(tmp_path / "spool"))
    peer.deliver(5)
    peer.expect(wire.STARTED)
    orchestrator.close()
    assert trainer.ends() == "running\norphaned True\nover\n"
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["5.frames"]
    (first, checkpoint), (second, result) = spooled(tmp_path / "spool" / "5.frames")
    assert (first, text(checkpoint.path), checkpoint.epoch) == ("Checkpoint", str(tmp_path / "model"), 3.0)
    assert (second, outcome(result), metrics(result)) == ("TaskResult", "Returned", {"n": 7})


def test_the_folders_of_a_spooled_result_are_on_the_disk_too(
    orchestrator: Orchestrator, start: Start, tmp_path: Path
) -> None:
    log, spool = tmp_path / "calls", tmp_path / "made" / "for" / "it"
    script = """
        with trainwire.connect() as task:
            while not os.path.exists("go"):
                time.sleep(0.01)
            task.finish(n=7)
    """
    trainer = start(script, through=strace(log, "-f", "-y"))
    peer = orchestrator.accept().welcome(orphanTimeoutMs=300, spool=str(spool))
    peer.deliver(5)
    peer.expect(wire.STARTED)
    orchestrator.close()
    (tmp_path / "go").touch()
    trainer.ends()
    assert len(spooled(spool / "5.frames")) == 1
    wanted = {str(spool), *(str(folder) for folder in spool.parents if folder.is_relative_to(tmp_path))}
    assert folders_synced(log) >= wanted | {str(spool / "5.unfinished")}


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_without_an_orchestrator_leaves_the_result_in_the_spool(
    orchestrator: Orchestrator, start: Start, tmp_path: Path, interrupts: int
) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            print("running", flush=True)
            time.sleep(0.3)
            task.finish(n=7)
    """)
    peer = orchestrator.accept().welcome(spool=str(tmp_path / "spool"))
    peer.deliver(5)
    peer.expect(wire.STARTED)
    orchestrator.close()
    for _ in range(interrupts):
        time.sleep(0.8)  # first in finish(), then in the exit that waits once more
        trainer.send_signal(signal.SIGINT)
    trainer.wait(20)
    ((_, result),) = spooled(tmp_path / "spool" / "5.frames")
    assert metrics(result) == {"n": 7}


def test_without_a_spool_a_lost_result_is_an_error(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        try:
            with trainwire.connect() as task:
                print("running", flush=True)
                while not task.should_stop:
                    time.sleep(0.01)
        except trainwire.ConnectError as error:
            print(error.code, "spool" in str(error))
            os._exit(0)
    """)
    peer = orchestrator.accept().welcome(orphanTimeoutMs=300)
    peer.deliver(5)
    peer.expect(wire.STARTED)
    orchestrator.close()
    assert trainer.ends() == "running\norphaned True\n"


def test_half_a_frame_and_silence(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome(recvTimeoutMs=300)
    peer.socket.sendall(deliver_frame(1)[:40])
    # The trainer gives this connection up and makes another.
    again = orchestrator.accept().welcome()
    again.deliver(1)
    assert outcome(again.acked_result(1)) == "Succeeded"
    again.bye()
    assert trainer.ends() == "over\n"


def beats(peer: Peer, seconds: float) -> list[Any]:
    """Hears heartbeats for a while; nothing else may come."""
    until = time.monotonic() + seconds
    before = len(peer.heartbeats)
    with pytest.raises(TimeoutError):
        peer.next(until=until)
    return peer.heartbeats[before:]


def test_a_call_that_holds_the_gil_is_alive(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import ctypes
        with trainwire.connect() as task:
            task.tick()
            ctypes.PyDLL(None).sleep(2)
            task.finish()
    """)
    peer = orchestrator.accept().welcome(heartbeatMs=100)
    peer.deliver(9)
    peer.expect(wire.STARTED)
    during = beats(peer, 1.5)
    assert len(during) >= 5
    assert {beat.delivery for beat in during} == {9}
    assert during[-1].progressAgeMs > during[0].progressAgeMs
    peer.acked_result(9)
    trainer.ends()


def test_busy_is_no_stall(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            task.busy(60)
            time.sleep(1)
    """)
    peer = orchestrator.accept().welcome(heartbeatMs=100)
    peer.deliver(9)
    peer.expect(wire.STARTED)
    during = beats(peer, 0.8)
    assert {beat.progressAgeMs for beat in during[2:]} == {0}
    peer.acked_result(9)
    trainer.ends()


def test_an_idle_trainer_beats_too(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome(heartbeatMs=100)
    assert {beat.delivery for beat in beats(peer, 0.8)} == {0}
    peer.bye()
    trainer.ends()


def test_reports_do_not_wait_for_an_orchestrator_that_does_not_read(
    orchestrator: Orchestrator, start: Start
) -> None:
    rows = 200_000
    trainer = start(f"""
        with trainwire.connect() as task:
            for row in range({rows}):
                task.report(n=row, **{{"x" * 50: 1.5}}, step=row)
            print("all reported", flush=True)
            task.finish()
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "all reported\n"
    kept, thinned, last = 0, 0, -1
    while True:
        kind, message = peer.next()
        if kind == wire.RESULT:
            break
        if kind == wire.REPORT:
            assert message.steps[0] > last
            kept += len(message.steps)
            thinned += message.thinned
            last = message.steps[-1]
    assert kept + thinned == rows
    assert thinned > 0 and last == rows - 1
    peer.ack(message)
    trainer.ends()


def test_a_trainer_that_was_stopped_and_continued(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(LOOP)
    peer = orchestrator.accept().welcome(recvTimeoutMs=200)
    trainer.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    peer.deliver(1)
    trainer.send_signal(signal.SIGCONT)
    assert outcome(peer.acked_result(1)) == "Succeeded"
    peer.bye()
    assert trainer.ends() == "over\n"
