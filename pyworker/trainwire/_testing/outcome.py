"""What a run under test has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwire._client.jobs import Event, Job
    from trainwire._testing.orchestrator import Orchestrator

__all__ = ["Run"]


class Run:
    """One task, from its submission to its end."""

    def __init__(self, orchestrator: Orchestrator, job: Job, events: list[Event]) -> None:
        self._orchestrator = orchestrator
        self.job = job
        self.events = events
        """All of them; orchestrator/cli/events.md says what they hold."""
        [result] = job.results()
        self.state: str = result.state
        """`succeeded`, `stopped`, `cancelled` or `dead`."""
        self.attempts: int = result.attempts
        """Those that reached the trainer's code."""
        self.error: str | None = result.error
        """Why it was given up."""
        self.metrics: list[dict[str, Any]] = job.metrics()
        """The rows that were reported, of all attempts: `attempt`, `epoch`, `step`, `metrics`."""
        self.log: str = job.logs()
        """What the trainers wrote."""

    @property
    def epochs(self) -> list[int]:
        """The epochs that were reported, each once, in the order in which they first were."""
        return list(
            dict.fromkeys(_whole(row["epoch"]) for row in self.metrics if row.get("epoch") is not None)
        )

    def epochs_of(self, attempt: int) -> list[int]:
        """The epochs that an attempt reported."""
        rows = [row for row in self.metrics if row["attempt"] == attempt]
        return [_whole(row["epoch"]) for row in rows if row.get("epoch") is not None]

    @property
    def endings(self) -> list[str]:
        """How each attempt ended, e.g. `["crashed", "succeeded"]`."""
        return [event["ending"] for event in self.events if event["event"] == "ended"]

    @property
    def result(self) -> dict[str, Any]:
        """What the last attempt finished with."""
        ended = [event for event in self.events if event["event"] == "ended"]
        return dict(ended[-1].get("metrics") or {}) if ended else {}

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        """In the order in which they were announced: `path`, `epoch`, `step`, `metrics`, `attempt`."""
        keys = ("path", "epoch", "step", "metrics", "attempt")
        announced = [event for event in self.events if event["event"] == "checkpoint"]
        return [{key: event.get(key) for key in keys} for event in announced]

    @property
    def traceback(self) -> str | None:
        """Of the newest exception an attempt ended with."""
        errors = [event.get("error") or {} for event in self.events if event["event"] == "ended"]
        return next((error["traceback"] for error in reversed(errors) if "traceback" in error), None)

    def retry(self, **limits: Any) -> Run:
        """Tries the task again that was stopped or given up, from its newest checkpoint, to its end.

        What it gives has the rows, events and output of all attempts.
        """
        return self._orchestrator.retry(self, **limits)

    def summary(self) -> str:
        """E.g. `train-20261123-204710-3f9a: dead after 1 attempt`."""
        said = f"{self.job.job_id}: {self.state}, attempts: {self.attempts}"
        return f"{said}, {self.error}" if self.error else said

    def __repr__(self) -> str:
        return f"<trainwire.testing.Run {self.summary()}, epochs: {self.epochs}>"


def _whole(epoch: float) -> Any:
    return int(epoch) if float(epoch).is_integer() else epoch
