"""Keras 2 models by their configuration and weights, run by the documented equations of their layers in NumPy.

The equations share no code with the conversion to Keras 3. Those of the recurrent cells are in `keras2_cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Config
from deeprnn_keras.interop.references.keras2_cells import CELLS, Array, Arrays, activation, cell_of, softmax
from deeprnn_keras.interop.source import Reference


@dataclass(frozen=True)
class Masked:
    """A value with its mask.

    Attributes:
        x: The value.
        mask: True for steps that are not padding, (n, T); None without a mask.
        others: Further values: the initial states that a recurrent layer reads, or the further outputs of a layer.
    """

    x: Array
    mask: Array | None = None
    others: tuple[Array, ...] = ()


Function: TypeAlias = Callable[[Config, Arrays, Masked], Masked]
Values: TypeAlias = dict[str, Masked]
"""{name of a layer: its output}."""

CALL_ARGUMENTS = ("initial_state", "mask", "training")


class Keras2Reference(Reference):
    """A Sequential or functional model of Keras 2.

    Args:
        config: The model: {"class_name": "Sequential" or "Functional" or "Model", "config": {...}}.
        weights: {name of the layer: its weights in the order of the file}.

    Raises:
        ValueError: If a layer or a call is not supported, when the model runs.
    """

    title = "NumPy"

    def __init__(self, config: Config, weights: Mapping[str, Arrays]) -> None:
        self.config, self.weights = config, weights

    @override
    def run(self, x: Any) -> dict[str, Array]:
        config = self.config["config"]
        if self.config["class_name"] == "Sequential":
            layers = config if isinstance(config, list) else config["layers"]
            values = self._sequence(layers, Masked(np.asarray(x)))
            last = next(reversed(values))
            outputs = [[last, 0, number] for number in range(1 + len(values[last].others))]
        else:
            values = self._graph(config, x if isinstance(x, (list, tuple)) else [x])
            outputs = _nodes(config["output_layers"])
        found = {name: value.x for name, value in values.items() if name not in {node[0] for node in outputs}}
        for node in outputs:
            taken = sum(name == node[0] or name.startswith(f"{node[0]}/") for name in found)
            found[f"{node[0]}/{taken}" if taken else node[0]] = _value(values, node).x
        return found

    def _sequence(self, layers: Sequence[Config], value: Masked) -> Values:
        values: Values = {}
        for layer in layers:
            value = self._run(layer, [value])
            values[layer["config"]["name"]] = value
        return values

    def _graph(self, config: Config, inputs: Sequence[Array]) -> Values:
        given = dict(zip((node[0] for node in _nodes(config["input_layers"])), inputs, strict=True))
        values = {name: Masked(np.asarray(x)) for name, x in given.items()}
        for layer in config["layers"]:
            name = layer["config"]["name"]
            if name in values:
                continue
            calls = layer["inbound_nodes"]
            if len(calls) != 1:
                raise ValueError(f"layer {name!r} is called {len(calls)} times, which is not supported")
            values[name] = self._run(layer, _inputs(values, calls[0], name))
        return values

    def _run(self, layer: Config, inputs: Sequence[Masked]) -> Masked:
        kind, config = layer["class_name"], layer["config"]
        if kind in MERGES:
            return Masked(MERGES[kind](config, [one.x for one in inputs]), _merged_mask(inputs))
        if len(inputs) > 1 and kind not in (*RECURRENT, "Bidirectional"):
            raise ValueError(f"layer {config['name']!r}: several inputs are not supported by the NumPy interpreter")
        value = replace(inputs[0], others=tuple(one.x for one in inputs[1:]))
        return run_layer(kind, config, self.weights.get(config["name"], ()), value)


def _nodes(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return a list of [name, node, tensor], of which a single one may be stored without a list around it."""
    return [value] if value and isinstance(value[0], str) else list(value)


def _value(values: Values, node: Sequence[Any]) -> Masked:
    value, number = values[node[0]], node[2]
    return Masked(value.others[number - 1]) if number else replace(value, others=())


