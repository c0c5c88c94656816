"""pyzmq with msgspec: one message a task; above 64 KiB the bytes are a frame of their own, not copied."""

import msgspec
import zmq
from measure import measure, pin, ready


class Task(msgspec.Struct, array_like=True):
    task_id: str
    model_name: str
    max_epochs: int
    hyperparams: memoryview | None  # decoded in place


(address,) = pin()
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(address)
decode = msgspec.msgpack.Decoder(Task).decode
encode = msgspec.msgpack.Encoder().encode
ready()
while True:
    task = decode(socket.recv())
    if (hyperparams := task.hyperparams) is None:
        hyperparams = socket.recv(copy=False).buffer
    answer = measure(task.task_id, task.model_name, task.max_epochs, hyperparams)
    socket.send(encode(answer))
