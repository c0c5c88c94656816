"""What trainwire raises, and what trainers may raise to say how a task ended.

Every `TrainwireError` has a `code`: a stable snake_case name for programs. The text is for people
and may change.
"""

from __future__ import annotations

__all__ = [
    "ConflictError",
    "ConnectError",
    "DaemonError",
    "Fatal",
    "ForkedError",
    "NoDaemonError",
    "NotOwnerError",
    "ParamsError",
    "ProtocolError",
    "RefusedError",
    "Retry",
    "Stopped",
    "TaskStateError",
    "TasksFailedError",
    "TrainwireError",
]


class TrainwireError(Exception):
    """The root of the errors of this package."""

    code: str = "trainwire_error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ConnectError(TrainwireError):
    """There is no connection to the orchestrator, or it ended for good."""

    code = "connect_failed"


class RefusedError(ConnectError):
    """The orchestrator does not take this trainer; `code` and text are its own."""

    code = "refused"


class ProtocolError(ConnectError):
    """The other end broke the protocol. Nothing more is read from it."""

    code = "protocol_error"


class NotOwnerError(ConnectError):
    """Another process, which handed down its environment, is the trainer."""

    code = "not_owner"


class ParamsError(TrainwireError, ValueError):
    """`hyperparams` are not what was asked for; the text says where."""

    code = "bad_params"


class TaskStateError(TrainwireError):
    """The task has ended already, or was never begun."""

    code = "bad_task_state"


class ForkedError(TaskStateError):
    """A forked child can read the task; reporting and ending it is for the parent."""

    code = "forked"


class DaemonError(TrainwireError):
    """The daemon refused what was asked of it; `code` and text are its own."""

    code = "daemon_refused"


class ConflictError(DaemonError):
    """The id of the job or task is taken by other content: `job_conflict`, `task_conflict`."""

    code = "job_conflict"


class NoDaemonError(DaemonError):
    """No daemon answers, or none could be started."""

    code = "no_daemon"


class TasksFailedError(TrainwireError):
    """Tasks of a job were given up; the text names each with its cause and its log."""

    code = "tasks_failed"


class Retry(Exception):
    """Raise it to end this attempt and ask for another one, `after` seconds or later.

    It counts as a failed attempt. `with task:` swallows it: the trainer goes on to its next task.
    """

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Fatal(Exception):
    """Raise it to fail the task for good, whatever attempts are left."""


class Stopped(BaseException):
    """Raised by `task.raise_if_stopped()`; `with task:` swallows it.

    Not an `Exception`, so that `except Exception` around a training step does not catch it.
    """


# Shown, and pickled, under the name they are imported by.
for _name in __all__:
    globals()[_name].__module__ = "trainwire"
