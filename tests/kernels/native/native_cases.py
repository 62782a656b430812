"""Random inputs of a layer, and its values and gradients in one list."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import sequence_oracle

from deeprnn_keras.kernels.native import sequences
from deeprnn_keras.kernels.native.sequences import Inputs, Layer

CELLS = tuple(sequences.CELLS)
INSTRUCTION_SETS = ("avx512", "avx2", "portable")
MASKS = ("full", "right", "left", "any", "none", None)


class Case(NamedTuple):
    """A layer with batch-major inputs and gradients of its results."""

    layer: Layer
    inputs: Inputs
    d_y: np.ndarray | None
    d_states: list[np.ndarray]


def random_mask(rng: np.random.Generator, kind: str | None, n: int, steps: int) -> np.ndarray | None:
    """Return a mask; each but "full" may have rows without a valid step."""
    if kind is None:
        return None
    lengths, positions = rng.integers(0, steps + 1, n)[:, None], np.arange(steps)[None]
    masks = {
        "full": np.ones((n, steps), bool),
        "right": positions < lengths,
        "left": positions >= lengths,
        "any": rng.random((n, steps)) < 0.6,
        "none": np.zeros((n, steps), bool),
    }
    return masks[kind]


def random_case(layer: Layer, sizes: tuple[int, int, int, int], mask: str | None = None, bias: bool = True) -> Case:
    """Return a case with sizes (n, T, d, h); x is NaN at masked steps."""
    n, steps, d, h = sizes
    rng, width = np.random.default_rng(sum(sizes)), layer.num_gates * h

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return rng.normal(size=shape, scale=scale).astype("float32")

    valid = random_mask(rng, mask, n, steps)
    x = normal(n, steps, d)
    inputs = Inputs(
        x if valid is None else np.where(valid[:, :, None], x, np.float32("nan")),
        normal(d, width, scale=d**-0.5),
        normal(h, width, scale=0.8 * h**-0.5),
        normal(*((2, width) if layer.cell == "gru" else (width,)), scale=0.3) if bias else None,
        [normal(n, h, scale=0.5) for _ in range(layer.num_states)],
        valid,
    )
    d_y = normal(n, steps, h) if layer.return_sequences else None
    return Case(layer, inputs, d_y, [normal(n, h) for _ in range(layer.num_states)])


def run(case: Case) -> dict[str, np.ndarray]:
    """Return the values and gradients that the library computes, batch-major; also check those of inference."""
    layer, (x, *others), d_y, d_states = case
    mask, n = case.inputs.mask, len(x)
    inputs = Inputs(x if layer.x_batch_major else sequences.to_columns(x, mask, True), *others)
    outputs, inference = (sequences.forward(layer, inputs, training) for training in (True, False))
    if d_y is not None and not layer.y_batch_major:
        d_y = sequences.to_columns(d_y, mask, False)
    gradients = sequences.backward(layer, inputs, outputs.stored, d_y, d_states, True)
    y, y_of_inference = outputs.y, inference.y
    if y is not None and not layer.y_batch_major:
        y, y_of_inference = (sequences.from_columns(each, mask, n) for each in (y, y_of_inference))
    dx = gradients.x if layer.x_batch_major else sequences.from_columns(gradients.x, mask, n)
    assert y is None or np.array_equal(y, y_of_inference, equal_nan=True)
    return named(y, outputs.states, gradients._replace(x=dx))


def expected(case: Case) -> dict[str, np.ndarray]:
    """Return the values and gradients of the reference."""
    y, states, _ = sequence_oracle.forward(case.layer, case.inputs)
    gradients = sequence_oracle.backward(case.layer, case.inputs, case.d_y, case.d_states)
    return named(y if case.layer.return_sequences else None, states, gradients)


def named(y: np.ndarray | None, states: list[np.ndarray], gradients: sequences.Gradients) -> dict[str, np.ndarray]:
    """Return arrays by name."""
    arrays = {"y": y, "dx": gradients.x, "dW": gradients.kernel, "dU": gradients.recurrent_kernel, "db": gradients.bias}
    arrays |= {f"state {i}": state for i, state in enumerate(states)}
    arrays |= {f"d_state {i}": state for i, state in enumerate(gradients.states)}
    return {name: array for name, array in arrays.items() if array is not None}


def assert_equal_to_reference(case: Case, tolerance: float = 1e-5) -> None:
    """Assert that differences are at most `tolerance` of the largest number of an array."""
    actual, reference = run(case), expected(case)
    assert actual.keys() == reference.keys()
    for name, array in reference.items():
        scale = max(1e-3, np.abs(array).max(initial=0))
        np.testing.assert_allclose(actual[name] / scale, array / scale, rtol=0, atol=tolerance, err_msg=name)


def assert_same_bits(case: Case, other: Case) -> None:
    """Assert that all values and gradients of two cases are bit-equal."""
    actual, reference = run(case), run(other)
    for name, array in reference.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


def with_layer(case: Case, **changes: object) -> Case:
    """Return a case with another layer."""
    return case._replace(layer=replace(case.layer, **changes))
