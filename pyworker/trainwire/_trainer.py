"""The decorator `trainwire.trainer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, overload

from trainwire._core import Task, tasks

Fit = Callable[[Task], Mapping[str, Any] | None]


class Trainer:
    """A function that trains one task. Calling it calls the function."""

    def __init__(self, fit: Fit, *, keep_going: bool = False) -> None:
        self.fit = fit
        self.keep_going = keep_going
        update_wrapper(self, fit)

    def __call__(self, task: Task) -> Mapping[str, Any] | None:
        return self.fit(task)

    def serve(self, *, params: dict[str, Any] | None = None, max_epochs: int | None = None) -> None:
        """Works off the job's tasks; offline one task with these defaults.

        What the function returns is the task's result, unless it has called `task.finish()`.
        """
        with tasks(params=params, max_epochs=max_epochs, keep_going=self.keep_going) as work:
            for task in work:
                with task:
                    result = self.fit(task)
                    if not task.ended:
                        task.finish(result)


@overload
def trainer(fn: Fit, /, *, keep_going: bool = False) -> Trainer: ...
@overload
def trainer(fn: None = None, /, *, keep_going: bool = False) -> Callable[[Fit], Trainer]: ...
def trainer(fn: Fit | None = None, /, *, keep_going: bool = False) -> Trainer | Callable[[Fit], Trainer]:
    """Makes a `Trainer` of a function: `@trainer` or `@trainer(keep_going=True)`.

    `keep_going`: after a task that raised an `Exception`, go on with the next one.
    """
    if fn is None:
        return lambda fn: Trainer(fn, keep_going=keep_going)
    return Trainer(fn, keep_going=keep_going)
