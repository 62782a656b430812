"""Configurations of Keras 1.2 to 3 models, rewritten to the classes and arguments of Keras 3.

`model_plan` turns the JSON of a file into plans: plain data that name a class and its arguments. Nothing is built, and
no code of the file runs: a `Lambda` layer, which contains code, is refused unless the caller maps it to a class.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras

from deeprnn_keras._types import Config
from deeprnn_keras.interop import addons_cells
from deeprnn_keras.interop.keras2_layers import HardSigmoid
from deeprnn_keras.keras_objects import CODE_LAYERS, activations, check_config

MODEL_CLASSES = ("Functional", "Model", "Sequential")
CUDNN_LAYERS = {"CuDNNLSTM": "LSTM", "CuDNNGRU": "GRU"}
GRU_CLASSES = ("GRU", "GRUCell")
GATED_CLASSES = ("LSTM", "LSTMCell", "GRU", "GRUCell", *addons_cells.CELLS)
CHILDREN = {
    "Bidirectional": ("layer", "backward_layer"),
    "TimeDistributed": ("layer",),
    "RNN": ("cell",),
    "StackedRNNCells": ("cells",),
}
"""Arguments that are layers or cells, by class."""

FUNCTION_LAYERS = ("Lambda", "SlicingOpLambda", "TFOpLambda", "TensorFlowOpLayer")
RENAMED_ARGUMENTS = {"LeakyReLU": {"alpha": "negative_slope"}, "InputLayer": {"batch_input_shape": "batch_shape"}}
# they select code paths, are implied by the input, or matter before and during training only
IGNORED_ARGUMENTS = {
    *("batch_input_shape", "dynamic", "fused", "implementation", "input_dtype", "input_length", "time_major"),
    *("key_shape", "query_shape", "value_shape", "attention_axes", "registered_name", "type_spec", "trainable"),
    *(
        "kernel_initializer",
        "renorm",
        "renorm_clipping",
        "renorm_momentum",
        "virtual_batch_size",
        "adjustment",
        "build_input_shape",
    ),
}
IGNORED_VALUES = {"groups": 1, "rng_type": "stateful"}
"""{argument that not every class of Keras 3 has: the value that means its absence}."""

ACTIVATION_ALIASES = {"softmax_v2": "softmax"}  # the name of TensorFlow's function, stored by early versions


@dataclass(frozen=True)
class Call:
    """Call of a layer in a functional model, as the file describes it: positional arguments, then named ones."""

    args: tuple[Any, ...]
    kwargs: Config


@dataclass(frozen=True)
class LayerPlan:
    """Layer to build.

    Attributes:
        name: Name of the layer; empty for a cell without one.
        source_class: Class that the file names.
        layer_class: Class to build; None for a model.
        config: Its arguments, without nested layers.
        children: Nested layers by argument.
        model: Plan of a nested model.
        time_major: True if its sequences have the time axis first.
        batch_shape: Shape of the input that the configuration states, with the batch axis.
        has_bias: False for a cell of tensorflow-addons without a bias; the class to build always has one.
    """

    name: str
    source_class: str
    layer_class: type | None
    config: Config
    children: dict[str, LayerPlan | list[LayerPlan]] = field(default_factory=dict)
    model: ModelPlan | None = None
    time_major: bool = False
    batch_shape: tuple[int | None, ...] | None = None
    has_bias: bool = True

    @property
    def label(self) -> str:
        """Name and class for messages: "layer 'lstm_1' (CuDNNLSTM)"."""
        return f"layer {self.name!r} ({self.source_class})"


@dataclass(frozen=True)
class ModelPlan:
    """Model to build.

    Attributes:
        name: Name of the model.
        layers: Its layers.
        calls: Calls of each layer by its name; empty for a sequential model.
        inputs: References to the inputs of a functional model, as the file nests them.
        outputs: References to its outputs.
        sequential: True if the layers are called one after the other.
        batch_shape: Shape of the input of a sequential model, if the file states it.
    """

    name: str
    layers: tuple[LayerPlan, ...]
    calls: dict[str, list[Call]]
    inputs: Any
    outputs: Any
    sequential: bool
    batch_shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Rewriting:
    """Rewriting of one configuration.

    Attributes:
        keras_version: Major version of the Keras that wrote the file, 2 or 3.
        custom_objects: Classes and functions of the caller by the names in the file.
    """

    keras_version: int
    custom_objects: Mapping[str, Any] = field(default_factory=dict)

    def model_plan(self, config: object) -> ModelPlan:
        """Return the plan of the model that a configuration describes.

        Args:
            config: Value of the JSON text, {"class_name": ..., "config": ...}.

        Raises:
            ValueError: If it describes no model, or contains a layer, function, or argument that is not supported.
        """
        entry = _entry(_plain(config))
        class_name, arguments = entry["class_name"], entry["config"]
        if not _is_model(class_name, arguments):
            raise ValueError(
                f"the configuration describes a {class_name}, not a Sequential or functional model; a subclassed model "
                "is code: build it, and pass it as into="
            )
        if class_name == "Sequential":
            return self._sequential(arguments)
        return self._functional(arguments)

    def _sequential(self, arguments: Any) -> ModelPlan:  # noqa: ANN401 - JSON
        if isinstance(arguments, list):  # before Keras 2.2.3
            arguments = {"name": "sequential", "layers": arguments}
        layers = tuple(self.layer_plan(layer) for layer in _list(arguments, "layers"))
        batch_shape = _shape(arguments.get("build_input_shape"))
        return ModelPlan(str(arguments.get("name") or "model"), layers, {}, None, None, True, batch_shape)

    def _functional(self, arguments: Config) -> ModelPlan:
        layers, calls = [], {}
        for entry in _list(arguments, "layers"):
            entry = _entry(entry)
            plan = self.layer_plan(entry)
            layers.append(plan)
            calls[plan.name] = [_call(node, plan) for node in entry.get("inbound_nodes", [])]
        name = str(arguments.get("name") or "model")
        return ModelPlan(name, tuple(layers), calls, arguments["input_layers"], arguments["output_layers"], False)

    def layer_plan(self, value: object) -> LayerPlan:
        """Return the plan of a layer or cell.

        Raises:
            ValueError: If the layer, one of its functions, or one of its arguments is not supported.
        """
        entry = _entry(value)
        class_name, arguments = str(entry["class_name"]), entry["config"]
        name = str(entry.get("name") or (arguments.get("name", "") if isinstance(arguments, dict) else ""))
        if _is_model(class_name, arguments):
            model = self.model_plan(entry)
            return LayerPlan(name or model.name, class_name, None, {}, model=model, batch_shape=_model_shape(model))
        if not isinstance(arguments, dict):
            raise ValueError(f"layer {name!r} ({class_name}): the configuration must be a dictionary")
        custom = self._custom_class(class_name, entry.get("registered_name"), name)
        if custom is not None:
            arguments = self._custom_arguments(class_name, arguments)
            check_config(arguments, f"layer {name!r} ({class_name})")
            return LayerPlan(name, class_name, custom, arguments)
        if addons_cells.stored_class(entry) in addons_cells.CELLS:
            return self._addons_cell(name, addons_cells.stored_class(entry), arguments)
        return self._keras_layer(name, class_name, arguments)

    def _addons_cell(self, name: str, class_name: str, arguments: Config) -> LayerPlan:
        label = f"layer {name!r} ({class_name})"
        config = self._rewritten(label, class_name, arguments)
        try:
            config, has_bias = addons_cells.arguments(config)
        except ValueError as error:
            raise ValueError(f"{label}: {error}") from error
        check_config(config, label)
        return LayerPlan(name, class_name, addons_cells.CELLS[class_name], config, has_bias=has_bias)

    def _keras_layer(self, name: str, class_name: str, arguments: Config) -> LayerPlan:
        label = f"layer {name!r} ({class_name})"
        keras_name = CUDNN_LAYERS.get(class_name, class_name)
        if keras_name not in _layer_classes() and keras_name[-2:] in ("V1", "V2"):
            keras_name = keras_name[:-2]
        layer_class = _layer_classes().get(keras_name)
        if layer_class is None:
            raise ValueError(f"{label}: {_unknown_class(class_name)}")
        children = {
            argument: self._children(arguments[argument])
            for argument in CHILDREN.get(keras_name, ())
            if arguments.get(argument) is not None
        }
        config = {key: value for key, value in arguments.items() if key not in CHILDREN.get(keras_name, ())}
        plan = LayerPlan(
            name=name,
            source_class=class_name,
            layer_class=layer_class,
            config=self._arguments(label, keras_name, class_name, layer_class, config),
            children=children,
            time_major=bool(arguments.get("time_major"))
            or (keras_name == "Bidirectional" and _first_child_is_time_major(children)),
            batch_shape=_shape(arguments.get("batch_input_shape")),
        )
        check_config(plan.config, label)
        return plan

    def _children(self, value: object) -> LayerPlan | list[LayerPlan]:
        if isinstance(value, list):
            return [self.layer_plan(one) for one in value]
        return self.layer_plan(value)

    def _custom_class(self, class_name: str, registered_name: object, name: str) -> Any:  # noqa: ANN401 - any class
        """Return the class of the caller for a layer, or a class that is registered with Keras, or None."""
        names = [registered_name, class_name, class_name.rpartition(">")[2]]
        if class_name == "Lambda":
            names.insert(0, name)
        for one in names:
            if isinstance(one, str) and one in self.custom_objects:
                return self.custom_objects[one]
        if class_name in CODE_LAYERS or class_name in _layer_classes():
            return None
        found = [keras.saving.get_registered_object(one) for one in names[:2] if isinstance(one, str)]
        return next((one for one in found if one is not None), None)

    def _custom_arguments(self, class_name: str, arguments: Config) -> Config:
        """Return the arguments of a class of the caller; those of a layer that runs code without the code."""
        if class_name not in FUNCTION_LAYERS:
            return arguments
        return {key: value for key, value in arguments.items() if key in ("name", "trainable", "dtype")}

    def _arguments(self, label: str, keras_name: str, class_name: str, layer_class: type, config: Config) -> Config:
        """Return the arguments of a class of Keras 3."""
        config = self._rewritten(label, keras_name, config)
        if keras_name in GRU_CLASSES and self.keras_version < 3:
            config["reset_after"] = class_name in CUDNN_LAYERS or bool(config.get("reset_after", False))
        renamed = RENAMED_ARGUMENTS.get(keras_name, {})
        config = {renamed.get(key, key): value for key, value in config.items()}
        if config.get("num_constants"):
            raise ValueError(f"{label}: constants, num_constants={config['num_constants']}, are not supported")
        if config.get("ragged"):
            raise ValueError(f"{label}: ragged inputs are not supported; pad the sequences and use a mask")
        if keras_name == "BatchNormalization" and isinstance(config.get("axis"), list):
            (config["axis"],) = config["axis"]
        return _supported(label, layer_class, config)

    def _rewritten(self, label: str, class_name: str, config: Config) -> Config:
        """Return arguments with objects, functions, and data types as Keras 3 names them."""
        config = {key: _nested(value) for key, value in config.items()}
        if "dtype" in config:
            config["dtype"] = _dtype(config["dtype"])
        return {key: self._function(label, class_name, key, value) for key, value in config.items()}

    def _function(self, label: str, keras_name: str, key: str, value: object) -> object:
        """Return an argument; a function of the caller for the name of an activation that Keras does not have."""
        if not key.endswith("activation") or value is None:
            return value
        name = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
        if not isinstance(name, str):
            return value
        if name in self.custom_objects:
            return self.custom_objects[name]
        name = ACTIVATION_ALIASES.get(name, name)
        if name == "hard_sigmoid" and self.keras_version < 3:
            # the weights of gates are scaled instead, so that every implementation and export supports the layer
            return name if keras_name in GATED_CLASSES and key == "recurrent_activation" else HardSigmoid(0.2)
        registered = keras.saving.get_registered_object(name)
        if registered is not None:
            return registered
        if name not in activations() and name not in ("hard_swish", "swish"):
            raise ValueError(
                f"{label}: {key} names the function {name!r}, which is not one of Keras; pass it as "
                f"custom_objects={{{name!r}: function}}"
            )
        return name


# === Parts of a configuration ===


def _entry(value: object) -> Config:
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str) or "config" not in value:
        raise ValueError("a layer must be a dictionary with class_name and config")
    return value


def _list(arguments: Any, key: str) -> list[Any]:  # noqa: ANN401 - JSON
    value = arguments.get(key) if isinstance(arguments, dict) else None
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list")
    return value


def _is_model(class_name: object, arguments: object) -> bool:
    has_layers = isinstance(arguments, list) or (isinstance(arguments, dict) and "layers" in arguments)
    return class_name in MODEL_CLASSES and has_layers


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with the tuples and shapes that Keras 2 encodes as dictionaries."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return _plain(value["items"])
    return {key: _plain(one) for key, one in value.items()}


def _nested(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return an argument with the objects that it contains, such as initializers, as Keras 3 names them."""
    if isinstance(value, list):
        return [_nested(one) for one in value]
    if not isinstance(value, dict):
        return value
    if not {"class_name", "config"} <= value.keys() or not isinstance(value["config"], dict):
        return {key: _nested(one) for key, one in value.items()}
    class_name, config = value["class_name"], {key: _nested(one) for key, one in value["config"].items()}
    if value.get("registered_name") not in (None, class_name):  # an object of the caller
        return {**value, "config": config}
    config.pop("dtype", None)
    if config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"
    if isinstance(class_name, str) and class_name[-2:] in ("V1", "V2"):
        class_name = class_name[:-2]
    return {"class_name": class_name, "config": config}


