"""How a task ends, as its code leaves it."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, metrics, text

OUTCOMES = ("Succeeded", "Failed", "Stopped", "Retry", "Returned")


def outcome(result: Any) -> str:
    return OUTCOMES[result.outcome]


def indented(body: str) -> str:
    return "\n".join(f"        {line}" for line in body.splitlines())


@pytest.mark.parametrize(
    ("body", "wanted", "code"),
    [
        ("pass", ("Succeeded", None, None), 0),
        ("sys.exit()", ("Succeeded", None, None), 0),
        ("sys.exit(0)", ("Succeeded", None, None), 0),
        ("sys.exit(3)", ("Failed", "SystemExit", "exit code 3"), 3),
        ("sys.exit('no data')", ("Failed", "SystemExit", "exit code 1: no data"), 1),
        ("raise ValueError('bad lr')", ("Failed", "ValueError", "bad lr"), 1),
        ("raise trainwire.Fatal('no data')", ("Failed", "trainwire.Fatal", "no data"), 1),
        ("raise trainwire.Retry('later', after=2.5)", ("Retry", "trainwire.Retry", "later"), 0),
        ("raise trainwire.Stopped('enough')", ("Stopped", None, None), 0),
        ("raise KeyboardInterrupt", ("Failed", "KeyboardInterrupt", ""), -signal.SIGINT),
        ("task.fail('out of disk')", ("Failed", "Error", "out of disk"), 0),
        ("task.fail('out of disk', retry=True)", ("Retry", "Error", "out of disk"), 0),
        ("task.fail(OSError(28, 'full'), retry=1.5)", ("Retry", "OSError", "[Errno 28] full"), 0),
        ("task.fail('never', retry=False)", ("Failed", "Error", "never"), 0),
        ("task.finish({'a': {'b': 1}}, c='x')", ("Succeeded", None, None), 0),
    ],
)
def test_leaving_the_with_block(
    orchestrator: Orchestrator, start: Start, body: str, wanted: tuple[Any, ...], code: int
) -> None:
    trainer = start(f"for task in trainwire.tasks():\n    with task:\n{indented(body)}\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    result = peer.acked_result()
    error = result.error
    found = (outcome(result), error and text(error.type), error and text(error.text))
    assert found == wanted
    if error and "raise" in body:
        assert 'File "<string>", line 4' in text(error.traceback)
    fatal = ("KeyboardInterrupt" in body) or ("Fatal" in body) or ("retry=False" in body)
    assert (error.fatal if error else False) == fatal
    if "after=2.5" in body:
        assert result.retryAfterMs == 2500
    if "'b'" in body:
        assert metrics(result) == {"a/b": 1.0, "c": "x"}
    if code == 0 and "exit" not in body:
        peer.bye()
    trainer.ends(code)


def test_an_exception_goes_on_unless_the_trainer_keeps_going(
    orchestrator: Orchestrator, start: Start
) -> None:
    trainer = start("""
        for task in trainwire.tasks(keep_going=True):
            with task:
                {}["missing"]
        print("over")
    """)
    peer = orchestrator.accept().welcome()
    for delivery in (1, 2):
        peer.deliver(delivery)
        result = peer.acked_result(delivery)
        assert (outcome(result), text(result.error.type)) == ("Failed", "KeyError")
        assert 'File "<string>"' in text(result.error.traceback)
    peer.bye()
    assert trainer.ends() == "over\n"


@pytest.mark.parametrize("body", ["sys.exit(3)", "raise KeyboardInterrupt", "raise SystemError"])
def test_keep_going_swallows_exceptions_only(orchestrator: Orchestrator, start: Start, body: str) -> None:
    trainer = start(f"for task in trainwire.tasks(keep_going=True):\n    with task:\n        {body}\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    if body == "raise SystemError":
        peer.bye()
        trainer.ends()
    else:
        assert trainer.wait(20) != 0


UNFINISHED = "exited without finish(): end the script with task.finish(), or train within `with task:`"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("", "Unfinished", UNFINISHED),
        ("sys.exit(0)", "Unfinished", UNFINISHED),
        ("raise ValueError('bad')", "ValueError", "bad"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
    ],
)
def test_the_end_of_a_process_that_did_not_finish(
    orchestrator: Orchestrator, start: Start, body: str, kind: str, words: str
) -> None:
    trainer = start(f"task = trainwire.connect()\n{body}")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    result = peer.acked_result()
    assert (outcome(result), text(result.error.type), text(result.error.text)) == ("Failed", kind, words)
    assert peer.takes_one_task
    trainer.wait(20)


def test_a_loop_that_goes_on_without_finish(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("for task in trainwire.tasks():\n    task.params\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    result = peer.acked_result()
    assert "use `with task:`" in text(result.error.text)
    peer.bye()
    trainer.ends()


def test_a_task_ends_once(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        task = trainwire.connect()
        task.finish()
        for again in (task.finish, lambda: task.fail("x"), lambda: task.checkpoint("/"), trainwire.connect):
            try:
                again()
            except trainwire.TaskStateError as error:
                print(error.code)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    assert trainer.ends().split() == ["task_ended", "task_ended", "task_ended", "one_task"]
    assert peer.takes_one_task and not peer.closed()


def test_the_next_task_has_to_wait_for_the_with_block(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        tasks = trainwire.tasks()
        with next(tasks):
            try:
                next(tasks)
            except trainwire.TaskStateError as error:
                print(error.code)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert outcome(peer.acked_result()) == "Succeeded"
    assert trainer.ends() == "task_open\n"


def test_a_decorated_function(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        @trainwire.trainer(keep_going=True)
        def fit(task):
            "Trains."
            if task.attempt == 2:
                raise ValueError
            return {"loss": 0.125}

        assert fit.__doc__ == "Trains." and fit.__name__ == "fit"
        fit.serve()
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.deliver(2, attempt=2)
    assert metrics(peer.acked_result()) == {"loss": 0.125}
    assert outcome(peer.acked_result(2)) == "Failed"
    peer.bye()
    trainer.ends()


def test_leaving_the_loop_gives_back_what_was_not_begun(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.tasks() as tasks:
            for task in tasks:
                with task:
                    time.sleep(0.2)
                break
    """)
    peer = orchestrator.accept().welcome()
    peer.socket.sendall(b"".join(deliver(delivery) for delivery in (1, 2, 3)))
    results = [peer.until(wire.RESULT) for _ in range(3)]
    assert [outcome(result) for result in results] == ["Succeeded", "Returned", "Returned"]
    peer.ack(*results)
    peer.until(wire.BYE)
    trainer.ends()


