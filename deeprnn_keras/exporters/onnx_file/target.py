"""`ONNXTarget`: export to ONNX."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.exporters.padding import lengths_notes
from deeprnn_keras.exporters.quantization import factors, note
from deeprnn_keras.exporters.target import Options, Runner, Target, size_refusal
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

PRODUCTS = "with one scale per output; products also round their inputs to 8 bits"


class ONNXTarget(Target):
    """Files of ONNX, verified with ONNX Runtime."""

    name: ClassVar[str] = "onnx"
    title: ClassVar[str] = "ONNX"
    suffix: ClassVar[str] = ".onnx"
    extra: ClassVar[str | None] = "onnx"
    packages: ClassVar[tuple[str, ...]] = ("onnx",)
    runtime_packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    quantizations: ClassVar[tuple[str, ...]] = ("int8",)
    reads_lengths: ClassVar[bool] = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        too_large = size_refusal(program, self.title)
        return _quantization_refusal(program, options) if options.quantize and too_large is None else too_large

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        from deeprnn_keras.exporters.onnx_file.model import make_model

        path.write_bytes(make_model(program, options).SerializeToString())
        return [path]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        from deeprnn_keras.exporters.onnx_file.runner import ONNXRunner

        return ONNXRunner(path, program, options)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        import onnx

        counts: Counter[str] = Counter()
        graphs = [onnx.load(path).graph]
        while graphs:
            for node in graphs.pop().node:
                counts[node.op_type] += 1
                graphs += [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
        return dict(sorted(counts.items()))

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        notes = [
            f"{operation.name!r} is a Scan over its equations: {_reason(operation)}."
            for operation in program.operations
            if isinstance(operation, op.Recurrence) and not _is_fused(operation, options)
        ]
        notes += lengths_notes(program, options)
        if options.quantize is not None:
            names = {name for one in program.operations if isinstance(one, op.Recurrent) for name in factors(one)}
            notes.append(note(program, names, PRODUCTS))
        return notes


def _is_fused(operation: op.Recurrence, options: Options) -> bool:
    from deeprnn_keras.exporters.onnx_file.recurrences import is_fused

    return is_fused(operation, options.streaming)


def _reason(operation: op.Recurrence) -> str:
    from deeprnn_keras.exporters.onnx_file.recurrences import is_fused

    if is_fused(operation, streaming=False):
        return f"with dilation {operation.rate}, streaming needs a queue of states, which no operator has"
    cells = "lstm, peephole_lstm, gru, and rnn"
    return f"ONNX has operators for {cells} with tanh, sigmoid, relu, hard_sigmoid, and linear only"


def _quantization_refusal(program: Program, options: Options) -> str | None:
    advice = "pass quantize=None, or use LSTM layers without dilation"
    recurrences = [operation for operation in program.operations if isinstance(operation, op.Recurrence)]
    for operation in recurrences:
        if not isinstance(operation, op.Recurrent) or operation.cell != "lstm":
            return f"quantize='int8' is supported for LSTM layers only, and {operation.name!r} is not one; {advice}"
        if not _is_fused(operation, options):
            return f"quantize='int8' is not supported for {operation.name!r}: {_reason(operation)}; {advice}"
        if (operation.activation, operation.recurrent_activation) != ("tanh", "sigmoid"):
            return (
                f"quantize='int8' is supported for LSTM layers with tanh and sigmoid only, and {operation.name!r} has "
                f"{operation.activation} and {operation.recurrent_activation}; {advice}"
            )
    return None if recurrences else f"quantize='int8' is supported for LSTM layers only, and it has none; {advice}"
