"""XGBoost on scikit-learn's breast cancer data: python examples/frameworks/xgboost_cancer.py"""

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import trainwire
from trainwire.adapters.xgboost import TrainwireCallback

features, labels = load_breast_cancer(return_X_y=True)
train, val, train_labels, val_labels = train_test_split(features, labels, random_state=0)
data, held_out = xgboost.DMatrix(train, train_labels), xgboost.DMatrix(val, val_labels)

for task in trainwire.tasks(params={"eta": 0.3}, max_epochs=20):
    with task:
        callback = TrainwireCallback(save_every=1)
        history = {}
        xgboost.train(
            {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "eta": task.params["eta"]},
            data,
            num_boost_round=task.max_epochs - callback.start,
            evals=[(held_out, "val")],
            evals_result=history,
            xgb_model=callback.resume_path,
            callbacks=[callback],
            verbose_eval=False,
        )
        if history:
            task.finish(logloss=history["val"]["logloss"][-1])
