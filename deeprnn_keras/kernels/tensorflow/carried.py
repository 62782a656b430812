"""Variables for states that are carried from batch to batch: their number of rows is that of the last batch."""

import tensorflow as tf


def variables(widths, dtype, batch=None):
    """[rows carried, one variable (rows, width) per state]; nothing is carried yet. Each device has its own.

    The number of rows is a variable too: a shape is not read in the order in which the program reads and assigns.
    `batch` need not be known; where the whole step is compiled by XLA it must, since that cannot change a shape.
    """
    with tf.init_scope():
        states = [_variable(tf.zeros((batch or 0, width), dtype), (None, width)) for width in widths]
        return [_variable(tf.zeros((), "int32"), ()), *states]


def _variable(value, shape):
    return tf.Variable(
        value,
        trainable=False,
        shape=shape,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.NONE,
    )


def read(held, batch, reset_mask, name):
    """The states (n, width) to begin with: what is held, and 0 where nothing is, or where a row begins anew.

    Args:
        held: variables.
        batch: n, a number or a tensor.
        reset_mask: (n,) of bool, or None.
        name: of the layer, for the error if n is another than that of the batch before.
    """
    rows = held[0].read_value()
    fits = tf.logical_or(tf.equal(rows, 0), tf.equal(rows, batch))
    if reset_mask is not None:
        fits = tf.logical_or(fits, tf.reduce_all(reset_mask))
    message = (
        f"{name}: stateful=True carries the state of each row of a batch to the same row of the next, but the batch "
        "before had another number of rows than this one. Give batches of one size, or call reset_state() of the "
        "layer between them. Rows before and now:"
    )
    with tf.control_dependencies([tf.debugging.Assert(fits, [message, rows, batch])]):
        nothing = [tf.zeros((batch, variable.shape[1]), variable.dtype) for variable in held[1:]]
    states = [tf.concat([v.read_value(), rest], 0)[:batch] for v, rest in zip(held[1:], nothing, strict=True)]
    if reset_mask is not None:
        states = [tf.where(reset_mask[:, None], tf.zeros_like(state), state) for state in states]
    known = tf.get_static_value(batch)
    for state in states:
        state.set_shape((None if known is None else int(known), state.shape[1]))
    return states


def keep(held, states):
    """Holds the states for the next batch."""
    with tf.control_dependencies(states):  # not if the batch was refused
        held[0].assign(tf.shape(states[0])[0])
    for variable, state in zip(held[1:], states, strict=True):
        variable.assign(state)


def reset(held):
    """Holds nothing."""
    held[0].assign(0)
    for variable in held[1:]:
        variable.assign(tf.zeros_like(variable))


def values(held):
    """The states held, as arrays."""
    return [variable.numpy() for variable in held[1:]]
