"""Proof that a conversion is exact: old and new layers, and old and new models, on random inputs, with masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from deeprnn_keras._types import Layer, Nested, Tensor
from deeprnn_keras.interop.conversion.copies import carried_states
from deeprnn_keras.interop.conversion.graph import model_graph
from deeprnn_keras.interop.conversion.substitution import Substitute, cells, directions, is_recurrent, layers_inside
from deeprnn_keras.kernels.machine import this_machine
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.program.lowering import model_kind

ROWS, STEPS = 4, 5
TOLERANCE = 5e-5
TOLERANCES = {"bfloat16": 5e-2, "float16": 1e-2}
"""Allowed differences for compute dtypes of half precision, relative to the largest output."""

NUMBERS_OF_IDS = ("input_dim", "size", "num_tokens", "num_classes")
"""Attributes of layers that read ids: the number of ids."""


class ConversionError(ValueError):
    """The outputs of a converted layer or model differ from those of the original."""


# === Layers ===


def require_equal(substitute: Substitute) -> float:
    """Return the largest difference between the outputs of layers and of those in their place, with several masks.

    Raises:
        ConversionError: If it is larger than rounding errors are.
    """
    generator = np.random.default_rng(0)
    first = substitute.sources[0]
    rows = batch_size(first) or ROWS
    x = generator.normal(size=(rows, STEPS, input_dim(first))).astype("float32")
    names = " and ".join(repr(layer.name) for layer in substitute.sources)
    largest = 0.0
    with carried_states_restored([*substitute.sources, *substitute.layers]):
        for mask in _masks(generator, rows):
            expected = _run(substitute.sources, x, mask)
            outputs = substitute(x, mask=mask)
            what = f"layer {names}" if mask is None else f"layer {names} with a mask"
            largest = max(largest, compare(outputs, expected, first.compute_dtype, what))
    return largest


def _masks(generator: np.random.Generator, rows: int) -> Iterator[np.ndarray | None]:
    """Yield None, and a mask of any steps, one row of which is fully masked."""
    yield None
    if this_machine().gpu:  # cuDNN, which Keras may select there, supports only padding at the end
        yield np.arange(STEPS) < generator.integers(1, STEPS + 1, rows)[:, None]
    else:
        mask = generator.random((rows, STEPS)) < 0.6
        mask[-1] = False
        yield mask


def _run(layers: Sequence[Layer], x: Tensor, mask: np.ndarray | None) -> Nested:
    for layer in layers:
        x = layer(x, mask=mask) if is_recurrent(layer) else layer(x)
    return x


def input_dim(layer: Layer) -> int:
    """Return the number of features that a built recurrent layer reads."""
    if isinstance(layer, DeepRNN):
        return layer.input_dim
    cell = cells(directions(layer)[0])[0]
    return cell.kernel.shape[0] if hasattr(cell, "kernel") else cell.input_dim


def batch_size(layer: Layer) -> int | None:
    """Return the batch size of a stateful recurrent layer, or None for any."""
    if isinstance(layer, DeepRNN):
        return layer.batch_size if layer.stateful else None
    states = carried_states(directions(layer))
    return states[0].shape[0] if states else None


@contextmanager
def carried_states_restored(layers: Sequence[Layer]) -> Iterator[None]:
    """Context manager at whose end stateful layers carry the states that they carried before; zero inside."""
    inside = [one for layer in layers for one in layers_inside(layer)]
    stacks = [layer for layer in inside if isinstance(layer, DeepRNN) and layer.stateful]
    variables = carried_states(inside)
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    stack_states = [stack.carried_state.to_arrays() for stack in stacks]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(np.zeros_like(value))
    for stack in stacks:
        stack.reset_state()
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        for stack, arrays in zip(stacks, stack_states, strict=True):
            stack.carried_state.from_arrays(arrays)


def compare(outputs: Nested, expected: Nested, dtype: str, what: str) -> float:
    """Return the largest absolute difference between tensors.

    Args:
        outputs: Tensors of the result.
        expected: Tensors of the original, in the same order.
        dtype: Dtype of the computation.
        what: The layer or model, for the error message.

    Raises:
        ConversionError: If it is larger than rounding errors are.
    """
    arrays, others = (_arrays(structure) for structure in (outputs, expected))
    shapes = [[array.shape for array in one] for one in (arrays, others)]
    if shapes[0] != shapes[1]:
        raise ConversionError(f"{what} returns shapes {shapes[1]}, and its replacement {shapes[0]}; please report this")
    largest = 0.0
    for array, other in zip(arrays, others, strict=True):
        error = float(np.abs(array - other).max(initial=0.0))
        limit = TOLERANCES.get(dtype, TOLERANCE) * max(1.0, float(np.abs(other).max(initial=0.0)))
        if not error <= limit:
            reason = "weights are not finite" if np.isnan(error) else "please report this"
            difference = f"differ by {error:.2g}, more than {limit:.2g}"
            raise ConversionError(f"outputs of the replacement of {what} {difference}; {reason}")
        largest = max(largest, error)
    return largest


def _arrays(structure: Nested) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(one), "float64") for one in keras.tree.flatten(structure)]


# === Models ===


def require_equal_models(model: keras.Model, converted: keras.Model, x: Nested = None) -> float:
    """Return the largest difference between the outputs of two models; stateful models read two batches.

    Args:
        model: The original.
        converted: The other model.
        x: Inputs of the models. None selects random ones.

    Raises:
        ConversionError: If it is larger than rounding errors are.
        ValueError: If the original does not run on random inputs.
    """
    inputs = _random_inputs(model) if x is None else x
    batches = 2 if any(getattr(layer, "stateful", False) for layer in layers_inside(model)) else 1
    dtypes = {layer.compute_dtype for layer in layers_inside(model)}
    dtype = next((name for name in TOLERANCES if name in dtypes), model.compute_dtype)
    largest = 0.0
    with carried_states_restored([model, converted]):
        for _ in range(batches):
            expected = _original_outputs(model, inputs, is_random=x is None)
            outputs = converted(inputs, training=False)
            largest = max(largest, compare(outputs, expected, dtype, f"model {model.name!r}"))
    return largest


def _original_outputs(model: keras.Model, inputs: Nested, is_random: bool) -> Nested:
    try:
        return model(inputs, training=False)
    except Exception as error:  # layers and backends raise errors of many classes
        if not is_random:
            raise
        raise ValueError(
            f"model {model.name!r} does not run on random inputs ({type(error).__name__}); pass x=, a batch of its "
            "inputs, for the comparison of the models"
        ) from error


def _random_inputs(model: keras.Model) -> Nested:
    generator = np.random.default_rng(0)
    rows = next((tensor.shape[0] for tensor in model.inputs if tensor.shape[0] is not None), ROWS)
    arrays = [_random_input(generator, model, number, rows) for number in range(len(model.inputs))]
    if model_kind(model) == "Sequential":
        return arrays[0]
    return keras.tree.pack_sequence_as(model.input, arrays)


def _random_input(generator: np.random.Generator, model: keras.Model, number: int, rows: int) -> np.ndarray:
    """Return one input; the last steps of its first row are masked, if a layer masks steps."""
    tensor = model.inputs[number]
    shape = (rows, *(STEPS if size is None else size for size in tensor.shape[1:]))
    readers = list(_readers(model, number))
    count = next((value for value in map(_number_of_ids, readers) if value is not None), None)
    array = _values(generator, tensor.dtype, shape, count, f"input {tensor.name!r} of model {model.name!r}")
    masking = next((reader for reader in readers if isinstance(reader, keras.layers.Masking)), None)
    if len(shape) > 1 and shape[1] > 2:
        if masking is not None:
            array[0, -2:] = masking.mask_value
        elif count is not None:
            array[0, -2:] = 0  # masked by an Embedding with mask_zero=True
    return array


def _values(
    generator: np.random.Generator, dtype: str, shape: tuple[int, ...], count: int | None, what: str
) -> np.ndarray:
    if dtype == "bool":
        return generator.random(shape) < 0.7
    if count is not None or keras.backend.is_int_dtype(dtype):
        return generator.integers(0, count or 2, shape).astype(dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"{what} has dtype {dtype}; pass x=, a batch of the inputs, for the comparison of the models")
    return generator.normal(size=shape).astype("float32" if dtype == "bfloat16" else dtype)


def _number_of_ids(reader: Any) -> int | None:  # noqa: ANN401 - a layer or operation
    """Return the number of ids that a layer reads, or None if it does not read ids."""
    if type(reader).__name__ not in ("Embedding", "OneHot", "CategoryEncoding"):
        return None
    return next((getattr(reader, name) for name in NUMBERS_OF_IDS if hasattr(reader, name)), None)


def _readers(model: keras.Model, number: int) -> Iterator[Layer]:
    """Yield the layers that read an input of a model, also inside nested models."""
    graph = model_graph(model)
    is_input: Callable[[object], bool] = lambda tensor: tensor is graph.inputs[number]  # noqa: E731 - used twice
    for call in graph.calls:
        arguments = keras.tree.flatten((call.args, call.kwargs))
        if not any(map(is_input, arguments)):
            continue
        if model_kind(call.operation) is None:
            yield call.operation
        else:
            position = next(index for index, tensor in enumerate(arguments) if is_input(tensor))
            yield from _readers(call.operation, position)
