"""`verify`: compare a converted model with the runtime of its source, layer by layer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import ArrayLike, Layer, PathLike, Tensor
from deeprnn_keras.interop.certificate import Certificate
from deeprnn_keras.interop.conversion.equality import carried_states_restored
from deeprnn_keras.interop.recognition import recognize
from deeprnn_keras.interop.references import reference_of
from deeprnn_keras.interop.references.models import run_model
from deeprnn_keras.interop.source import Reference, Request

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-5
"""Largest error of a model that equals its source, for outputs of magnitude 1 or less."""

PRESENT = 0.7
"""Probability of a step that is not masked, in random masks."""

ID_LAYERS = {"Embedding": "input_dim", "DropoutEmbedding": "input_dim", "OneHot": "size"}
"""{layer that reads ids: its attribute with their number}."""


class NoReferenceError(ValueError):
    """Raised if a source states no computation that a model could be compared with, for example weights alone."""


def verify(
    model: keras.Layer,
    reference: PathLike | Mapping[str, Any] | Reference | object,
    *,
    activation: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    batch_size: int = 2,
    steps: int = 20,
    seed: int | None = 0,
) -> Certificate:
    """Compare a converted model with its source on random input.

    The source is run by its own runtime (PyTorch, tf_keras, ONNX Runtime) if it is installed, otherwise by an
    interpreter of its documented equations in NumPy.

    Args:
        model: Built model or layer, the result of `load` or of `convert`.
        reference: The source as it was passed to `load`; or a Keras or tf_keras model, a `torch.nn.Module`, or a
            `Reference`.
        activation: As it was passed to `load`.
        custom_objects: As they were passed to `load`.
        batch_size: Batch size n of the input; ignored if the model or the source has a fixed one.
        steps: Number of steps T of the input; ignored if the model or the source has a fixed one.
        seed: Seed of the input: standard normal features, or uniformly distributed ids. None draws one.

    Returns:
        The certificate with the largest absolute difference of each layer that the reference reports and of the
        outputs. Its `passed` is False, without an exception, if the model differs.

    Raises:
        ValueError: If the model is not built, if there is no reference (`NoReferenceError`), or if the outputs have
            different shapes.
        FileNotFoundError: If the file of the source does not exist.

    >>> import numpy as np
    >>> from deeprnn_keras import interop
    >>> weights = np.random.default_rng(0)
    >>> source = {"weight_ih_l0": weights.normal(size=(12, 2)), "weight_hh_l0": weights.normal(size=(12, 3))}
    >>> interop.verify(interop.load(source), source).passed
    True
    """
    batch_size, steps = checks.positive_int("batch_size", batch_size), checks.positive_int("steps", steps)
    seed = checks.generator_seed("seed", seed)
    seed = int(np.random.default_rng().integers(2**31)) if seed is None else seed
    request = Request(model, activation, _returns_sequences(model), dict(custom_objects or {}))
    found, source = _reference(reference, request)
    inputs = random_inputs(model, found, batch_size, steps, seed)
    with carried_states_restored([model]):
        expected = found.run(inputs[0] if len(inputs) == 1 else inputs)  # pyright: ignore[reportArgumentType]
    errors = compare(outputs_of(model, inputs, list(expected)), expected)
    scale = max(1.0, *(float(np.abs(one).max(initial=0)) for one in expected.values()))
    return Certificate(
        model=str(model.name),
        source=source,
        reference=found.title,
        errors=errors,
        tolerance=TOLERANCE * (scale if np.isfinite(scale) else 1.0),
        input_shape=tuple(inputs[0].shape),
        seed=seed,
        sha256=_sha256(reference),
        versions={name: version(name) for name in ("deeprnn-keras", "keras", "numpy")},
    )


def _reference(reference: object, request: Request) -> tuple[Reference, str]:
    """Return the reference and a description of the source."""
    if isinstance(reference, Reference):
        return reference, reference.title
    running = reference_of(reference, request.return_sequences)
    if running is not None:
        return running, type(reference).__name__
    source = recognize(reference)
    found = source.reference(request)
    if found is None:
        raise NoReferenceError(
            f"{source.name}: there is no reference for this {source.kind}; pass a module or a Reference"
        )
    return found, source.name


def _sha256(reference: object) -> str | None:
    if not isinstance(reference, (str, os.PathLike)):
        return None
    with Path(reference).expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _returns_sequences(model: Layer) -> bool:
    """Return `return_sequences` of the last recurrent layer, which sources of bare weights do not state."""
    if hasattr(model, "return_sequences"):
        return bool(model.return_sequences)
    parts = [one for one in getattr(model, "layers", ()) if hasattr(one, "return_sequences") or hasattr(one, "layers")]
    return _returns_sequences(parts[-1]) if parts else True


# === Input ===


def random_inputs(model: Layer, reference: Reference, batch_size: int, steps: int, seed: int) -> list[np.ndarray]:
    """Return random inputs of a model: normal features (n, T, d), uniformly distributed ids (n, T), or masks (n, T).

    Args:
        model: Built model or layer.
        reference: Reference that may require a batch size and a number of steps.
        batch_size: Batch size n, unless one is required.
        steps: Number of steps T, unless one is required.
        seed: Random seed.

    Raises:
        ValueError: If the model is not built.
    """
    generator = np.random.default_rng(seed)
    ids = _num_ids(model)
    inputs = []
    for shape, dtype in _inputs(model):
        sizes = (shape[0] or reference.batch_size or batch_size, *shape[1:])
        sizes = tuple(size or reference.steps or steps for size in sizes)
        if dtype == "bool":
            inputs.append(generator.random(sizes) < PRESENT)
        elif ids is not None and len(shape) == 2:
            inputs.append(generator.integers(0, ids, sizes).astype(np.int32))
        else:
            inputs.append(generator.normal(size=sizes).astype(np.float32))
    return inputs


def _inputs(model: Layer) -> list[tuple[tuple[int | None, ...], str]]:
    """Return the shape and the data type of each input."""
    if hasattr(model, "inputs") and model.inputs:
        return [(tuple(tensor.shape), tensor.dtype) for tensor in model.inputs]
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    if not model.built or not kernels:
        raise ValueError(f"model {model.name!r} must be built before it is verified; call it once")
    return [((None, None, int(kernels[0].shape[0])), "float32")]


def _num_ids(model: Layer) -> int | None:
    """Return the number of ids that a model reads, or None if it reads features."""
    sizes = [
        getattr(layer, attribute)
        for layer in _compat.flatten_layers(model)
        for name, attribute in ID_LAYERS.items()
        if any(one.__name__ == name for one in type(layer).__mro__)
    ]
    return min(sizes, default=None)


# === Outputs ===


def outputs_of(model: Layer, inputs: list[np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Return the outputs of the layers of a model that have one of `names`, and the outputs of the model.

    Stateful layers begin with zero states, and carry their states afterwards as before. The outputs of the model have
    the last names.

    Args:
        model: Built model or layer.
        inputs: Its inputs.
        names: Names of layers, followed by the names of the outputs.
    """
    from keras import tree

    arguments = inputs[0] if len(inputs) == 1 else inputs
    with carried_states_restored([model]):
        final = [_array(one) for one in tree.flatten(run_model(model, arguments))]
    if len(names) < len(final):
        raise ValueError(f"model {model.name!r} has {len(final)} outputs, but its source has {len(names)}")
    with carried_states_restored([model]):
        found = _layer_outputs(model, arguments, names[: -len(final)])
    return {**found, **dict(zip(names[-len(final) :], final, strict=True))}