def _inputs(values: Values, call: Any, name: str) -> list[Masked]:  # noqa: ANN401 - JSON
    """Return the inputs of a call, followed by the initial states."""
    nodes = _nodes(call)
    options = {key: one for key, one in (nodes[0][3] if len(nodes[0]) > 3 else {}).items() if one is not None}
    if not options.keys() <= set(CALL_ARGUMENTS):
        raise ValueError(f"layer {name!r}: the arguments {list(options)} are not supported by the NumPy interpreter")
    first, *others = (_value(values, node) for node in nodes)
    if "mask" in options:
        first = replace(first, mask=_value(values, options["mask"]).x.astype(bool))
    return [first, *others, *(_value(values, node) for node in _nodes(options.get("initial_state", [])))]


def _merged_mask(inputs: Sequence[Masked]) -> Array | None:
    """Return the mask of values that are merged: steps that none of them masks."""
    masks = [one.mask for one in inputs if one.mask is not None]
    return np.logical_and.reduce(masks) if masks else None


def run_layer(kind: str, config: Config, weights: Arrays, value: Masked) -> Masked:
    """Return the output of a layer of Keras 2.

    Args:
        kind: Name of its class.
        config: Its configuration.
        weights: Its weights.
        value: Its input.

    Raises:
        ValueError: If the layer is not supported.
    """
    if kind not in LAYERS:
        raise ValueError(f"layer {config.get('name')!r} of class {kind!r} is not supported by the NumPy interpreter")
    return LAYERS[kind](config, weights, value)


# === Recurrent layers ===


def _recurrence(kind: str) -> Function:
    """Return the function of a recurrent layer. At masked steps, states and output are those of the step before."""

    def run(config: Config, weights: Arrays, value: Masked) -> Masked:
        make = cell_of(config["cell"]) if kind == "RNN" else CELLS[kind]
        inner = config["cell"]["config"] if kind == "RNN" else config
        step, sizes = make(inner, weights)
        x, mask = value.x, value.mask
        if config.get("time_major"):
            x, mask = x.swapaxes(0, 1), None if mask is None else mask.T
        stacked = kind == "RNN" and config["cell"]["class_name"] == "StackedRNNCells"
        states = list(value.others) or [np.zeros((len(x), size)) for size in sizes]
        output, steps = np.zeros((len(x), sizes[-1])), []
        order = range(x.shape[1])
        for t in reversed(order) if config.get("go_backwards") else order:
            new = step(x[:, t], states)
            new_states = new[1:] if stacked else new
            keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
            output = np.where(keep, new[0], output)
            states = [np.where(keep, one, old) for one, old in zip(new_states, states, strict=True)]
            steps.append(output * keep if config.get("zero_output_for_mask") else output)
        final = tuple(states) if config.get("return_state") else ()
        if not config.get("return_sequences"):
            return Masked(output, others=final)
        sequence = np.stack(steps, axis=1)
        return Masked(sequence.swapaxes(0, 1) if config.get("time_major") else sequence, value.mask, final)

    return run


# === Wrappers ===


def _bidirectional(config: Config, weights: Arrays, value: Masked) -> Masked:
    """Return the outputs of a layer and of the same layer backwards, put together; zero at masked steps."""
    layer = {**config["layer"], "config": {**config["layer"]["config"], "zero_output_for_mask": True}}
    half = len(weights) // 2
    backward = config.get("backward_layer") or {
        "class_name": layer["class_name"],
        "config": {**layer["config"], "go_backwards": not layer["config"].get("go_backwards", False)},
    }
    middle = len(value.others) // 2
    inputs = [replace(value, others=states) for states in (value.others[:middle], value.others[middle:])]
    first = run_layer(layer["class_name"], layer["config"], weights[:half], inputs[0])
    second = run_layer(backward["class_name"], backward["config"], weights[half:], inputs[1])
    y = second.x
    if layer["config"].get("return_sequences"):
        y = y[::-1] if layer["config"].get("time_major") else y[:, ::-1]
    mode = config.get("merge_mode", "concat")
    states = (*first.others, *second.others)
    if mode is None:
        return Masked(first.x, first.mask, (y, *states))
    if mode not in MERGE_MODES:
        raise ValueError(f"layer {config.get('name')!r}: merge_mode {mode!r} is not supported by the NumPy interpreter")
    return Masked(MERGE_MODES[mode](first.x, y), first.mask, states)


MERGE_MODES: dict[str, Callable[[Array, Array], Array]] = {
    "ave": lambda a, b: (a + b) / 2,
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "mul": np.multiply,
    "sum": np.add,
}


