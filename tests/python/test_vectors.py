"""The golden vectors: read by the extension, and by the stock `flatbuffers` package beside it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import wire

import trainwire
from trainwire import _core

VECTORS = Path(__file__).parents[1] / "vectors"


def cases(name: str) -> list[Any]:
    vectors = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("vector", cases("frames"))
def test_frames(vector: Any, step: int) -> None:
    frames, error = _core._read_frames(bytes.fromhex(vector["bytes"]), step)
    assert [kind for kind, _ in frames] == [message["kind"] for message in vector["messages"]]
    for (_, task), message in zip(frames, vector["messages"], strict=True):
        assert task == (bytes.fromhex(message["task"]) if "task" in message else None)
    assert error == vector["error"]


@pytest.mark.parametrize("vector", cases("frames"))
def test_messages_read_by_code_of_another_project(vector: Any) -> None:
    rest = bytes.fromhex(vector["bytes"])
    for message in vector["messages"]:
        length, kind, words = int.from_bytes(rest[:4], "little"), rest[4], int.from_bytes(rest[6:8], "little")
        table = wire.parse(kind, rest[8 : 8 + 8 * words])
        rest = rest[4 + length :]
        for field, value in message.items():
            if field not in ("kind", "task"):
                assert_same(getattr(table, camel(field)), value)


def camel(field: str) -> str:
    field = {"kind": "kind"}.get(field, field)
    return re.sub("_(.)", lambda letter: letter[1].upper(), field)


def assert_same(found: Any, wanted: Any) -> None:
    """As the object API gives it, and as JSON says it."""
    if isinstance(wanted, dict) and "$float" in wanted:
        wanted = float(wanted["$float"])
    if isinstance(wanted, dict):
        for field, value in wanted.items():
            assert_same(getattr(found, camel(field)), value)
    elif isinstance(wanted, list):
        assert len(found if found is not None else []) == len(wanted)
        for one, value in zip(found if found is not None else [], wanted, strict=True):
            assert_same(one, value)
    elif isinstance(wanted, float) and math.isnan(wanted):
        assert math.isnan(found)
    elif isinstance(wanted, str):
        assert_same_text(found, wanted)
    else:
        assert found == wanted


def assert_same_text(found: Any, wanted: str) -> None:
    if isinstance(found, bytes):
        assert found.decode() == wanted
    elif hasattr(found, "high"):
        assert f"{found.high:016x}{found.low:016x}" == wanted
    elif isinstance(found, int):  # an enumeration's value
        names = [vars(getattr(wire.messages(), name)) for name in ENUMERATIONS]
        assert any(values.get(wanted) == found for values in names)
    else:
        assert bytes(found).hex() == wanted


ENUMERATIONS = ("Role", "InHandState", "RetryAdvice", "Place", "Outcome", "AckKind")


@pytest.mark.parametrize("vector", cases("tasks"))
def test_tasks(vector: Any) -> None:
    data = bytes.fromhex(vector["bytes"])
    if "error" in vector:
        with pytest.raises(trainwire.TrainwireError) as raised:
            _core._read_task(data)
        assert raised.value.code == vector["error"]
        return
    with next(_core._read_task(data)) as task:
        found = {
            "task_id": task.task_id,
            "model_name": task.model_name,
            "hyperparams": bytes(task.hyperparams).hex(),
            "max_epochs": task.max_epochs,
        }
        assert found == vector["task"]


PREFIX = b"\x81\xa1v"  # {"v": …}, for params are a map


@pytest.mark.parametrize("vector", cases("msgpack"))
def test_msgpack(vector: Any) -> None:
    hyperparams = PREFIX + bytes.fromhex(vector["bytes"])
    with next(_core._read_task(wire.task(hyperparams=hyperparams))) as task:
        if "error" not in vector and "$ext" not in json.dumps(vector):
            assert repr(ordered(task.params)) == repr(ordered({"v": value(vector["value"])}))
            return
        with pytest.raises(trainwire.ParamsError) as raised:
            _ = task.params
    if "error" not in vector:
        assert raised.value.code == "msgpack_extension"
        return
    assert raised.value.code == vector["error"]
    # The map around it is one level of nesting.
    at_byte = vector["at_byte"] + len(PREFIX) - (vector["error"] == "msgpack_too_deep")
    assert f"at byte {at_byte}:" in str(raised.value)


def ordered(params: Any) -> Any:
    """Comparable by `repr`, which tells 1 from True and finds NaN equal to itself."""
    if isinstance(params, dict):
        return sorted(((key, ordered(one)) for key, one in params.items()), key=repr)
    return [ordered(one) for one in params] if isinstance(params, list) else params


def value(json_value: Any) -> Any:
    match json_value:
        case {"$float": number}:
            return float(number)
        case {"$bin": data}:
            return bytes.fromhex(data)
        case {"$map": pairs}:
            return {value(key): value(one) for key, one in pairs}
        case dict():
            return {key: value(one) for key, one in json_value.items()}
        case list():
            return [value(one) for one in json_value]
    return json_value
