"""Count the stack frames of this package between `DeepRNN.call` and its matrix products.

Run `python -m benchmarks.frames`. For each cell and implementation, it prints the number of nested frames of the
package and of their files at the first matrix product and at the most deeply nested one.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import deeprnn_keras
from deeprnn_keras import DeepRNN
from deeprnn_keras._types import Tensor

PACKAGE = Path(deeprnn_keras.__file__).parent
CELLS = ("rnn", "lstm", "gru", "mlp_gate_lstm")
IMPLEMENTATIONS = ("xla", "loop")
Frames = list[tuple[str, str]]


@contextlib.contextmanager
def recorded_products() -> Iterator[list[Frames]]:
    """Record the frames of the package, outermost first, at each call of `tf.matmul` within the block."""
    recorded: list[Frames] = []

    def recording(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def product(*args: Any, **kwargs: Any) -> Tensor:
            recorded.append(package_frames())
            return function(*args, **kwargs)

        return product

    originals = {module: module.matmul for module in (tf, tf.linalg)}
    for module, function in originals.items():
        module.matmul = recording(function)
    try:
        yield recorded
    finally:
        for module, function in originals.items():
            module.matmul = function


def package_frames() -> Frames:
    """Return (file, function) of each frame of the package, starting at `DeepRNN.call`."""
    frames = [
        (str(Path(frame.filename).relative_to(PACKAGE)), frame.function)
        for frame in reversed(inspect.stack(0))
        if Path(frame.filename).is_relative_to(PACKAGE)
    ]
    calls = [index for index, frame in enumerate(frames) if frame == ("layers/deep_rnn.py", "call")]
    return frames[calls[0] :] if calls else []


def products_of(cell: str, implementation: str) -> list[Frames]:
    """Return the frames at each product of a forward pass, traced once."""
    layer = DeepRNN(4, 2, cell, return_sequences=True, implementation=implementation)
    x = np.zeros((16, 5, 3), "float32")
    layer.build(x.shape)
    with recorded_products() as recorded:
        tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec(x.shape))
    return [frames for frames in recorded if frames]


def main() -> None:
    """Print the table, and the frames at the first product."""
    print(f"{'cell':<16}{'implementation':<16}{'first product':<24}{'deepest product':<24}")
    first_frames = {}
    for cell in CELLS:
        for implementation in IMPLEMENTATIONS:
            products = products_of(cell, implementation)
            first_frames[cell, implementation] = products[0]
            first, deepest = (
                f"{len(frames)} frames, {len({file for file, _ in frames})} files"
                for frames in (products[0], max(products, key=len))
            )
            print(f"{cell:<16}{implementation:<16}{first:<24}{deepest:<24}")
    for (cell, implementation), frames in first_frames.items():
        print(f"\n{cell}, {implementation}")
        for file, function in frames:
            print(f"  {file}: {function}")


if __name__ == "__main__":
    main()
