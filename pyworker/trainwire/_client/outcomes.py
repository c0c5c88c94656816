"""What came of a job's tasks, as a table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from trainwire._client import table
from trainwire.errors import TasksFailedError

if TYPE_CHECKING:
    import pandas

__all__ = ["Result", "Results", "results", "rows"]


@dataclass(frozen=True, slots=True)
class Result:
    """One task."""

    task: str
    state: str
    """`waiting` or `running`; in the end `succeeded`, `cancelled`, `stopped`, `pruned` or `dead`."""
    attempts: int
    """Those that reached the trainer's code."""
    params: dict[str, Any] = field(default_factory=dict)
    """Empty also where they are not kept: hyperparameters above 64 KiB, or that are no msgpack map."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """The last value of each that was reported, and above them what the task finished with."""
    error: str | None = None
    """Why it was given up."""
    traceback: str | None = None
    """Of the last attempt's exception."""
    log_tail: str | None = None
    """The last lines its trainer wrote, where it was given up."""
    checkpoint: str | None = None
    """The newest of any attempt."""
    log: str | None = None
    """The file its last trainer wrote to."""
    duration_s: float | None = None
    """Of the last attempt."""


class Results(Sequence[Result]):
    """A job's tasks in the order of their submission, each a `Result`."""

    def __init__(self, job_id: str, found: Sequence[Result]) -> None:
        self.job_id = job_id
        self._rows = list(found)

    @overload
    def __getitem__(self, place: int | str) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> Results: ...
    def __getitem__(self, place: int | str | slice) -> Result | Results:
        """By place, or by the task's id."""
        if isinstance(place, slice):
            return Results(self.job_id, self._rows[place])
        if isinstance(place, int):
            return self._rows[place]
        for row in self._rows:
            if row.task == place:
                return row
        raise KeyError(f"{self.job_id} has no task {place!r}")

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._rows)

    def best(self, metric: str, mode: Literal["min", "max"] = "min") -> Result:
        """The task that succeeded, or was stopped, with the smallest or largest last value of this metric."""
        if mode not in ("min", "max"):
            raise ValueError(f'mode is {mode!r}, and must be "min" or "max"')
        ended = [row for row in self._rows if row.state in ("succeeded", "stopped")]
        valued = [row for row in ended if _is_number(row.metrics.get(metric))]
        if not valued:
            known = sorted({name for row in ended for name in row.metrics})
            there = f"there are {', '.join(known)}" if known else "none has any metric"
            raise ValueError(f"no task that succeeded or was stopped has the metric {metric!r}; {there}")
        pick = min if mode == "min" else max
        return pick(valued, key=lambda row: row.metrics[metric])

    @property
    def failures(self) -> list[Result]:
        """The tasks that were given up."""
        return [row for row in self._rows if row.state == "dead"]

    def raise_for_failures(self) -> None:
        """Raises `TasksFailedError`, which names each task that was given up with its cause, the end of what
        it wrote, and its log.
        """
        if failures := self.failures:
            lines = [f"{len(failures)} of {len(self)} tasks of {self.job_id} failed"]
            for row in failures:
                lines.append(f"  {row.task}: {row.error}")
                last_words = (row.traceback or row.log_tail or "").rstrip().splitlines()
                lines += [f"    | {line}" for line in last_words[-LAST_WORDS_LINES:]]
                lines += [f"    log: {row.log}"] if row.log else []
            raise TasksFailedError("\n".join(lines))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Flat rows with the same keys in all: `params.lr`, `metrics.val/loss`."""
        names = [
            *dict.fromkeys(f"params.{name}" for row in self._rows for name in row.params),
            *dict.fromkeys(f"metrics.{name}" for row in self._rows for name in row.metrics),
        ]
        flat = []
        for row in self._rows:
            values = {f"params.{name}": value for name, value in row.params.items()}
            values |= {f"metrics.{name}": value for name, value in row.metrics.items()}
            flat.append(
                {"task": row.task, "state": row.state, "attempts": row.attempts}
                | {name: values.get(name) for name in names}
                | {"duration_s": row.duration_s, "error": row.error, "log": row.log}
            )
        return flat

    def to_pandas(self) -> pandas.DataFrame:
        """A row a task; columns as in `to_dicts`. Needs pandas."""
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.to_dicts())

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Columns as in `to_dicts`, with a line of their names."""
        flat = self.to_dicts()
        with Path(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, flat[0].keys() if flat else ["task", "state", "attempts"])
            writer.writeheader()
            writer.writerows(flat)

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """Columns as in `to_dicts`. Needs pyarrow."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise ImportError("to_parquet() needs pyarrow: pip install pyarrow") from None
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(self.to_dicts()), path)

    def __repr__(self) -> str:
        return table.text(self.job_id, self._rows)

    def _repr_html_(self) -> str:
        return table.html(self.job_id, self._rows)


def results(job_id: str, answered: Sequence[Mapping[str, Any]]) -> Results:
    """As the daemon and `trainwire results --json` say it."""
    found = [
        Result(
            task=row["task"],
            state=row["state"],
            attempts=row["attempts"],
            params=dict(row.get("params") or {}),
            metrics=dict(row["metrics"]),
            error=row.get("cause"),
            traceback=row.get("traceback"),
            log_tail=row.get("log_tail"),
            checkpoint=row.get("checkpoint"),
            log=row.get("log"),
            duration_s=row["duration_ms"] / 1000 if "duration_ms" in row else None,
        )
        for row in answered
    ]
    return Results(job_id, found)


def rows(path: Path) -> list[dict[str, Any]]:
    """Reported rows; the last line may be half written."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:  # none yet, or a task whose id is no file name
        return []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


# The end of a traceback.
LAST_WORDS_LINES = 5
