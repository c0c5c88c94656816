"""Tests of one's own trainer, against a real orchestrator: a pytest plugin that comes with the package.

    def test_resumes(trainwire_orchestrator):
        run = trainwire_orchestrator.run("train.py", params={"lr": 0.1}, max_epochs=5, kill_at_epoch=2)
        assert run.state == "succeeded" and run.attempts == 2
        assert run.epochs == [0, 1, 2, 3, 4]

One `trainwire serve` in a folder of its own serves a session; it and all it started are gone at the end. What
a failed test's trainers wrote is in pytest's report.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

try:
    import pytest
except ImportError as error:
    raise ImportError("trainwire.testing is a plugin of pytest: pip install pytest") from error

if TYPE_CHECKING:
    from trainwire._testing.orchestrator import Orchestrator, Run

__all__ = ["Orchestrator", "Run", "trainwire_orchestrator"]


def __getattr__(name: str) -> object:
    # Pytest imports this module wherever trainwire is installed, also for tests of something else.
    if name not in ("Orchestrator", "Run"):
        raise AttributeError(f"module 'trainwire.testing' has no attribute {name!r}")
    from trainwire._testing import orchestrator

    return getattr(orchestrator, name)


@pytest.fixture
def trainwire_orchestrator(_trainwire_session: Orchestrator) -> Iterator[Orchestrator]:
    """A real orchestrator, to run a trainer under: `run`, `submit`, `starved`."""
    _trainwire_session.begin()
    yield _trainwire_session
    _trainwire_session.end()


@pytest.fixture(scope="session")
def _trainwire_session() -> Iterator[Orchestrator]:
    from trainwire._testing.orchestrator import Orchestrator

    with Orchestrator() as orchestrator:
        yield orchestrator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what the trainers wrote."""
    report = yield
    orchestrator = getattr(item, "funcargs", {}).get("trainwire_orchestrator")
    if orchestrator is not None and report.failed and report.when == "call":
        report.sections.extend(orchestrator.evidence())
    return report
