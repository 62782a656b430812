"""XLA's foreign function interface in ctypes: a Python function as a custom call on a CPU, without a compiler.

The structures are those of `xla/ffi/api/c_api.h`, interface version 0. XLA calls a handler with a call frame, which
holds the addresses of all buffers; arrays share their memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Run: TypeAlias = "Callable[[str, list[np.ndarray], list[np.ndarray]], None]"
"""Function (description of the call, arguments, results) that writes the results."""

API_MAJOR_VERSION = 0
METADATA_EXTENSION = 1
DTYPES = {1: "|b1", 11: "<f4"}
"""Types of the buffers by XLA's number; `deeprnn_keras` passes no others."""

RESOURCE_EXHAUSTED, INTERNAL = 8, 13  # error codes


class _ApiVersion(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("major_version", ctypes.c_int),
        ("minor_version", ctypes.c_int),
    ]


class _Metadata(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("api_version", _ApiVersion), ("traits", ctypes.c_uint32)]


class _MetadataExtension(ctypes.Structure):
    """An extension of a call frame, with the member that an extension of type `METADATA_EXTENSION` has."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("metadata", ctypes.POINTER(_Metadata)),
    ]


class _ErrorArguments(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    ]


class _Api(ctypes.Structure):
    """The first members of the table of XLA's functions."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("api_version", _ApiVersion),
        ("internal_api", ctypes.c_void_p),
        ("create_error", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_ErrorArguments))),
    ]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("rank", ctypes.c_int64),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
    ]


class _Buffers(ctypes.Structure):
    """Arguments or results."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("types", ctypes.c_void_p),
        ("buffers", ctypes.POINTER(ctypes.POINTER(_Buffer))),
    ]


class _Text(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Attributes(ctypes.Structure):
    """Attributes; the handlers of this module have one, a text."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("types", ctypes.c_void_p),
        ("names", ctypes.c_void_p),
        ("values", ctypes.POINTER(ctypes.POINTER(_Text))),
    ]


class _CallFrame(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("extension_start", ctypes.POINTER(_MetadataExtension)),
        ("api", ctypes.POINTER(_Api)),
        ("context", ctypes.c_void_p),
        ("stage", ctypes.c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    ]


HANDLER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_CallFrame))
_handlers: list[Any] = []  # XLA keeps their addresses for the lifetime of the process


class _Memory:
    """Memory of a buffer, in the form that NumPy makes an array of without copying.

    Args:
        buffer: The buffer.
    """

    def __init__(self, buffer: _Buffer) -> None:
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(buffer.dims[: buffer.rank]),
            "typestr": DTYPES[buffer.dtype],
            "data": (buffer.data or 0, False),
        }


def handler_address(run: Run) -> int:
    """Return the address of a handler that calls a Python function; errors of the function become XLA's.

    Args:
        run: The function. The text is that of the custom call's only attribute.
    """

    def handle(pointer: ctypes._Pointer[_CallFrame]) -> int | None:
        frame = pointer.contents
        if frame.extension_start and frame.extension_start.contents.type == METADATA_EXTENSION:
            _describe(frame)
            return None
        try:
            text = frame.attributes.values[0].contents
            description = ctypes.string_at(text.address, text.length).decode()
            run(description, _arrays(frame.arguments), _arrays(frame.results))
        except MemoryError as error:
            return _new_error(frame, RESOURCE_EXHAUSTED, error)
        except Exception as error:
            return _new_error(frame, INTERNAL, error)
        return None

    handler = HANDLER(handle)
    _handlers.append(handler)
    address = ctypes.cast(handler, ctypes.c_void_p).value
    assert address is not None
    return address


def _describe(frame: _CallFrame) -> None:
    """Answer the request of a registration for the version of the interface that the handler was written for.

    The minor version is that of the caller: it changes when members are added at the end of structures.
    """
    version = frame.extension_start.contents.metadata.contents.api_version
    version.major_version = API_MAJOR_VERSION
    version.minor_version = frame.api.contents.api_version.minor_version


def _arrays(buffers: _Buffers) -> list[np.ndarray]:
    return [_array(buffers.buffers[index].contents) for index in range(buffers.size)]


def _array(buffer: _Buffer) -> np.ndarray:
    return np.asarray(_Memory(buffer))


def _new_error(frame: _CallFrame, code: int, error: Exception) -> int | None:
    message = f"{type(error).__name__}: {error}".encode()
    arguments = _ErrorArguments(ctypes.sizeof(_ErrorArguments), None, message, code)
    return frame.api.contents.create_error(ctypes.byref(arguments))
