"""Buffers and parameters: read in place, decoded once."""

from __future__ import annotations

import copy
import gc
import hashlib
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from conftest import Start
from orchestrator import Orchestrator

import trainwire


def task(**params: Any) -> trainwire.Task:
    return next(trainwire.tasks(params=params))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv("TRAINWIRE_SOCKET", raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    if open_task := trainwire.current():
        open_task.finish()


VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 1, 127, 128, -1, -32, -33, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1],
    "floats": [0.0, -0.5, 1e300, float("inf")],
    "texts": ["", "é", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65536],
    "bytes": [b"", b"\0" * 255, b"\1" * 256, b"\2" * 65536],
    "nested": {"a": {"b": [{"c": []}, list(range(20)), {str(n): n for n in range(20)}]}},
    "": 0,
    "k" * 40: 1,
}


def test_values_survive_the_wire() -> None:
    one = task(**VALUES)
    assert one.params == VALUES
    assert one.params is one.params
    assert msgspec.msgpack.decode(one.hyperparams) == VALUES


def test_offline_params_have_the_types_of_delivered_ones() -> None:
    assert task(pair=(1, 2)).params == {"pair": [1, 2]}
    with pytest.raises(TypeError, match="cannot hold a set"):
        task(a={1})
    with pytest.raises(OverflowError):
        task(a=2**64)
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(ValueError, match="nested"):
        task(a=looped)


def test_large_byte_strings_are_read_in_place() -> None:
    small, large = task(small=bytes(65536), large=bytes(65537)).params.values()
    assert type(small) is bytes
    assert type(large) is trainwire.Buffer
    assert large == bytes(65537)


def test_keys_that_are_no_texts() -> None:
    assert task(a={1: 2, None: 3, b"x": 4}).params == {"a": {1: 2, None: 3, b"x": 4}}


def test_a_buffer_is_a_read_only_view() -> None:
    buffer = task(weights=np.arange(30_000, dtype=np.float32).tobytes()).params["weights"]
    view = memoryview(buffer)
    assert view.readonly and view.nbytes == len(buffer) == 120_000
    assert bytes(buffer) == view.tobytes()
    array = np.frombuffer(buffer, dtype=np.float32)
    assert array[-1] == 29_999
    assert not array.flags.owndata and not array.flags.writeable
    # In place: the same memory under all of them.
    assert np.shares_memory(array, np.frombuffer(memoryview(buffer), dtype=np.uint8))
    with pytest.raises((BufferError, TypeError)):
        (__import__("ctypes").c_char * 4).from_buffer(buffer)
    assert buffer[4:8] == bytes(view[4:8]) and buffer[0] == 0
    assert hashlib.sha256(buffer).digest() == hashlib.sha256(view).digest()


def test_a_buffer_is_equal_to_its_bytes() -> None:
    buffer = task(a=1).hyperparams
    assert buffer == bytes(buffer) and buffer == task(a=1).hyperparams and buffer != b"" and buffer != 1
    assert hash(buffer) == hash(bytes(buffer))
    assert repr(buffer) == f"<trainwire.Buffer of {len(buffer)} bytes>"


def test_copies_of_a_buffer_are_bytes() -> None:
    buffer = task(a=1).hyperparams
    for copied in (pickle.loads(pickle.dumps(buffer)), copy.deepcopy(buffer), copy.copy(buffer)):
        assert type(copied) is bytes and copied == buffer


def test_views_outlive_their_task() -> None:
    one = task(weights=bytes(100_000) + b"\7")
    view = memoryview(one.params["weights"])
    whole = memoryview(one.hyperparams)
    gone = weakref.ref(one)
    one.finish()
    del one
    gc.collect()
    assert gone() is None
    assert view[-1] == 7 and whole[-1] == 7


def test_params_that_hold_their_task_are_collected() -> None:
    one = task(a=1)
    one.params["self"] = one
    gone = weakref.ref(one)
    one.finish()
    del one
    gc.collect()
    assert gone() is None


def test_reading_takes_no_references() -> None:
    one = task(lr=0.1)
    watched = [one.task_id, one.params, one.job_id, None]
    before = [sys.getrefcount(value) for value in watched]
    for _ in range(1000):
        _ = one.task_id, one.params, one.job_id, one.last_checkpoint, one.hyperparams, one.should_stop
    after = [sys.getrefcount(value) for value in watched]
    assert all(abs(b - a) < 50 for a, b in zip(before, after, strict=True))


def test_threads_read_together() -> None:
    one = task(**VALUES)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(one.params)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(params is found[0] for params in found)


def test_a_task_is_not_pickled() -> None:
    with pytest.raises(TypeError, match=r"task\.params"):
        pickle.dumps(task(a=1))
    with pytest.raises(TypeError):
        copy.deepcopy(task(a=1))


