"""LightGBM on scikit-learn's diabetes data: python examples/frameworks/lightgbm_diabetes.py"""

import lightgbm
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

import trainwire
from trainwire.adapters.lightgbm import TrainwireCallback

features, progression = load_diabetes(return_X_y=True)
train, val, train_y, val_y = train_test_split(features, progression, random_state=0)

for task in trainwire.tasks(params={"learning_rate": 0.1}, max_epochs=20):
    with task:
        callback = TrainwireCallback(save_every=1)
        data = lightgbm.Dataset(train, train_y)
        model = lightgbm.train(
            {"objective": "l2", "num_leaves": 8, "num_threads": 1, "verbose": -1, **task.params},
            data,
            num_boost_round=task.max_epochs - callback.start,
            valid_sets=[lightgbm.Dataset(val, val_y, reference=data)],
            valid_names=["val"],
            init_model=callback.resume_path,
            callbacks=[callback],
        )
        task.finish(trees=model.num_trees())
