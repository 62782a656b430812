"""Copies of layers, weights, carried states, and optimizers from a model to the model that it is converted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import keras

from deeprnn_keras._types import Layer
from deeprnn_keras.interop.conversion.substitution import Substitute, layers_inside


def copy_operation(operation: Layer) -> tuple[Layer, str | None]:
    """Return a new layer or operation with the same configuration, without weights, and None.

    Returns:
        If there is none, the operation itself and the reason.
    """
    if type(operation).__name__ == "Lambda":
        return operation, "it contains Python code"
    if hasattr(operation, "save_assets"):
        return operation, "it has a vocabulary outside its configuration"
    try:
        copy = type(operation).from_config(operation.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        return operation, f"it could not be created from its configuration: {str(error).strip().splitlines()[0]}"
    copy.name = operation.name  # Keras omits it from the configuration of some user-defined layers
    return copy, None


def copy_weights(substitute: Substitute) -> dict[int, keras.Variable]:
    """Copy the weights of layers to the layers in their place.

    Returns:
        {id of a variable of the sources: variable of the new layers}.

    Raises:
        ValueError: If the shapes differ.
    """
    sources = _weights(substitute.sources)
    targets = _weights(substitute.layers)
    shapes = [[tuple(weight.shape) for weight in weights] for weights in (sources, targets)]
    if shapes[0] != shapes[1]:
        names = ", ".join(layer.name for layer in substitute.sources)
        raise ValueError(f"layer {names!r} has weights of shapes {shapes[0]}, and its replacement {shapes[1]}")
    for source, target in zip(sources, targets, strict=True):
        target.assign(source)
    return {id(source): target for source, target in zip(sources, targets, strict=True)}


def _weights(layers: Iterable[Layer]) -> list[keras.Variable]:
    return [weight for layer in layers for weight in layer.weights]


def copy_state(source: Layer, target: Layer) -> dict[int, keras.Variable]:
    """Copy weights and `trainable` of a layer and of the layers inside it to a built copy of it.

    Returns:
        {id of a variable of the source: variable of the copy}.

    Raises:
        ValueError: If the copy has other layers inside or weights of other shapes.
    """
    inside, inside_copy = layers_inside(source), layers_inside(target)
    if len(inside) != len(inside_copy):
        raise ValueError(
            f"layer {source.name!r} ({type(source).__name__}) could not be copied: the layer that its "
            f"configuration creates contains {len(inside_copy) - 1} layers instead of {len(inside) - 1}"
        )
    pairs = list(zip(inside, inside_copy, strict=True))
    for original, copy in pairs:
        store: dict[str, keras.Variable] = {}
        original.save_own_variables(store)
        copy.load_own_variables(store)  # by the method for files, since some layers derive values from their weights
    for original, copy in pairs:  # outermost first: an assignment is propagated to the layers inside
        copy.trainable = original.trainable
    return {id(one): other for one, other in zip(source.weights, target.weights, strict=True)}


def carried_states(layers: Iterable[Layer]) -> list[keras.Variable]:
    """Return the variables in which the stateful recurrent layers of Keras and the drop-ins carry states."""
    with_states = [layer for layer in layers if isinstance(layer, keras.layers.RNN) and layer.states is not None]
    return [variable for layer in with_states for variable in keras.tree.flatten(layer.states)]


def copy_carried_states(source: keras.Model, target: keras.Model) -> str | None:
    """Copy the states that stateful layers carry, and return None, or the reason why this is not possible."""
    states, targets = (carried_states(layers_inside(model)) for model in (source, target))
    if [state.shape for state in states] != [state.shape for state in targets]:
        return "The carried states start from zero."
    for state, other in zip(states, targets, strict=True):
        other.assign(state)
    return None


def copy_compilation(source: keras.Model, target: keras.Model, variables: Mapping[int, keras.Variable]) -> str | None:
    """Compile a model like another one, with the state of its optimizer.

    Args:
        source: The model.
        target: The model to compile.
        variables: {id of a variable of the source: variable of the target}.

    Returns:
        A note for the user, or None if the source is not compiled.
    """
    if not source.compiled:
        return None
    try:
        target.compile_from_config(source.get_compile_config())
    except (TypeError, ValueError) as error:  # losses or metrics that are not registered
        reason = str(error).strip().splitlines()[0]
        return f"The model is not compiled, because its loss, metrics, or optimizer has no configuration: {reason}"
    if not target.compiled:
        return "The model is not compiled, because its class overrides compile()."
    in_order = [variables.get(id(variable)) for variable in source.trainable_variables]
    if not _are(in_order, target.trainable_variables):
        return "The model is compiled. The optimizer has no state: the weights have another order."
    if not _copy_variables(source.optimizer.variables, target.optimizer.variables):
        return "The model is compiled. The optimizer has no state yet."
    return "The model is compiled, with the state of the optimizer."


def _are(variables: Sequence[keras.Variable | None], others: Sequence[keras.Variable]) -> bool:
    return len(variables) == len(others) and all(one is other for one, other in zip(variables, others, strict=True))


def _copy_variables(sources: Sequence[keras.Variable], targets: Sequence[keras.Variable]) -> bool:
    """Copy variables; return False, and copy none, if their shapes differ."""
    if [tuple(one.shape) for one in sources] != [tuple(one.shape) for one in targets]:
        return False
    for source, target in zip(sources, targets, strict=True):
        target.assign(source)
    return True