@pytest.mark.parametrize(
    ("hyperparams", "code", "words"),
    [
        (b"\x93\1\2\3", "msgpack_not_a_map", "byte 0"),
        (b"\x82\xa2lr", "msgpack_length", "byte 0"),
        (b"\x82\xa1a\1\xa1b", "msgpack_truncated", "byte 6"),
        (b"\x81\xa2lr\xc1", "msgpack_reserved", "byte 4"),
        (b"\x81\xa2lr\1\1", "msgpack_trailing_bytes", "byte 5"),
        (b"\x81\xa2\xff\xff\1", "msgpack_not_utf8", "byte 1"),
        (b"\x81\xa1a\xd6\xff\0\0\0\0", "msgpack_extension", "byte 3"),
        (b"\x81\x90\1", "msgpack_key", "byte 1"),
        (b"\x81\xa1a" + b"\x91" * 10_000 + b"\1", "msgpack_too_deep", "byte 130"),
        (b"\xdf\xff\xff\xff\xff", "msgpack_length", "byte 0"),
    ],
)
def test_what_is_not_msgpack(
    orchestrator: Orchestrator, start: Start, hyperparams: bytes, code: str, words: str
) -> None:
    import wire

    trainer = start("""
        with trainwire.connect() as task:
            for _ in range(2):
                try:
                    task.params
                except ValueError as error:
                    print(type(error).__name__, error.code, error)
            print(len(task.hyperparams))
    """)
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(hyperparams=hyperparams))
    peer.acked_result()
    first, second, size = trainer.ends().splitlines()
    assert first == second
    assert first.startswith(f"ParamsError {code} ") and words in first
    assert int(size) == len(hyperparams)


def test_absent_hyperparams(orchestrator: Orchestrator, start: Start) -> None:
    import wire

    trainer = start("with trainwire.connect() as task:\n    print(task.params, len(task.hyperparams))\n")
    peer = orchestrator.accept().welcome()
    peer.deliver(1, wire.task(hyperparams=None))
    peer.acked_result()
    assert trainer.ends() == "{} 0\n"


@dataclass
class Optimizer:
    name: Literal["sgd", "adam"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Settings:
    lr: float
    layers: list[int]
    optimizer: Optimizer
    seed: int | None = None
    data: Path = Path("data")
    weights: bytes = b""


GOOD: dict[str, Any] = {"lr": 1, "layers": [64, 32], "optimizer": {"name": "adam"}}


def test_params_as_a_dataclass() -> None:
    settings = task(**GOOD, data="there", weights=bytes(70_000)).params_as(Settings)
    assert settings == Settings(1.0, [64, 32], Optimizer("adam"), data=Path("there"), weights=bytes(70_000))
    assert type(settings.lr) is float and type(settings.weights) is bytes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": "0.1"}, "params.lr must be float, not str '0.1'"),
        ({"lr": True}, "params.lr must be float, not bool True"),
        ({"layers": [1, "2"]}, "params.layers[1] must be int, not str '2'"),
        ({"layers": 3}, "params.layers must be an array, not int 3"),
        ({"optimizer": {"name": "rms"}}, "params.optimizer.name must be 'sgd' or 'adam', not str 'rms'"),
        ({"optimizer": {"betas": [1]}}, "params.optimizer.betas must be an array of 2, not list [1]"),
        ({"seed": 1.5}, "params.seed must be int or NoneType, not float 1.5"),
        ({"learning_rate": 1}, "params have 'learning_rate', which Settings does not"),
    ],
)
def test_params_as_names_the_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(trainwire.ParamsError) as raised:
        task(**GOOD | change).params_as(Settings)
    assert words in str(raised.value)


def test_params_as_misses_a_field() -> None:
    with pytest.raises(trainwire.ParamsError, match=r"params\.lr is missing"):
        task(layers=[], optimizer={}).params_as(Settings)


def test_params_as_a_msgspec_struct() -> None:
    class Struct(msgspec.Struct):
        lr: float
        layers: list[int]

    assert task(**GOOD).params_as(Struct) == Struct(1.0, [64, 32])
    with pytest.raises(trainwire.ParamsError, match=r"\$\.lr"):
        task(lr="x", layers=[]).params_as(Struct)


def test_params_as_a_pydantic_model() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", lr=(float, ...))
    assert task(lr=1).params_as(model).lr == 1.0
    with pytest.raises(trainwire.ParamsError, match="lr"):
        task(lr="x").params_as(model)


def test_nothing_is_printed_offline() -> None:
    script = """
import trainwire, sys
for task in trainwire.tasks(params={"lr": 0.1}, max_epochs=2):
    with task:
        for epoch in task.epochs():
            task.report(loss=0.5, epoch=epoch)
        task.finish(loss=0.5)
assert "logging" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_offline_reports_go_to_the_logger(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level("INFO", "trainwire")
    with trainwire.connect(params={"lr": 0.1}, max_epochs=1) as one:
        assert (one.offline, one.job_id, one.attempt, one.max_epochs) == (True, "offline", 1, 1)
        assert one.workdir.resolve() == tmp_path / ".trainwire" / "offline"
        (one.workdir / "model").touch()
        one.report({"val": {"loss": 0.5}}, epoch=0, step=3)
        one.checkpoint(one.workdir / "model", epoch=0)
        one.finish(best="x")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "report epoch=0 step=3 val/loss=0.5"
    assert lines[1].startswith("checkpoint /") and lines[1].endswith("model epoch=0")
    assert lines[2] == 'finished best="x"'
