"""A stack run step by step, with a place at every state where the derivative of a loss by that state is read off."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from deeprnn_keras import _compat


@dataclass
class LayerPass:
    """What one layer did.

    Attributes:
        layer: the Keras recurrent layer.
        start: the states that it began with, (n, h) each.
        offsets: zeros that were added to its states, (T, n, h) each. The derivative of a loss by them is the total
            one by the states: through all later steps, and all layers above.
        reads: what it read, one (n, d) for each step.
        states: its states after each step, a list of (n, h) for each step.
        outputs: H_t, one (n, h) for each step; at masked steps the last one again.
    """

    layer: object
    start: list
    offsets: list
    reads: list = field(default_factory=list)
    states: list = field(default_factory=list)
    outputs: list = field(default_factory=list)


class StepByStep:
    """Stands in for the call of a `DeepRNN`: the same numbers, by the cells, one step after the other.

    It computes in the dtype of the weights: small derivatives of many steps back would be 0 in half precision.

    Args:
        stack: a built `DeepRNN`: one direction, forwards, without dilation.
        tape: watches the offsets.

    Attributes:
        passes: one `LayerPass` per layer, from the last call.
        mask: (n, T) of bool, of the last call.
        calls: their number.
    """

    def __init__(self, stack, tape):
        self.stack, self.tape = stack, tape
        self.passes, self.mask, self.calls = [], None, 0

    def call(self, sequences, initial_state=None, mask=None, training=False, **ignored):
        """As `DeepRNN.call`, without dropout; states that a stateful layer carries are taken to be zero."""
        import tensorflow as tf

        self.calls += 1
        if mask is None:
            mask = _compat.keras_mask(sequences)
        n, steps = sequences.shape[:2]
        self.mask = np.ones((n, steps), bool) if mask is None else np.asarray(mask).astype(bool)
        with _compat.no_autocast():  # the weights as they are, not in half precision
            inputs = tf.unstack(tf.cast(sequences, self.stack.variable_dtype), axis=1)
            results = self._levels(inputs, self._start(initial_state, n))
        results = results if self.stack.return_all_layers else results[0]
        if not self.stack.return_state:
            return results
        from deeprnn_keras.layers.state_structure import join_state

        finals = [[tf.cast(part, self.stack.compute_dtype) for part in one.states[-1]] for one in self.passes]
        return (results, *join_state(finals))

    def _start(self, initial_state, n):
        import tensorflow as tf

        from deeprnn_keras.layers.state_structure import split_state

        dtype = self.stack.variable_dtype
        given = split_state(initial_state, self.stack.state_size, n)
        return [
            [tf.cast(part, dtype) for part in parts] or [tf.zeros((n, size), dtype) for size in sizes]
            for parts, sizes in zip(given, self.stack.state_size, strict=True)
        ]

    def _levels(self, inputs, starts):
        """What leaves the stack, a list, in its compute dtype."""
        import tensorflow as tf

        connections = self.stack.connections
        self.passes, left = [], [[] for _ in inputs]  # what leaves the levels, for each step
        for index, (level, start) in enumerate(zip(self.stack.levels, starts, strict=True)):
            reads = inputs if index == 0 else [below[-1] for below in left]
            if connections.reads_input(index):
                reads = [tf.concat(pair, -1) for pair in zip(reads, inputs, strict=True)]
            self.passes.append(self._layer(level[0], reads, start))
            source = connections.shortcut_source(index)
            for below, output in zip(left, self.passes[-1].outputs, strict=True):
                below.append(output if source is None else output + below[source])
        steps = [self._leaving(below) for below in left]
        joined = [tf.stack(parts, 1) for parts in zip(*steps, strict=True)]
        joined = joined if self.stack.return_sequences else steps[-1]
        return [tf.cast(result, self.stack.compute_dtype) for result in joined]

    def _leaving(self, below):
        """Return what leaves the stack at a step, given what leaves its levels."""
        import tensorflow as tf

        if self.stack.return_all_layers:
            return below
        return [tf.concat(below, -1) if self.stack.connection == "skip" else below[-1]]

    def _layer(self, layer, reads, start):
        import tensorflow as tf

        steps = len(reads)
        offsets = [tf.zeros((steps, *part.shape), part.dtype) for part in start]
        for offset in offsets:
            self.tape.watch(offset)
        done = LayerPass(layer, start, offsets, reads)
        states, output = start, tf.zeros_like(start[0])
        for step, added in enumerate(zip(*map(tf.unstack, offsets), strict=True)):
            new_output, new = layer.cell.call(reads[step], states)
            new = list(new) if isinstance(new, (list, tuple)) else [new]
            is_state = new_output is new[0]  # else the offset reaches the output through the next step alone
            new = [self._kept(step, after, before) for after, before in zip(new, states, strict=True)]
            states = [part + offset for part, offset in zip(new, added, strict=True)]
            output = self._kept(step, states[0] if is_state else new_output, output)
            done.states.append(states)
            done.outputs.append(output)
        return done

    def _kept(self, step, after, before):
        """`after`, and `before` where the mask skips the step."""
        import tensorflow as tf

        after = tf.cast(after, before.dtype)
        valid = self.mask[:, step]
        return after if valid.all() else tf.where(valid[:, None], after, before)


@contextmanager
def standing_in(stack, function):
    """Within the block `stack` calls `function` in place of its own `call`, wherever in a model it stands.

    To cut the model in two with `keras.Model` would leave new nodes behind on the layers above, at every measurement.
    """
    stack.call = function
    try:
        yield
    finally:
        del stack.call


@contextmanager
def unchanged(model):
    """Puts back what a pass through `model` may change: states that other layers carry, seeds, running metrics."""
    variables = [*model.non_trainable_variables, *(v for metric in model.metrics for v in metric.variables)]
    values = [variable.numpy().copy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
