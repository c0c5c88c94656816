"""scikit-learn's digits, epoch by epoch: python examples/frameworks/sklearn_digits.py"""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import trainwire
from trainwire.adapters.sklearn import fit_epochs

images, labels = load_digits(return_X_y=True)
train, val, train_labels, val_labels = train_test_split(images / 16, labels, random_state=0)

for task in trainwire.tasks(params={"lr": 0.01}, max_epochs=10):
    with task:
        model = SGDClassifier(learning_rate="constant", eta0=task.params["lr"], random_state=0)
        model = fit_epochs(model, train, train_labels, classes=range(10), validation=(val, val_labels))
        task.finish(accuracy=model.score(val, val_labels))
