"""A report puts a row into the outbox and returns."""

from __future__ import annotations

from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, Peer, text


def rows(report: Any) -> list[dict[str, Any]]:
    """A report's rows as dicts."""
    names = [text(name) for name in (report.names if report.names is not None else [])]
    found = []
    for row in range(len(report.timesUs) if report.timesUs is not None else 0):
        values = report.values[row * len(names) : (row + 1) * len(names)]
        found.append(dict(zip(names, (float(value) for value in values), strict=True)))
        for name, column in (("step", report.steps), ("epoch", report.epochs)):
            if column is not None and len(column):
                found[-1][name] = column[row]
    return found


def until_result(peer: Peer) -> tuple[list[Any], Any]:
    """All reports before the first result, and that."""
    reports = []
    while True:
        kind, message = peer.next()
        if kind == wire.REPORT:
            reports.append(message)
        elif kind == wire.RESULT:
            return reports, message


def test_a_peer_that_does_not_read_holds_nothing_up(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for step in range(200_000):
                task.report(step=step, loss=step / 2)
            print("reported", flush=True)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "reported\n"
    reports, result = until_result(peer)
    peer.ack(result)
    trainer.ends()
    received = [row for report in reports for row in rows(report)]
    thinned = sum(report.thinned for report in reports)
    assert 0 < thinned == 200_000 - len(received)
    steps = [row["step"] for row in received]
    assert (steps[0], steps[-1]) == (0, 199_999)
    assert steps == sorted(steps)
    assert all(row["loss"] == row["step"] / 2 for row in received)


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ("task.checkpoint('model')", wire.CHECKPOINT),
        ("task.finish()", wire.RESULT),
        ("task.fail('no')", wire.RESULT),
    ],
    ids=["checkpoint", "finish", "fail"],
)
def test_what_was_reported_before_goes_first(
    orchestrator: Orchestrator, start: Start, then: str, kind: int
) -> None:
    trainer = start(f"""
        open("model", "w").close()
        with trainwire.connect() as task:
            for step in range(100):
                task.report(step=step)
            {then}
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    steps: list[int] = []
    while (got := peer.next())[0] != kind:
        if got[0] == wire.REPORT:
            steps += got[1].steps.tolist()
    assert steps == list(range(100))
    peer.ack(got[1])
    if kind == wire.CHECKPOINT:
        peer.acked_result()
    trainer.ends()


def test_rows_close_together_share_frames(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for step in range(600):
                task.report(step=step, loss=0.5)
                time.sleep(0.001)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    trainer.ends()
    times = [time for report in reports for time in report.timesUs]
    assert len(times) == 600
    # The first at once, the last with the result, and one every 100 ms between them.
    assert len(reports) <= (times[-1] - times[0]) / 100_000 + 3
    assert len(reports[0].timesUs) == 1


def test_reporting_on_allocates_no_object(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        def report(task, count):
            for step in range(count):
                task.report(step=step, loss=0.5, a=1.0, b=2.0, c=3.0)
                task.report({"loss": 0.5, "a": 1.0}, epoch=0.5)
        with trainwire.connect() as task:
            report(task, 1_000)
            before = sys.getallocatedblocks()
            report(task, 20_000)
            print(sys.getallocatedblocks() - before)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    _, result = until_result(peer)
    peer.ack(result)
    assert int(trainer.ends()) < 100


FORMS = """
import numpy as np
from decimal import Decimal
class Text(str): pass
with trainwire.connect() as task:
    name = "".join(["na", "me"])
    for n in range(4):
        task.report({call})
"""


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("step=n, a=n, b=0.5", [{"step": n, "a": n, "b": 0.5} for n in range(4)]),
        (
            "a=n, step=n, b=0.5, epoch=n / 2, c=True",
            [{"step": n, "epoch": n / 2, "a": n, "b": 0.5, "c": 1} for n in range(4)],
        ),
        ("{'a': n, 'b': 0.5}, step=n", [{"step": n, "a": n, "b": 0.5} for n in range(4)]),
        ("{'a': n}, b=0.5", [{"a": n, "b": 0.5} for n in range(4)]),
        ("**{name: n, 'b': 0.5}", [{"name": n, "b": 0.5} for n in range(4)]),
        ("**{Text('a'): n}", [{"a": n} for n in range(4)]),
        ("{name + str(n): n}", [{f"name{n}": n} for n in range(4)]),
        (
            "a=np.float32(n), b=np.float64(0.5), step=np.int64(n)",
            [{"step": n, "a": n, "b": 0.5} for n in range(4)],
        ),
        ("a=np.array(n), b=Decimal('0.5')", [{"a": n, "b": 0.5} for n in range(4)]),
        ("a=n, step=2**53 + n", [{"step": 2**53 + n, "a": n} for n in range(4)]),
        ("a=2**70, step=float(n)", [{"step": n, "a": float(2**70)} for n in range(4)]),
        ("a=n, step=None, epoch=None", [{"a": n} for n in range(4)]),
        ("{'a': {'b': n}}", [{"a/b": n} for n in range(4)]),
        ("**({'a': n} if n % 2 else {'b': n})", [{"a": 1}, {"a": 3}, {"b": 0}, {"b": 2}]),
        ("step=n", [{"step": n} for n in range(4)]),
        ("", [{}] * 4),
        ("**{f'm{k}': n + k for k in range(100)}", [{f"m{k}": n + k for k in range(100)} for n in range(4)]),
    ],
)
def test_whatever_a_call_looks_like(
    orchestrator: Orchestrator, start: Start, call: str, wanted: list[dict[str, Any]]
) -> None:
    trainer = start(FORMS.format(call=call))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    trainer.ends()
    received = [row for report in reports for row in rows(report)]
    assert sorted(received, key=str) == sorted(wanted, key=str)


def test_a_metric_called_step_is_a_metric(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for n in range(3):
                task.report({"step": n + 0.5}, step=n)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    trainer.ends()
    assert [step for report in reports for step in report.steps] == [0, 1, 2]
    assert [value for report in reports for value in report.values] == [0.5, 1.5, 2.5]


def test_two_positional_arguments_are_too_many(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import inspect
        with trainwire.connect() as task:
            try:
                task.report({}, {})
            except TypeError as error:
                print(error)
            print(inspect.signature(trainwire.Task.report))
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    _, result = until_result(peer)
    peer.ack(result)
    out = trainer.ends().splitlines()
    assert "at most 1 positional argument" in out[0]
    assert out[1] == "(self, metrics=None, /, *, step=None, epoch=None, **kw)"


def test_threads_report_at_once(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import threading
        with trainwire.connect() as task:
            def report(thread):
                for step in range(2_000):
                    task.report(step=step, thread=thread)
            threads = [threading.Thread(target=report, args=(n,)) for n in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    reports, result = until_result(peer)
    peer.ack(result)
    trainer.ends()
    received = [row for report in reports for row in rows(report)]
    assert len(received) + sum(report.thinned for report in reports) == 8_000
    for thread in range(4):
        steps = [row["step"] for row in received if row["thread"] == thread]
        assert steps == sorted(steps)
