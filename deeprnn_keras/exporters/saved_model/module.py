"""`make_module`: a program as a TensorFlow module with signatures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf

from deeprnn_keras._compat import exporting
from deeprnn_keras._types import Tensor
from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.saved_model.evaluation import Evaluation, Weights
from deeprnn_keras.exporters.saved_model.names import SEQUENCE, STEP, SignatureNames, sequence_names, step_names
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program.program import Program

Module: TypeAlias = Any
"""A `tf.Module`."""

Function: TypeAlias = Any
"""A `tf.function`, or a concrete function of one."""

Spec: TypeAlias = Any
"""A `tf.TensorSpec`."""


def save(program: Program, path: Path, batch_size: int | None) -> None:
    """Write the SavedModel of a program to a new directory.

    Raises:
        OSError: If the file system fails, for example because it is full.
    """
    with exporting():  # as while it is written; functions that are traced outside are traced again
        module, signatures = make_module(program, batch_size)
    try:
        with _warnings_only():
            tf.saved_model.save(module, str(path), signatures=signatures)
    except tf.errors.OpError as error:  # of the file system
        raise OSError(f"{path}: {error.message}") from error


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Omit messages of TensorFlow below warnings, which name the temporary directory."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def make_module(program: Program, batch_size: int | None) -> tuple[Module, dict[str, Function]]:
    """Return the module of a program and its signatures by name.

    The module has the functions `run`, which returns the outputs for whole sequences, and, if the program can be
    streamed, `step`, which reads one step and the states. Both have the inputs and outputs of their signature, in the
    order of the program.

    Args:
        program: The program.
        batch_size: Batch size of the inputs, or None for any.
    """
    weights = Weights(program)
    module = tf.Module(name="program")
    module.weights = weights.variables
    lengths = lengths_name(program, Options())
    names, inputs = sequence_names(program, lengths), _inputs(program, batch_size, None)
    inputs += [tf.TensorSpec((batch_size,), tf.int32)] * (lengths is not None)
    module.run, signature = _functions(_run(weights, lengths is not None), inputs, names)
    signatures = {SEQUENCE: signature}
    if program.looking_ahead is None:
        states = [tf.TensorSpec((batch_size, *one.shape(1)[1:])) for one in program.states.values()]
        inputs = [*_inputs(program, batch_size, 1), *states]
        module.step, signatures[STEP] = _functions(_step(weights), inputs, step_names(program))
    return module, signatures


def _inputs(program: Program, batch_size: int | None, steps: int | None) -> list[Spec]:
    """Return the shapes and types of the inputs of a program, (n, T, d), or (n, T) of ids."""
    return [
        tf.TensorSpec((batch_size, steps), tf.int32) if one.ids else tf.TensorSpec((batch_size, steps, one.width))
        for one in program.inputs
    ]


def _functions(
    function: Callable[..., list[Tensor]], inputs: Sequence[Spec], names: SignatureNames
) -> tuple[Function, Function]:
    """Return a function with inputs and outputs by position, and one, traced, with inputs and outputs by name."""
    specs = {name: tf.TensorSpec(one.shape, one.dtype, name) for name, one in zip(names.inputs, inputs, strict=True)}
    by_position = tf.function(function, input_signature=list(specs.values()), autograph=False)

    def by_name(**inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(names.outputs, by_position(*(inputs[name] for name in names.inputs)), strict=True))

    return by_position, tf.function(by_name, autograph=False).get_concrete_function(**specs)


def _run(weights: Weights, padded: bool) -> Callable[..., list[Tensor]]:
    """Return the function for whole sequences, whose last input are their lengths if they are padded."""
    program = weights.program

    def run(*inputs: Tensor) -> list[Tensor]:
        values = [_transposed(x) for x in inputs[: len(program.inputs)]]
        mask = _mask(inputs[-1], tf.shape(values[0])[0]) if padded else None
        outputs = Evaluation(weights, mask=mask).translate(values)
        return [
            one if name in program.final else _transposed(one)
            for name, one in zip(program.outputs, outputs, strict=True)
        ]

    return run


def _step(weights: Weights) -> Callable[..., list[Tensor]]:
    """Return the function of one step, whose inputs and results are followed by the states."""
    program, count = weights.program, len(weights.program.inputs)

    def step(*inputs: Tensor) -> list[Tensor]:
        evaluation = Evaluation(weights, dict(zip(program.states, inputs[count:], strict=True)))
        outputs = evaluation.translate([x[:, 0] for x in inputs[:count]])
        return [*(one[:, None] for one in outputs), *(evaluation.states[name] for name in program.states)]

    return step


def _transposed(x: Tensor) -> Tensor:
    """Return an array with batch and steps exchanged."""
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _mask(lengths: Tensor, steps: Tensor) -> Tensor:
    """Return the mask (T, n, 1) of sequences with given lengths."""
    return tf.range(steps)[:, None, None] < lengths[None, :, None]
