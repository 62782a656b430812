"""Cells whose matrix products are of the inputs only, so that they are computed for all steps at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.gated_linear import MAX_DECAY, MIN_DECAY, GatedLinearUnit
from deeprnn_keras.equations.linear_recurrent import LinearRecurrentUnit
from deeprnn_keras.equations.minimal_parallel import MinimalGRU, MinimalLSTM
from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
from deeprnn_keras.equations.simple_recurrent_unit import SimpleRecurrentUnit
from deeprnn_keras.keras_objects import ChecksConfig

HALF_PRECISION = ("float16", "bfloat16")
SMALLEST = 1e-6  # distance of uniform numbers and squared radii from 0 and 1, where logarithms are infinite


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MinGRUCell(RecurrentCell):
    """Minimal GRU, whose gate and candidate depend on the input only.

        z = s(x_t W_z + b_z),  g = a(x_t W_g + b_g),  h_t = z h_{t-1} + (1 - z) g

    The weights are `kernel` (d, 2 h) and `bias` (2 h,), with the blocks update and candidate: 2 (d + 1) h parameters.
    The bias of the update gate starts at 1.

    Source: Feng et al. 2024 (arXiv:2410.01201), with Keras' update gate, which keeps the state where it is 1.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="min_gru").num_layers
    2
    """

    equations_class = MinimalGRU


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MinLSTMCell(RecurrentCell):
    """Minimal LSTM, whose gates depend on the input only and are normalized to a sum of 1.

        i, f = s(x_t W + b),  g = a(x_t W_g + b_g),  h_t = (f h_{t-1} + i g) / (f + i)

    The weights are `kernel` (d, 3 h) and `bias` (3 h,), with the blocks input, forget, and candidate: 3 (d + 1) h
    parameters. The bias of the forget gate starts at 1.

    Source: Feng et al. 2024 (arXiv:2410.01201).

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="min_lstm").num_layers
    2
    """

    equations_class = MinimalLSTM


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class QRNNCell(RecurrentCell):
    """Quasi-recurrent network with fo-pooling: convolution over the inputs, then an elementwise recurrence.

        f, o = s(z_t),  g = a(z_t),  c_t = f c_{t-1} + (1 - f) g,  h_t = o c_t
        window=1:  z_t = x_t W + b
        window=2:  z_t = x_t W + v_{t-1} + b,  v_t = x_t V

    The weights are `kernel` W (d, 3 h) and `bias` (3 h,), with the blocks candidate, forget, and output, and with
    `window=2` also `previous_kernel` V (d, 3 h): 3 (d + 1) h or 3 (2 d + 1) h parameters. The bias of the forget gate
    starts at 1. The states are h_t and c_t, and with `window=2` also v_t (n, 3 h), the product of the last input.

    Source: Bradbury et al. 2016 (arXiv:1611.01576).

    Args:
        units: h.
        window: Number of steps of x that the gates read, 1 or 2.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell={"name": "qrnn", "window": 2}).state_size
    [[8, 8, 24], [8, 8, 24]]
    """

    equations_class = QuasiRecurrent


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SRUCell(RecurrentCell):
    """Simple recurrent unit, whose gates see the cell state through one weight per unit.

        f = s(x_t W_f + v_f c_{t-1} + b_f),  r = s(x_t W_r + v_r c_{t-1} + b_r),
        c_t = f c_{t-1} + (1 - f) a(x_t W),  h_t = r c_t + (1 - r) x_t W_x

    The weights are `kernel` (d, 2 h) and `bias` (2 h,), with the blocks forget and reset; `input_kernel` (d, 2 h), with
    the blocks W and W_x; and `peephole_kernel` (2 h,), which starts at 0: 4 d h + 4 h parameters. The bias of the
    forget gate starts at 1.

    Source: Lei et al. 2018 (arXiv:1709.02755), which uses x_t itself instead of x_t W_x where d = h.

    Args:
        units: h.
        activation: a.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="sru").num_layers
    2
    """

    equations_class = SimpleRecurrentUnit


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class Ring(ChecksConfig, keras.initializers.Initializer):
    """Initializer of the recurrence of `LRUCell`: nu, theta, and gamma (3 h,) of complex numbers in a ring.

        |lambda|^2 uniform in [min_radius^2, max_radius^2],  theta = log(uniform in [0, max_phase])
        nu = log(-log |lambda|),  gamma = log sqrt(1 - |lambda|^2)

    With this gamma, the states of white noise have the variance of their inputs.

    Source: Orvieto et al. 2023 (arXiv:2303.06349), lemma 3.2 and section 3.4.

    Args:
        min_radius: Smallest |lambda|.
        max_radius: Largest |lambda|, at most 1.
        max_phase: Largest phase.
        seed: Random seed.

    >>> import numpy as np
    >>> from deeprnn_keras.cells.parallel import Ring
    >>> nu, theta, gamma = np.split(Ring(0.5, 0.9, seed=1)((12,)).numpy(), 3)
    >>> bool(np.all((np.exp(-np.exp(nu)) > 0.49) & (np.exp(-np.exp(nu)) < 0.91)))
    True
    """

    draws_all_blocks = True

    def __init__(
        self,
        min_radius: float = 0.0,
        max_radius: float = 1.0,
        max_phase: float = 2.0 * math.pi,
        seed: int | None = None,
    ) -> None:
        ring = LinearRecurrentUnit(1, min_radius, max_radius, max_phase)  # which checks the arguments
        self.min_radius, self.max_radius, self.max_phase = ring.min_radius, ring.max_radius, ring.max_phase
        self._uniform = keras.initializers.RandomUniform(SMALLEST, 1.0 - SMALLEST, seed)
        self.seed: Any = self._uniform.seed

    @override
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        area, turn = ops.unstack(self._uniform((2, shape[-1] // 3), dtype), 2)
        low, high = self.min_radius**2, self.max_radius**2
        squared = ops.clip(low + (high - low) * area, SMALLEST, 1.0 - SMALLEST)
        values = [ops.log(-0.5 * ops.log(squared)), ops.log(self.max_phase * turn), 0.5 * ops.log1p(-squared)]
        return ops.concatenate(values)

    @override
    def get_config(self) -> Config:
        ring = {"min_radius": self.min_radius, "max_radius": self.max_radius, "max_phase": self.max_phase}
        return {**ring, "seed": self._uniform.get_config()["seed"]}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LRUCell(RecurrentCell):
    """Linear recurrent unit, whose state is complex and whose output is a map of the state.

        s_t = exp(-exp(nu) + i exp(theta)) s_{t-1} + exp(gamma) x_t (B + i B'),  h_t = f(Re(s_t (C + i C')) + x_t D)

    The weights are `kernel` (d, 3 h) with the blocks B, B', and D; `ring` (3 h,) with nu, theta, and gamma; and
    `output_kernel` (h, 2 h) with C and -C': 3 d h + 3 h + 2 h^2 parameters. The real and the imaginary part of s are
    two states of width h. nu, theta, and gamma are initialized by `Ring`; another `recurrent_initializer` replaces it.

    Source: Orvieto et al. 2023 (arXiv:2303.06349). There, D is diagonal, which requires d = h, and f is a block of
    further layers; with "linear" instead of tanh, the layer is the recurrence of the paper.

    Args:
        units: h.
        min_radius: Smallest initial |lambda|, lambda = exp(-exp(nu) + i exp(theta)); near 1 for a long memory.
        max_radius: Largest initial |lambda|, at most 1.
        max_phase: Largest initial phase exp(theta).
        activation: f.
        **options: See `RecurrentCell`.

    Raises:
        ValueError: If the ring is empty or exceeds 1, or if the dtype policy computes in half precision, which has no
            complex numbers.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell={"name": "lru", "min_radius": 0.9, "max_radius": 0.999}).num_layers
    2
    """

    equations_class = LinearRecurrentUnit

    def __init__(
        self,
        units: int,
        min_radius: float = 0.0,
        max_radius: float = 1.0,
        max_phase: float = 2.0 * math.pi,
        **options: Any,
    ) -> None:
        super().__init__(units, min_radius, max_radius, max_phase, **options)
        if self.compute_dtype in HALF_PRECISION:
            raise ValueError(
                f"dtype: the state of the LRU is complex, and no complex dtype has parts of half precision, got the "
                f"policy {self.dtype_policy.name!r}; pass dtype='float32' or dtype='float64' to this layer"
            )
        ring = self.equations
        assert isinstance(ring, LinearRecurrentUnit)
        self.initializers["recurrent"] = self.initializers["recurrent"] or Ring(
            ring.min_radius, ring.max_radius, ring.max_phase
        )


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RGLRUCell(RecurrentCell):
    """Real-gated linear recurrent unit, the recurrence of Griffin.

        u_t = f(x_t W + b),  r, i = s(u_t V + d),  a = exp(-k r),  h_t = a h_{t-1} + sqrt(1 - a^2) (i u_t)

    The weights are `kernel` W (d, h), `bias` b (h,), `decay` k (h,), `gate_kernel` V (h, 2 h), and `gate_bias` d
    (2 h,): (d + 1) h + 2 (h + 1) h + h parameters. k starts uniformly in [0.001, `max_decay`] and is kept at or above
    0; it is the 8 softplus(Lambda) of the paper, and W the projection before the recurrence. With the paper's
    `max_decay`, 0.105, a >= 0.9 at first: every state is an average over many steps, and in Griffin a convolution over
    the last steps precedes it. Where the last steps matter, as in text, a stack of this cell alone learns several times
    as fast with 3.

    Source: De et al. 2024 (arXiv:2402.19427), section 2.4, with dense gates.

    Args:
        units: h.
        max_decay: Largest k at the start, above 0.001.
        activation: f, linear in the paper.
        recurrent_activation: s.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(8, num_layers=2, cell="rg_lru").num_layers
    2
    """

    equations_class = GatedLinearUnit

    def __init__(self, units: int, max_decay: float = MAX_DECAY, **options: Any) -> None:
        super().__init__(units, max_decay, **options)
        uniform = keras.initializers.RandomUniform(MIN_DECAY, float(max_decay))
        self.initializers["recurrent"] = self.initializers["recurrent"] or uniform
        self.constraints["recurrent"] = self.constraints["recurrent"] or keras.constraints.NonNeg()
