"""What `run` shows while it waits: lines in a terminal, a table that changes in a notebook."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import TYPE_CHECKING, Any

from trainwire._client.table import brief

if TYPE_CHECKING:
    from trainwire._client.jobs import Event, Job
    from trainwire._client.outcomes import Results

__all__ = ["Board", "Lines", "Notebook", "watcher"]


def watcher(show: bool | None) -> Lines | Notebook | None:
    """What was asked for; unless asked, only in a notebook."""
    notebook = _in_notebook()
    if show is False or (show is None and not notebook):
        return None
    return Notebook() if notebook else Lines()


class Board:
    """How the tasks stand, by the events so far."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.epochs: dict[str, float] = {}
        self.max_epochs: dict[str, int] = {}
        self.metrics: dict[str, dict[str, Any]] = {}
        self.causes: dict[str, str] = {}

    def apply(self, event: Event) -> None:
        task = event.get("task")
        if task is None:
            return
        match event["event"]:
            case "task_submitted":
                self.states[task] = "waiting"
                self.max_epochs[task] = event["max_epochs"]
            case "started":
                self.states[task] = "running"
                self.attempts[task] = event["attempt"]
            case "stopping":
                self.states[task] = "stopping"
            case "requeued":
                self.states[task] = "waiting"
            case "progress":
                for row in event["rows"]:
                    self.metrics.setdefault(task, {}).update(row["metrics"])
                    if row.get("epoch") is not None:
                        self.epochs[task] = row["epoch"]
            case "ended":
                self.states[task] = event["state"]
                self.metrics.setdefault(task, {}).update(event.get("metrics") or {})
                if "cause" in event:
                    self.causes[task] = event["cause"].partition("\n")[0]

    def line(self, task: str) -> str:
        """E.g. `lr=0.1  succeeded  val/loss=0.03`."""
        metrics = "  ".join(f"{name}={brief(value)}" for name, value in self.metrics.get(task, {}).items())
        said = [task, self.states[task], self.causes.get(task, ""), metrics]
        return "  ".join(part for part in said if part)

    def html(self) -> str:
        """A table of what runs and what has ended; those that wait are counted."""
        shown = [task for task, state in self.states.items() if state != "waiting"]
        waiting = len(self.states) - len(shown)
        names = list(dict.fromkeys(name for task in shown for name in self.metrics.get(task, {})))[
            :COLUMNS_MAX
        ]
        head = "".join(f"<th>{escape(name)}</th>" for name in ["task", "state", "progress", *names])
        body = "".join(self._row(task, names) for task in shown[-ROWS_MAX:])
        counted = f"{len(self.states)} tasks, {waiting} waiting"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{counted}</p>"

    def _row(self, task: str, names: list[str]) -> str:
        state = self.states[task]
        if state == "running" and task in self.epochs:
            done, of = self.epochs[task] + 1, max(self.max_epochs.get(task, 1), 1)
            progress = f'<progress max="{of}" value="{brief(min(done, of))}"></progress>'
        else:
            progress = escape(self.causes.get(task, ""))
        cells = [escape(task), escape(state), progress]
        cells += [escape(brief(self.metrics.get(task, {}).get(name))) for name in names]
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


class Lines:
    """A line for each attempt that ends."""

    def watch(self, job: Job) -> None:
        board = Board()
        for event in job.events():
            board.apply(event)
            if event["event"] == "ended":
                print(board.line(event["task"]), file=sys.stderr, flush=True)

    def close(self, results: Results) -> None:
        """The lines say it all."""


class Notebook:
    """A table in the cell's output, drawn again when something has changed."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._handle = display(HTML(""), display_id=True)

    def watch(self, job: Job) -> None:
        board = Board()
        drawn_at = 0.0
        for event in job.events():
            board.apply(event)
            if event["event"] == "ended" or time.monotonic() - drawn_at >= REDRAW_S:
                drawn_at = time.monotonic()
                self._handle.update(self._html(board.html()))

    def close(self, results: Results) -> None:
        """What `run` returned stands below the cell, so the table is not needed twice."""
        self._handle.update(self._html(f"<p>{escape(results.job_id)}: {len(results)} tasks, all over</p>"))


def _in_notebook() -> bool:
    """Whether a kernel runs this, which can show HTML and change it later; IPython in a terminal cannot."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


# Quick enough to seem live.
REDRAW_S = 0.2

ROWS_MAX = 60
COLUMNS_MAX = 12
