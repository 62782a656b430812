"""Bias initializers that set individual gates to values other than 0: `ForgetBias` and `ChronoBias`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.initializers.seeding import check_same_cell, derived_seed
from deeprnn_keras.keras_objects import ChecksConfig
from deeprnn_keras.specs import CELLS, RegisteredCell, registered_cell


class GateBias(ChecksConfig, keras.initializers.Initializer, ABC):
    """Base class of bias initializers that set the gates in `gate_values(...)` and initialize all others to 0.

    The bias of an LSTM has shape (4 h,). That of a GRU has shape (3 h,) with `reset_after=False`, else (2, 3 h), whose
    second row is the recurrent bias and remains 0.

    Args:
        cell: "lstm", "gru", or None to infer it from the rank of the bias (1: LSTM, 2: GRU).
    """

    def __init__(self, cell: str | None = None) -> None:
        self.cell: str | None = None if cell is None else self._gated_cell(cell).name

    @staticmethod
    def _gated_cell(cell: str) -> RegisteredCell:
        spec = registered_cell(cell)
        if spec.keep_gate is None:
            raise ValueError(
                f"cell {cell!r} has no gate that keeps its state (forget or update gate); use 'lstm' or 'gru'"
            )
        return spec

    @abstractmethod
    def gate_values(self, keep_gate: str, write_gate: str | None, units: int) -> dict[str, Tensor]:
        """Return the biases {gate: values (units,) in float32}.

        Args:
            keep_gate: Name of the gate that keeps the previous state where it is 1.
            write_gate: Name of the gate that multiplies the candidate, or None if its factor is 1 - keep_gate.
            units: h.
        """

    @override
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        shape = tuple(shape)
        spec = CELLS[self.cell or ("gru" if len(shape) == 2 else "lstm")]
        units, remainder = divmod(shape[-1], len(spec.gates))
        if remainder or (len(shape) > 1 and (spec.name, shape[:-1]) != ("gru", (2,))):
            raise ValueError(f"{type(self).__name__} requires the shape of the bias of cell {spec.name!r}, got {shape}")
        assert spec.keep_gate is not None, "checked by _gated_cell"
        values = self.gate_values(spec.keep_gate, spec.write_gate, units)
        bias = ops.concatenate([values.get(gate, ops.zeros(units, "float32")) for gate in spec.gates])
        if len(shape) == 2:
            bias = ops.stack([bias, *[ops.zeros_like(bias)] * (shape[0] - 1)])
        return ops.cast(bias, dtype or keras.config.floatx())

    def for_cell(self, cell: str) -> GateBias:
        """Return this initializer with its argument `cell` set.

        Raises:
            ValueError: If the cell has no keep gate, or the argument has another value already.
        """
        check_same_cell(self, cell)
        return self if self.cell else type(self).from_config({**self.get_config(), "cell": self._gated_cell(cell).name})

    @override
    def get_config(self) -> Config:
        return {"cell": self.cell}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ForgetBias(GateBias):
    """Initialize the bias of the gate that keeps the state (LSTM: forget, GRU: update) to `value`, all others to 0.

    With sigmoid(1) = 0.73, the cell initially keeps most of its state, and gradients reach further back. A forget bias
    of 1 closes most of the gap between LSTM and GRU (Jozefowicz et al. 2015); values of 5 to 10 help on tasks with
    long-term dependencies (Bai et al. 2018, arXiv:1803.01271).

    With `keras.layers.LSTM`, also pass `unit_forget_bias=False`; otherwise Keras overwrites the value with 1.

    Args:
        value: Initial bias.
        cell: "lstm", "gru", or None to infer it from the rank of the bias (1: LSTM, 2: GRU). `DeepRNN` sets it.

    Raises:
        ValueError: If `value` is not a finite number, `cell` is not supported, or the shape is not that of a bias.

    >>> import keras
    >>> from deeprnn_keras.initializers import ForgetBias
    >>> layer = keras.layers.LSTM(64, bias_initializer=ForgetBias(5.0), unit_forget_bias=False)
    """

    def __init__(self, value: float = 1.0, cell: str | None = None) -> None:
        super().__init__(cell)
        self.value: float = checks.number("value", value)

    @override
    def gate_values(self, keep_gate: str, write_gate: str | None, units: int) -> dict[str, Tensor]:
        return {keep_gate: ops.full((units,), self.value, dtype="float32")}

    @override
    def get_config(self) -> Config:
        return {"value": self.value, **super().get_config()}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ChronoBias(GateBias):
    """Chrono initialization: distribute the time scales of the units between 1 and `t_max` steps.

    LSTM: b_forget = log u, b_input = -log u; GRU: b_update = log u; with u ~ U(1, t_max - 1), sampled per unit. A unit
    with forget gate sigmoid(log u) = u / (1 + u) has a time constant of about u + 1 steps (Tallec & Ollivier 2018,
    arXiv:1804.11188).

    With `keras.layers.LSTM`, also pass `unit_forget_bias=False`; otherwise Keras overwrites the forget bias with 1.

    Args:
        t_max: Longest dependency expected, in steps; > 2.
        cell: "lstm", "gru", or None to infer it from the rank of the bias (1: LSTM, 2: GRU). `DeepRNN` sets it.
        seed: An integer, or None for a random seed, which `keras.utils.set_random_seed` makes reproducible.

    Raises:
        ValueError: If an argument is out of range or not supported, or the shape is not that of a bias.

    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.initializers import ChronoBias
    >>> layer = DeepRNN(64, num_layers=2, bias_initializer=ChronoBias(t_max=784))
    """

    def __init__(self, t_max: float, cell: str | None = None, seed: int | None = None) -> None:
        super().__init__(cell)
        self.t_max: float = checks.number("t_max", t_max, 2.0, supported="a number of steps greater than 2")
        # Keras replaces None by a random seed
        self.seed: int = keras.initializers.RandomUniform(seed=checks.seed("seed", seed)).seed

    @override
    def gate_values(self, keep_gate: str, write_gate: str | None, units: int) -> dict[str, Tensor]:
        u = keras.random.uniform((units,), 1.0, self.t_max - 1.0, dtype="float32", seed=self.seed)
        values = {keep_gate: ops.log(u)}
        if write_gate:
            values[write_gate] = -ops.log(u)
        return values

    def reseeded(self, use: str, number: int) -> ChronoBias:
        """Return a copy with a seed derived from its seed, `use`, and `number`.

        Args:
            use: Name of what the weights belong to, for example "layer".
            number: Number of the weight among those of this use.
        """
        return ChronoBias(self.t_max, self.cell, derived_seed(self.seed, use, number))

    @override
    def get_config(self) -> Config:
        return {"t_max": self.t_max, **super().get_config(), "seed": self.seed}
