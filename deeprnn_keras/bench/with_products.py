"""Matrix products of a case alone: a lower bound on the time of every implementation that uses these products.

For each of the L layers, with d = h inputs, n examples, T time steps, and G gates (4, 3, and 1 for LSTM, GRU, and RNN),
in float32 and in this order:

    forward   one product for all steps   (T n, d)   (d, G h)     X W
              T products, one per step    (n, h)     (h, G h)     H_{t-1} U
    backward  T products, one per step    (n, G h)   (G h, h)     dZ_t U^T
              one product                 (d, T n)   (T n, G h)   X^T dZ     gradient of W
              one product                 (h, T n)   (T n, G h)   H^T dZ     gradient of U
              one product                 (T n, G h) (G h, d)     dZ W^T     not for layer 1, whose input is data

Inference runs the forward products only. All products use `tf.matmul`, in two layouts, the one above and its transpose
(feature-major, U^T H^T), each with and without XLA; the fastest of the four variants counts. Gates, biases, head, and
optimizer are omitted. The results of the products of the single steps are summed: XLA would remove unused products.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.bench.case import Case


def make_step(_: str, case: Case, seed: int) -> MatrixProducts:
    """Return the fastest of the four variants."""
    variants = [
        MatrixProducts(case, transposed, compiled, seed) for transposed in (False, True) for compiled in (False, True)
    ]
    for variant in variants:
        variant()  # traces and compiles
    return min(variants, key=_seconds)


def _seconds(step: MatrixProducts) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


class MatrixProducts:
    """Callable that computes the products of one step of a case.

    Args:
        case: Case.
        transposed: If True, use the feature-major layout.
        compiled: If True, compile with XLA.
        seed: Random seed of the matrices.

    Attributes:
        variant: Description of the layout and the compiler.
        tensors: Factors of the products by name.
    """

    def __init__(self, case: Case, transposed: bool, compiled: bool, seed: int) -> None:
        self.case, self.transposed = case, transposed
        self.variant = ("feature" if transposed else "example") + "-major" + (", XLA" if compiled else "")
        n, h, width, rows = case.batch_size, case.units, case.num_gates * case.units, case.batch_size * case.steps
        shapes = {"x": (rows, h), "dZ": (rows, width), "U": (h, width), "V": (width, h), "X": (h, rows)}
        series_shapes = {"h": (n, h), "dz": (n, width)}
        tf.random.set_seed(seed)
        self.tensors = {name: self._normal(shape) for name, shape in shapes.items()}
        self.tensors |= {name: self._normal(shape, case.steps) for name, shape in series_shapes.items()}
        function = functools.partial(tf.function, jit_compile=compiled, autograph=False)
        self._single, self._per_step = function(self._product), function(self._sum_of_products)

    def __call__(self) -> np.ndarray:
        """Compute all products, and return the last one."""
        result = None
        for function, left, right in self._calls():
            result = function(self.tensors[left], self.tensors[right])
        assert result is not None  # a case has at least one layer
        return result.numpy()

    def _normal(self, shape: tuple[int, int], *series: int) -> Tensor:
        return tf.random.normal((*series, *(shape[::-1] if self.transposed else shape)))

    def _calls(self) -> Iterator[tuple[Callable[..., Tensor], str, str]]:
        """Yield the function and the names of the factors of each product, in order."""
        for layer in range(self.case.num_layers):
            yield self._single, "x", "U"
            yield self._per_step, "h", "U"
            if self.case.mode == "train":
                yield self._per_step, "dz", "V"
                yield from [(self._single, "X", "dZ")] * 2
                yield from [(self._single, "dZ", "V")] * (layer > 0)

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        return tf.matmul(right, left) if self.transposed else tf.matmul(left, right)

    def _sum_of_products(self, series: Tensor, right: Tensor) -> Tensor:
        first = self._product(series[0], right)
        return tf.while_loop(
            lambda t, _: t < self.case.steps,
            lambda t, total: (t + 1, total + self._product(series[t], right)),
            (tf.constant(1), first),
        )[1]
