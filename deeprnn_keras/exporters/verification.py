"""`Verification`: execute an exported file in the runtime of its target and compare it with the model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras._compat import flatten_layers
from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.report import Latency
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.program import Program

if TYPE_CHECKING:
    import keras

LENGTHS = (1, 7, 100)
STEPS = 100
TOLERANCE, TOLERANCE_OF_LARGE = 1e-5, 1e-4
LARGE = 2**19
"""Number of weights from which a program is large: its sums have more rounding errors."""

ROUNDING_ERRORS = 10
"""Allowed error as a multiple of that of the reference in float32, for programs that amplify rounding errors."""

REPETITIONS = 7


class VerificationError(ValueError):
    """An exported file fails to run, or its outputs differ from those of the model."""


class Verification:
    """Comparison of exported files with the reference interpreter, and with Keras.

    Args:
        target: The target of the files.
        program: The program that was exported.
        options: The options of the export.
        model: The Keras model from which the program was lowered, or None.

    Attributes:
        notes: Remarks for the report.
    """

    def __init__(self, target: Target, program: Program, options: Options, model: keras.Model | None) -> None:
        self.target, self.program, self.options = target, program, options
        self.notes: list[str] = []
        self._reads_lengths = target.reads_lengths and lengths_name(program, options) is not None
        reason = None if model is None else _keras_refusal(model, program, options, self._reads_lengths)
        self.model = None if reason else model
        if reason:
            self.notes.append(f"The file was compared with the NumPy interpreter, not with Keras: {reason}.")
        self.batch_size = options.batch_size or 2
        if self.model is not None:
            self.batch_size = self.model.inputs[0].shape[0] or self.batch_size
        self._largest = 0.0

    # === Errors ===

    def compare(self, path: Path) -> float:
        """Return the largest absolute difference between the outputs of a file and those of the program.

        Raises:
            VerificationError: If it is larger than rounding errors are, or the file fails to run.
        """
        self._largest = 0.0
        generator = np.random.default_rng(0)
        with self._loaded(path) as runner:
            if not self.options.streaming:
                for steps in LENGTHS:
                    self._compare_sequence(runner, self._inputs(generator, steps))
            if self._streams():
                self._compare_steps(runner, self._inputs(generator, STEPS))
            self._compare_with_keras(runner, generator)
        return self._largest

    def _streams(self) -> bool:
        return self.options.streaming or (self.target.always_streams and self.program.looking_ahead is None)

    def _loaded(self, path: Path) -> closing[Runner]:
        return closing(self._executed(lambda: self.target.runner(path, self.program, self.options)))

    def _executed(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the result of the call
        try:
            return call()
        except Exception as error:  # runtimes raise their own classes
            name, title = self.program.name, self.target.title
            raise VerificationError(
                f"the file of {name!r} fails to run in {title}: {type(error).__name__}: {error}; nothing was written"
            ) from error

    def _inputs(self, generator: np.random.Generator, steps: int) -> list[np.ndarray]:
        return random_inputs(self.program, generator, self.batch_size, steps)

    def _compare_sequence(self, runner: Runner, inputs: list[np.ndarray]) -> None:
        outputs = self._executed(lambda: runner.run(inputs))
        where = f"for {inputs[0].shape[1]} steps"
        self._compare(outputs, *self._references(inputs, streaming=False), where)

    def _compare_steps(self, runner: Runner, inputs: list[np.ndarray]) -> None:
        outputs, states = self._streamed(runner, inputs)
        self._compare(outputs, *self._references(inputs, streaming=True), f"for {STEPS} streamed steps")
        exact, rounded = (
            Interpreter(self.program, dtype, streaming=True).run(inputs)[1] for dtype in (np.float64, np.float32)
        )
        given, exact, rounded = ([one[name] for name in states] for one in (states, exact, rounded))
        self._compare(given, exact, rounded, "in states")

    def _streamed(self, runner: Runner, inputs: list[np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return the outputs of all steps, (n, T, width) each, and the last states."""
        steps, states = [], None
        for t in range(inputs[0].shape[1]):
            outputs, states = self._executed(lambda t=t, s=states: runner.step([one[:, t] for one in inputs], s))
            steps.append(outputs)
        return [np.stack(one, axis=1) for one in zip(*steps, strict=True)], states or {}

    def _references(self, inputs: list[np.ndarray], streaming: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the outputs of the reference in float64 and in float32."""
        exact, rounded = (
            Interpreter(self.program, dtype, streaming).run(inputs)[0] for dtype in (np.float64, np.float32)
        )
        return exact, rounded

    def _compare_with_keras(self, runner: Runner, generator: np.random.Generator) -> None:
        if self.model is None:
            return
        streaming = self.options.streaming
        steps = self.model.inputs[0].shape[1] or (STEPS if streaming else LENGTHS[1])
        inputs = self._inputs(generator, steps)
        lengths = generator.integers(1, steps + 1, self.batch_size) if self._reads_lengths else None
        if streaming:
            outputs = [
                one[:, -1] if name in self.program.final else one
                for name, one in zip(self.program.outputs, self._streamed(runner, inputs)[0], strict=True)
            ]
        else:
            outputs = self._executed(lambda: runner.run(inputs, lengths))
        expected = _flat(self.model(_packed(self.model, inputs, lengths), training=False))
        rounded = expected if self._reads_lengths else self._references(inputs, streaming=False)[0]
        self._compare(outputs, expected, rounded, "from those of Keras")

    def _compare(
        self,
        outputs: Sequence[np.ndarray],
        expected: Sequence[np.ndarray],
        rounded: Sequence[np.ndarray],
        where: str,
    ) -> None:
        """Record the largest error; raise a VerificationError if it is too large."""
        shapes = [one.shape for one in outputs], [one.shape for one in expected]
        if shapes[0] != shapes[1]:
            raise self._failure(f"have shapes {shapes[0]} instead of {shapes[1]} {where}")
        large = self.program.num_weights >= LARGE
        for output, exact, rough in zip(outputs, expected, rounded, strict=True):
            error = float(np.abs(output - exact).max())
            rounding = float(np.abs(rough - exact).max())
            scale = max(1.0, float(np.abs(exact).max()))
            limit = (TOLERANCE_OF_LARGE if large else TOLERANCE) * scale + ROUNDING_ERRORS * rounding
            if not np.isfinite(error) or (error > limit and self.options.quantize is None):
                raise self._failure(f"differ by {error:.2g} {where}, more than {limit:.2g}")
            self._largest = max(self._largest, error)

    def _failure(self, what: str) -> VerificationError:
        return VerificationError(
            f"outputs of the {self.target.title} file of {self.program.name!r} {what}; nothing was written; please "
            "report this with the program (Program.save)"
        )

    # === Latency ===

    def latency(self, path: Path) -> Latency:
        """Return the time of one call of the file and of the reference."""
        streaming = self.options.streaming
        steps = 1 if streaming else STEPS
        if self.model is not None:
            steps = self.model.inputs[0].shape[1] or steps
        inputs = random_inputs(self.program, np.random.default_rng(0), self.options.batch_size or 1, steps)
        with self._loaded(path) as runner:
            if streaming:
                current = [one[:, 0] for one in inputs]
                _, states = runner.step(current, None)
                file = _median_ms(lambda: runner.step(current, states))
            else:
                file = _median_ms(lambda: runner.run(inputs))
        call = "a step" if streaming else f"{steps} steps"
        reference = self._keras_latency(inputs)
        if reference is not None:
            return Latency(call, file, reference, "Keras")
        interpreter = Interpreter(self.program, streaming=streaming)
        return Latency(call, file, _median_ms(lambda: interpreter.run(inputs)), "NumPy interpreter")

    def _keras_latency(self, inputs: list[np.ndarray]) -> float | None:
        if self.model is None or self.model.inputs[0].shape[0] not in (None, len(inputs[0])):
            return None
        packed, model = _packed(self.model, inputs), self.model
        return _median_ms(lambda: model.predict_on_batch(packed))


def random_inputs(program: Program, generator: np.random.Generator, batch_size: int, steps: int) -> list[np.ndarray]:
    """Return random inputs of a program: normal features (n, T, d), and ids (n, T) of all values."""
    return [
        generator.integers(0, one.width, (batch_size, steps))
        if one.ids
        else generator.normal(size=(batch_size, steps, one.width)).astype(np.float32)
        for one in program.inputs
    ]


def _median_ms(call: Callable[[], object]) -> float:
    call()  # the first call allocates and compiles
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


# === Keras ===


def _keras_refusal(model: keras.Model, program: Program, options: Options, reads_lengths: bool) -> str | None:
    """Return the reason why the outputs of a Keras model are not compared, or None."""
    masks = program.attributes.get("masked", ()) if reads_lengths else ()
    dropped = [name for name in program.attributes.get("dropped_inputs", ()) if name not in masks]
    if dropped:
        return f"the model has inputs that the file does not have, {', '.join(dropped)}"
    if any(getattr(layer, "stateful", False) for layer in flatten_layers(model)):
        return "the model is stateful, and a call would change its states"
    batch_sizes = {options.batch_size, *(tensor.shape[0] for tensor in model.inputs)} - {None}
    return "the model has another batch size than the file" if len(batch_sizes) > 1 else None


def _packed(model: keras.Model, inputs: list[np.ndarray], lengths: np.ndarray | None = None) -> Any:  # noqa: ANN401 - the structure of the model's inputs
    """Return the inputs of a model; its mask is that of sequences with given lengths, T by default."""
    from keras import tree

    n, steps = inputs[0].shape[:2]
    mask = np.arange(steps) < (np.full(n, steps) if lengths is None else lengths)[:, None]
    arrays = iter(one.astype(np.int32) if one.ndim == 2 else one for one in inputs)
    packed = [mask if one.dtype == "bool" else next(arrays) for one in model.inputs]
    return packed[0] if len(packed) == 1 else tree.pack_sequence_as(model.input, packed)


def _flat(outputs: Any) -> list[np.ndarray]:  # noqa: ANN401 - a structure of tensors
    from keras import ops, tree

    return [np.asarray(ops.convert_to_numpy(one)) for one in tree.flatten(outputs)]
