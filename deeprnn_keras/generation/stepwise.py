"""`with_state`: a model rebuilt with its recurrent state as inputs and outputs."""

import keras
import numpy as np

from deeprnn_keras.layers import DeepRNN, OneHot

# layers that treat every time step alike, so that a sequence may come in pieces
STEPWISE = (
    OneHot,
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.LayerNormalization,
    keras.layers.SpatialDropout1D,
)


def with_state(model):
    """A copy of `model` that takes (x, *state) and returns (output, *state), to read a sequence piece by piece.

    Args:
        model: a chain of layers, from one input (n, T, ...) to one output; its recurrent layers are `DeepRNN`, one
            way from left to right, with `return_sequences=True`. A second input, `reset_mask`, which says which rows
            begin anew, is left out of the copy.

    Returns:
        A `keras.Model` called with [x, *state], state a flat list of zeros at first (`zero_state`), and the weights
        of `model` at this moment.

    Raises:
        ValueError: naming the layer that makes it impossible.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.generation.stepwise import with_state, zero_state
    >>> model = keras.Sequential([keras.Input((None, 2)), DeepRNN(4, return_sequences=True), keras.layers.Dense(1)])
    >>> stepper = with_state(model)
    >>> output, *state = stepper.predict_on_batch([np.ones((1, 3, 2)), *zero_state(stepper, 1)])
    >>> output, *state = stepper.predict_on_batch([np.ones((1, 1, 2)), *state])
    """
    chain = _chain(model)
    source = model.inputs[0]
    x = hidden = keras.Input(
        source.shape[1:] if source.shape[1] is None else (None, *source.shape[2:]), dtype=source.dtype
    )
    state_in, state_out = [], []
    for layer in chain:
        if not isinstance(layer, DeepRNN):
            hidden = type(layer).from_config(layer.get_config())(hidden)
            continue
        twin = DeepRNN.from_config({**layer.get_config(), "return_state": True, "stateful": False})
        sizes = layer.state_size
        inputs = [[keras.Input((size,), dtype=layer.compute_dtype) for size in level] for level in sizes]
        hidden, *final = twin(hidden, initial_state=inputs)
        state_in += keras.tree.flatten(inputs)
        state_out += keras.tree.flatten(final)
    stepper = keras.Model([x, *state_in], [hidden, *state_out])
    stepper.set_weights(model.get_weights())
    return stepper


def zero_state(stepper, batch_size):
    """The state before the first step, for a model made by `with_state`: a flat list of arrays."""
    return [np.zeros((batch_size, tensor.shape[1]), "float32") for tensor in stepper.inputs[1:]]


def _chain(model):
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    before, *beside = model.inputs
    for layer in layers:
        read = _without_reset_mask(layer, beside)
        if len(model.outputs) > 1 or read is not before:
            raise ValueError(
                f"model {model.name!r} is not a chain of layers: {layer.name!r} does not follow the one before"
            )
        before = layer.output
        if isinstance(layer, DeepRNN):
            _check_recurrent(layer)
        elif not isinstance(layer, STEPWISE):
            raise ValueError(
                f"layer {layer.name!r} ({type(layer).__name__}) may look across time steps; "
                f"a model read piece by piece can hold DeepRNN and {', '.join(t.__name__ for t in STEPWISE)}"
            )
    if before is not model.outputs[0]:
        raise ValueError(f"model {model.name!r} is not a chain of layers: its output is not that of its last layer")
    return layers


def _without_reset_mask(layer, beside):
    """Return what a layer reads, without the reset_mask (n,) that a stateful stack is given beside it."""
    read = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    if isinstance(layer, DeepRNN) and layer.stateful:
        read = [tensor for tensor in read if all(tensor is not one for one in beside)]
    return read[0] if len(read) == 1 else read


def _check_recurrent(layer):
    for option in ("bidirectional", "go_backwards"):
        if getattr(layer, option):
            raise ValueError(f"layer {layer.name!r} has {option}=True and needs the whole sequence at once")
    if not layer.return_sequences:
        raise ValueError(f"layer {layer.name!r} has return_sequences=False; it gives no output at every step")
