from collections.abc import Callable, Mapping
from typing import Any, overload

from trainwire._core import Task

_Fit = Callable[[Task], Mapping[str, Any] | None]

class Trainer:
    """A function that trains one task. Calling it calls the function."""

    fit: _Fit
    keep_going: bool
    def __init__(self, fit: _Fit, *, keep_going: bool = False) -> None: ...
    def __call__(self, task: Task) -> Mapping[str, Any] | None: ...
    def serve(self, *, params: dict[str, Any] | None = None, max_epochs: int | None = None) -> None:
        """Works off the job's tasks; offline one task with these defaults.

        What the function returns is the task's result, unless it has called `task.finish()`.
        """

@overload
def trainer(fn: _Fit, /, *, keep_going: bool = False) -> Trainer: ...
@overload
def trainer(fn: None = None, /, *, keep_going: bool = False) -> Callable[[_Fit], Trainer]: ...
