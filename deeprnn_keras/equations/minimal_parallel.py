"""Equations of the minimal GRU and the minimal LSTM, whose gates depend on the input only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class MinimalGRU(Equations):
    """Minimal GRU (minGRU; Feng et al. 2024, arXiv:2410.01201).

        z = s(x_t W_z + b_z),  g = a(x_t W_g + b_g),  h_t = z h_{t-1} + (1 - z) g

    >>> from deeprnn_keras.equations.minimal_parallel import MinimalGRU
    >>> MinimalGRU(units=4).count_params(input_dim=3)      # 2 (3 + 1) 4
    32
    """

    gates: ClassVar[tuple[str, ...]] = ("update", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"update": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "linear", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [AffineMap("kernel", input_dim, self.units, self.gates, bias="bias")]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        return gru(f.recurrent_activation(x["update"]), f.activation(x["candidate"]), states[0])


@dataclass(frozen=True)
class MinimalLSTM(Equations):
    """Minimal LSTM (minLSTM; Feng et al. 2024, arXiv:2410.01201); its gates are normalized to a sum of 1.

        i, f = s(x_t W + b),  g = a(x_t W_g + b_g),  h_t = (f h_{t-1} + i g) / (f + i)

    >>> from deeprnn_keras.equations.minimal_parallel import MinimalLSTM
    >>> MinimalLSTM(units=4).count_params(input_dim=3)      # 3 (3 + 1) 4
    48
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "linear", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [AffineMap("kernel", input_dim, self.units, self.gates, bias="bias")]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        write, keep = f.recurrent_activation(x["input"]), f.recurrent_activation(x["forget"])
        return gru(keep / (keep + write), f.activation(x["candidate"]), states[0])
