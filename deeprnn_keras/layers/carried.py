"""The states that a stateful stack carries from one batch to the next."""

import keras
from keras import ops

from deeprnn_keras import _compat


class Carried:
    """States by row of the batch: one set for training, one for evaluation and prediction, so that none sees the other.

    With TensorFlow the number of rows may be another each time the states begin anew; elsewhere it is fixed.

    Args:
        name: of the layer, for errors.
        sizes: one list of widths per layer.
        dtype: of the states.
        batch: n, or None where unknown.
    """

    def __init__(self, name, sizes, dtype, batch):
        self._name, self._sizes = name, sizes
        widths = [width for layer in sizes for width in layer]
        self._home = _home()
        self.variables = [self._home.variables(widths, dtype, batch) for _ in range(2)]

    def read(self, batch, reset_mask, training):
        """-> one flat list of states (n, width) per layer; rows where `reset_mask` is True begin with 0."""
        flat = iter(self._home.read(self.variables[bool(training)], batch, reset_mask, self._name))
        return [[next(flat) for _ in layer] for layer in self._sizes]

    def keep(self, states, training):
        """Takes the states, one flat list per layer, for the next batch."""
        self._home.keep(self.variables[bool(training)], [part for layer in states for part in layer])

    def reset(self):
        """Forgets both sets."""
        for held in self.variables:
            self._home.reset(held)

    def values(self):
        """What is held, as arrays: of evaluation, then of training."""
        return [array for held in self.variables for array in self._home.values(held)]

    def restore(self, arrays):
        """Takes back what `values` gave."""
        count = len(arrays) // len(self.variables)
        for number, held in enumerate(self.variables):
            self._home.keep(held, arrays[number * count : (number + 1) * count])


def _home():
    """Where states are held: functions of these names."""
    if keras.backend.backend() != "tensorflow":
        return _FixedBatch
    from deeprnn_keras.kernels.tensorflow import carried

    return carried


class _FixedBatch:
    """For backends without variables of unknown shape."""

    @staticmethod
    def variables(widths, dtype, batch):
        return [keras.Variable(ops.zeros((batch, width)), dtype=dtype, trainable=False) for width in widths]

    @staticmethod
    def read(held, batch, reset_mask, name):
        states = [ops.convert_to_tensor(variable) for variable in held]
        return states if reset_mask is None else [ops.where(reset_mask[:, None], 0.0, state) for state in states]

    @staticmethod
    def keep(held, states):
        for variable, state in zip(held, states, strict=True):
            variable.assign(state)

    @staticmethod
    def reset(held):
        for variable in held:
            variable.assign(ops.zeros_like(variable))

    @staticmethod
    def values(held):
        return [ops.convert_to_numpy(variable) for variable in held]


class BeginsAnew(keras.metrics.Metric):
    """Resets the states of a stack whenever Keras resets metrics: as an epoch or an evaluation begins.

    Keras tells layers of neither, but it resets the metrics of every layer at both. This one measures nothing. A model
    trained by `train_on_batch` goes on from batch to batch.

    Args:
        carried: the `Carried`.
    """

    def __init__(self, carried, name="carried_state"):
        super().__init__(name=name)
        self._carried = carried

    def reset_state(self):
        if not _compat.in_single_batch():
            self._carried.reset()

    def update_state(self, *args, **kwargs):
        """Nothing to measure."""

    def result(self):
        return {}
