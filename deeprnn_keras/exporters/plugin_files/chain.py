"""`chain`: the layers of a program, if they follow each other, as the files of plugins list them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Layer:
    """A layer of a chain, with arrays as Keras stores them.

    Attributes:
        name: Name of the operation.
        kind: "lstm", "gru", or "dense".
        width: Number of units.
        kernel: W, (inputs, G width), with G = 1 for a dense layer.
        bias: (G width,); (2, 3 width) for a GRU. Zeros if the layer has none.
        recurrent_kernel: U, (width, G width); None for a dense layer.
        activation: Function of the outputs of a dense layer, "" for none.
        states: Names of the states.
    """

    name: str
    kind: str
    width: int
    kernel: np.ndarray
    bias: np.ndarray
    recurrent_kernel: np.ndarray | None = None
    activation: str = ""
    states: tuple[str, ...] = ()


class ChainError(ValueError):
    """A program is not a chain of supported layers."""


def chain(program: Program, activations: tuple[str, ...] = ()) -> list[Layer]:
    """Return the layers of a program.

    Args:
        program: The program.
        activations: Functions that may follow a dense layer.

    Raises:
        ChainError: If the program is not one chain of LSTM, GRU, and dense layers; the message names the operation.
    """
    if len(program.inputs) != 1 or program.inputs[0].ids or len(program.outputs) != 1:
        raise ChainError("it must have one input of features and one output; train a model without other inputs")
    if program.attributes.get("skip"):
        raise ChainError("its skip connection adds the input to the output, which such files cannot; use skip=False")
    layers: list[Layer] = []
    value = program.inputs[0].name
    for operation in program.operations:
        if operation.inputs != (value,):
            raise ChainError(f"{operation.name!r} does not read the layer before it; use layers without connections")
        _append(layers, program, operation, activations)
        value = operation.name
    if program.outputs != (value,):
        raise ChainError(f"its output is not that of its last layer, {value!r}")
    return layers


def _append(layers: list[Layer], program: Program, operation: op.Operation, activations: tuple[str, ...]) -> None:
    if isinstance(operation, op.Recurrent):
        layers.append(_recurrent(program, operation))
    elif isinstance(operation, op.Dense):
        kernel = program.weights[operation.kernel]
        layers.append(
            Layer(
                *(operation.name, "dense", operation.width),
                kernel.T if operation.transposed else kernel,
                np.zeros(operation.width, np.float32) if operation.bias is None else program.weights[operation.bias],
            )
        )
    elif isinstance(operation, op.Elementwise) and layers and layers[-1].kind == "dense" and not layers[-1].activation:
        layers[-1] = _activated(layers[-1], operation, activations)
    else:
        raise ChainError(
            f"it has no layer for {operation.name!r} ({type(operation).__name__}); use LSTM, GRU, and Dense"
        )


def _recurrent(program: Program, operation: op.Recurrent) -> Layer:
    if operation.cell not in GATES:
        cell = "a GRU with reset_after=False" if operation.cell == "gru_reset_before" else "a simple RNN"
        raise ChainError(f"{operation.name!r} is {cell}; use cell='lstm' or 'gru'")
    if (operation.activation, operation.recurrent_activation) != ("tanh", "sigmoid"):
        functions = f"{operation.activation} and {operation.recurrent_activation}"
        raise ChainError(f"{operation.name!r} must have tanh and sigmoid, got {functions}")
    if operation.reverse or operation.rate != 1:
        what = "reads the sequence from its end" if operation.reverse else f"has dilation {operation.rate}"
        raise ChainError(f"{operation.name!r} {what}; use forward layers without dilation")
    weights, gates = program.weights, GATES[operation.cell]
    shape = (2, gates * operation.width) if operation.cell == "gru" else (gates * operation.width,)
    return Layer(
        *(operation.name, operation.cell, operation.width),
        weights[operation.kernel],
        np.zeros(shape, np.float32) if operation.bias is None else weights[operation.bias],
        weights[operation.recurrent_kernel],
        states=tuple(state.name for state in operation.states),
    )


def _activated(layer: Layer, operation: op.Elementwise, activations: tuple[str, ...]) -> Layer:
    instructions = operation.function.instructions
    name = instructions[0].primitive if len(instructions) == 1 else ""
    if name not in activations:
        supported = f"{', '.join(activations)}, and linear are supported" if activations else "use activation='linear'"
        raise ChainError(f"its layer {layer.name!r} has another activation, {operation.name!r}; {supported}")
    return Layer(layer.name, layer.kind, layer.width, layer.kernel, layer.bias, activation=name)
