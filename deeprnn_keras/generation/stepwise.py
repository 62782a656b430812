"""`with_state`: rebuild a model with its recurrent states as inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import keras
import numpy as np

from deeprnn_keras._types import Config, Layer, Tensor
from deeprnn_keras.layers import DeepInput, DeepOutput, DeepRNN, OneHot
from deeprnn_keras.layers.tied_head import TiedHead

# layers that process every time step independently of the others
STEPWISE_LAYERS = (
    DeepInput,
    DeepOutput,
    OneHot,
    TiedHead,
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.LayerNormalization,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout1D,
)

_steppers: WeakKeyDictionary[keras.Model, tuple[list[Config], keras.Model]] = WeakKeyDictionary()


def current_stepper(model: keras.Model) -> keras.Model:
    """Return `with_state(model)` with the current weights; the model is cached until a layer is reconfigured.

    A new model would be traced again, and TensorFlow does not release the memory of its graphs.
    """
    configs = [layer.get_config() for layer in _chain(model) if not isinstance(layer, TiedHead)]
    cached = _steppers.get(model)
    if cached is None or cached[0] != configs:
        stepper = with_state(model)
        _steppers[model] = (configs, stepper)
        return stepper
    cached[1].set_weights(model.get_weights())
    return cached[1]


def with_state(model: keras.Model) -> keras.Model:
    """Return a copy of `model` that maps (x, *state) to (output, *state), to read a sequence in chunks.

    Args:
        model: Chain of layers from one input (n, T, ...) to one output. Its recurrent layers are unidirectional
            `DeepRNN` layers with `return_sequences=True` and without dilation. A second input, `reset_mask`, is
            omitted from the copy.

    Returns:
        A `keras.Model` that is called with [x, *state]. The state is a flat list of arrays, initially `zero_state`.
        The copy has the current weights of `model`; later changes of the model do not affect it.

    Raises:
        ValueError: If the model is not such a chain; the message names the layer.

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
    state_inputs, state_outputs = [], []
    copies: dict[Layer, Layer] = {}
    for layer in chain:
        if not isinstance(layer, DeepRNN):
            copies[layer] = _copied(layer, copies)
            hidden = copies[layer](hidden)
            continue
        copy = DeepRNN.from_config({**layer.get_config(), "return_state": True, "stateful": False})
        inputs = [[keras.Input((size,), dtype=layer.compute_dtype) for size in sizes] for sizes in layer.state_size]
        hidden, *final = copy(hidden, initial_state=inputs)
        state_inputs += keras.tree.flatten(inputs)
        state_outputs += keras.tree.flatten(final)
    stepper = keras.Model([x, *state_inputs], [hidden, *state_outputs])
    stepper.set_weights(model.get_weights())
    return stepper


def checked_logits(model: keras.Model, logits: np.ndarray) -> np.ndarray:
    """Return logits as float64 if symbols can be drawn from them.

    Raises:
        ValueError: If they contain NaN or infinity, for example because the weights are not finite.
    """
    if not np.isfinite(logits.max()):  # -inf excludes a symbol and is allowed; the maximum of an array with NaN is NaN
        raise ValueError(
            f"model {model.name!r} cannot generate: its outputs are not finite, because its weights are not, or "
            "because activations overflow; load weights of an earlier epoch or train it again"
        )
    return np.asarray(logits, "float64")


def zero_state(stepper: keras.Model, batch_size: int) -> list[np.ndarray]:
    """Return the initial state of a model made by `with_state`: a flat list of arrays of zeros."""
    return [np.zeros((batch_size, tensor.shape[1]), "float32") for tensor in stepper.inputs[1:]]


def _copied(layer: Layer, copies: Mapping[Layer, Layer]) -> Layer:
    """Return a copy of a layer, given the copies of the previous layers of the chain."""
    if isinstance(layer, TiedHead):
        return layer.copy_for(copies[layer.embedding])
    return type(layer).from_config(layer.get_config())


def _chain(model: keras.Model) -> list[Layer]:
    """Return the layers of a chain in their order."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    previous, *other_inputs = model.inputs
    for layer in layers:
        inputs = _without_reset_mask(layer, other_inputs)
        if len(model.outputs) > 1 or inputs is not previous:
            raise ValueError(
                f"model {model.name!r} must be a chain of layers, but layer {layer.name!r} does not follow the "
                "previous layer"
            )
        previous = layer.output
        if isinstance(layer, DeepRNN):
            _check_recurrent(layer)
        elif not isinstance(layer, STEPWISE_LAYERS):
            raise ValueError(
                f"layer {layer.name!r} ({type(layer).__name__}) may combine time steps; a model that is run step by "
                f"step may contain DeepRNN and {', '.join(kind.__name__ for kind in STEPWISE_LAYERS)}"
            )
    if previous is not model.outputs[0]:
        raise ValueError(
            f"model {model.name!r} must be a chain of layers, but its output is not that of its last layer"
        )
    return layers


def _without_reset_mask(layer: Layer, other_inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
    """Return the inputs of a layer, without the reset_mask of a stateful `DeepRNN`."""
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    if isinstance(layer, DeepRNN) and layer.stateful:
        inputs = [tensor for tensor in inputs if all(tensor is not other for other in other_inputs)]
    return inputs[0] if len(inputs) == 1 else inputs


def _check_recurrent(layer: DeepRNN) -> None:
    for option in ("bidirectional", "go_backwards"):
        if getattr(layer, option):
            raise ValueError(
                f"layer {layer.name!r} has {option}=True and requires the whole sequence; it is not supported step by "
                "step"
            )
    if max(layer.dilation) > 1:
        raise ValueError(
            f"layer {layer.name!r} has dilation={list(layer.dilation)}, whose interleaved states are not supported "
            "step by step; use dilation=1"
        )
    if not layer.return_sequences:
        raise ValueError(
            f"layer {layer.name!r} has return_sequences=False; use return_sequences=True, so that every step has an "
            "output"
        )
