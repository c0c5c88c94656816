"""A metric must never kill hour 70."""

from __future__ import annotations

from typing import Any

import pytest
import wire
from conftest import Start
from orchestrator import Orchestrator, metrics, text

REPORT = """
    import math
    from collections import OrderedDict, UserDict
    from decimal import Decimal
    from fractions import Fraction
    import numpy as np
    with trainwire.connect() as task:
        task.report({call})
"""


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("{'a': 1, 'b': 0.5, 'c': True, 'd': False}", {"a": 1, "b": 0.5, "c": 1, "d": 0}),
        (
            "{'a': np.float32(0.5), 'b': np.int64(3), 'c': np.array(2.5), 'd': np.array([7])}",
            {"a": 0.5, "b": 3, "c": 2.5, "d": 7},
        ),
        ("{'a': Decimal('0.5'), 'b': Fraction(1, 4)}", {"a": 0.5, "b": 0.25}),
        ("{'a': {'b': {'c': 1}}, 'd': OrderedDict(e=2)}, f=UserDict(g=3)", {"a/b/c": 1, "d/e": 2, "f/g": 3}),
        ("{0: 1.0, None: 2.0}", {"0": 1, "None": 2}),
        ("n=float('inf'), m=-math.inf", {"n": float("inf"), "m": float("-inf")}),
        ("{'é': 1}", {"é": 1}),
    ],
)
def test_what_is_a_number(orchestrator: Orchestrator, start: Start, call: str, wanted: Any) -> None:
    trainer = start(REPORT.format(call=call))
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    report = peer.until(wire.REPORT)
    names = [text(name) for name in report.names]
    assert dict(zip(names, report.values, strict=True)) == wanted
    peer.acked_result()
    trainer.ends()
    assert trainer.errors == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("{'a': 'x'}", 'metric "a" is a text'),
        ("{'a': None}", 'metric "a" is a NoneType and not one number'),
        ("{'a': [1, 2]}", 'metric "a" is a list'),
        ("{'a': np.zeros(3)}", 'metric "a" is a ndarray'),
        ("{'a': 10**400}", 'metric "a" is a int'),
        ("[1, 2]", 'metric "metrics" is not a mapping'),
        ("{'a' * 5000: 1}", "more than 4 KiB"),
        ("step='x'", 'metric "step" is not a whole number'),
        ("epoch=object()", 'metric "epoch" is not a number'),
        ("{'a': (lambda d: d.update(d=d) or d)({})}", "nested too deeply"),
        ("{str(n): n for n in range(2000)}", "beyond the 1,024"),
    ],
)
def test_what_is_not_is_left_out_with_one_warning(
    orchestrator: Orchestrator, start: Start, call: str, words: str
) -> None:
    trainer = start(REPORT.format(call=call) + f"        task.report({call})\n        task.report(good=1)\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.until(wire.REPORT, lambda report: b"good" in (report.names or []))
    peer.acked_result()
    trainer.ends()
    warned = trainer.errors.splitlines()
    assert any("RuntimeWarning" in line and words in line for line in warned)
    assert len(warned) <= 2  # the second shows the line


def test_strictness_raises(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start(REPORT.format(call="{'a': 'x'}"), TRAINWIRE_STRICT="1")
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    result = peer.acked_result()
    assert text(result.error.type) == "trainwire.TrainwireError"
    trainer.ends(1)


def test_warnings_as_errors_do_not_kill(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        import warnings
        warnings.simplefilter("error")
        with trainwire.connect() as task:
            task.report(a="x")
            task.finish(b=[1], c="text", d=1)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert metrics(peer.acked_result()) == {"c": "text", "d": 1}
    trainer.ends()


def test_a_mapping_that_raises(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        class Bad:
            def item(self): raise RuntimeError("boom")
            def __float__(self): raise RuntimeError("boom")
        class Changing:
            def __init__(self, d): self.d = d
            def item(self):
                self.d[len(self.d)] = 1
                return 1.0
        with trainwire.connect() as task:
            task.report(bad=Bad())
            row = {}
            row["a"] = Changing(row)
            task.report(row)
            task.finish(ok=1)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    assert metrics(peer.acked_result()) == {"ok": 1}
    trainer.ends()


def test_reports_of_an_ended_task_are_left_out(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        task = trainwire.connect()
        task.finish()
        task.report(n=1)
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    peer.acked_result()
    trainer.ends()
    assert "after the end of its task" in trainer.errors


def test_track_reports_its_share(orchestrator: Orchestrator, start: Start) -> None:
    trainer = start("""
        with trainwire.connect() as task:
            for n in task.track(range(4)):
                time.sleep(0.6)
            assert list(task.track(iter("abc"))) == ["a", "b", "c"]
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1)
    report = peer.until(wire.REPORT)
    assert [text(name) for name in report.names] == ["progress"]
    assert list(report.values) == [0.5]
    peer.acked_result()
    trainer.ends()
