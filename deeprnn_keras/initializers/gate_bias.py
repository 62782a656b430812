"""Biases that start single gates elsewhere than at 0: `ForgetBias` and `ChronoBias`."""

from abc import ABC, abstractmethod

import keras
from keras import ops

from deeprnn_keras import checks
from deeprnn_keras.initializers.seeding import check_same_cell, derived_seed
from deeprnn_keras.specs import CELLS, registered_cell


class GateBias(keras.initializers.Initializer, ABC):
    """Base: the bias of a gated cell, 0 but for the gates that `gate_values(keep_gate, write_gate, units)` names.

    The bias of an LSTM has shape (4 h,), that of a GRU (2, 3 h) with the recurrent bias in the second row, which
    stays 0, or (3 h,) with `reset_after=False`.
    """

    def __init__(self, cell=None):
        self.cell = None if cell is None else self._gated(cell).name

    @staticmethod
    def _gated(cell):
        spec = registered_cell(cell)
        if spec.keep_gate is None:
            raise ValueError(f"cell {cell!r} has no gate that keeps its state; use it with 'lstm' or 'gru'")
        return spec

    @abstractmethod
    def gate_values(self, keep_gate, write_gate, units):
        """Return {gate: its bias of shape (units,) in float32}.

        Args:
            keep_gate: The gate that, at 1, keeps the old state.
            write_gate: The gate that lets the candidate in, or None where it is 1 - keep_gate.
            units: h.
        """

    def __call__(self, shape, dtype=None):
        shape = tuple(shape)
        spec = CELLS[self.cell or ("gru" if len(shape) == 2 else "lstm")]
        units, rest = divmod(shape[-1], len(spec.gates))
        if rest or (len(shape) > 1 and (spec.name, shape[:-1]) != ("gru", (2,))):
            raise ValueError(f"{type(self).__name__} got shape {shape}, which is not the bias of a {spec.name!r} cell")
        values = self.gate_values(spec.keep_gate, spec.write_gate, units)
        bias = ops.concatenate([values.get(gate, ops.zeros(units, "float32")) for gate in spec.gates])
        if len(shape) == 2:
            bias = ops.stack([bias, *[ops.zeros_like(bias)] * (shape[0] - 1)])
        return ops.cast(bias, dtype or keras.config.floatx())

    def for_cell(self, cell):
        """This initializer, told the cell; an error for a cell without gates, or if it knows another."""
        check_same_cell(self, cell)
        return self if self.cell else type(self).from_config({**self.get_config(), "cell": self._gated(cell).name})

    def get_config(self):
        return {"cell": self.cell}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ForgetBias(GateBias):
    """Bias `value` for the gate that keeps the state (LSTM: forget, GRU: update), 0 for all others.

    sigmoid(1) = 0.73: the cell starts out remembering, and gradients reach back further. A forget bias of 1 closes
    most of the gap between LSTM and GRU (Jozefowicz et al. 2015); 5 to 10 helps on long memory tasks (Bai et al.
    2018, arXiv:1803.01271).

    Args:
        value: the bias.
        cell: "lstm" or "gru". `DeepRNN` fills it in; with None the rank of the bias decides (1: LSTM, 2: GRU).

    On a stock `keras.layers.LSTM` pass `unit_forget_bias=False` too, since Keras otherwise writes its own 1.

    >>> import keras
    >>> from deeprnn_keras.initializers import ForgetBias
    >>> layer = keras.layers.LSTM(64, bias_initializer=ForgetBias(5.0), unit_forget_bias=False)
    """

    def __init__(self, value=1.0, cell=None):
        super().__init__(cell)
        self.value = checks.number("value", value)

    def gate_values(self, keep_gate, write_gate, units):
        return {keep_gate: ops.full((units,), self.value, dtype="float32")}

    def get_config(self):
        return {"value": self.value, **super().get_config()}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ChronoBias(GateBias):
    """Biases that spread the memory of the units over all time scales up to `t_max` steps.

    LSTM: b_forget = log u, b_input = -log u; GRU: b_update = log u; with u ~ U(1, t_max - 1), one draw per unit. A
    unit with forget gate sigmoid(log u) = u / (1 + u) forgets over about u + 1 steps (Tallec & Ollivier 2018,
    arXiv:1804.11188).

    Args:
        t_max: the longest dependency expected, in steps; above 2.
        cell: "lstm" or "gru". `DeepRNN` fills it in; with None the rank of the bias decides (1: LSTM, 2: GRU).
        seed: a whole number, or None for one that `keras.utils.set_random_seed` fixes.

    On a stock `keras.layers.LSTM` pass `unit_forget_bias=False` too, since Keras otherwise writes its own 1.

    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.initializers import ChronoBias
    >>> layer = DeepRNN(64, num_layers=2, bias_initializer=ChronoBias(t_max=784))
    """

    def __init__(self, t_max, cell=None, seed=None):
        super().__init__(cell)
        self.t_max = checks.number("t_max", t_max, 2.0, supported="a number of steps greater than 2")
        # Keras' own rule for None
        self.seed = keras.initializers.RandomUniform(seed=checks.seed("seed", seed)).seed

    def gate_values(self, keep_gate, write_gate, units):
        u = keras.random.uniform((units,), 1.0, self.t_max - 1.0, dtype="float32", seed=self.seed)
        values = {keep_gate: ops.log(u)}
        if write_gate:
            values[write_gate] = -ops.log(u)
        return values

    def reseeded(self, key):
        """A copy that draws other numbers."""
        return ChronoBias(self.t_max, self.cell, derived_seed(self.seed, key))

    def get_config(self):
        return {"t_max": self.t_max, **super().get_config(), "seed": self.seed}
