"""A job that was submitted: following it, changing it, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwire._client import outcomes
from trainwire._client.control import Control, encoded
from trainwire._client.outcomes import Results
from trainwire._client.request import Common, Limits, TaskSpec, limits_of, task_requests
from trainwire.errors import NoDaemonError

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Event", "Job"]

Event = dict[str, Any]
"""One of orchestrator/cli/events.md: `event` says which, `task` and `attempt` what of, `at` when."""


class Job:
    """A job of the daemon, or of this process's own one.

    `async for event in job` and `for event in job.events()` follow it to its end.
    """

    def __init__(self, control: Control, job_id: str, common: Common) -> None:
        self.job_id = job_id
        self._common = common
        self._control = control
        self._path = f"/v1/jobs/{encoded(job_id)}"

    def events(self, since: int = 0) -> Iterator[Event]:
        """What happened and what happens, until the job has ended.

        `since`: those after this `seq`. Rows of metrics (`progress`) are those reported from now on;
        `metrics()` has the earlier ones. Where the daemon is started again meanwhile, the iteration goes on.
        """
        while True:
            try:
                for line in self._control.lines(f"{self._path}/events", since=since):
                    if not line.endswith(b"\n"):
                        break
                    event: Event = json.loads(line)
                    since = event["seq"]
                    yield event
            except (NoDaemonError, ConnectionError):
                pass  # found again below, or not
            if self._ended():
                return

    async def aevents(self, since: int = 0) -> AsyncIterator[Event]:
        """As `events`. Leaving the loop, or cancelling its task, closes the connection.

        Where the daemon is gone it raises `NoDaemonError`: call it again with the last `seq`.
        """
        import asyncio

        over = False
        async for line in self._control.alines(f"{self._path}/events", since=since):
            event: Event = json.loads(line)
            over = event["event"] == "job_ended"
            yield event
        if not over and not await asyncio.to_thread(self._ended):
            raise NoDaemonError(f"the daemon ended while {self.job_id} went on", code="no_answer")

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.aevents()

    def wait(self, task: str | None = None, *, timeout: float | None = None) -> None:
        """Returns when the job, or one task, has ended; raises `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = POLL_S if deadline is None else min(deadline - time.monotonic(), POLL_S)
            asked = {"task": task, "timeout_ms": max(int(left * 1000), 1)}
            if self._control.get_patiently(f"{self._path}/wait", **asked)["ended"]:
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{task or self.job_id} goes on after {timeout} s")

    def stop(
        self,
        task: str | None = None,
        *,
        cancel: bool = False,
        kill: bool = False,
        prune: bool = False,
        wait: bool = True,
    ) -> None:
        """Asks the trainers to save a checkpoint and end, and returns when they have.

        One `task`, or the whole job. `cancel`: the work is not wanted any more. `prune`, of one task: it is
        not promising, which is no failure, and not tried again. `kill`: SIGKILL at once, for the whole job
        only. `wait=False` returns when the daemon has heard it.
        """
        said = {"task": task, "cancel": cancel, "kill": kill, "prune": prune}
        self._control.post(f"{self._path}/stop", {name: value for name, value in said.items() if value})
        if wait:
            self.wait(task)

    def retry(self, *tasks: str, **limits: Unpack[Limits]) -> int:
        """Tries tasks again that are dead or stopped, from their newest checkpoint: these, or all of them.

        Limits, e.g. `max_failures=3`, hold for the whole job from now on. Returns how many wait again.
        """
        said = {"tasks": list(tasks), "limits": limits_of(limits)}
        answer = self._control.post(f"{self._path}/retry", said)
        return int(answer["requeued"])

    def add(self, tasks: Iterable[TaskSpec]) -> None:
        """More tasks for a job submitted with `open=True`, on top of the `params`, `max_epochs` and
        `model_name` said there. The same ones again change nothing.
        """
        requests = task_requests(self._common, [], tasks)
        self._control.post(f"{self._path}/tasks", {"tasks": requests})

    def close(self) -> None:
        """No more tasks for an open job: it ends when those it has have ended."""
        self._control.post(f"{self._path}/close", {})

    def show(self) -> dict[str, Any]:
        """How it stands: counts of its tasks by state, its trainers, what it waits for."""
        return dict(self._control.get(self._path))

    def tasks(self) -> list[dict[str, Any]]:
        """How each task stands, in the order of submission."""
        return self._pages("tasks")

    def logs(self, task: str | None = None, *, attempt: int | None = None) -> str:
        """What the task's trainers wrote so far. `task` need not be said where there is only one."""
        return b"".join(self._log(task, attempt=attempt)).decode(errors="replace")

    def follow_log(self, task: str | None = None) -> Iterator[str]:
        """The lines the task's trainers write, until the task has ended, across its attempts."""
        return (line.decode(errors="replace") for line in self._log(task, follow=True))

    def metrics(self, task: str | None = None) -> list[dict[str, Any]]:
        """All rows the task reported so far, of all attempts: `attempt`, `epoch`, `step`, `metrics`."""
        return outcomes.rows(self._metrics_file(self._only(task)))

    def results(self) -> Results:
        """One row a task, however far it has come."""
        return outcomes.results(self.job_id, self._pages("results"))

    def _pages(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self._control.get(f"{self._path}/{what}", **{"from": len(found)}):
            found.extend(page)
        return found

    def _log(self, task: str | None, **query: Any) -> Iterator[bytes]:
        return self._control.lines(f"{self._path}/tasks/{encoded(self._only(task))}/log", **query)

    def _metrics_file(self, task: str) -> Path:
        """See docs/journal.md."""
        return self._control.state_dir / "jobs" / self.job_id / "metrics" / f"{task}.jsonl"

    def _only(self, task: str | None) -> str:
        if task is not None:
            return task
        names = [found["task"] for found in self._control.get(f"{self._path}/tasks", limit=20)]
        if len(names) != 1:
            raise ValueError(f"{self.job_id} has several tasks; name one of them: {', '.join(names)}")
        return str(names[0])

    def _ended(self) -> bool:
        """Whether it has, when its events have come to an end."""
        return bool(self._control.get_patiently(self._path)["ended"])

    def __repr__(self) -> str:
        return f"<trainwire.Job {self.job_id}>"

    def _repr_html_(self) -> str:
        return self.results()._repr_html_()


# Of one long poll; the daemon allows twice as much.
POLL_S = 30.0
