"""Learns to read the handwritten digits that ship with scikit-learn.

trainwire run examples/digits.toml    # the sweep
python examples/digits.py             # once, with the defaults of Settings, without trainwire's orchestrator
"""

import os
import pickle
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the trainers share the cores; set before numpy starts threads

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import trainwire


@dataclass
class Settings:
    lr: float = 0.001
    hidden: int = 64
    alpha: float = 1e-4
    batch_size: int = 32
    crash_at_epoch: int | None = None  # a real segmentation fault, on the first attempt


class Digits:
    """60 % to train on, 20 % to watch while training, 20 % looked at once, when it is over."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        images = images.reshape(-1, 8, 8) / 16
        rest, test, rest_labels, self.test_labels = train_test_split(
            images, labels, test_size=0.2, stratify=labels, random_state=0
        )
        train, val, train_labels, self.val_labels = train_test_split(
            rest, rest_labels, test_size=0.25, stratify=rest_labels, random_state=0
        )
        # Only what is trained on is augmented, and after the split: no digit is on both sides.
        self.train = flat(shifted(train))
        self.train_labels = np.tile(train_labels, 5)
        self.val = flat(val)
        self.test = flat(test)


def main() -> None:
    digits = Digits()  # once for all tasks of this trainer
    for task in trainwire.tasks(params=asdict(Settings())):
        with task:
            fit(task, digits)


def fit(task: trainwire.Task, digits: Digits) -> None:
    settings = task.params_as(Settings)
    model, start = restore(task.last_checkpoint) or (new_model(settings), 0)

    val_accuracy = 0.0
    for epoch in task.epochs(start=start):
        if epoch == settings.crash_at_epoch and task.attempt == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        model.partial_fit(digits.train, digits.train_labels, classes=range(10))
        val_accuracy = model.score(digits.val, digits.val_labels)
        task.report({"train/loss": model.loss_, "val/accuracy": val_accuracy}, epoch=epoch)
        task.checkpoint(save(task.workdir / "model.pickle", model, epoch), epoch=epoch)

    task.finish(val_accuracy=val_accuracy, test_accuracy=model.score(digits.test, digits.test_labels))


def new_model(settings: Settings) -> MLPClassifier:
    return MLPClassifier(
        (settings.hidden,),
        learning_rate_init=settings.lr,
        alpha=settings.alpha,
        batch_size=settings.batch_size,
        random_state=0,
    )


def save(path: Path, model: MLPClassifier, epoch: int) -> Path:
    """Replaces the file in one step: whoever reads it finds the whole old one or the whole new one."""
    new = path.with_suffix(".new")
    new.write_bytes(pickle.dumps((model, epoch)))
    return new.replace(path)


def restore(checkpoint: trainwire.Checkpoint | None) -> tuple[MLPClassifier, int] | None:
    """The model and the epoch to go on with."""
    if checkpoint is None:
        return None
    model, epoch = pickle.loads(Path(checkpoint.path).read_bytes())
    return model, epoch + 1


def shifted(images: np.ndarray) -> np.ndarray:
    """Each image as it is, and moved by one pixel to each of the four sides."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    corners = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    return np.concatenate([padded[:, y : y + 8, x : x + 8] for y, x in corners])


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


if __name__ == "__main__":
    main()
