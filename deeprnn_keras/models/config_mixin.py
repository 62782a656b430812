"""`ConfigMixin`: configuration of a Keras model that contains one `DeepRNN`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np

from deeprnn_keras import checks, freezing, limits
from deeprnn_keras._types import CellSpec, Config, Layer, Tensor
from deeprnn_keras.keras_objects import check_config, plain_config
from deeprnn_keras.layers.arguments import cell as layer_cell
from deeprnn_keras.stack import count_head_params, count_known_params, layer_units, layer_widths, output_width
from deeprnn_keras.streaming import Stream

NOT_FROM_DEEP_RNN = {"name", "trainable", "return_sequences", freezing.KEY}


class ConfigMixin:
    """Mixin for a `keras.Model` with a layer "deep_rnn", or the configuration of one.

    The model accepts the arguments of this layer as its own.

    Attributes:
        name: Name of the model.
        trainable: If False, the weights are frozen.
        get_layer: Method of `keras.Model`.
    """

    name: str
    trainable: bool
    get_layer: Callable[..., Layer]
    _config: Config  # arguments of the model other than those of its `DeepRNN`
    _stack_config: Callable[[], Config] | None = None  # `get_config` of a `DeepRNN` that is no layer of the model

    def get_config(self) -> Config:
        """Return the arguments of the model, including those of its `DeepRNN`."""
        deep_rnn = (self._stack_config or self.get_layer("deep_rnn").get_config)()
        own = {"name": self.name, "trainable": self.trainable, **freezing.trainable_config(self), **self._config}
        return plain_config({key: deep_rnn[key] for key in deep_rnn.keys() - NOT_FROM_DEEP_RNN} | own)

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        """Return the model of a configuration.

        Raises:
            ValueError: If the configuration names an object that is not supported.
        """
        check_config(config, f"{cls.__name__} config")
        return freezing.create_from_config(lambda arguments: cls(**arguments), config)

    def stream(self, batch_size: int = 1) -> Stream:
        """Return a stream, which reads sequences one step at a time.

        Args:
            batch_size: Number of sequences that are read at the same time.

        Raises:
            ValueError: If the model needs whole sequences, for example because it is bidirectional.
        """
        return Stream(self, batch_size)  # pyright: ignore[reportArgumentType] - a mixin of models


def refuse_arguments(name: str, deep_rnn: Mapping[str, Any], refused: Sequence[str], reason: str) -> None:
    """Raise a ValueError if an argument of `DeepRNN` is True that a model does not support.

    Args:
        name: Name of the class of the model.
        deep_rnn: Arguments of `DeepRNN`.
        refused: Names of the arguments that are not supported.
        reason: Relative clause about the model.
    """
    for option in refused:
        if deep_rnn.get(option):
            raise ValueError(f"{option}=True is not supported by {name}, {reason}")


def check_memory(
    name: str,
    inputs: int,
    outputs: int,
    units: int | Sequence[int],
    num_layers: int | None,
    cell: CellSpec | Sequence[CellSpec],
    deep_rnn: Mapping[str, Any],
    *,
    embedding: int | None,
    head_units: Sequence[int],
    projection: int | None = None,
    tied: bool = False,
) -> None:
    """Raise a ValueError if the weights of a model take more memory than the limit, before a layer is built.

    Args:
        name: Name of the class of the model.
        inputs: Number of features or, with an embedding, of ids.
        outputs: Number of outputs, q.
        units: As in `DeepRNN`.
        num_layers: As in `DeepRNN`.
        cell: As in `DeepRNN`.
        deep_rnn: Other arguments of `DeepRNN`.
        embedding: As in `count_head_params`.
        head_units: As in `count_head_params`.
        projection: As in `count_head_params`.
        tied: As in `count_head_params`.
    """
    optional = {"embedding": embedding, "projection": projection}
    outside: dict[str, Any] = {
        key: None if value is None else checks.positive_int(key, value) for key, value in optional.items()
    }
    outside |= {"head_units": [checks.positive_int("head_units", width) for width in head_units], "tied": tied}
    units = layer_units(units, num_layers)
    shape = {key: deep_rnn[key] for key in ("connection", "bidirectional") if key in deep_rnn}
    gates = {key: deep_rnn[key] for key in ("use_bias", "reset_after") if key in deep_rnn}
    cells = [layer_cell(one) for one in checks.per_layer("cell", cell, len(units))]
    num_params = count_known_params(outside["embedding"] or inputs, units, cells, **shape, **gates)
    num_params += count_head_params(inputs, outputs, output_width(layer_widths(units, cell=cells), **shape), **outside)
    what = f"a {name} with {inputs:,} inputs, units={limits.shortened(units)}, and {outputs:,} outputs"
    limits.check_memory(what, num_params)


def with_reset_mask(model: keras.Model, inputs: Tensor) -> Tensor:
    """Return the inputs of a call; those of a stateful model that is called without a mask reset all states.

    Args:
        model: Model that reads one tensor and, if it is stateful, `reset_mask`.
        inputs: Argument of the call.
    """
    if len(model.inputs) == 1 or isinstance(inputs, (list, tuple, dict)):
        return inputs
    inputs = keras.ops.convert_to_tensor(inputs)
    return [inputs, keras.ops.ones(keras.ops.shape(inputs)[:1], "bool")]


def check_integer_ids(model: str, name: str, ids: Tensor) -> None:
    """Raise a ValueError if ids are not integers: Keras would truncate real numbers silently.

    Args:
        model: Name of the model.
        name: Name of the ids.
        ids: Ids, a tensor, an array, or a list.
    """
    first = next(iter(keras.tree.flatten(ids)), None)
    dtype = keras.backend.standardize_dtype(getattr(first, "dtype", None) or np.asarray(ids).dtype)
    if not keras.backend.is_int_dtype(dtype):
        raise ValueError(
            f"{model}: {name} must be integers, got {dtype}; convert them, for example with astype('int32')"
        )
