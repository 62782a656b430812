"""Zoneout: each unit of a state randomly keeps its previous value (Krueger et al. 2017)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras
from keras import ops

from deeprnn_keras._types import Tensor

Step: TypeAlias = Callable[[Tensor, Sequence[Tensor]], "tuple[Tensor, list[Tensor]]"]
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

    def apply(self, step: Step, inputs: Tensor, states: Sequence[Tensor], training: bool) -> tuple[Step, Tensor]:
        """Return the step with zoneout, and its inputs.

        In training, the units that keep their values are drawn for all steps at once, since a loop over time cannot
        change the state of a random generator on every backend, and appended to the inputs as further features, since
        Keras' loop does not support several inputs with a mask.

        Args:
            step: The step.
            inputs: Inputs of all steps, (n, T, width).
            states: Initial states, (n, h) each.
            training: Draw the units. Otherwise, the states are expectations.
        """
        if not training:
            return self._in_inference(step), inputs
        widths = [one.shape[-1] for one in (inputs, *states)]
        ends = list(itertools.accumulate(widths))

        def step_in_training(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            x, *kept = ops.split(x, ends[:-1], axis=-1)
            _, new_states = step(x, states)
            after = [ops.where(keep > 0, old, new) for keep, old, new in zip(kept, states, new_states, strict=True)]
            return after[0], after

        return step_in_training, ops.concatenate([inputs, *self._masks(inputs, states)], -1)

    def _in_inference(self, step: Step) -> Step:
        def step_in_inference(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            _, new_states = step(x, states)
            after = [z * old + (1 - z) * new for z, old, new in zip(self.rates, states, new_states, strict=True)]
            return after[0], after

        return step_in_inference

    def _masks(self, inputs: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
        """Return a mask (n, T, h) for each state, 1 where a unit keeps its value, else 0."""
        n, steps = ops.shape(inputs)[:2]
        uniform = [keras.random.uniform((n, steps, state.shape[-1]), seed=self.seed_generator) for state in states]
        return [ops.cast(one < rate, inputs.dtype) for one, rate in zip(uniform, self.rates, strict=True)]
