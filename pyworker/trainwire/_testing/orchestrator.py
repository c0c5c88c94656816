"""An orchestrator for tests: a real one, that does to a trainer what a bad day does."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwire._client import submitting
from trainwire._client.embedded import Server
from trainwire._client.jobs import Event, Job
from trainwire._client.request import Command, stem_of, words_of
from trainwire._testing.outcome import Run

if TYPE_CHECKING:
    from typing import Unpack

    from trainwire._client.request import Limits

    class Said(Limits, total=False):
        """What `submit` takes besides."""

        job_id: str | None
        trainers: int
        model_name: str | None
        script: bool | None
        environment: Mapping[str, str] | None
        working_dir: str | os.PathLike[str] | None


__all__ = ["Orchestrator", "Run"]


class Orchestrator:
    """A `trainwire serve` of this session's own."""

    def __init__(self) -> None:
        # Not below pytest's folder: with the longest job id a socket's name has all the bytes it may have.
        self.folder = Path(tempfile.mkdtemp(prefix="tw-", dir="/tmp"))
        self._server = Server(self.folder / "state", "--stop-trainers", "--socket-dir", str(self.folder))
        self._jobs: list[Job] = []
        self._runs: list[Run] = []

    def run(
        self,
        trainer: Command,
        *,
        params: Mapping[str, Any] | None = None,
        max_epochs: int | None = None,
        stop_at_epoch: float | None = None,
        kill_at_epoch: float | None = None,
        starve_at_epoch: float | None = None,
        starve_s: float = 1.0,
        timeout_s: float = 100.0,
        **said: Unpack[Said],
    ) -> Run:
        """Trains one task to its end, and does to it what was asked for when the row of that epoch is there.

        Args:
            trainer: A script or command, as for `trainwire.submit`; or a function at the top of its file,
                which works off `trainwire.tasks()` itself, or is called with the task. It runs in a process
                of its own.
            params: The task's.
            max_epochs: The task's; 10 unless set.
            stop_at_epoch: Asks the trainer to stop, as `trainwire stop` does.
            kill_at_epoch: Kills the process that trains with SIGKILL. The task is tried again as often as
                `max_losses` says (3).
            starve_at_epoch: Suspends the orchestrator for `starve_s` seconds: nothing is read or
                acknowledged, and nothing is lost. Training goes on meanwhile.
            starve_s: For how long.
            timeout_s: When a trainer that goes on and on is killed, and the test fails.
            said: What else `trainwire.submit` takes, e.g. `max_failures=2`. Retries wait 10 ms unless
                `backoff_min` says otherwise.

        Raises:
            AssertionError: The task took too long, or ended without having reported the epoch.
        """
        wanted = {"stop": stop_at_epoch, "kill": kill_at_epoch, "starve": starve_at_epoch}
        actions = {float(epoch): what for what, epoch in wanted.items() if epoch is not None}
        if len(actions) < sum(epoch is not None for epoch in wanted.values()):
            raise ValueError("two things cannot happen at one epoch")
        environment = dict(said.pop("environment", None) or {})
        releases = Path(tempfile.mkdtemp(prefix="hold-", dir=self.folder))
        environment |= _held(releases, actions, words_of(trainer)[1] | environment)
        limits: dict[str, Any] = {"backoff_min": 0.01, "backoff_max": 60, **said}
        job = self.submit(
            trainer, params=params, max_epochs=max_epochs, environment=environment, open=True, **limits
        )
        events = job.events()
        first = next(events)
        # Only now, so that no row comes before somebody listens.
        job.add([{"task_id": stem_of(trainer)}])
        job.close()
        return self._follow(job, chain([first], events), actions, releases, starve_s, timeout_s)

    def submit(self, command: Command, **said: Any) -> Job:
        """As `trainwire.submit`. What is left of it when the test ends is killed."""
        job = submitting.submit(command, daemon=self._server.control.state_dir, **said)
        self._jobs.append(job)
        return job

    @contextmanager
    def starved(self) -> Iterator[None]:
        """Within it the orchestrator is suspended: nothing is read or acknowledged."""
        os.kill(self._server.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._server.process.pid, signal.SIGCONT)

    def retry(self, run: Run, *, timeout_s: float = 100.0, **limits: Any) -> Run:
        """See `Run.retry`."""
        limits = {"backoff_min": 0.01, **limits}
        assert run.job.retry(**limits) == 1, (
            f"the task is {run.state}; what was stopped or is dead can be retried"
        )
        return self._follow(run.job, run.job.events(), {}, self.folder, 0, timeout_s)

    def begin(self) -> None:
        """A test begins."""
        self._jobs, self._runs = [], []

    def end(self) -> None:
        """A test is over, and so is all that it started."""
        for job in self._jobs:
            if not job.show()["ended"]:
                job.stop(kill=True)

    def evidence(self) -> list[tuple[str, str]]:
        """For the report of a test that failed."""
        return [(f"trainwire: {run.summary()}", run.log) for run in self._runs]

    def _follow(
        self,
        job: Job,
        coming: Iterable[Event],
        actions: dict[float, str],
        releases: Path,
        starve_s: float,
        timeout_s: float,
    ) -> Run:
        events: list[Event] = []
        left = dict(actions)
        late = threading.Event()

        def kill_it() -> None:
            late.set()
            job.stop(kill=True, wait=False)

        guard = threading.Timer(timeout_s, kill_it)
        guard.start()
        try:
            for event in coming:
                events.append(event)
                for epoch in [row.get("epoch") for row in event.get("rows", [])]:
                    if what := left.pop(epoch, None):
                        self._do(what, job, events, releases / f"{epoch:g}", starve_s)
        finally:
            guard.cancel()
        run = Run(self, job, events)
        self._runs.append(run)
        assert not late.is_set(), f"the trainer was still at it after {timeout_s} s\n{run.log}"
        for epoch, what in left.items():
            raise AssertionError(
                f"nothing to {what}: the task ended ({run.state}) without a report of epoch {epoch:g}; "
                f"it reported {run.epochs}. The trainer says it with task.report(…, epoch=epoch)\n{run.log}"
            )
        return run

    def _do(self, what: str, job: Job, events: list[Event], release: Path, starve_s: float) -> None:
        match what:
            case "stop":
                job.stop(wait=False)
            case "kill":
                trains = next(event for event in reversed(events) if event["event"] == "trainer_connected")
                os.kill(trains["pid"], signal.SIGKILL)
            case "starve":
                with self.starved():
                    release.touch()
                    time.sleep(starve_s)
        release.touch()

    def __enter__(self) -> Orchestrator:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _held(releases: Path, actions: dict[float, str], environment: Mapping[str, str]) -> dict[str, str]:
    """See hold/sitecustomize.py."""
    if not actions:
        return {}
    path = environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return {
        "TRAINWIRE_HOLD_FOLDER": str(releases),
        "TRAINWIRE_HOLD_EPOCHS": ",".join(f"{epoch:g}" for epoch in actions),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "hold"), *([path] if path else [])]),
    }
