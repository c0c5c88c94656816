"""The pure-Python flatbuffers package over a Unix socket, size-prefixed."""

import socket
import struct
import sys

from measure import measure, pin, ready

path, generated = pin()
sys.path.append(generated)  # of flatc --python
from TrainingTask import TrainingTask  # noqa: E402

connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
ready()


def receive(size: int) -> bytearray:
    buffer = bytearray(size)
    rest = memoryview(buffer)
    while rest:
        if not (count := connection.recv_into(rest)):
            raise SystemExit
        rest = rest[count:]
    return buffer


while True:
    (size,) = struct.unpack("<I", receive(4))
    task = TrainingTask.GetRootAs(receive(size))
    answer = measure(
        task.TaskId().decode(), task.ModelName().decode(), task.MaxEpochs(), task.HyperparamsAsNumpy()
    )
    connection.sendall(struct.pack("<3Q", *answer))
