"""`LiteRTTarget`: export to LiteRT."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from deeprnn_keras.exporters.padding import lengths_notes
from deeprnn_keras.exporters.quantization import factors, note
from deeprnn_keras.exporters.target import Options, Runner, Target, size_refusal
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

PRODUCTS = (
    "with one scale per output, or one per gate in fused operators; products also round their inputs to 8 bits, with a "
    "scale per vector"
)


class LiteRTTarget(Target):
    """Files of LiteRT (TensorFlow Lite), verified with its interpreter."""

    name: ClassVar[str] = "litert"
    title: ClassVar[str] = "LiteRT"
    suffix: ClassVar[str] = ".tflite"
    extra: ClassVar[str | None] = "litert"
    packages: ClassVar[tuple[str, ...]] = ("flatbuffers", "ai_edge_litert")
    runtime_packages: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    quantizations: ClassVar[tuple[str, ...]] = ("int8",)
    default_batch_size: ClassVar[int | None] = 1
    reads_lengths: ClassVar[bool] = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        too_large = size_refusal(program, self.title)
        if too_large is None and options.quantize is not None and not any(map(factors, program.operations)):
            return (
                f"quantize={options.quantize!r} is supported for matrices, and it has none but embeddings; "
                "pass quantize=None"
            )
        return too_large

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        from deeprnn_keras.exporters.litert_file.model import make_file

        path.write_bytes(make_file(program, options))
        return [path]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        from deeprnn_keras.exporters.litert_file.runner import LiteRTRunner

        return LiteRTRunner(path, program, options)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        from ai_edge_litert import schema_py_generated as schema

        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
        model: Any = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        codes = [names[code.builtinCode] for code in model.operatorCodes]
        counts = Counter(codes[one.opcodeIndex] for subgraph in model.subgraphs for one in subgraph.operators)
        return dict(sorted(counts.items()))

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        from deeprnn_keras.exporters.litert_file.recurrences import fused_operator

        recurrences = [one for one in program.operations if isinstance(one, op.Recurrence)]
        form = "arithmetic of one step" if options.streaming else "a WHILE over its equations"
        notes = [
            f"{one.name!r} is {form}: LiteRT has operators only for lstm with tanh and sigmoid, and for rnn with "
            "tanh, relu, or linear, both without dilation."
            for one in recurrences
            if fused_operator(one) is None
        ]
        if len(notes) < len(recurrences):
            notes.append(
                "Fused operators keep their states between calls; call reset_all_variables() before each sequence."
            )
        notes += lengths_notes(program, options)
        if options.quantize is not None:
            names = {name for one in program.operations for name in factors(one)}
            notes.append(note(program, names, PRODUCTS))
        return notes
