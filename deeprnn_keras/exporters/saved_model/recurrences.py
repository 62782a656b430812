"""Recurrences as TensorFlow operations: one step, and a while loop over the steps of a sequence.

Sequences are time-major, (T, n, width).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations.trace import Trace
from deeprnn_keras.exporters.saved_model.instructions import Parts, evaluate, read_parts
from deeprnn_keras.exporters.traced_steps import sequences_read
from deeprnn_keras.program import operations as op


def step(
    operation: op.Recurrence, trace: Trace, weights: Mapping[str, Tensor], x: Tensor, states: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Return the value of one step, (n, width), and the states after it."""
    values = [x, *(_current(operation, state) for state in states)]
    values = evaluate(trace, values, read_parts(trace, weights))
    new = [values[index] for index in trace.outputs]
    return new[0], _pushed(operation, states, new)


def loop(
    operation: op.Recurrence,
    trace: Trace,
    weights: Mapping[str, Tensor],
    initial: Sequence[Tensor],
    x: Tensor,
    mask: Tensor = None,
) -> Tensor:
    """Return the values of all steps from the initial states.

    Args:
        operation: The recurrence.
        trace: The instructions of a step.
        weights: {name in the instructions: tensor}.
        initial: States (width,) before the first step.
        x: Its input, (T, n, inputs). What depends on it only is computed before the loop, for all steps at once.
        mask: (T, n, 1), False for padding, in which the states do not change and the value is the first state.
    """
    parts = read_parts(trace, weights)
    known = evaluate(trace, [x, *[None] * (len(trace.inputs) - 1)], parts, stop=trace.projected)
    one_step = _Step(operation, trace, parts, known, mask)
    steps, batch_size = tf.shape(x)[0], x.shape[1] or tf.shape(x)[1]
    states = [
        tf.broadcast_to(one, [batch_size, *state.shape(1)[1:]])
        for one, state in zip(initial, operation.states, strict=True)
    ]
    values = tf.TensorArray(tf.float32, size=steps, element_shape=(x.shape[1], operation.width))

    def body(count: Tensor, values: Tensor, *states: Tensor) -> Tensor:
        t = steps - 1 - count if operation.reverse else count
        value, after = one_step(t, states)
        return (count + 1, values.write(t, value), *after)

    variables = (tf.constant(0), values, *states)
    _, values, *_ = tf.while_loop(lambda count, *_: count < steps, body, variables, maximum_iterations=steps)
    return values.stack()


class _Step:
    """One step of a loop.

    Args:
        operation: The recurrence.
        trace: Its instructions.
        parts: Their weights.
        known: The inputs, and the results of the instructions before the loop.
        mask: (T, n, 1), or None.
    """

    def __init__(
        self,
        operation: op.Recurrence,
        trace: Trace,
        parts: Parts,
        known: list[Tensor],
        mask: Tensor,
    ) -> None:
        self.operation, self.trace, self.parts, self.known, self.mask = operation, trace, parts, known, mask
        self.sequences = sequences_read(trace)

    def __call__(self, t: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the value of step t, (n, width), and the states after it."""
        trace = self.trace
        current = [_current(self.operation, state) for state in states]
        known = [one[t] if index in self.sequences else one for index, one in enumerate(self.known)]
        values = [known[0], *current, *known[len(trace.inputs) :]]
        values = evaluate(trace, values, self.parts, start=trace.projected)
        new = [values[index] for index in trace.outputs]
        if self.mask is not None:
            new = [tf.where(self.mask[t], one, before) for one, before in zip(new, current, strict=True)]
        return new[0], _pushed(self.operation, states, new)


def _current(operation: op.Recurrence, state: Tensor) -> Tensor:
    """Return the state that a step reads, (n, width): the oldest one of a dilated layer."""
    return state if operation.rate == 1 else state[:, 0]


def _pushed(operation: op.Recurrence, states: Sequence[Tensor], new: list[Tensor]) -> list[Tensor]:
    """Return the states after a step; a dilated layer removes the oldest and appends the new one."""
    if operation.rate == 1:
        return new
    return [tf.concat([state[:, 1:], one[:, None]], axis=1) for state, one in zip(states, new, strict=True)]
