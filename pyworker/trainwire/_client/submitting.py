"""The functions `trainwire.submit`, `run`, `sweep`, `job` and `results`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwire._client import archive, combinations, display, embedded
from trainwire._client.combinations import plain
from trainwire._client.control import Control, default_state_dir
from trainwire._client.jobs import Job
from trainwire._client.outcomes import Results
from trainwire._client.request import Command, Common, Limits, TaskSpec, job_request, stem_of, task_requests

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Daemon", "job", "results", "run", "submit", "sweep"]

Daemon = bool | str | PathLike[str] | None


class SaidOfSweep(Limits, total=False):
    """What `submit` takes, but for the grid."""

    params: Mapping[str, Any] | None
    job_id: str | None
    trainers: int
    max_epochs: int | None
    model_name: str | None
    script: bool | None
    environment: Mapping[str, str] | None
    working_dir: str | PathLike[str] | None
    daemon: Daemon


class Said(SaidOfSweep, total=False):
    """What `submit` takes, but for `open`."""

    grid: Mapping[str, Iterable[Any]] | None
    tasks: Iterable[TaskSpec] | None


def submit(
    command: Command,
    *,
    params: Mapping[str, Any] | None = None,
    grid: Mapping[str, Iterable[Any]] | None = None,
    tasks: Iterable[TaskSpec] | None = None,
    job_id: str | None = None,
    trainers: int = 1,
    max_epochs: int | None = None,
    model_name: str | None = None,
    open: bool = False,  # noqa: A002 - the spec's word
    script: bool | None = None,
    environment: Mapping[str, str] | None = None,
    working_dir: str | PathLike[str] | None = None,
    daemon: Daemon = None,
    **limits: Unpack[Limits],
) -> Job:
    """Submits a job; returns when it is on the disk. The same id and content again is the same job.

    Args:
        command: The trainer, e.g. `"train.py"` or `["torchrun", "train.py"]`. It need not know trainwire;
            `{lr}` in an argument stands for the parameter. A script that ends in `.py` is run by this Python.
            Or a function at the top of a file, which is called with the task, in a process of its own, or
            without anything if it works off `trainwire.tasks()` itself.
        params: Parameters of every task.
        grid: Values of parameters; every combination is a task. Ints beside floats become floats.
        tasks: More tasks, each with a `task_id` and `params` that go over the common ones.
        job_id: Letters and digits with single `.`, `_` and `-` between them, at most 76. Default: the
            script's name, the time in UTC and four random digits.
        trainers: Processes at a time.
        max_epochs: Of every task; 10 unless set.
        model_name: Of every task; the script's name unless set.
        open: More tasks may come by `Job.add`, until `Job.close`.
        script: Whether the command need not know trainwire. Default: yes, unless parameters are too large
            for a variable of the environment.
        environment: Variables of the trainers, above those of the daemon.
        working_dir: Where the command runs; here unless set.
        daemon: `None` takes the daemon that runs, and starts one of this process's own, which ends with it,
            where none does. A folder names another daemon, `True` wants one that runs, `False` an own one.
        limits: `gpus`, `max_failures`, `max_losses`, `stall_timeout` and so on, as in a spec. Durations are
            seconds, or texts such as `"10m"`.

    Raises:
        ConflictError: The id is taken by other content.
        DaemonError: The daemon refused it; `code` says why.
        NoDaemonError: No daemon answers, or none could be started.
    """
    found = combinations.grid_of(grid) if grid else []
    return _submit(
        command,
        found,
        params=params,
        tasks=[] if open and tasks is None and not found else tasks,
        job_id=job_id,
        trainers=trainers,
        max_epochs=max_epochs,
        model_name=model_name,
        open=open,
        script=script,
        environment=environment,
        working_dir=working_dir,
        daemon=daemon,
        limits=limits,
    )


def run(command: Command, *, show: bool | None = None, **said: Unpack[Said]) -> Results:
    """`submit`, and waits for the end.

    Ctrl-C, or a notebook's interrupt, asks the trainers to save a checkpoint and stop, waits for them, and
    raises `KeyboardInterrupt` then; a second one kills them. `trainwire.results(job_id)` has what there is.

    Args:
        command: As for `submit`, with everything else it takes.
        show: Whether to show what happens: a line a task on standard error, in a notebook a table that
            changes. Default: in a notebook only.
    """
    return _run_to_its_end(submit(command, **said), show)


def sweep(
    command: Command,
    grid: Mapping[str, Iterable[Any]] | None = None,
    *,
    random: Mapping[str, Any] | None = None,
    samples: int = 10,
    seed: int = 0,
    show: bool | None = None,
    **said: Unpack[SaidOfSweep],
) -> Results:
    """`run` over a grid, or over random samples; with both, each of the grid's tasks once for each sample.

    Args:
        command: As for `submit`, with everything else it takes.
        grid: Values of parameters; every combination is a task. Ints beside floats become floats.
        random: What to draw each parameter from: a list is one of these; `(low, high)` a number between them,
            whole where both are whole; `("log", low, high)` one that is even over orders of magnitude.
        samples: How many draws.
        seed: The same seed draws the same, as `trainwire run --random` does; from 0 to 4294967295. Trainers
            find it in `TRAINWIRE_SWEEP_SEED`.
        show: As for `run`.
    """
    if grid is None and random is None:
        raise TypeError("sweep() takes a grid, or random with samples, or both")
    if random is None:
        return run(command, grid=grid, show=show, **said)
    drawn = combinations.samples_of(random, samples, seed, combinations.grid_of(grid or {}))
    tasks: list[TaskSpec] = [{"task_id": task_id, "params": values} for task_id, values in drawn]
    said["environment"] = {SEED_VARIABLE: str(seed), **(said.get("environment") or {})}
    return run(command, tasks=tasks, show=show, **said)


def job(job_id: str, *, daemon: Daemon = None) -> Job:
    """A job that was submitted before, by whomever. Raises `DaemonError` (`no_such_job`)."""
    control = _control(daemon)
    command = Job(control, job_id, Common("task")).show()["command"]
    return Job(control, job_id, Common(stem_of(command or ["task"])))


def results(job: Job | str | PathLike[str], *, daemon: Daemon = None) -> Results:
    """What came of a job, also while it runs, and whether or not a daemon does.

    Args:
        job: Itself; its id; or the folder of a `trainwire run`, e.g. `".trainwire/digits"`. An id is looked
            for in `.trainwire` of this folder, where runs and scripts have their jobs, then with the daemon.
        daemon: A folder looks nowhere else; `True` asks the daemon that runs.

    Raises:
        DaemonError: There is no such job (`no_such_job`), or its journal cannot be read.
        NoDaemonError: `daemon=True`, and none answers; or the program `trainwire` is missing.
    """
    if isinstance(job, Job):
        return job.results()
    if daemon is True:
        return _job(fspath(job), daemon=True).results()
    state = ["--state", fspath(daemon)] if isinstance(daemon, str | PathLike) else []
    return archive.results(fspath(job), state)


# `results` has a parameter of that name.
_job = job


def _submit(
    command: Command,
    found: list[combinations.Combination],
    *,
    params: Mapping[str, Any] | None,
    tasks: Iterable[TaskSpec] | None,
    max_epochs: int | None,
    model_name: str | None,
    daemon: Daemon,
    **job: Any,
) -> Job:
    common = Common(stem_of(command), plain(dict(params or {}), "params"), max_epochs, model_name)
    requests = task_requests(common, found, tasks)
    request = job_request(command, requests, **job, also=Said.__annotations__)
    control = _control(daemon)
    answer = control.post("/v1/jobs", request)
    return Job(control, answer["job"], common)


def _run_to_its_end(job: Job, show: bool | None) -> Results:
    watcher = display.watcher(show)
    try:
        if watcher is None:
            job.wait()
        else:
            watcher.watch(job)
    except KeyboardInterrupt as interrupt:
        try:
            job.stop()
        except KeyboardInterrupt:
            job.stop(kill=True)
        interrupt.add_note(f"the job was stopped; trainwire.results({job.job_id!r}) has what there is")
        raise
    found = job.results()
    if watcher is not None:
        watcher.close(found)
    return found


def _control(daemon: Daemon) -> Control:
    if isinstance(daemon, str | PathLike):
        return Control(Path(daemon).absolute())
    if daemon is not False:
        default = Control(default_state_dir())
        if daemon is True or default.listens():
            return default
    return embedded.server().control


# The same as of the command line.
SEED_VARIABLE = "TRAINWIRE_SWEEP_SEED"
