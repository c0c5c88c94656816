"""One line for each framework: metrics, checkpoints and stops in the framework's own terms.

| module | what it gives |
| --- | --- |
| `trainwire.adapters.huggingface` | `TrainwireCallback` for `transformers.Trainer` |
| `trainwire.adapters.lightning` | `TrainwireCallback` for `lightning.Trainer` |
| `trainwire.adapters.keras` | `TrainwireCallback` for `model.fit` of Keras 3 |
| `trainwire.adapters.xgboost` | `TrainwireCallback` for `xgboost.train` |
| `trainwire.adapters.lightgbm` | `TrainwireCallback` for `lightgbm.train` |
| `trainwire.adapters.sklearn` | `fit_epochs` for estimators with `partial_fit` |
| `trainwire.adapters.torch` | `save` and `restore` for loops of one's own |

None of them raises into a framework because of a metric or a lost connection: that is one warning. Each takes
the task, or finds the open one. Nothing is imported that is not asked for.
"""
