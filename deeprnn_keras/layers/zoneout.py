"""Zoneout: each unit of a state randomly keeps its previous value (Krueger et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
from keras import ops

from deeprnn_keras._types import Nested, Tensor

Step: TypeAlias = Callable[[Nested, Sequence[Tensor]], "tuple[Tensor, list[Tensor]]"]
"""Function (inputs of a step, states) -> (output, new states); the output is the first state."""


class Zoneout(keras.layers.Layer):
    """Zoneout of the states of a recurrent layer.

    With s' the state that a step computes from s_{t-1}, and z the rate of this state:

        training:   s_t = m s_{t-1} + (1 - m) s',  m = 1 with probability z, else 0, for each unit and step
        inference:  s_t = z s_{t-1} + (1 - z) s',  the expectation

    Args:
        rates: Rate of each state, the output first.
        seed: Random seed.
    """

    def __init__(self, rates: Sequence[float], seed: int | None) -> None:
        super().__init__(name="zoneout")
        self.rates = tuple(rates)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def apply(self, step: Step, inputs: Tensor, states: Sequence[Tensor], training: bool) -> tuple[Step, Nested]:
        """Return the step with zoneout, and its inputs.

        Args:
            step: The step.
            inputs: Inputs of all steps, (n, T, width).
            states: Initial states, (n, h) each.
            training: Draw which units keep their values. The numbers of all steps are drawn at once, since a loop over
                time cannot change the state of a random generator on every backend.
        """
        masks = self._masks(inputs, states) if training else []

        def step_with_zoneout(x: Nested, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            x, *kept = x if training else (x,)
            _, new_states = step(x, states)
            mix = ops.where if training else _interpolate
            shares = kept if training else self.rates
            after = [mix(share, old, new) for share, old, new in zip(shares, states, new_states, strict=True)]
            return after[0], after

        return step_with_zoneout, (inputs, *masks) if training else inputs

    def _masks(self, inputs: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
        """Return a mask (n, T, h) for each state, true where a unit keeps its value."""
        n, steps = ops.shape(inputs)[:2]
        uniform = [keras.random.uniform((n, steps, state.shape[-1]), seed=self.seed_generator) for state in states]
        return [one < rate for one, rate in zip(uniform, self.rates, strict=True)]


def _interpolate(share: float, old: Tensor, new: Tensor) -> Tensor:
    return share * old + (1 - share) * new
