"""Files in the layout of Keras 2, written with h5py."""

import json

import h5py
import numpy as np


def layer(class_name, name, **config):
    """Return the configuration of a layer as Keras 2 stores it."""
    return {"class_name": class_name, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}


def recurrent(class_name, name, units, **config):
    """Return the configuration of a recurrent layer with the arguments that Keras 2 stores for all of them."""
    common = {"return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False}
    if not class_name.startswith("CuDNN"):
        common |= {"unroll": False, "activation": "tanh", "use_bias": True, "implementation": 1, "dropout": 0.0}
        common["kernel_initializer"] = {
            "class_name": "VarianceScaling",
            "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "normal", "seed": None, "dtype": "float32"},
        }
    if class_name in ("LSTM", "GRU", "LSTMCell", "GRUCell"):
        common["recurrent_activation"] = "hard_sigmoid"
    if class_name == "CuDNNLSTM":
        common["unit_forget_bias"] = True
    if class_name.endswith("Cell"):
        common = {key: value for key, value in common.items() if not key.startswith(("return", "go", "state", "unr"))}
    return layer(class_name, name, units=units, **{**common, **config})


def sequential(*layers):
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": list(layers)}}


def functional(layers, inputs, outputs, class_name="Model", name="model_1"):
    """Return the configuration of a functional model.

    Args:
        layers: Pairs of a layer and its calls, each a list of names, or of (name, call, output).
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        class_name: "Model", or "Functional" as later versions write.
        name: Name of the model.
    """
    entries = []
    for one, calls in layers:
        nodes = [
            [[*(source if isinstance(source, tuple) else (source, 0, 0)), {}] for source in call] for call in calls
        ]
        entries.append({**one, "name": one["config"]["name"], "inbound_nodes": nodes})
    references = {"input_layers": [[one, 0, 0] for one in inputs], "output_layers": [[one, 0, 0] for one in outputs]}
    return {"class_name": class_name, "config": {"name": name, "layers": entries, **references}}


def input_layer(name, *shape):
    return layer("InputLayer", name, batch_input_shape=[None, *shape], sparse=False)


def save(path, weights, config=None, version="2.2.4", dtype="float32"):
    """Write an HDF5 file of Keras 2, and return its arrays: {name of the layer: [arrays]}.

    Args:
        path: The file.
        weights: {name of the layer: {name of the weight: array or shape}}; arrays are drawn for shapes.
        config: Configuration of the model; None for a file with weights only.
        version: Version of Keras.
        dtype: Data type of the arrays.
    """
    rng = np.random.default_rng(5)
    arrays = {}
    with h5py.File(path, "w") as file:
        root = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            root = file.create_group("model_weights")
        for group in {file, root}:
            group.attrs["keras_version"], group.attrs["backend"] = version.encode(), b"tensorflow"
        root.attrs["layer_names"] = [name.encode() for name in weights]
        for name, values in weights.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{weight}:0".encode() for weight in values]
            arrays[name] = [
                np.asarray(rng.normal(size=one) * 0.7 if isinstance(one, tuple) else one, dtype)
                for one in values.values()
            ]
            for weight, value in zip(values, arrays[name], strict=True):
                group[f"{name}/{weight}:0"] = value
    return arrays


def recurrent_shapes(gates, inputs, units, bias=None, prefix=""):
    """Return the shapes of the weights of a recurrent layer."""
    bias = (gates * units,) if bias is None else bias
    return {
        f"{prefix}kernel": (inputs, gates * units),
        f"{prefix}recurrent_kernel": (units, gates * units),
        f"{prefix}bias": bias,
    }


def dense_shapes(inputs, units):
    return {"kernel": (inputs, units), "bias": (units,)}
