"""Networks of PyTorch by their weights: run by PyTorch itself, or by its documented equations in NumPy.

The equations are those of the documentation of `torch.nn.LSTM`, `torch.nn.GRU`, and `torch.nn.RNN`, with PyTorch's
order of the gates. They share no code with the conversion to Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.source import Reference

if TYPE_CHECKING:
    import torch

Array = np.ndarray
Weights: TypeAlias = Mapping[str, np.ndarray]
"""Weights of one layer and direction: weight_ih (G h, d), weight_hh (G h, h), bias_ih and bias_hh unless bias=False.

With proj_size p, weight_hh is (4 h, p), and there is weight_hr (p, h).
"""


@dataclass(frozen=True)
class Embedding:
    """`torch.nn.Embedding`: rows of `weight`, (V, width)."""

    name: str
    weight: Array


@dataclass(frozen=True)
class Linear:
    """`torch.nn.Linear`: x weight^T + bias."""

    name: str
    weight: Array
    bias: Array | None = None


@dataclass(frozen=True)
class Recurrent:
    """`torch.nn.LSTM`, `GRU`, or `RNN`, batch-first.

    Attributes:
        name: Name of the layer in the Keras model.
        mode: "lstm", "gru", or "rnn".
        layers: Weights of each layer, and in it of each direction: the forward one, then the backward one.
        activation: "tanh" or "relu", for "rnn".
        return_sequences: If False, the last states of the top layer are returned, those of both directions
            concatenated.
    """

    name: str
    mode: str
    layers: Sequence[Sequence[Weights]]
    activation: str = "tanh"
    return_sequences: bool = True


Stage: TypeAlias = Embedding | Linear | Recurrent


def pytorch_reference(stages: Sequence[Stage]) -> Reference:
    """Return the reference that runs stages one after the other: PyTorch if it is installed, otherwise NumPy."""
    return TorchReference(stages) if find_spec("torch") is not None else NumpyReference(stages)


class NumpyReference(Reference):
    """Stages, each by the equations in PyTorch's documentation.

    Args:
        stages: The stages, in order.
    """

    title = "NumPy"

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages

    @override
    def run(self, x: Array) -> dict[str, Array]:
        found = {}
        for stage in self.stages:
            x = found[stage.name] = self.apply(stage, x)
        found.pop("output", None)
        return {**found, "output": x}

    def apply(self, stage: Stage, x: Array) -> Array:
        """Return the output of a stage."""
        if isinstance(stage, Embedding):
            return stage.weight[x]
        if isinstance(stage, Linear):
            return x @ stage.weight.T + (0 if stage.bias is None else stage.bias)
        last: list[Array] = []
        for directions in stage.layers:
            results = [_run(stage, weights, x, reverse=index == 1) for index, weights in enumerate(directions)]
            x = np.concatenate([steps for steps, _ in results], axis=-1)
            last = [final for _, final in results]
        return x if stage.return_sequences else np.concatenate(last, axis=-1)


class TorchReference(NumpyReference):
    """Stages, each by the module of PyTorch that has its weights."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(stages)
        self.title = f"PyTorch {version('torch')}"

    @override
    def apply(self, stage: Stage, x: Array) -> Array:
        import torch

        with torch.no_grad():
            if isinstance(stage, Embedding):
                return torch.nn.functional.embedding(
                    torch.from_numpy(x.astype(np.int64)), _tensor(stage.weight)
                ).numpy()
            if isinstance(stage, Linear):
                bias = None if stage.bias is None else _tensor(stage.bias)
                return torch.nn.functional.linear(torch.from_numpy(x), _tensor(stage.weight), bias).numpy()
            value = last = torch.from_numpy(x)
            for directions in stage.layers:
                value, last = _module(stage, directions)(value)
            if stage.return_sequences:
                return value.numpy()
            return torch.cat(list(last[0] if stage.mode == "lstm" else last), dim=-1).numpy()


def _tensor(array: Array) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(array, np.float32))


def _module(stage: Recurrent, directions: Sequence[Weights]) -> torch.nn.Module:
    """Return the module of one layer of a recurrent stage."""
    import torch

    first = directions[0]
    options: dict[str, Any] = {"nonlinearity": stage.activation} if stage.mode == "rnn" else {}
    if "weight_hr" in first:
        options["proj_size"] = first["weight_hr"].shape[0]
    module = getattr(torch.nn, stage.mode.upper())(
        first["weight_ih"].shape[1],
        first["weight_hr" if "weight_hr" in first else "weight_hh"].shape[1],
        bias="bias_ih" in first,
        batch_first=True,
        bidirectional=len(directions) == 2,
        **options,
    )
    module.load_state_dict(
        {
            f"{name}_l0{'_reverse' if index else ''}": _tensor(array)
            for index, weights in enumerate(directions)
            for name, array in weights.items()
        }
    )
    return module.eval()


# === Equations ===


def _run(stage: Recurrent, weights: Weights, x: Array, reverse: bool) -> tuple[Array, Array]:
    """Return all steps of one direction, and the state after the last one that it reads."""
    size = weights["weight_hh"].shape[1]
    step, projection = STEPS[stage.mode], weights.get("weight_hr")
    states = [np.zeros((len(x), size), np.float32)]
    if stage.mode == "lstm":
        states.append(np.zeros((len(x), len(weights["weight_hh"]) // 4), np.float32))
    outputs = np.empty((*x.shape[:2], size), np.float32)
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        inner = x[:, t] @ weights["weight_ih"].T + weights.get("bias_ih", 0)
        outer = states[0] @ weights["weight_hh"].T + weights.get("bias_hh", 0)
        states = step(stage, inner, outer, states)
        if projection is not None:
            states[0] = states[0] @ projection.T
        outputs[:, t] = states[0]
    return outputs, states[0]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _lstm(stage: Recurrent, inner: Array, outer: Array, states: list[Array]) -> list[Array]:
    """Return the states of an LSTM: i, f, o = s(.), g = tanh(.); c' = f c + i g; h' = o tanh(c')."""
    i, f, g, o = np.split(inner + outer, 4, axis=1)
    c = _sigmoid(f) * states[1] + _sigmoid(i) * np.tanh(g)
    return [_sigmoid(o) * np.tanh(c), c]


def _gru(stage: Recurrent, inner: Array, outer: Array, states: list[Array]) -> list[Array]:
    """Return the state of a GRU: r, z = s(.); n = tanh(W x + b + r (U h + b)); h' = (1 - z) n + z h."""
    size = states[0].shape[1]
    r, z = np.split(_sigmoid(inner[:, : 2 * size] + outer[:, : 2 * size]), 2, axis=1)
    n = np.tanh(inner[:, 2 * size :] + r * outer[:, 2 * size :])
    return [(1 - z) * n + z * states[0]]


def _rnn(stage: Recurrent, inner: Array, outer: Array, states: list[Array]) -> list[Array]:
    """Return the state of an RNN: h' = tanh(W x + b + U h + b), or relu."""
    total = inner + outer
    return [np.maximum(total, 0) if stage.activation == "relu" else np.tanh(total)]


STEPS: dict[str, Callable[[Recurrent, Array, Array, list[Array]], list[Array]]] = {
    "gru": _gru,
    "lstm": _lstm,
    "rnn": _rnn,
}
