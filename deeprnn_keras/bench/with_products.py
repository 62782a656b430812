"""The matrix products of a case and nothing else: what no implementation gets below without a better product.

For each of the L layers, with d = h inputs, n examples, T steps and gates of width G h (G = 4, 3, 1 for LSTM, GRU,
RNN), in float32 and in this order:

    forward   one product for all steps   (T n, d)   (d, G h)     X W
              T products, one by one      (n, h)     (h, G h)     H_{t-1} U
    backward  T products, one by one      (n, G h)   (G h, h)     dZ_t U^T
              one product                 (d, T n)   (T n, G h)   X^T dZ     the gradient of W
              one product                 (h, T n)   (T n, G h)   H^T dZ     the gradient of U
              one product                 (T n, G h) (G h, d)     dZ W^T     not for layer 1, whose input is data

Inference has the forward products alone. All are computed by `tf.matmul`: in two layouts, the one above and its
transpose (feature-major, U^T H^T), each with XLA and without; the fastest of the four counts. Gates, biases, head and
optimizer are left out; the results of the products one by one are added up, lest XLA leave them out.
"""

import functools
import time

import tensorflow as tf


def make_step(_, case, seed):
    """All products of one step, in the fastest of four ways."""
    runs = [Products(case, transposed, compiled, seed) for transposed in (False, True) for compiled in (False, True)]
    for run in runs:
        run()  # traces, and compiles
    return min(runs, key=_seconds)


def _seconds(run):
    times = []
    for _ in range(3):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


class Products:
    """Calling it runs the products of one step of a case."""

    def __init__(self, case, transposed, compiled, seed):
        self.case, self.transposed = case, transposed
        self.way = ("feature" if transposed else "example") + "-major" + (", XLA" if compiled else "")
        n, h, wide, long = case.batch_size, case.units, case.gates * case.units, case.batch_size * case.steps
        shapes = {"x": (long, h), "dZ": (long, wide), "U": (h, wide), "V": (wide, h), "X": (h, long)}
        series = {"h": (n, h), "dz": (n, wide)}
        tf.random.set_seed(seed)
        self.tensors = {name: self._normal(shape) for name, shape in shapes.items()}
        self.tensors |= {name: self._normal(shape, case.steps) for name, shape in series.items()}
        function = functools.partial(tf.function, jit_compile=compiled, autograph=False)
        self._one, self._one_by_one = function(self._product), function(self._sum_of_products)

    def __call__(self):
        for function, left, right in self._pairs():
            done = function(self.tensors[left], self.tensors[right])
        return done.numpy()

    def _normal(self, shape, *series):
        return tf.random.normal((*series, *(shape[::-1] if self.transposed else shape)))

    def _pairs(self):
        """The factors of all products, in order."""
        for layer in range(self.case.num_layers):
            yield self._one, "x", "U"
            yield self._one_by_one, "h", "U"
            if self.case.mode == "train":
                yield self._one_by_one, "dz", "V"
                yield from [(self._one, "X", "dZ")] * 2
                yield from [(self._one, "dZ", "V")] * (layer > 0)

    def _product(self, left, right):
        return tf.matmul(right, left) if self.transposed else tf.matmul(left, right)

    def _sum_of_products(self, series, right):
        first = self._product(series[0], right)
        return tf.while_loop(
            lambda t, _: t < self.case.steps,
            lambda t, total: (t + 1, total + self._product(series[t], right)),
            (tf.constant(1), first),
        )[1]
