"""Lightning on scikit-learn's digits: python examples/frameworks/lightning_digits.py"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import trainwire
from trainwire.adapters.lightning import TrainwireCallback

images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))


class Digits(lightning.LightningModule):
    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)


for task in trainwire.tasks(params={"lr": 0.01}, max_epochs=5):
    with task:
        callback = TrainwireCallback()
        trainer = lightning.Trainer(
            max_epochs=task.max_epochs,
            callbacks=[callback],
            default_root_dir=task.workdir,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            Digits(task.params["lr"]), DataLoader(data, batch_size=128), ckpt_path=callback.resume_path
        )
        task.finish(dict(trainer.callback_metrics))
