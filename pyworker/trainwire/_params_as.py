"""`task.params_as(type)`: parameters, checked against a type.

Imported at its first use, so that `import trainwire` stays cheap.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from trainwire._core import Buffer
from trainwire.errors import ParamsError

if TYPE_CHECKING:
    from trainwire._core import Task

T = TypeVar("T")


def convert(task: Task, into: type[T]) -> T:
    if dataclasses.is_dataclass(into):
        return typing.cast(T, _dataclass(task.params, into, ""))
    if hasattr(into, "model_validate"):
        return typing.cast(T, _pydantic(task, into))
    return typing.cast(T, _msgspec(task, into))


def _pydantic(task: Task, into: Any) -> Any:
    pydantic = sys.modules["pydantic"]  # somebody made the model with it
    try:
        return into.model_validate(task.params)
    except pydantic.ValidationError as error:
        raise ParamsError(str(error), code="params_type") from error


def _msgspec(task: Task, into: Any) -> Any:
    try:
        import msgspec
    except ImportError:
        raise TypeError(
            f"params_as takes dataclasses and pydantic models; for {into!r} it needs msgspec: "
            "pip install msgspec"
        ) from None
    try:
        return msgspec.msgpack.decode(task.hyperparams or b"\x80", type=into)
    except msgspec.ValidationError as error:
        raise ParamsError(f"params: {error}", code="params_type") from error
    except msgspec.DecodeError as error:
        task.params  # noqa: B018 - its error names the byte
        raise ParamsError(f"params: {error}", code="params_type") from error


def _dataclass(value: Any, into: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(path, "a map", value)
    hints = typing.get_type_hints(into)
    fields = {field.name: field for field in dataclasses.fields(into) if field.init}
    if unknown := value.keys() - fields.keys():
        names = ", ".join(sorted(map(repr, unknown)))
        raise ParamsError(
            f"params{path} have {names}, which {into.__name__} does not; "
            f"it has {', '.join(fields) or 'no fields'}",
            code="params_unknown",
        )
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _check(value[name], hints[name], f"{path}.{name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise ParamsError(f"params{path}.{name} is missing", code="params_missing")
    return into(**arguments)


def _check(value: Any, wanted: Any, path: str) -> Any:
    """The value as `wanted`. Types this does not know are taken as they are."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        return _check(value, arguments[0], path)
    if origin in (Union, types.UnionType):
        return _union(value, arguments, path)
    if origin is Literal:
        if value not in arguments:
            raise _mismatch(path, " or ".join(map(repr, arguments)), value)
        return value
    if origin in (list, tuple, set, frozenset) or wanted in (list, tuple, set, frozenset):
        return _sequence(value, origin or wanted, arguments, path)
    if origin is dict and isinstance(value, dict):
        return {
            _check(key, arguments[0], f"{path} key"): _check(item, arguments[1], f"{path}[{key!r}]")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(wanted):
        return _dataclass(value, wanted, path)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is bytes and isinstance(value, Buffer):
        return bytes(value)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is None or wanted is type(None):
        wanted = type(None)
    # bool is an int to isinstance, and never what is meant by one.
    if wanted in _PLAIN and (not isinstance(value, wanted) or (type(value) is bool) > (wanted is bool)):
        raise _mismatch(path, wanted.__name__, value)
    return value


def _union(value: Any, members: tuple[Any, ...], path: str) -> Any:
    # What fits as it is comes before what has to be converted: 1 for `float | int` stays an int.
    for member in sorted(members, key=lambda member: member is not type(value)):
        try:
            return _check(value, member, path)
        except ParamsError:
            continue
    names = " or ".join(getattr(member, "__name__", str(member)) for member in members)
    raise _mismatch(path, names, value)


def _sequence(value: Any, kind: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, list):
        raise _mismatch(path, "an array", value)
    if not arguments:
        return kind(value)
    if kind is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        if len(value) != len(arguments):
            raise _mismatch(path, f"an array of {len(arguments)}", value)
        wanted: tuple[Any, ...] = arguments
    else:
        wanted = (arguments[0],) * len(value)
    items = zip(value, wanted, strict=True)
    return kind(_check(item, one, f"{path}[{at}]") for at, (item, one) in enumerate(items))


def _mismatch(path: str, wanted: str, value: Any) -> ParamsError:
    return ParamsError(
        f"params{path} must be {wanted}, not {type(value).__name__} {value!r:.80}",
        code="params_type",
    )


_PLAIN = (int, float, str, bytes, bool, dict, type(None))
