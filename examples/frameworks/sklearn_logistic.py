"""scikit-learn's digits, iteration by iteration of one fit: python examples/frameworks/sklearn_logistic.py"""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import trainwire
from trainwire.adapters.sklearn import TrainwireCallback

images, labels = load_digits(return_X_y=True)
train, val, train_labels, val_labels = train_test_split(images / 16, labels, random_state=0)

for task in trainwire.tasks(params={"C": 1.0}, max_epochs=100):
    with task:
        callback = TrainwireCallback(validation=(val, val_labels), save_every=1)
        model = LogisticRegression(
            C=task.params["C"], max_iter=task.max_epochs - callback.start, warm_start=True
        )
        callback.restore(model).set_callbacks(callback).fit(train, train_labels)
        task.finish(accuracy=model.score(val, val_labels))
