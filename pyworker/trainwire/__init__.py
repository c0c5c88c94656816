"""trainwire: training tasks from a Rust orchestrator, read in place.

    for task in trainwire.tasks(params={"lr": 0.1}):
        with task:
            for epoch in task.epochs():
                loss = train_one_epoch(task.params["lr"])
                task.report({"val/loss": loss}, epoch=epoch)
            task.finish(loss=loss)

Started by an orchestrator, the loop works off the job's tasks. Started by hand, it runs once with
the defaults given here.
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
    ConnectError,
    Fatal,
    ForkedError,
    NotOwnerError,
    ParamsError,
    ProtocolError,
    RefusedError,
    Retry,
    Stopped,
    TaskStateError,
    TrainwireError,
)

__all__ = [
    "Buffer",
    "Checkpoint",
    "ConnectError",
    "Fatal",
    "ForkedError",
    "NotOwnerError",
    "ParamsError",
    "ProtocolError",
    "RefusedError",
    "Retry",
    "StopRequest",
    "Stopped",
    "Task",
    "TaskStateError",
    "Tasks",
    "Trainer",
    "TrainwireError",
    "__version__",
    "connect",
    "current",
    "tasks",
    "trainer",
]
