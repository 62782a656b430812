"""Limit on the memory of the weights of a model, checked before anything is allocated.

The default is the memory of this machine or container. The environment variable DEEPRNN_MEMORY_LIMIT and
`set_memory_limit` replace it: `export DEEPRNN_MEMORY_LIMIT=64G`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

VARIABLE = "DEEPRNN_MEMORY_LIMIT"
LAYER_BYTES = 200 * 2**10  # Python objects of one layer of a DeepRNN, measured
FALLBACK_LIMIT = 16 * 2**30  # where the operating system does not report the size of the memory
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
PREFIXES = "KMGTPE"
MAX_SHOWN = 8  # numbers of a list in an error message

_settings: dict[str, int | None] = {"limit": None}
_file_limit: ContextVar[int | None] = ContextVar("memory limit of the file being loaded", default=None)


def set_memory_limit(limit: int | str | None) -> None:
    """Set the maximum memory of the weights of one model.

    Args:
        limit: Number of bytes, as an integer or as text with a prefix: "500M", "64G". None for the default, the
            environment variable DEEPRNN_MEMORY_LIMIT or the memory of this machine.

    Raises:
        ValueError: If `limit` is not a positive number of bytes.

    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.limits import set_memory_limit
    >>> set_memory_limit("1M")
    >>> DeepRNN(1000).build((None, None, 10))
    Traceback (most recent call last):
        ...
    ValueError: a DeepRNN with units=[1,000] has 4,044,000 parameters, which take 16.2 MB, more than ...
    >>> set_memory_limit(None)
    """
    _settings["limit"] = None if limit is None else _parse("limit", limit)


def memory_limit() -> int:
    """Return the maximum memory of the weights of one model, in bytes.

    Raises:
        ValueError: If the environment variable is not a number of bytes.
    """
    limit = _settings["limit"]
    if limit is not None:
        return limit
    variable = os.environ.get(VARIABLE)
    return _parse(VARIABLE, variable) if variable else _machine_memory()


@contextmanager
def limited_by_file(num_bytes: int) -> Iterator[None]:
    """Limit the weights of models that are built in the block to those that fit in the file from which they are loaded.

    Args:
        num_bytes: Maximum memory of the weights, in bytes.
    """
    token = _file_limit.set(num_bytes)
    try:
        yield
    finally:
        _file_limit.reset(token)


def check_memory(what: str, num_params: int, dtype: str = "float32") -> None:
    """Raise a ValueError if the weights of a model take more memory than the limit.

    Args:
        what: Description of the model with the arguments that determine its size.
        num_params: Number of parameters.
        dtype: Data type of the weights, whose name ends with the number of bits.
    """
    problem = memory_problem(what, num_params, dtype)
    if problem is not None:
        raise ValueError(problem)


def memory_problem(what: str, num_params: int, dtype: str = "float32") -> str | None:
    """Return the message of `check_memory`, or None if the weights are within the limit.

    Args:
        what: Description of the model with the arguments that determine its size.
        num_params: Number of parameters.
        dtype: Data type of the weights, whose name ends with the number of bits.
    """
    bits = re.search(r"\d+", dtype)
    num_bytes = num_params * (int(bits[0]) if bits else 32) // 8
    beginning = f"{what} has {_count(num_params)} parameters, which take"
    file_limit = _file_limit.get()
    if file_limit is not None and num_bytes > file_limit:
        return f"{beginning} {format_bytes(num_bytes)}, more than the file holds"
    return _problem(beginning, num_bytes)


def check_num_layers(num_layers: int) -> None:
    """Raise a ValueError if the layers themselves, without their weights, take more memory than the limit.

    While a file is loaded, each layer must have at least one byte of weights in it.
    """
    file_limit = _file_limit.get()
    if file_limit is not None and num_layers > file_limit:
        raise ValueError(f"num_layers={_count(num_layers)} has more layers than the file has bytes of weights")
    if num_layers == 1:  # limited by its weights
        return
    problem = _problem(f"num_layers={_count(num_layers)} takes", num_layers * LAYER_BYTES)
    if problem is not None:
        raise ValueError(problem)


def _problem(beginning: str, num_bytes: int) -> str | None:
    limit = memory_limit()
    if num_bytes > limit:
        return (
            f"{beginning} {format_bytes(num_bytes)}, more than the limit of {format_bytes(limit)}; build a smaller "
            f"model, or raise the limit by {VARIABLE} or deeprnn_keras.limits.set_memory_limit"
        )
    return None


def format_bytes(number: int) -> str:
    """Return a number of bytes as text.

    >>> from deeprnn_keras.limits import format_bytes
    >>> format_bytes(16_176_000)
    '16.2 MB'
    """
    power = (len(str(number)) - 1) // 3
    if 0 < power <= len(PREFIXES):
        return f"{number / 1000**power:.1f} {PREFIXES[power - 1]}B"
    return f"{_count(number)} bytes"


def shortened(values: Sequence[int]) -> str:
    """Return a list of numbers as text for an error message; equal numbers are written as `[2] * 3`."""
    if len(set(values)) == 1 and len(values) > 1:
        return f"[{_count(values[0])}] * {len(values):,}"
    return f"[{', '.join(map(_count, values[:MAX_SHOWN]))}{', ...' if len(values) > MAX_SHOWN else ''}]"


def _count(number: int) -> str:
    """Return a number as text; as a power of ten if it has more than 15 digits."""
    digits = len(str(number))
    return f"{number:,}" if digits <= 15 else f"about 10^{digits - 1}"


def _parse(name: str, value: int | str) -> int:
    found = re.fullmatch(rf"(\d{{1,18}}(?:\.\d{{1,9}})?)\s*([{PREFIXES}]?)i?B?", str(value).strip(), re.IGNORECASE)
    number = 0
    if found is not None and not isinstance(value, bool):
        number = int(float(found[1]) * 1024 ** (1 + PREFIXES.index(found[2].upper()) if found[2] else 0))
    if number < 1:
        raise ValueError(f"{name} must be a positive number of bytes, for example 500M or 64G, got {value!r}")
    return number


def _machine_memory() -> int:
    """Return the memory of this machine, or of the container if it is less."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return FALLBACK_LIMIT
    try:
        return min(memory, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return memory
