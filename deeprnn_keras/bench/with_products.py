"""The matrix products of a case and nothing else: what no implementation gets below without a better product.

For each of the L layers, with d = h inputs, n examples, T steps and gates of width G h (G = 4, 3, 1 for LSTM, GRU,
RNN), in float32 and in this order:

    forward   one product for all steps   (T n, d)   (d, G h)     X W
              T products, one by one      (n, h)     (h, G h)     H_{t-1} U
    backward  T products, one by one      (n, G h)   (G h, h)     dZ_t U^T
              one product                 (d, T n)   (T n, G h)   X^T dZ     the gradient of W
              one product                 (h, T n)   (T n, G h)   H^T dZ     the gradient of U
              one product                 (T n, G h) (G h, d)     dZ W^T     not for layer 1, whose input is data

Inference has the forward products alone. A product that waits for the one before it, as those of successive steps do,
is made to wait here too. All are computed by `tf.matmul` in two layouts, the one above and its transpose
(feature-major, U^T H^T); the faster one counts. Gates, biases, head and optimizer are left out.
"""

import time

import tensorflow as tf

PIECE = 64  # products in one graph: enough that calling it costs nothing beside them, few enough to be traced soon


def make_step(_, case, seed):
    """All products of one step, in the faster of two layouts."""
    runs = [Products(case, transposed, seed) for transposed in (False, True)]
    for run in runs:
        run()  # traces
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

    def __init__(self, case, transposed, seed):
        self.case, self.transposed = case, transposed
        self.layout = "feature-major" if transposed else "example-major"
        n, h, wide, long = case.batch_size, case.units, case.gates * case.units, case.batch_size * case.steps
        shapes = {"x": (long, h), "h": (n, h), "dz": (n, wide), "dZ": (long, wide), "U": (h, wide), "V": (wide, h)}
        tf.random.set_seed(seed)
        self.tensors = {name: self._matrix(shape) for name, shape in shapes.items()}
        self.tensors["X"] = self._matrix((h, long))
        self._functions = {}
        self._calls = [call for layer in range(case.num_layers) for call in self._in_pieces(self._pairs(layer))]

    def __call__(self):
        for call in self._calls:
            done = call(self.tensors)
        return done.numpy()

    def _matrix(self, shape):
        return tf.random.normal(shape[::-1] if self.transposed else shape)

    def _pairs(self, layer):
        """The factors of all products of one layer, in order."""
        pairs = [("x", "U"), *[("h", "U")] * self.case.steps]
        if self.case.mode == "train":
            pairs += [("dz", "V")] * self.case.steps + [("X", "dZ")] * 2 + [("dZ", "V")] * (layer > 0)
        return pairs

    def _in_pieces(self, pairs):
        """Functions of at most `PIECE` products; equal ones are traced once."""
        for start in range(0, len(pairs), PIECE):
            piece = tuple(pairs[start : start + PIECE])
            if piece not in self._functions:
                self._functions[piece] = tf.function(lambda m, piece=piece: self._chain(m, piece), autograph=False)
            yield self._functions[piece]

    def _chain(self, m, pairs):
        done = tf.constant(0.0)  # a number of each product is fetched: what nobody reads would be left out
        for left, right in pairs:
            with tf.control_dependencies([done]):
                done = done + self._product(m[left], m[right])[0, 0]
        return done

    def _product(self, left, right):
        return tf.matmul(right, left) if self.transposed else tf.matmul(left, right)
