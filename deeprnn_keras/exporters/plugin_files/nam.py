"""`NAMTarget`: export to the files of Neural Amp Modeler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.metadata import facts
from deeprnn_keras.exporters.operation_counts import operation_counts
from deeprnn_keras.exporters.plugin_files import nam_layout
from deeprnn_keras.exporters.plugin_files.chain import ChainError, Layer, chain
from deeprnn_keras.exporters.plugin_files.runner import ChainRunner
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program.program import Program
from deeprnn_keras.reading import read_json
from deeprnn_keras.streaming import Stream

VERSION = "0.5.4"
"""Version of the format, not of a program: the first with all fields that are written."""

SAMPLE_RATE = 48_000
"""Sample rate in Hz that plugins assume for a file without one."""


class NAMTarget(Target):
    """Files of Neural Amp Modeler, which plugins for guitar amplifiers load.

    Such a file contains the states at the start: those after one second of silence.
    """

    name: ClassVar[str] = "nam"
    title: ClassVar[str] = "Neural Amp Modeler"
    suffix: ClassVar[str] = ".nam"
    always_streams: ClassVar[bool] = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        try:
            *lstms, head = chain(program)
        except ChainError as error:
            return str(error)
        if not lstms or any(layer.kind != "lstm" for layer in lstms):
            return "it must have LSTM layers below the output layer; use cell='lstm'"
        if len({layer.width for layer in lstms}) > 1:
            return f"its LSTM layers must have equal numbers of units, got {[layer.width for layer in lstms]}"
        if head.kind != "dense" or head.width != 1:
            return f"its last layer must be Dense(1), got {head.name!r} of width {head.width}"
        return None

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        layers = chain(program)
        rate = program.attributes.get("sample_rate")
        content: dict[str, Any] = {
            "version": VERSION,
            "metadata": {"name": program.name, "training": facts(program)},
            "architecture": nam_layout.ARCHITECTURE,
            "config": {
                "input_size": program.inputs[0].width,
                "hidden_size": layers[0].width,
                "num_layers": len(layers) - 1,
            },
            "weights": nam_layout.pack(layers, states_after_silence(program, rate or SAMPLE_RATE)).tolist(),
        }
        content |= {} if rate is None else {"sample_rate": rate}
        path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        return [path]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        layers, _ = nam_layout.unpack(read_json(path))
        names = [layer.states for layer in chain(program)]
        return ChainRunner([_renamed(*pair) for pair in zip(layers, names, strict=True)], program)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        return operation_counts(program)

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        notes = ["The file starts in the states after one second of silence; it was compared from those of the model."]
        if "sample_rate" not in program.attributes:
            notes.append(f"The model states no sample rate; plugins assume {SAMPLE_RATE:,} Hz.")
        return notes


def states_after_silence(program: Program, steps: int) -> dict[str, np.ndarray]:
    """Return {name: state (width,)} after zeros, from the initial states of a program."""
    stream = Stream(program)
    stream.push(np.zeros((1, steps, program.inputs[0].width), np.float32))
    return {name: state[0] for name, state in stream.state.items()}


def _renamed(layer: Layer, states: tuple[str, ...]) -> Layer:
    return Layer(layer.name, layer.kind, layer.width, layer.kernel, layer.bias, layer.recurrent_kernel, "", states)