def _dtype(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the name of a data type or of a policy."""
    if isinstance(value, dict):
        return (value.get("config") or {}).get("name", value)
    return value


def _shape(value: object) -> tuple[int | None, ...] | None:
    if not isinstance(value, list) or not all(one is None or isinstance(one, int) for one in value):
        return None
    return tuple(value)


def _model_shape(model: ModelPlan) -> tuple[int | None, ...] | None:
    return model.batch_shape or (model.layers[0].batch_shape if model.sequential and model.layers else None)


def _first_child_is_time_major(children: Mapping[str, LayerPlan | list[LayerPlan]]) -> bool:
    child = children.get("layer")
    return isinstance(child, LayerPlan) and child.time_major


def _supported(label: str, layer_class: type, config: Config) -> Config:
    """Return the arguments that a class has.

    Raises:
        ValueError: If the file sets an argument that the class does not have.
    """
    supported = _arguments_of(layer_class)
    for key, value in config.items():
        if key not in supported | IGNORED_ARGUMENTS and value not in (None, False, IGNORED_VALUES.get(key)):
            raise ValueError(f"{label}: the argument {key}={value!r} does not exist in Keras 3")
    return {key: value for key, value in config.items() if key in supported}


def _arguments_of(layer_class: type) -> set[str]:
    """Return the names of the arguments of a class, with those that it passes on to its base classes."""
    names: set[str] = set()
    for one in layer_class.__mro__:
        if "__init__" in vars(one):
            parameters = inspect.signature(vars(one)["__init__"]).parameters.values()
            names |= {parameter.name for parameter in parameters}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names - {"self", "args", "kwargs"}


def _call(node: Any, plan: LayerPlan) -> Call:  # noqa: ANN401 - JSON
    """Return a call from a node of Keras 2, a list of references, or of Keras 3, args and kwargs."""
    if isinstance(node, dict) and {"args", "kwargs"} <= node.keys():
        return Call(tuple(node["args"]), dict(node["kwargs"]))
    if is_reference(node):
        node = [node]
    references = list(_references(node))
    if not references:
        raise ValueError(f"{plan.label}: its inputs must be references to layers")
    kwargs = next((one[3] for one in references if len(one) > 3 and isinstance(one[3], dict) and one[3]), {})
    inputs = node[0] if isinstance(node, list) and len(node) == 1 else node
    return Call((inputs,), {key: value for key, value in kwargs.items() if value is not None})


def _references(value: object) -> Sequence[list[Any]]:
    if is_reference(value):
        return [value]  # pyright: ignore[reportReturnType]  # a list
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [reference for one in values for reference in _references(one)]


def is_reference(value: object) -> bool:
    """Return whether a value is a reference to an output of a layer in the format of Keras 2.

    References are [name of the layer, number of the call, number of the output], and possibly the arguments.
    """
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 4
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and (value[0] == CONSTANT or isinstance(value[2], int))
    )


CONSTANT = "_CONSTANT_VALUE"  # name of the layer in references to numbers


@cache
def _layer_classes() -> dict[str, type]:
    """Return the classes of `keras.layers` that contain no code of the file, by name."""
    return {
        name: found
        for name, found in vars(keras.layers).items()
        if inspect.isclass(found) and issubclass(found, keras.layers.Layer) and name not in CODE_LAYERS
    }


def _unknown_class(class_name: str) -> str:
    bare = class_name.rpartition(">")[2]
    if class_name.startswith(addons_cells.ADDONS):
        supported = " and ".join(name.removeprefix(addons_cells.ADDONS) for name in addons_cells.CELLS if ">" in name)
        return (
            f"{bare} of tensorflow-addons has no counterpart in this package, which has {supported}; pass a class with "
            f"the same weights as custom_objects={{{class_name!r}: {bare}}}"
        )
    if bare in FUNCTION_LAYERS:
        return (
            "it runs code that is stored in the file, which is never loaded; pass a layer that computes the same as "
            f"custom_objects={{{class_name!r}: layer_class}}"
        )
    near = difflib.get_close_matches(bare, _layer_classes(), n=1, cutoff=0.7)
    similar = f" (the nearest is {near[0]!r})" if near else ""
    return (
        f"the class is neither one of keras.layers{similar} nor registered with Keras; pass it as "
        f"custom_objects={{{class_name!r}: layer_class}}"
    )
