"""Layout of the files of Neural Amp Modeler: an LSTM and a linear head as one list of numbers.

The list has, for each layer of h units with d inputs, in this order:

    [W U]^T  (4 h, d + h), row by row, gates i, f, g, o
    b        (4 h,)
    h_0      (h,), the hidden state at the start
    c_0      (h,), the cell state at the start

then the weights (h,) and the bias (1,) of the head. Source: neural-amp-modeler 0.13, `nam.models.recurrent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deeprnn_keras.exporters.plugin_files.chain import Layer

ARCHITECTURE = "LSTM"
MAX_LAYERS, MAX_SIZE = 64, 4096
"""Largest number of layers and sizes that `unpack` reads; the plugins run far smaller networks."""


def pack(layers: Sequence[Layer], states: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers of a file.

    Args:
        layers: The LSTM layers and the head.
        states: {name of a state: its value at the start, (h,)}.
    """
    *lstms, head = layers
    parts: list[np.ndarray] = []
    for layer in lstms:
        assert layer.recurrent_kernel is not None  # of an LSTM
        parts += [np.concatenate([layer.kernel, layer.recurrent_kernel]).T, layer.bias]
        parts += [states[name] for name in layer.states]
    return np.concatenate([part.ravel() for part in [*parts, head.kernel, head.bias]]).astype(np.float32)


def unpack(file: Mapping[str, Any]) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Return the layers of a file and the states at the start; the opposite of `pack`.

    Args:
        file: The content of a .nam file.

    Raises:
        ValueError: If the file has another architecture, a size is out of range, or the number of weights does not fit.
    """
    if file.get("architecture") != ARCHITECTURE:
        raise ValueError(f"architecture must be {ARCHITECTURE!r}, got {file.get('architecture')!r}")
    sizes = _sizes(file.get("config"))
    inputs, units, num_layers = sizes["input_size"], sizes["hidden_size"], sizes["num_layers"]
    numbers = _numbers(file.get("weights"))
    expected = sum(4 * units * (width + units + 1) + 2 * units for width in [inputs, *[units] * (num_layers - 1)])
    if len(numbers) != expected + units + 1:
        raise ValueError(
            f"weights must have {expected + units + 1:,} numbers for {num_layers} layers of {units} units and "
            f"{inputs} inputs, got {len(numbers):,}"
        )
    layers: list[Layer] = []
    states: dict[str, np.ndarray] = {}
    start = 0

    def take(*shape: int) -> np.ndarray:
        nonlocal start
        start += (size := int(np.prod(shape)))
        return numbers[start - size : start].reshape(shape)

    for number in range(1, num_layers + 1):
        width, name = inputs if number == 1 else units, f"lstm_{number}"
        matrix = np.ascontiguousarray(take(4 * units, width + units).T)
        bias, names = take(4 * units), (f"{name}/h", f"{name}/c")
        layers.append(Layer(name, "lstm", units, matrix[:width], bias, matrix[width:], states=names))
        states |= {one: take(units) for one in names}
    layers.append(Layer("head", "dense", 1, take(units, 1), take(1)))
    return layers, states


def _sizes(config: object) -> dict[str, int]:
    limits = {"input_size": MAX_SIZE, "hidden_size": MAX_SIZE, "num_layers": MAX_LAYERS}
    sizes: dict[str, int] = {}
    for name, limit in limits.items():
        size = config.get(name, 1) if isinstance(config, Mapping) else None
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= limit:
            raise ValueError(f"config[{name!r}] must be an integer from 1 to {limit}, got {size!r}")
        sizes[name] = size
    return sizes


def _numbers(weights: object) -> np.ndarray:
    if not isinstance(weights, list) or not all(type(one) in (int, float) for one in weights):
        raise ValueError("weights must be a list of numbers")
    numbers = np.array(weights, np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError(f"weights must be finite in float32; number {np.flatnonzero(~np.isfinite(numbers))[0]} is not")
    return numbers
