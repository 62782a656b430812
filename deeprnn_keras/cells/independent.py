"""`IndRNNCell`: an RNN with an elementwise recurrence."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations.independent import IndependentRNN
from deeprnn_keras.keras_objects import ChecksConfig


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class AbsoluteBound(ChecksConfig, keras.constraints.Constraint):
    """Constraint |w| <= bound for each weight w.

    Args:
        bound: Largest absolute value.

    Raises:
        ValueError: If `bound` is not positive.

    >>> import keras
    >>> from deeprnn_keras.cells.independent import AbsoluteBound
    >>> AbsoluteBound(0.5)(keras.ops.array([-2.0, 0.25])).numpy().tolist()
    [-0.5, 0.25]
    """

    def __init__(self, bound: float) -> None:
        self.bound: float = checks.positive("bound", bound)

    def __call__(self, w: Tensor) -> Tensor:
        """Return w, limited to [-bound, bound]."""
        return ops.clip(w, -self.bound, self.bound)

    def get_config(self) -> Config:
        """Return the arguments of the constructor."""
        return {"bound": self.bound}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class IndRNNCell(RecurrentCell):
    """Independently recurrent network, h_t = a(x_t W + u h_{t-1} + b), with an elementwise recurrence.

    The weights are `kernel` W (d, h), `recurrent_kernel` u (h,), and `bias` b (h,): (d + 2) h parameters. Without
    `steps`, u starts at 1. With `steps`, u starts uniformly in [0, 2^(1/T)] and is kept in [-2^(1/T), 2^(1/T)], so that
    over T steps a state at most doubles; another `recurrent_initializer` or `recurrent_constraint` replaces these.

    Source: Li et al. 2018 (arXiv:1803.04831).

    Args:
        units: h.
        steps: Length T of the sequences, or None for no bound on u.
        activation: a.
        **options: See `RecurrentCell`.

    >>> from deeprnn_keras import DeepRNN
    >>> DeepRNN(128, num_layers=2, cell={"name": "indrnn", "steps": 200}).num_layers
    2
    """

    equations_class = IndependentRNN

    def __init__(self, units: int, steps: int | None = None, **options: Any) -> None:
        super().__init__(units, steps, **options)
        if steps is None:
            return
        bound = 2.0 ** (1.0 / int(steps))
        self.initializers["recurrent"] = self.initializers["recurrent"] or keras.initializers.RandomUniform(0.0, bound)
        self.constraints["recurrent"] = self.constraints["recurrent"] or AbsoluteBound(bound)
