"""Count the frames of this package between `DeepRNN.call` and its matrix products.

Run `python -m benchmarks.frames`. For each cell and implementation it prints the nested frames of our own, and the
files they are in, when the first product is computed, and at the deepest one.
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

PACKAGE = Path(deeprnn_keras.__file__).parent
CELLS = ("rnn", "lstm", "gru", "mlp_gate_lstm")
IMPLEMENTATIONS = ("xla", "loop")
Frames = list[tuple[str, str]]


@contextlib.contextmanager
def recorded_products() -> Iterator[list[Frames]]:
    """Record the frames of the package, outermost first, at each call of `tf.matmul` within the block."""
    found: list[Frames] = []

    def recording(function: Callable) -> Callable:
        def product(*args: Any, **kwargs: Any) -> Any:
            found.append(package_frames())
            return function(*args, **kwargs)

        return product

    originals = {home: home.matmul for home in (tf, tf.linalg)}
    for home, function in originals.items():
        home.matmul = recording(function)
    try:
        yield found
    finally:
        for home, function in originals.items():
            home.matmul = function


def package_frames() -> Frames:
    """Return (file, function) of each frame of the package, from `DeepRNN.call` down."""
    frames = [
        (str(Path(frame.filename).relative_to(PACKAGE)), frame.function)
        for frame in reversed(inspect.stack(0))
        if Path(frame.filename).is_relative_to(PACKAGE)
    ]
    calls = [place for place, frame in enumerate(frames) if frame == ("layers/deep_rnn.py", "call")]
    return frames[calls[0] :] if calls else []


def products_of(cell: str, implementation: str) -> list[Frames]:
    """Return the frames at each product of a forward pass, traced once."""
    layer = DeepRNN(4, 2, cell, return_sequences=True, implementation=implementation)
    x = np.zeros((16, 5, 3), "float32")
    layer.build(x.shape)
    with recorded_products() as found:
        tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec(x.shape))
    return [frames for frames in found if frames]


def main() -> None:
    """Print the table, and the way to the first product."""
    print(f"{'cell':<16}{'implementation':<16}{'first product':<24}{'deepest product':<24}")
    ways = {}
    for cell in CELLS:
        for implementation in IMPLEMENTATIONS:
            found = products_of(cell, implementation)
            ways[cell, implementation] = found[0]
            first, deepest = (
                f"{len(frames)} frames, {len({file for file, _ in frames})} files"
                for frames in (found[0], max(found, key=len))
            )
            print(f"{cell:<16}{implementation:<16}{first:<24}{deepest:<24}")
    for (cell, implementation), frames in ways.items():
        print(f"\n{cell}, {implementation}")
        for file, function in frames:
            print(f"  {file}: {function}")


if __name__ == "__main__":
    main()
