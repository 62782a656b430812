"""`RTNeuralTarget`: export to the JSON files of RTNeural."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.metadata import facts
from deeprnn_keras.exporters.operation_counts import operation_counts
from deeprnn_keras.exporters.plugin_files.chain import ChainError, Layer, chain
from deeprnn_keras.exporters.plugin_files.runner import ChainRunner
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program.program import Program
from deeprnn_keras.reading import read_json

ACTIVATIONS = ("tanh", "relu", "sigmoid")


class RTNeuralTarget(Target):
    """JSON files of RTNeural, a C++ library for networks in audio plugins.

    The file lists the layers with their type, activation, output shape, and weights, as Keras stores them. Source:
    `RTNeural/model_loader.h` of RTNeural.
    """

    name: ClassVar[str] = "rtneural"
    title: ClassVar[str] = "RTNeural"
    suffix: ClassVar[str] = ".json"
    always_streams: ClassVar[bool] = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        try:
            chain(program, ACTIVATIONS)
        except ChainError as error:
            return str(error)
        if any(state.initial is not None for state in program.states.values()):
            return "RTNeural starts from zero states; train it without learned_initial_state"
        return None

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        content: dict[str, Any] = {
            "in_shape": [None, None, program.inputs[0].width],
            "layers": [_listed(layer) for layer in chain(program, ACTIVATIONS)],
            "metadata": facts(program),
        }
        path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        return [path]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        layers = [
            _read(listed, layer.name, layer.states)
            for listed, layer in zip(read_json(path)["layers"], chain(program, ACTIVATIONS), strict=True)
        ]
        return ChainRunner(layers, program)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        return operation_counts(program)


def _listed(layer: Layer) -> dict[str, Any]:
    recurrent = layer.recurrent_kernel
    weights = [layer.kernel, *([] if recurrent is None else [recurrent]), layer.bias]
    return {
        "type": layer.kind,
        "activation": layer.activation if layer.kind == "dense" else "",
        "shape": [None, None, layer.width],
        "weights": [np.asarray(one, np.float32).tolist() for one in weights],
    }


def _read(listed: dict[str, Any], name: str, states: tuple[str, ...]) -> Layer:
    kernel, *recurrent, bias = (np.array(one, np.float32) for one in listed["weights"])
    return Layer(
        *(name, listed["type"], listed["shape"][-1], kernel, bias),
        recurrent[0] if recurrent else None,
        listed["activation"],
        states,
    )
