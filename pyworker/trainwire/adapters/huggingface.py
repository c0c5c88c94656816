"""Hugging Face: `Trainer(..., callbacks=[TrainwireCallback()])`.

Every row that the `Trainer` logs is reported under its own names, at its step and epoch. Each checkpoint it
saves is announced. A stop ends training after the step, with a checkpoint where one is wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainwire import Task
from trainwire.adapters._link import Link, missing

try:
    from transformers.trainer_callback import TrainerCallback
except ModuleNotFoundError as error:
    raise missing("transformers", "'transformers[torch]'") from error

__all__ = ["TrainwireCallback"]


class TrainwireCallback(TrainerCallback):
    """Set `output_dir=task.workdir`; go on with `trainer.train(resume_from_checkpoint=callback.resume_path)`.

    The `Trainer` deletes old checkpoints itself (`save_total_limit`).
    """

    def __init__(self, task: Task | None = None) -> None:
        self._link = Link(task, keep_last=None)

    @property
    def resume_path(self) -> str | None:
        """The newest checkpoint that is whole; `None` to begin anew.

        One that an attempt was killed before announcing counts, too: the `Trainer` may have deleted the one
        before it.
        """
        task = self._link.task
        if task.attempt == 1:
            return None  # what lies in the folder is of another run
        announced = task.resume_path
        folders = {task.workdir} if announced is None else {task.workdir, Path(announced).parent}
        found = [path for folder in folders for path in folder.glob("checkpoint-*")]
        whole = [path for path in found if _step(path) >= 0 and _is_whole(path)]
        if found and not whole:
            self._link.warn(
                "resume", f"none of the checkpoints in {found[0].parent} is whole; beginning anew"
            )
        return str(max(whole, key=_step)) if whole else None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and state.is_world_process_zero:
            numbers = {name: value for name, value in logs.items() if name != "epoch"}
            self._link.report(numbers, step=state.global_step, epoch=state.epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._end(control, self._link.stops_within())

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        return self._end(control, self._link.stops())

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            path = Path(args.output_dir, f"checkpoint-{state.global_step}")
            self._link.announce(path, epoch=state.epoch, step=state.global_step)

    def _end(self, control: Any, stops: bool) -> Any:
        if stops and not control.should_training_stop:
            control.should_training_stop = True
            control.should_save = control.should_save or self._link.wants_checkpoint()
        return control


def _step(path: Path) -> int:
    number = path.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _is_whole(path: Path) -> bool:
    """The `Trainer` writes its state last, behind the model."""
    models = ("model*.safetensors", "pytorch_model*.bin", "adapter_model*")
    return (path / "trainer_state.json").is_file() and any(any(path.glob(name)) for name in models)