def _time_distributed(config: Config, weights: Arrays, value: Masked) -> Masked:
    layer, x = config["layer"], value.x
    flat = Masked(x.reshape(-1, *x.shape[2:]))
    y = run_layer(layer["class_name"], layer["config"], weights, flat).x
    return Masked(y.reshape(*x.shape[:2], *y.shape[1:]), value.mask)


# === Other layers ===


def _embedding(config: Config, weights: Arrays, value: Masked) -> Masked:
    ids = value.x.astype(np.int64)
    return Masked(weights[0][ids], ids != 0 if config.get("mask_zero") else None)


def _masking(config: Config, weights: Arrays, value: Masked) -> Masked:
    mask = (value.x != config.get("mask_value", 0.0)).any(-1)
    return Masked(value.x * mask[..., None], mask)


def _dense(config: Config, weights: Arrays, value: Masked) -> Masked:
    y = value.x @ weights[0] + (weights[1] if len(weights) > 1 else 0)
    return Masked(activation(config)(y), value.mask)


def _relu(config: Config, weights: Arrays, value: Masked) -> Masked:
    x, threshold, slope = value.x, config.get("threshold") or 0.0, config.get("negative_slope") or 0.0
    y = np.where(x >= threshold, x, slope * (x - threshold))
    limit = config.get("max_value")
    return Masked(y if limit is None else np.minimum(y, limit), value.mask)


def _leaky_relu(config: Config, weights: Arrays, value: Masked) -> Masked:
    slope = config.get("alpha", config.get("negative_slope", 0.3))
    return Masked(np.where(value.x > 0, value.x, slope * value.x), value.mask)


def _batch_normalization(config: Config, weights: Arrays, value: Masked) -> Masked:
    arrays = list(weights)
    gamma = arrays.pop(0) if config.get("scale", True) else 1
    beta = arrays.pop(0) if config.get("center", True) else 0
    mean, variance = arrays
    y = (value.x - mean) / np.sqrt(variance + config.get("epsilon", 1e-3)) * gamma + beta
    return Masked(y, value.mask)


def _layer_normalization(config: Config, weights: Arrays, value: Masked) -> Masked:
    arrays = list(weights)
    x = value.x - value.x.mean(-1, keepdims=True)
    y = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + config.get("epsilon", 1e-3))
    y = y * (arrays.pop(0) if config.get("scale", True) else 1) + (arrays.pop(0) if config.get("center", True) else 0)
    return Masked(y, value.mask)


def _mean(config: Config, weights: Arrays, value: Masked) -> Masked:
    if value.mask is None:
        return Masked(value.x.mean(1))
    mask = value.mask[..., None]
    return Masked((value.x * mask).sum(1) / mask.sum(1))


RECURRENT = ("CuDNNGRU", "CuDNNLSTM", "GRU", "LSTM", "RNN", "SimpleRNN")

LAYERS: dict[str, Function] = {
    **{kind: _recurrence(kind) for kind in RECURRENT},
    **{
        kind: lambda config, weights, value: value
        for kind in ("ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise", "InputLayer")
    },
    "SpatialDropout1D": lambda config, weights, value: value,
    "Activation": lambda config, weights, value: Masked(activation(config)(value.x), value.mask),
    "BatchNormalization": _batch_normalization,
    "Bidirectional": _bidirectional,
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": lambda config, weights, value: Masked(value.x.reshape(len(value.x), -1)),
    "GlobalAveragePooling1D": _mean,
    "GlobalMaxPooling1D": lambda config, weights, value: Masked(value.x.max(1)),
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _leaky_relu,
    "Masking": _masking,
    "ReLU": _relu,
    "RepeatVector": lambda config, weights, value: Masked(np.repeat(value.x[:, None], config["n"], axis=1)),
    "Softmax": lambda config, weights, value: Masked(softmax(value.x), value.mask),
    "TimeDistributed": _time_distributed,
}
"""{class of the layer: function of (configuration, weights, input)}."""

MERGES: dict[str, Callable[[Config, Arrays], Array]] = {
    "Add": lambda config, x: sum(x[1:], x[0]),
    "Average": lambda config, x: sum(x[1:], x[0]) / len(x),
    "Concatenate": lambda config, x: np.concatenate(x, axis=config.get("axis", -1)),
    "Maximum": lambda config, x: np.maximum.reduce(x),
    "Multiply": lambda config, x: np.multiply.reduce(x),
    "Subtract": lambda config, x: x[0] - x[1],
}
"""{class of a layer that reads several values: function of (configuration, inputs)}."""
