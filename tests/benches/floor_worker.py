"""The Python end of the floors: a bare socket."""

import os
import socket
import sys

path, mode, core = sys.argv[1:]
os.sched_setaffinity(0, {int(core)})
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
if mode == "ack":
    buffer = bytearray(4096)
    while connection.recv_into(buffer):
        connection.send(b"\0")
else:
    buffer = bytearray(1 << 16)
    total = 0
    while received := connection.recv_into(buffer):
        total += received
    connection.send(total.to_bytes(8, "little"))
