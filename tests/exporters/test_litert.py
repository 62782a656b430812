"""Export to LiteRT: values in its interpreter, operators, states, metadata, refusals."""

import json

import numpy as np
import pytest
from exported_programs import (
    MASKED,
    MODELS,
    assert_close,
    assert_padded,
    assert_streamed,
    assert_whole,
    hand_made,
    random_inputs,
    written,
)

from deeprnn_keras import Program, export, zoo
from deeprnn_keras.equations import SimpleRNNEquations
from deeprnn_keras.equations.trace import trace
from deeprnn_keras.exporters.litert_file.target import LiteRTTarget
from deeprnn_keras.exporters.quantization import factors
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import Interpreter

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
interpreter = pytest.importorskip("ai_edge_litert.interpreter")
pytest.importorskip("flatbuffers")

TARGET = LiteRTTarget()
LSTM, RNN = "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"
BIDIRECTIONAL_LSTM = "BIDIRECTIONAL_SEQUENCE_LSTM"
FUSED = {"lstm": 3, "rnn": 4, "residual": 3, "bidirectional": 2, "embedding": 1, "tied_head": 3, "one_hot": 3}
FUSED["amplifier"] = 2
"""{hand-made model whose recurrences are all fused: their number}."""


def operators(path, program, **options):
    return TARGET.operators(path, program, Options(**options))


@pytest.mark.parametrize("name", MODELS)
def test_whole_sequences_equal_the_reference(name, tmp_path):
    program = hand_made(name)
    counts = operators(assert_whole(TARGET, program, tmp_path), program)
    if name in FUSED:
        fused = {LSTM: 0, RNN: 0, BIDIRECTIONAL_LSTM: 0} | counts
        assert fused[LSTM] + fused[RNN] + fused[BIDIRECTIONAL_LSTM] == FUSED[name] and "WHILE" not in counts
        assert fused[BIDIRECTIONAL_LSTM] == (2 if name == "bidirectional" else 0)
    else:
        assert counts["WHILE"] == len(TARGET.notes(program, Options())) - (name in ("dilation", "keras_layers"))


@pytest.mark.parametrize("name", [name for name in MODELS if "bidirectional" not in name])
def test_streamed_steps_equal_the_reference(name, tmp_path):
    program = hand_made(name)
    counts = operators(assert_streamed(TARGET, program, tmp_path), program, streaming=True)
    assert counts.get(LSTM, 0) + counts.get(RNN, 0) == FUSED.get(name, name in ("dilation", "keras_layers"))
    assert not {name for name in counts if name in ("WHILE", "CUSTOM") or "Flex" in name}


@pytest.mark.parametrize("name", MASKED)
def test_padded_sequences_equal_those_of_keras(name, tmp_path):
    path = assert_padded(TARGET, name, tmp_path)
    names = [one["name"] for one in interpreter.Interpreter(str(path)).get_input_details()]
    assert names[1:] == ["lengths"]


def test_batch_size_is_fixed(tmp_path):
    program = hand_made("keras_layers")
    assert_whole(TARGET, program, tmp_path, batch_size=3)
    path = assert_streamed(TARGET, program, tmp_path, steps=20, batch_size=3)
    details = interpreter.Interpreter(str(path)).get_input_details()
    assert [tuple(one["shape"]) for one in details] == [(3, 1, 3), (3, 6)]


def test_fused_states_are_variables_that_are_kept_between_calls(tmp_path):
    program = hand_made("lstm")
    path, _ = written(TARGET, program, tmp_path)
    (x,) = inputs = random_inputs(program, 1, 8)
    runtime = interpreter.Interpreter(str(path))
    run, (name,) = runtime.get_signature_runner(), program.outputs
    parts = [run(input=x[:, :4])[name], run(input=x[:, 4:])[name]]
    expected = Interpreter(program).run(inputs)[0]
    assert_close([np.concatenate(parts, axis=1)], expected)
    runtime.reset_all_variables()
    assert_close([run(input=x[:, :4])[name]], [expected[0][:, :4]])


def test_metadata_holds_the_vocabulary_and_the_version(tmp_path):
    path, _ = written(TARGET, hand_made("one_hot"), tmp_path)
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (metadata,) = model.metadata
    facts = json.loads(bytes(model.buffers[metadata.buffer].data).decode())
    assert facts["vocabulary"] == "äöüßабвг✓" and facts["package"].startswith("deeprnn-keras ")


