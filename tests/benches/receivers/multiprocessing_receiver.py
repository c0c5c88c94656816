"""multiprocessing.connection: a pickled dict a task."""

from multiprocessing.connection import Client

from measure import measure, pin, ready

(path,) = pin()
with Client(path, "AF_UNIX") as connection:
    ready()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            break
        answer = measure(task["task_id"], task["model_name"], task["max_epochs"], task["hyperparams"])
        connection.send(answer)
