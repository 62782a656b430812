"""`TfKerasReference`: a Keras 2 file that tf_keras itself loads and runs.

tf_keras runs the code in `Lambda` layers. Only configurations that `keras_config` has accepted are passed to it.
"""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Config
from deeprnn_keras.interop.keras_config import CUDNN_LAYERS
from deeprnn_keras.interop.source import Reference


def is_installed() -> bool:
    """Return whether tf_keras is installed."""
    return find_spec("tf_keras") is not None


class TfKerasReference(Reference):
    """Model of tf_keras with the weights of a file.

    There is no CuDNN layer on a CPU: in its place is an LSTM or GRU, to whose layout tf_keras converts the weights.

    Args:
        config: Configuration of the model, accepted by `keras_config`.
        weights: HDF5 file with weights by layer, whose name ends with .h5.
    """

    def __init__(self, config: Config, weights: Path) -> None:
        library: Any = importlib.import_module("tf_keras")
        self.title = f"tf_keras {library.__version__}"
        model = library.models.model_from_json(json.dumps(without_cudnn(config)))
        model.load_weights(str(weights))
        outputs = {layer.name: layer.output for layer in model.layers if _has_one_output(layer)}
        last = dict(zip(model.output_names, model.outputs, strict=True))
        outputs = {**{name: outputs[name] for name in outputs if name not in last}, **last}
        self.names, self.model = list(outputs), library.Model(model.inputs, list(outputs.values()))

    @override
    def run(self, x: Any) -> dict[str, np.ndarray]:
        values = self.model(x, training=False)
        values = values if isinstance(values, (list, tuple)) else [values]
        return dict(zip(self.names, map(np.asarray, values), strict=True))


def _has_one_output(layer: Any) -> bool:  # noqa: ANN401 - of tf_keras
    """Return whether a layer is called once, with one tensor as the result."""
    return len(layer.inbound_nodes) == 1 and not isinstance(layer.output, (list, tuple, dict))


def without_cudnn(config: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a configuration with LSTM and GRU in place of the layers for cuDNN."""
    if isinstance(config, list):
        return [without_cudnn(one) for one in config]
    if not isinstance(config, dict):
        return config
    changed = {key: without_cudnn(one) for key, one in config.items()}
    kind = changed.get("class_name")
    if kind in CUDNN_LAYERS:
        changed["class_name"] = CUDNN_LAYERS[kind]
        if kind == "CuDNNGRU":
            changed["config"]["reset_after"] = True
    return changed
