"""Keras 3 on scikit-learn's digits: KERAS_BACKEND=torch python examples/frameworks/keras_digits.py"""

import keras
from sklearn.datasets import load_digits

import trainwire
from trainwire.adapters.keras import TrainwireCallback

images, labels = load_digits(return_X_y=True)

for task in trainwire.tasks(params={"lr": 0.01}, max_epochs=5):
    with task:
        callback = TrainwireCallback()
        if callback.resume_path is not None:
            model = keras.models.load_model(callback.resume_path)
        else:
            model = keras.Sequential([keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
            model.compile(
                keras.optimizers.Adam(task.params["lr"]),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                metrics=["accuracy"],
            )
        history = model.fit(
            images / 16,
            labels,
            validation_split=0.2,
            epochs=task.max_epochs,
            initial_epoch=callback.start,
            callbacks=[callback],
            verbose=0,
        )
        task.finish({name: values[-1] for name, values in history.history.items()})
