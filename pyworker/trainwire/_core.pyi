"""The compiled part of trainwire. Import from `trainwire`."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar, final

__all__ = [
    "Buffer",
    "Checkpoint",
    "Epochs",
    "StopRequest",
    "Task",
    "Tasks",
    "Track",
    "__version__",
    "_at_exit",
    "_read_frames",
    "_read_task",
    "connect",
    "current",
    "tasks",
]

_T = TypeVar("_T")
_Item = TypeVar("_Item")

__version__: str

@final
class Buffer:
    """Read-only bytes that were not copied.

    `memoryview(buffer)`, `numpy.frombuffer(buffer, dtype)` and `msgspec.msgpack.decode(buffer)`
    read them in place, and keep the memory alive for as long as they need it. Compares equal to
    `bytes` of the same content; pickles and deep-copies as `bytes`.
    """

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __bytes__(self) -> bytes: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Checkpoint:
    """A stored checkpoint of an earlier attempt. `open()` and `torch.load()` take it as a path."""

    @property
    def path(self) -> str:
        """Absolute; a file or a folder."""
    @property
    def step(self) -> int | None:
        """The optimizer step it was taken at."""
    @property
    def epoch(self) -> float | None:
        """The epoch it was taken at."""
    def __fspath__(self) -> str: ...

@final
class StopRequest:
    """Why a task should stop, and how long it has."""

    @property
    def reason(self) -> str:
        """E.g. `cancelled`, `interrupted`, `orphaned`."""
    @property
    def deadline(self) -> float:
        """When the process is signalled, on the clock of `time.monotonic()`."""
    @property
    def want_checkpoint(self) -> bool:
        """Whether a checkpoint is worth the time."""
    @property
    def time_left(self) -> float:
        """Seconds until the deadline, 0 or more."""

@final
class Epochs:
    def __iter__(self) -> Epochs: ...
    def __next__(self) -> int: ...
    def __len__(self) -> int: ...

@final
class Track(Generic[_Item]):
    def __iter__(self) -> Track[_Item]: ...
    def __next__(self) -> _Item: ...

@final
class Task:
    """One training task.

    As a context manager it reports its own end: leaving the block normally is success, an
    exception is failure and goes on. `SystemExit` counts by its code, `Stopped` and `Retry` say
    what they mean and go no further. All methods may be called from any thread; in a forked child
    reading goes on, everything else raises `ForkedError`.
    """

    @property
    def task_id(self) -> str:
        """Unique in its job."""
    @property
    def model_name(self) -> str:
        """What to train."""
    @property
    def job_id(self) -> str:
        """The job's; `offline` without an orchestrator."""
    @property
    def max_epochs(self) -> int:
        """How long to train at most."""
    @property
    def attempt(self) -> int:
        """1, 2, …"""
    @property
    def offline(self) -> bool:
        """Whether there is no orchestrator."""
    @property
    def is_primary(self) -> bool:
        """Whether this process is the one that reports: rank 0, or the only one.

        In the others, the replicas, `report` and `checkpoint` do nothing, and what `finish` is given goes
        nowhere; an exception they raise is news all the same.
        """
    @property
    def rank(self) -> int:
        """This process's place among those that train together, as the launcher says; 0 if it is alone."""
    @property
    def world_size(self) -> int:
        """How many processes train together; 1 if it is alone."""
    @property
    def time_left(self) -> float | None:
        """Seconds this attempt still has, 0 or more; `None` where nobody has set a limit."""
    @property
    def traceparent(self) -> str | None:
        """The W3C trace context its submitter is in: `TRACEPARENT` of the job's environment."""
    @property
    def ended(self) -> bool:
        """Whether its result has been given."""
    @property
    def workdir(self) -> Path:
        """The task's folder, kept across attempts. It exists."""
    @property
    def hyperparams(self) -> Buffer:
        """The bytes of the parameters, in place."""
    @property
    def params(self) -> dict[Any, Any]:
        """The parameters, decoded once. Byte strings above 64 KiB are `Buffer`s, in place.

        Raises `ParamsError`, which names the byte, for what is not a msgpack map.
        """
    def params_as(self, into: type[_T], /) -> _T:
        """The parameters as a dataclass, a pydantic model, or anything msgspec can decode.

        Raises `ParamsError`, which names the field.
        """
    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The newest stored checkpoint of earlier attempts that is still there.

        Of one that is not, a warning tells; an older one is offered in its place.
        """
    @property
    def resume_path(self) -> str | None:
        """The path of `last_checkpoint`."""
    @property
    def should_stop(self) -> bool:
        """Whether to end early. Cheap; once it was true, ending normally means `stopped`."""
    @property
    def stop(self) -> StopRequest | None:
        """The request behind `should_stop`."""
    def report(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: float | None = None,
        epoch: float | None = None,
        **kw: Any,
    ) -> None:
        """Reports a row of metrics. Never waits, and never raises because of a value.

        Numbers, bools and whatever has one element behind `.item()`; mappings are flattened with
        "/". The rest is left out with one warning a name, unless TRAINWIRE_STRICT=1.
        """
    def agree_to_stop(self) -> bool:
        """`should_stop`, with the same answer in all ranks.

        All of them must ask, at the same point of their work: the answer is the primary's, passed on by one
        `all_reduce` of PyTorch's default process group. Without a process group each rank goes by its own.
        """
    def epochs(
        self,
        start: float | None = None,
        *,
        state: Any = None,
        save_every: int = 1,
        keep_last: int | None = 2,
    ) -> Epochs:
        """`range(start, max_epochs)` that ends early once the task should stop.

        Of several ranks all end at the same epoch: see `agree_to_stop`, which is asked before each.

        With `state` an attempt goes on where the last one has ended. What is in it is saved in `workdir` when
        an epoch is done, and announced as a checkpoint; the next attempt finds it put back into the same
        objects, with the random number generators of Python, NumPy and PyTorch, and begins with the epoch
        after it. An attempt that finds all epochs done repeats the last one, because what stands behind the
        loop needs its variables. An epoch that is left by `break` or an exception is not saved. A script
        without an orchestrator saves nothing.

        Args:
            start: The first epoch; 0 unless set. Not together with `state`.
            state: What the loop changes: one object, or a dict of them by name. What has `state_dict()` and
                `load_state_dict()` is asked for its state; whatever else `pickle` takes is saved whole.
                Numbers and texts of a dict are replaced in the dict.
            save_every: Epochs between two checkpoints. The last one, and one that a stop comes in, are saved
                in any case.
            keep_last: How many of them stay, at least 2; `None` for all.

        Raises:
            TypeError: Nothing can be put back into one of the objects. Said before the first epoch.
            ValueError: The checkpoint is not one of this state.
        """
    def track(self, iterable: Iterable[_Item], total: int | None = None) -> Track[_Item]:
        """Passes the items on. Each is progress; with a known total the share is reported."""
    def tick(self) -> None:
        """Says that the training gets on. `report`, `epochs` and `track` do it themselves."""
    def busy(self, seconds: float) -> None:
        """Says that nothing will be heard for so long, and that this is no stall."""
    def checkpoint(
        self,
        path: str | PathLike[str],
        *,
        step: float | None = None,
        epoch: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        keep_last: int | None = None,
    ) -> None:
        """Announces a checkpoint, which must exist. It is fsynced first.

        Returns when the orchestrator has stored it, so older ones can be deleted then; it does not
        wait for an orchestrator that is away. `keep_last`: then delete all but so many of those this
        task has announced, on any attempt, within `workdir`; what lies elsewhere stays.
        """
    def finish(self, result: Mapping[str, Any] | None = None, /, **kw: Any) -> None:
        """Ends the task with its result: numbers and texts.

        Returns when the result is acknowledged or in the spool, or the next task is here already.
        """
    def fail(self, error: BaseException | str, *, retry: bool | float | None = None) -> None:
        """Ends the task as failed.

        `retry`: `None` leaves it to the job's limits, `False` is final, `True` or a number of
        seconds asks for another attempt.
        """
    def raise_if_stopped(self) -> None:
        """Raises `Stopped` if the task should stop."""
    def __enter__(self) -> Task: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...

@final
class Tasks:
    """One task after the other, until there is no more work.

    As a context manager it gives back what it has not begun and says goodbye.
    """

    def __iter__(self) -> Iterator[Task]: ...
    def __next__(self) -> Task: ...
    def __enter__(self) -> Tasks: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...

def connect(*, params: dict[str, Any] | None = None, max_epochs: int | None = None) -> Task:
    """This process's one task; called again, the same one.

    Without TRAINWIRE_SOCKET it is an offline task with the defaults given here. A task of an orchestrator has
    its own: ten epochs unless somebody says `--max-epochs`; where the script wants more, a warning tells.
    """

def tasks(
    *,
    params: dict[str, Any] | None = None,
    max_epochs: int | None = None,
    keep_going: bool = False,
) -> Tasks:
    """The job's tasks, as long as there are any.

    Without TRAINWIRE_SOCKET it is one offline task with the defaults given here. `keep_going`:
    after a task that raised an `Exception`, go on with the next one.
    """

def _at_exit() -> None: ...
def _read_frames(data: bytes, step: int) -> tuple[list[tuple[str, Buffer | None]], str | None]: ...
def _read_task(data: bytes) -> Tasks: ...
def current() -> Task | None:
    """The open task of this process."""