def test_weights_are_aligned(tmp_path):
    program = hand_made("lstm")
    path, _ = written(TARGET, program, tmp_path)
    data = path.read_bytes()
    for name, array in program.weights.items():
        if "recurrent" in name:
            assert all(data.find(gate.T.tobytes()) % 16 == 0 for gate in np.split(array, 4, axis=1))


class Delayed(SimpleRNNEquations):
    """A simple RNN whose second state is the first one before the step."""

    states = ("h", "before")

    def step(self, x, states, linear, f):
        return [*super().step(x, states[:1], linear, f), states[0]]


def test_state_that_is_another_state_before_the_step(tmp_path):
    weights = {name: np.random.default_rng(3).normal(size=(4, 4), scale=0.5).astype("float32") for name in "WU"}
    weights["b"] = np.ones(4, "float32")
    options = {"step": trace(Delayed(4), 4), "state_names": Delayed.states}
    options["weights"] = (("bias", "b"), ("kernel", "W"), ("recurrent_kernel", "U"))
    program = Program("Größe", (op.Input("ü", 4),), (op.Cell("z", ("ü",), 4, **options),), ("z", "ü", "z"), weights)
    assert_whole(TARGET, program, tmp_path)
    path = assert_streamed(TARGET, program, tmp_path, steps=10)
    names = [one["name"] for one in interpreter.Interpreter(str(path)).get_output_details()]
    assert names == ["z", "ü/output_1", "z/output_1", "z/h/next", "z/before/next"]


def integers_of(path):
    """Return the integers of 8 bits of a file times their scales."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    arrays = []
    for tensor in (one for subgraph in model.subgraphs for one in subgraph.tensors):
        if tensor.type == schema.TensorType.INT8:
            integers = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8).reshape(tensor.shape)
            arrays.append(integers * np.reshape(tensor.quantization.scale, (-1, 1)))
    return arrays


@pytest.mark.parametrize("name", [*MODELS])
def test_matrices_of_8_bits(name, tmp_path):
    """The values are close to those of the program, and all matrices of the program are in the file."""
    program = hand_made(name)
    path, runner = written(TARGET, program, tmp_path, quantize="int8")
    inputs = random_inputs(program, 1, 20)
    assert_close(runner.run(inputs), Interpreter(program).run(inputs)[0], atol=0.05)
    if program.looking_ahead is None:
        _, runner = written(TARGET, program, tmp_path, quantize="int8", streaming=True)
        outputs, _ = runner.step([x[:, 0] for x in inputs])
        assert_close(outputs, [y[:, 0] if y.ndim == 3 else y for y in first_steps(program, inputs)], atol=0.05)
    found = np.concatenate([np.sort(array.ravel()) for array in integers_of(path)])
    names = {weight for operation in program.operations for weight in factors(operation)}
    assert sum(program.weights[weight].size for weight in names) == len(found)
    expected = np.concatenate([program.weights[weight].ravel() for weight in names])
    np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=np.abs(expected).max() / 250)


def first_steps(program, inputs):
    return Interpreter(program, streaming=True).run([x[:, :1] for x in inputs])[0]


def test_file_of_8_bits_is_smaller(tmp_path):
    program = zoo.load_program("kjv_gru_2x256")
    sizes = {
        quantize: written(TARGET, program, tmp_path, quantize=quantize)[0].stat().st_size for quantize in (None, "int8")
    }
    assert sizes["int8"] < 0.28 * sizes[None]


def test_quantization_without_matrices_is_refused(tmp_path):
    program = Program("p", (op.Input("x", 2),), (op.Scale("y", ("x",), 2, "w"),), ("y",), {"w": np.ones(2, "float32")})
    with pytest.raises(ValueError, match="'int8' is supported for matrices, and it has none but embeddings; pass"):
        export(program, tmp_path / "p.tflite", quantize="int8")
    assert not list(tmp_path.iterdir())


def test_export_compares_the_file_with_keras(tmp_path):
    report = export(MODELS["lstm"](), tmp_path / "m.tflite")
    assert report.max_abs_error < 1e-6 and report.operators[LSTM] == 3 and "reset_all_variables" in report.notes[-1]
    report = export(MODELS["gru"](), tmp_path / "s.tflite", streaming=True)
    assert report.max_abs_error < 1e-6 and "is arithmetic of one step" in report.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", [name for name in zoo.list_models("kjv_*") if zoo.info(name).task == "language"])
def test_king_james_models_at_full_size(name, streaming, tmp_path):
    program = zoo.load_program(name)
    check = assert_streamed if streaming else assert_whole
    counts = operators(check(TARGET, program, tmp_path), program)
    assert counts.get(LSTM, 0) == (0 if "gru" in name else 2)
