"""JSON lines over a Unix socket; bytes travel as base64, as JSON has none."""

import base64
import json
import socket

from measure import measure, pin, ready

(path,) = pin()
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
lines = connection.makefile("rb")
ready()
for line in lines:
    task = json.loads(line)
    hyperparams = base64.b64decode(task["hyperparams"])
    answer = measure(task["task_id"], task["model_name"], task["max_epochs"], hyperparams)
    connection.sendall(json.dumps(answer).encode() + b"\n")
