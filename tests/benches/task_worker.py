"""The Python end of trainwire: a trainer as a user writes one, without the training."""

import os
import sys

import trainwire

os.sched_setaffinity(0, {int(sys.argv[1])})
for task in trainwire.tasks():
    with task:
        params = task.params
        assert task.task_id and task.model_name and len(task.hyperparams) and task.max_epochs
        task.finish(sum=params["lr"] + params["momentum"] + params["decay"])
