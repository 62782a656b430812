"""Programs with random weights for the tests of streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from deeprnn_keras.equations import AffineMap, DiagonalMap, Equations
from deeprnn_keras.equations import primitives as p
from deeprnn_keras.equations.trace import trace, trace_function
from deeprnn_keras.program import interpreter
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

GATES = {"rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}
VOCABULARY = 9


def draw(*shape, scale=1.0):
    """Return random weights, the same for the same shape."""
    return np.random.default_rng(shape).normal(size=shape, scale=scale).astype(np.float32)


def random_inputs(program, batch_size, steps, seed=0):
    """Return one array per input, (n, T, d) or (n, T)."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, one.width, (batch_size, steps))
        if one.ids
        else rng.normal(size=(batch_size, steps, one.width)).astype(np.float32)
        for one in program.inputs
    ]


def with_initial_states(program):
    """Return the program with learned states before the first step."""
    weights, operations = dict(program.weights), []
    for one in program.operations:
        if isinstance(one, op.Recurrence):
            names = tuple(f"{state.name}/initial" for state in one.states)
            weights |= {name: draw(state.width) for name, state in zip(names, one.states, strict=True)}
            one = replace(one, initial=names)
        operations.append(one)
    return replace(program, operations=tuple(operations), weights=weights)


def expected(program, inputs, states=None):
    """Return the outputs of the reference interpreter in float64, of all steps."""
    return interpreter.Interpreter(program, np.float64, streaming=True).run(inputs, states)[0]


def recurrent(name, source, inputs, units, cell, weights, use_bias=True, **options):
    """Return a standard recurrence and add its weights."""
    width = GATES[cell] * units
    weights[f"{name}/kernel"] = draw(inputs, width, scale=inputs**-0.5)
    weights[f"{name}/recurrent_kernel"] = draw(units, width, scale=units**-0.5)
    weights[f"{name}/bias"] = draw(*((2, width) if cell == "gru" else (width,)), scale=0.3)
    names = {key: f"{name}/{key}" for key in ("kernel", "recurrent_kernel", "bias")}
    if not use_bias:
        del weights[names.pop("bias")]
    return op.Recurrent(name, (source,), units, cell=cell, **names, **options)


def stack(cell="lstm", units=8, num_layers=2, inputs=5, outputs=3, ids=False, **options):
    """Return a stack of standard recurrences with a head."""
    weights = {"head/kernel": draw(units, outputs, scale=units**-0.5), "head/bias": draw(outputs)}
    operations = [op.OneHot("one_hot", ("x",), inputs)] if ids else []
    source, width = "one_hot" if ids else "x", inputs
    for number in range(1, num_layers + 1):
        operations.append(recurrent(f"layer_{number}", source, width, units, cell, weights, **options))
        source, width = f"layer_{number}", units
    operations.append(op.Dense("head", (source,), outputs, "head/kernel", "head/bias"))
    return Program("stack", (op.Input("x", inputs, ids),), tuple(operations), ("head",), weights)


@dataclass(frozen=True)
class Everything(Equations):
    """A recurrence that uses each primitive; its states stay small."""

    states = ("h", "c", "previous")
    activations: ClassVar[dict[str, str]] = {"activation": "mish"}

    def maps(self, input_dim):
        return [
            AffineMap("kernel", input_dim, self.units, ("a", "b"), bias="bias"),
            DiagonalMap("scale", self.units, ("a", "b"), bias="shift"),
            AffineMap("mix", self.units, self.units, ("a", "b"), role="recurrent"),
        ]

    def step(self, x, states, linear, f):
        h, c, previous = states
        scaled = linear("scale", h)
        mixed = linear("mix", p.sigmoid(c), "b")["b"]
        a = p.tanh(x["a"] + scaled["b"] - mixed)
        b = p.hard_sigmoid(x["b"] * scaled["a"])
        positive = p.softplus(a) + p.exp(-p.relu(c)) / 2.0
        root = p.sqrt(positive) * p.rsqrt(1.0 + a * a) + p.log(positive + 1.0)
        centered = root - p.mean(root)
        both = p.concatenate([centered, p.maximum(a, b)])
        c = p.where(a > previous, p.tanh(both[..., : self.units]), b * c)
        return [f.activation(p.tanh(both[..., self.units :] + c)), c, h]


def cell_program(equations, inputs=5, rate=1):
    """Return a program of one recurrence that is given by its instructions."""
    weights = {}
    for one in equations.maps(inputs):
        weights[one.name] = draw(*one.shape, scale=0.5)
        if one.bias:
            weights[one.bias] = draw(one.width * len(one.blocks), scale=0.3)
    step = trace(equations, inputs)
    names = tuple((name, name) for name in weights)
    cell = op.Cell(
        "cell",
        ("x",),
        equations.output_width,
        rate=rate,
        step=step,
        state_names=tuple(equations.state_widths()),
        weights=names,
    )
    return Program("cell", (op.Input("x", inputs),), (cell,), ("cell",), weights)


def operation_program(operation, inputs, weights, ids=False):
    """Return a program of one operation that reads "x"."""
    return Program("operation", (op.Input("x", inputs, ids),), (operation,), ("y",), weights)


def function_program(name, width):
    """Return a program that applies an activation."""
    return operation_program(op.Elementwise("y", ("x",), width, trace_function(name, width)), width, {})


def branched():
    """Return a program with two inputs, two outputs, branches, and values that several operations read."""
    weights = {"table": draw(VOCABULARY, 4), "scale": draw(4), "kernel": draw(VOCABULARY, 8)}
    operations = (
        op.Embedding("embedding", ("ids",), 4, "table"),
        op.Scale("scaled", ("embedding",), 4, scale="scale"),
        op.Add("sum", ("embedding", "scaled", "x"), 4),
        op.Concatenate("both", ("sum", "x"), 8),
        recurrent("layer", "both", 8, 6, "gru", weights),
        op.Last("last", ("layer",), 6),
        op.OneHot("one_hot", ("ids",), VOCABULARY),
        op.Concatenate("all", ("last", "one_hot"), 6 + VOCABULARY),
        op.Softmax("y", ("all",), 6 + VOCABULARY),
    )
    inputs = (op.Input("ids", VOCABULARY, ids=True), op.Input("x", 4))
    return Program("branched", inputs, operations, ("y", "last", "x", "last"), weights)
