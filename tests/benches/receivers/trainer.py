"""trainwire: a trainer as a user writes one, without the training."""

from measure import measure, pin

import trainwire

pin()
for task in trainwire.tasks():
    with task:
        read_ns, touched_ns, check = measure(task.task_id, task.model_name, task.max_epochs, task.hyperparams)
        task.finish(read_ns=read_ns, touched_ns=touched_ns, check=check)
