"""Readers of files that may be damaged or crafted. They report damage by one exception that names the file."""

from __future__ import annotations

import json
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from deeprnn_keras import checks
from deeprnn_keras._types import Config, PathLike

if TYPE_CHECKING:
    import numpy as np

MAX_JSON_BYTES = 64 * 2**20
READING_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # raised by zipfile for encrypted members
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
DataclassType = TypeVar("DataclassType")
RecordType = TypeVar("RecordType")


class DamagedFileError(ValueError):
    """Error for a file that is damaged, or whose content its reader does not support.

    The message is "path: what is wrong". Readers raise it before they modify any object.
    """

    def __init__(self, path: PathLike, problem: object) -> None:
        super().__init__(f"{os.fspath(path)}: {problem}")


@contextmanager
def damage_reported(path: PathLike, expected: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert the errors that parsers raise for damaged content into a `DamagedFileError`.

    Args:
        path: The file being read.
        expected: Description of the supported content, for the message: "a NumPy archive".
        *errors: Further classes of errors.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (DamagedFileError, FileNotFoundError):
        raise
    except (*READING_ERRORS, SafetensorError, *errors) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DamagedFileError(path, f"not {expected}, or damaged: {reason}") from error


def require_regular_file(path: PathLike) -> Path:
    """Return the path of an existing regular file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is a directory, a pipe, or a device; reading the latter two might never end.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise DamagedFileError(path, "not a regular file")
    return path


def read_bytes(path: PathLike, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not a regular file, or is larger than `max_bytes`.
    """
    path = require_regular_file(path)
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        raise DamagedFileError(path, f"{size:,} bytes, but at most {max_bytes:,} are supported")
    return path.read_bytes()


def read_record(path: PathLike, record_type: type[RecordType], expected: str, non_finite: bool = False) -> RecordType:
    """Return the value in a UTF-8 JSON file, checked against a type.

    Args:
        path: The file.
        record_type: Type as for `msgspec.convert`: a `TypedDict`, a `msgspec.Struct`, or a container of plain types.
        expected: Description of the file, for the message: "the settings of a run".
        non_finite: If True, NaN and Infinity are supported.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not JSON of this type.
    """
    import msgspec

    with damage_reported(path, expected):
        text = read_bytes(path, MAX_JSON_BYTES).decode("utf-8")
        value = json.loads(text) if non_finite else parse_json(text, (dict, list))
        return msgspec.convert(value, record_type)


def read_json(path: PathLike, kind: type | tuple[type, ...] = dict) -> Any:  # noqa: ANN401 - JSON
    """Return the value in a UTF-8 JSON file.

    Args:
        path: The file.
        kind: Supported type of the value.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not JSON of this type. Infinity and NaN are not JSON.
    """
    with damage_reported(path, "a JSON file"):
        return parse_json(read_bytes(path, MAX_JSON_BYTES).decode("utf-8"), kind)


def parse_json(text: str, kind: type | tuple[type, ...] = dict) -> Any:  # noqa: ANN401 - JSON
    """Return the value of a JSON text.

    Raises:
        ValueError: If the text is not JSON, or its value is not of type `kind`.
    """
    value = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(value, kind):
        raise ValueError(f"expected {_type_names(kind)}, got {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _type_names(kind: type | tuple[type, ...]) -> str:
    return " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))


def read_safetensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not a safetensors file, or is damaged.
    """
    with damage_reported(path, "a safetensors file"):
        return parse_safetensors(read_bytes(path))


def parse_safetensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays and the metadata of the content of a safetensors file.

    Raises:
        ValueError, SafetensorError: If the content is damaged.
    """
    from safetensors import numpy

    arrays = numpy.load(data)
    (length,) = struct.unpack("<Q", data[:8])
    return arrays, json.loads(data[8 : 8 + length]).get("__metadata__", {})


def build_dataclass(
    dataclass_type: type[DataclassType], values: Mapping[str, Any], **converted: object
) -> DataclassType:
    """Build a dataclass from JSON values, checked against the annotations of its fields.

    Args:
        dataclass_type: The dataclass. Function types in annotations are ignored, because JSON has no functions.
        values: Its fields as JSON values; lists become tuples where the annotation says so.
        converted: Fields that are not JSON values; they are passed unchecked.

    Raises:
        ValueError: If a field is unknown or missing, has a value of another type, or is rejected by the dataclass.
    """
    import msgspec

    hints = get_type_hints(dataclass_type)
    names = {field.name for field in fields(dataclass_type)}  # pyright: ignore[reportArgumentType]  # a dataclass
    arguments: Config = dict(converted)
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"unknown field {name!r}{checks.suggestion(name, names)}")
        try:
            arguments[name] = msgspec.convert(value, _json_type(hints[name]))
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from error
    try:
        return dataclass_type(**arguments)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(str(error).partition("() ")[2] or str(error)) from error


def _json_type(hint: Any) -> Any:  # noqa: ANN401 - annotations
    """Return an annotation without functions, since they are not JSON values."""
    members = [member for member in get_args(hint) if get_origin(member) is not Callable]
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(map(_json_type, members))]  # noqa: UP007 - of a list
    if get_origin(hint) is tuple:
        return tuple[tuple(map(_json_type, members))]
    return hint
