"""A PyTorch loop on scikit-learn's digits: python examples/frameworks/torch_digits.py"""

import torch
from sklearn.datasets import load_digits

import trainwire
from trainwire.adapters.torch import restore, save

images, labels = load_digits(return_X_y=True)
images, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)

for task in trainwire.tasks(params={"lr": 0.01}, max_epochs=10):
    with task:
        model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        optimizer = torch.optim.Adam(model.parameters(), task.params["lr"])
        start = restore(task, model=model, optimizer=optimizer)
        for epoch in task.epochs(start):
            for batch in torch.randperm(len(images)).split(128):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
                loss.backward()
                optimizer.step()
            task.report({"train/loss": loss}, epoch=epoch)
            save(task, epoch, model=model, optimizer=optimizer)
        task.finish(accuracy=(model(images).argmax(1) == labels).float().mean())
