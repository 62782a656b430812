"""`NAMSource`: an LSTM in a file of Neural Amp Modeler; `read_nam`, the same as a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.exporters.plugin_files import nam_layout
from deeprnn_keras.exporters.plugin_files.chain import Layer
from deeprnn_keras.exporters.plugin_files.nam import SAMPLE_RATE
from deeprnn_keras.interop.report import Entry, Report
from deeprnn_keras.interop.source import Content, Reference, Request, Source
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program
from deeprnn_keras.reading import damage_reported, read_json, require_regular_file

if TYPE_CHECKING:
    import keras

EXPECTED = "a file of Neural Amp Modeler with an LSTM"
MARKS = (b'"architecture"', b'"config"')
NAME, STACK, HEAD = "nam_model", "deep_rnn", "head"


def recognize(content: Content) -> Source | None:
    """Return the source of a .nam file; None if the content is of another kind."""
    head = content.head.lstrip()
    if content.path is None or not head.startswith(b"{") or b"\0" in head or not _has_marks(content):
        return None
    return NAMSource(content.path)


def read_nam(path: PathLike) -> Program:
    """Return the program of a file of Neural Amp Modeler, without Keras.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is damaged, or has another architecture than an LSTM.
    """
    return NAMSource(require_regular_file(path)).program()


def _sample_rate(file: Mapping[str, Any]) -> int:
    """Return the sample rate of a file in Hz."""
    rate = file.get("sample_rate")
    if rate is None:
        return SAMPLE_RATE
    whole = isinstance(rate, float) and rate.is_integer()  # Neural Amp Modeler writes 48000.0, too
    return checks.positive_int("sample_rate", int(rate) if whole else rate)


def _has_marks(content: Content) -> bool:
    assert content.path is not None
    if b'"class_name"' in content.head:  # the architecture of a Keras model
        return False
    with content.path.open("rb") as file:  # the weights may be written first
        text = file.read()
    return all(mark in text for mark in MARKS)


class NAMSource(Source):
    """A file of Neural Amp Modeler: LSTM layers with states at the start, and a linear head.

    Args:
        path: Path of the file.

    Raises:
        DamagedFileError: If the file is damaged, or has another architecture than an LSTM.
    """

    kind = "Neural Amp Modeler file"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        with damage_reported(path, EXPECTED):
            self.content = read_json(path)
            self.layers, self.states = nam_layout.unpack(self.content)
            self.sample_rate = _sample_rate(self.content)

    @override
    def inspect(self, request: Request) -> Report:
        self._check_request(request)
        lstms = self.layers[:-1]
        inputs = lstms[0].kernel.shape[0]
        stated = self.content.get("sample_rate") is not None
        rate_note = "The sample rate is" if stated else "The file states no sample rate; plugins assume"
        stack = f"{STACK}: DeepRNN({lstms[0].width}, num_layers={len(lstms)}, learned_initial_state=True)"
        return Report(
            self.name,
            self.kind,
            (stack, f"{HEAD}: Dense(1)"),
            tuple(entry for layer in self.layers for entry in self._entries(layer)),
            notes=(
                f"The model reads {inputs} {'channel' if inputs == 1 else 'channels'}.",
                f"{rate_note} {self.sample_rate} Hz.",
            ),
        )

    @override
    def load(self, request: Request) -> keras.Layer:
        from deeprnn_keras.interop.filling import fill

        self._check_request(request)
        model = self._build()
        if request.into is None:
            return model
        self._check_target(request.into)
        return fill(request.into, model, self.name)

    @override
    def reference(self, request: Request) -> Reference:
        return NAMReference(self.layers, self.states)

    def program(self) -> Program:
        """Return the program of the model, without Keras."""
        *lstms, head = self.layers
        weights: dict[str, np.ndarray] = {}
        operations: list[op.Operation] = []

        def add(name: str, array: np.ndarray) -> str:
            weights[name] = array
            return name

        value = "audio"
        for number, layer in enumerate(lstms, start=1):
            assert layer.recurrent_kernel is not None  # of an LSTM
            name = f"{STACK}/forward_{number}"
            operations.append(
                op.Recurrent(
                    *(name, (value,), layer.width),
                    initial=tuple(add(f"{name}/{one[-1]}_0", self.states[one]) for one in layer.states),
                    kernel=add(f"{name}/kernel", layer.kernel),
                    recurrent_kernel=add(f"{name}/recurrent_kernel", layer.recurrent_kernel),
                    bias=add(f"{name}/bias", layer.bias),
                )
            )
            value = name
        operations.append(
            op.Dense(HEAD, (value,), 1, add(f"{HEAD}/kernel", head.kernel), add(f"{HEAD}/bias", head.bias))
        )
        inputs = (op.Input("audio", lstms[0].kernel.shape[0]),)
        attributes = {"kind": "audio", "sample_rate": self.sample_rate, "skip": False}
        return Program(NAME, inputs, tuple(operations), (HEAD,), weights, attributes)

    def _build(self) -> keras.Model:
        from deeprnn_keras.models import AudioEffect

        *lstms, head = self.layers
        model = AudioEffect(
            *(lstms[0].width, len(lstms)),
            inputs=lstms[0].kernel.shape[0],
            skip=False,
            learned_initial_state=True,
            sample_rate=self.sample_rate,
            name=NAME,
        )
        for level, layer in zip(model.get_layer(STACK).levels, lstms, strict=True):
            level[0].cell.set_weights([layer.kernel, layer.recurrent_kernel, layer.bias])
            level[0].initial_state.set_weights([self.states[name] for name in layer.states])
        model.get_layer(HEAD).set_weights([head.kernel, head.bias])
        return model

    def _check_target(self, target: keras.Layer) -> None:
        """Raise a ValueError if a target has the weights of the file but is another model."""
        from deeprnn_keras.models import AudioEffect

        if not isinstance(target, AudioEffect):
            return
        if target.skip:
            raise ValueError(
                f"{self.name}: into {target.name!r} adds the dry signal to its output, which the model of the file "
                "does not; build it with skip=False"
            )
        if target.sample_rate != self.sample_rate:
            raise ValueError(
                f"{self.name}: the sample rate is {self.sample_rate} Hz, but that of into {target.name!r} is "
                f"{target.sample_rate} Hz; build it with sample_rate={self.sample_rate}"
            )

    def _entries(self, layer: Layer) -> list[Entry]:
        arrays = {"kernel": layer.kernel, "recurrent_kernel": layer.recurrent_kernel, "bias": layer.bias}
        arrays |= {name.rpartition("/")[2] + "_0": self.states[name] for name in layer.states}
        return [
            Entry("weights", array.shape, "float32", f"{layer.name}/{name}", array.shape, "transposed")
            if name.endswith("kernel") and layer.kind == "lstm"
            else Entry("weights", array.shape, "float32", f"{layer.name}/{name}", array.shape)
            for name, array in arrays.items()
            if array is not None
        ]

    def _check_request(self, request: Request) -> None:
        if request.activation is not None:
            raise ValueError(f"{self.name}: activation={request.activation!r} has no effect: the cell is an LSTM")
        if not request.return_sequences:
            raise ValueError(f"{self.name}: return_sequences=False has no effect: the model has one output per sample")


class NAMReference(Reference):
    """The equations of PyTorch's LSTM in float64, from the states at the start.

    Args:
        layers: LSTM layers and head.
        states: {name of a state: (h,)}.
    """

    title = "NumPy"

    def __init__(self, layers: list[Layer], states: dict[str, np.ndarray]) -> None:
        self.layers, self.states = layers, states

    @override
    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        *lstms, head = self.layers
        values = np.asarray(x, np.float64)
        for layer in lstms:
            values = _lstm(layer, values, *(self.states[name] for name in layer.states))
        return {STACK: values, HEAD: values @ head.kernel + head.bias}


def _lstm(layer: Layer, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the outputs (n, T, h) of a layer."""
    assert layer.recurrent_kernel is not None  # of an LSTM
    matrix = np.concatenate([layer.kernel, layer.recurrent_kernel]).astype(np.float64)
    h, c = (np.tile(state.astype(np.float64), (len(x), 1)) for state in (h, c))
    outputs = np.empty((*x.shape[:2], layer.width))
    for t in range(x.shape[1]):
        i, f, g, o = np.split(np.concatenate([x[:, t], h], 1) @ matrix + layer.bias, 4, 1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        outputs[:, t] = h
    return outputs
