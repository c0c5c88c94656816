"""Results as people look at them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwire._client.outcomes import Result

__all__ = ["brief", "html", "text"]


def text(job_id: str, rows: Sequence[Result]) -> str:
    """For a terminal."""
    names, cells = _cells(rows)
    widths = [max(len(line[place]) for line in [names, *cells]) for place in range(len(names))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in [names, *cells]
    ]
    shown = [line.rstrip() for line in lines[: ROWS_MAX + 1]]
    more = [f"… {len(cells) - ROWS_MAX} more"] if len(cells) > ROWS_MAX else []
    return "\n".join([*shown, *more, summary(job_id, rows)])


def html(job_id: str, rows: Sequence[Result]) -> str:
    """For a notebook."""
    names, cells = _cells(rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in cells[:ROWS_MAX]
    )
    below = escape(summary(job_id, rows))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{below}</p>"


def summary(job_id: str, rows: Sequence[Result]) -> str:
    """E.g. `digits: 3 succeeded, 1 dead`."""
    states = [row.state for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{job_id}: {counts or 'no tasks'}"


def brief(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cells(rows: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """The last column is the first line of the error, where there is any. Parameters that are the same in all
    tasks are left out.
    """
    said = dict.fromkeys(name for row in rows for name in row.params)
    params = [name for name in said if _differs(name, rows)][:COLUMNS_MAX]
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))[:COLUMNS_MAX]
    failed = any(row.error for row in rows)
    names = ["task", "state", "attempts", *params, *metrics, *(["error"] if failed else [])]
    cells = []
    for row in rows:
        line = [row.task, row.state, str(row.attempts), *(brief(row.params.get(name)) for name in params)]
        line += [brief(row.metrics.get(name)) for name in metrics]
        cells.append(line + ([(row.error or "").partition("\n")[0]] if failed else []))
    return names, cells


def _differs(name: str, rows: Sequence[Result]) -> bool:
    first = rows[0].params.get(name)
    return len(rows) == 1 or any(row.params.get(name) != first for row in rows)


# As many as a screen holds; `to_dicts` has all.
ROWS_MAX = 60
COLUMNS_MAX = 12
