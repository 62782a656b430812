"""`NAMSource`: an LSTM in a file of Neural Amp Modeler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.plugin_files import nam_layout
from deeprnn_keras.exporters.plugin_files.chain import Layer
from deeprnn_keras.interop.report import Entry, Report
from deeprnn_keras.interop.source import Content, Reference, Request, Source
from deeprnn_keras.reading import damage_reported, read_json

if TYPE_CHECKING:
    import keras

EXPECTED = "a file of Neural Amp Modeler with an LSTM"
MARKS = (b'"architecture"', b'"config"')
HEAD = "head"


def recognize(content: Content) -> Source | None:
    """Return the source of a .nam file; None if the content is of another kind."""
    head = content.head.lstrip()
    if content.path is None or not head.startswith(b"{") or b"\0" in head or not _has_marks(content):
        return None
    return NAMSource(content.path)


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

    @override
    def inspect(self, request: Request) -> Report:
        self._check_request(request)
        lstms = self.layers[:-1]
        inputs = lstms[0].kernel.shape[0]
        rate = self.content.get("sample_rate")
        rate_note = "The file states no sample rate." if rate is None else f"The sample rate is {rate} Hz."
        return Report(
            self.name,
            self.kind,
            (f"lstm: DeepRNN({lstms[0].width}, num_layers={len(lstms)}, learned_initial_state=True)", "head: Dense(1)"),
            tuple(entry for layer in self.layers for entry in self._entries(layer)),
            notes=(f"The model reads {inputs} {'channel' if inputs == 1 else 'channels'}.", rate_note),
        )

    @override
    def load(self, request: Request) -> keras.Layer:
        from deeprnn_keras.interop.filling import fill

        self._check_request(request)
        model = self._build()
        return model if request.into is None else fill(request.into, model, self.name)

    @override
    def reference(self, request: Request) -> Reference:
        return NAMReference(self.layers, self.states)

    def _build(self) -> keras.Model:
        import keras

        from deeprnn_keras.layers import DeepRNN

        *lstms, head = self.layers
        rnn = DeepRNN(
            lstms[0].width, len(lstms), "lstm", return_sequences=True, learned_initial_state=True, name="lstm"
        )
        layers = [keras.Input((None, lstms[0].kernel.shape[0])), rnn, keras.layers.Dense(1, name=HEAD)]
        model = keras.Sequential(layers, name="nam_model")
        for level, layer in zip(rnn.levels, lstms, strict=True):
            level[0].cell.set_weights([layer.kernel, layer.recurrent_kernel, layer.bias])
            level[0].initial_state.set_weights([self.states[name] for name in layer.states])
        model.get_layer(HEAD).set_weights([head.kernel, head.bias])
        return model

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
        return {"lstm": values, HEAD: values @ head.kernel + head.bias}


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