def deliver(delivery: int) -> bytes:
    task = wire.task()
    return wire.message(wire.DELIVER, task, delivery=delivery, attempt=1, taskSize=len(task))


@pytest.mark.parametrize("waits_for", ["next", "finish"])
def test_ctrl_c_interrupts_a_wait(orchestrator: Orchestrator, start: Start, waits_for: str) -> None:
    trainer = start("""
        try:
            for task in trainwire.tasks():
                with task:
                    task.finish()
        except KeyboardInterrupt:
            print("interrupted")
            os._exit(0)
    """)
    peer = orchestrator.accept().welcome()
    if waits_for == "finish":
        peer.deliver(1)
        peer.result()  # and no Ack
    time.sleep(0.3)  # so that it waits
    trainer.send_signal(signal.SIGINT)
    assert trainer.ends() == "interrupted\n"


def test_ctrl_c_while_training(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect():
            print("training", flush=True)
            time.sleep(60)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert trainer.stdout is not None
    trainer.stdout.readline()
    trainer.send_signal(signal.SIGINT)
    result = peer.acked_result()
    assert (outcome(result), text(result.error.type), result.error.fatal) == (
        "Failed",
        "KeyboardInterrupt",
        True,
    )
    trainer.ends(-signal.SIGINT)


def test_a_result_that_fits_no_frame_can_be_given_again(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            try:
                task.finish({f"{n}": "x" * 4000 for n in range(100)})
            except trainwire.TrainwireError as error:
                print(error.code)
            task.finish(n=1)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert metrics(peer.acked_result()) == {"n": 1.0}
    assert trainer.ends() == "message_too_large\n"
