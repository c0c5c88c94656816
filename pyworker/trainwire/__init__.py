"""trainwire: training tasks from a Rust orchestrator, read in place.

    for task in trainwire.tasks(params={"lr": 0.1}):
        with task:
            for epoch in task.epochs():
                loss = train_one_epoch(task.params["lr"])
                task.report({"val/loss": loss}, epoch=epoch)
            task.finish(loss=loss)

Started by an orchestrator, the loop works off the job's tasks. Started by hand, it runs once with
the defaults given here.

    results = trainwire.sweep("train.py", grid={"lr": [0.1, 0.01]}, trainers=2)
    print(results.best("val/loss").params)

From anywhere else, `submit`, `run` and `sweep` hand such a script its tasks.
"""

from trainwire._core import (
    Buffer,
    Checkpoint,
    StopRequest,
    Task,
    Tasks,
    __version__,
    connect,
    current,
    tasks,
)
from trainwire._trainer import Trainer, trainer
from trainwire.errors import (
    ConflictError,
    ConnectError,
    DaemonError,
    Fatal,
    ForkedError,
    NoDaemonError,
    NotOwnerError,
    ParamsError,
    ProtocolError,
    RefusedError,
    Retry,
    Stopped,
    TasksFailedError,
    TaskStateError,
    TrainwireError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trainwire._client.jobs import Job
    from trainwire._client.outcomes import Result, Results
    from trainwire._client.submitting import job, results, run, submit, sweep

__all__ = [
    "Buffer",
    "Checkpoint",
    "ConflictError",
    "ConnectError",
    "DaemonError",
    "Fatal",
    "ForkedError",
    "Job",
    "NoDaemonError",
    "NotOwnerError",
    "ParamsError",
    "ProtocolError",
    "RefusedError",
    "Result",
    "Results",
    "Retry",
    "StopRequest",
    "Stopped",
    "Task",
    "TaskStateError",
    "Tasks",
    "TasksFailedError",
    "Trainer",
    "TrainwireError",
    "__version__",
    "connect",
    "current",
    "job",
    "results",
    "run",
    "submit",
    "sweep",
    "tasks",
    "trainer",
]

# Imported when first used: a trainer needs none of them, and its start is most of a short task.
_LATER = {
    "Job": "jobs",
    "Result": "outcomes",
    "Results": "outcomes",
    "job": "submitting",
    "results": "submitting",
    "run": "submitting",
    "submit": "submitting",
    "sweep": "submitting",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'trainwire' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"trainwire._client.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