def _array(tensor: Tensor) -> np.ndarray:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(tensor))


def _layer_outputs(model: Layer, arguments: Tensor, names: list[str]) -> dict[str, np.ndarray]:
    """Return {name: output} of the layers with one of `names` that are called once in a functional model."""
    import keras

    if isinstance(model, keras.Sequential):
        return _outputs_in_sequence(model, arguments, names)
    if not getattr(model, "inputs", None):
        return {}
    tensors: dict[str, list[Tensor]] = {}
    for node in _compat.functional_nodes(model):
        if node.operation.name in names and len(node.outputs) == 1:
            tensors.setdefault(node.operation.name, []).extend(node.outputs)
    single = {name: calls[0] for name, calls in tensors.items() if len(calls) == 1}
    if not single:
        return {}
    values = run_model(keras.Model(model.input, list(single.values())), arguments)
    return dict(zip(single, map(_array, values if isinstance(values, list) else [values]), strict=True))


def _outputs_in_sequence(model: keras.Sequential, value: Tensor, names: list[str]) -> dict[str, np.ndarray]:
    found = {}
    for layer in model.layers:
        value = layer(value, training=False)
        if layer.name in names:
            found[layer.name] = _array(value)
    return found


def compare(results: Mapping[str, ArrayLike], expected: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Return the largest absolute difference of each array of `results` from that of the same name in `expected`.

    Layers whose outputs have another shape than in the source are left out: they return another part of it, such as the
    last step.

    Raises:
        ValueError: If the outputs of the model, the last array, have another shape, or those of its reference contain
            no finite number, so that nothing can be proven.
    """
    final = np.asarray(list(expected.values())[-1], np.float64)
    if final.size and not np.isfinite(final).any():
        raise ValueError("the reference returns no finite number to compare the model with; check its weights")
    errors = {}
    for name, value in results.items():
        result, other = np.asarray(value, np.float64), np.asarray(expected[name], np.float64)
        if result.shape != other.shape:
            if name != list(results)[-1]:
                continue
            raise ValueError(f"the model returns {result.shape}, but its reference {other.shape}")
        same = (result == other) | (np.isnan(result) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(result - other))
        largest = float(difference.max(initial=0.0))
        errors[name] = np.inf if np.isnan(largest) else largest
    return errors
