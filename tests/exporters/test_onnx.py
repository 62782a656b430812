"""Export to ONNX: values in ONNX Runtime and in the reference evaluator, operators, metadata, refusals."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from exported_programs import (
    MASKED,
    MODELS,
    assert_close,
    assert_padded,
    assert_streamed,
    assert_whole,
    deep,
    hand_made,
    masked_model,
    random_inputs,
    randomized,
    written,
)

from deeprnn_keras import DeepRNN, Program, export, lower, zoo
from deeprnn_keras.exporters.onnx_file.target import ONNXTarget
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import Interpreter

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
onnxruntime = pytest.importorskip("onnxruntime")

TARGET = ONNXTarget()
SCANS = ("rnn_gelu_like", "mlp_gate_lstm", "rhn", "state_widths", "initial_states", "initial_bidirectional", "zoneout")


def operators(path, program, **options):
    return TARGET.operators(path, program, Options(**options))


@pytest.mark.parametrize("name", MODELS)
def test_whole_sequences_equal_the_reference(name, tmp_path):
    program = hand_made(name)
    path = assert_whole(TARGET, program, tmp_path)
    assert ("Scan" in operators(path, program)) == (name in SCANS)


# the reference evaluator has no reverse layers, and no relu in its RNN
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "rnn", "dilation", "keras_layers", "tied_head"])
def test_reference_evaluator_returns_the_same(name, tmp_path):
    program = hand_made(name)
    path, _ = written(TARGET, program, tmp_path)
    (x,) = random_inputs(program, 2, 4)
    evaluator = reference.ReferenceEvaluator(str(path))
    outputs = evaluator.run(None, {program.inputs[0].name: x.astype("int32") if program.inputs[0].ids else x})
    assert_close(outputs, Interpreter(program, np.float64).run([x])[0])


@pytest.mark.parametrize("name", [name for name in MODELS if "bidirectional" not in name])
def test_streamed_steps_equal_the_reference(name, tmp_path):
    program = hand_made(name)
    path = assert_streamed(TARGET, program, tmp_path)
    model = onnx.load(path).graph
    states = list(program.states)
    assert [one.name for one in model.input] == [*(one.name for one in program.inputs), *states]
    assert [one.name for one in model.output] == [*program.outputs, *(f"{name}/next" for name in states)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lstm", {"LSTM": 3}), ("one_hot", {"LSTM": 3}), ("gru", {"GRU": 2}), ("rnn", {"RNN": 4}), ("rhn", {"Scan": 1})],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_recurrent_layers_are_one_operator_each(name, expected, streaming, tmp_path):
    program = hand_made(name)
    path, _ = written(TARGET, program, tmp_path, streaming=streaming)
    counts = operators(path, program)
    assert {key: counts.get(key, 0) for key in ("LSTM", "GRU", "RNN", "Scan", "Loop")} == {
        **dict.fromkeys(("LSTM", "GRU", "RNN", "Scan", "Loop"), 0),
        **expected,
    }
    assert bool(TARGET.notes(program, Options(streaming))) == (name == "rhn")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_bidirectional_layer_is_one_operator(cell, tmp_path):
    """Two layers of one width that read the same value are one operator; activations are given for both directions."""
    options = {"bidirectional": True, "activation": "relu", "implementation": "loop", "return_sequences": True}
    layer = DeepRNN(5, 2, cell, **options)
    program = lower(keras.Sequential([keras.Input((None, 3)), layer]))
    counts = operators(assert_whole(TARGET, program, tmp_path), program)
    assert counts[cell.upper()] == 2 and counts["Split"] == 2


PEEPHOLES = {
    "stack": {"num_layers": 2},
    "bidirectional, other activations": {
        "bidirectional": True,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
    },
    "dilation": {"dilation": 2},
}


@pytest.mark.parametrize("name", PEEPHOLES)
def test_lstm_with_peepholes_is_the_operator_lstm(name, tmp_path):
    program = randomized(lower(deep(cell="peephole_lstm", **PEEPHOLES[name])))
    counts = operators(assert_whole(TARGET, program, tmp_path), program)
    assert counts["LSTM"] == (1 if name == "dilation" else 2) and "Scan" not in counts
    assert TARGET.notes(program, Options()) == []
    if name == "stack":
        assert operators(assert_streamed(TARGET, program, tmp_path, steps=20), program)["LSTM"] == 2
    if name == "dilation":
        (note,) = TARGET.notes(program, Options(streaming=True))
        assert "a Scan over its equations: with dilation 2" in note
        assert operators(assert_streamed(TARGET, program, tmp_path, steps=20), program)["Scan"] == 1


def test_padded_lstm_with_peepholes(tmp_path, monkeypatch):
    monkeypatch.setitem(MASKED, "peepholes", partial(masked_model, "peephole_lstm", False, True))
    model = onnx.load(assert_padded(TARGET, "peepholes", tmp_path))
    assert sum(node.op_type == "LSTM" for node in model.graph.node) == 2


def test_batch_size_and_states_of_several_steps(tmp_path):
    """A file with a batch size of 4 that is streamed reads several steps at once, too."""
    program = hand_made("dilation")
    path = assert_streamed(TARGET, program, tmp_path, steps=20, batch_size=4)
    assert operators(path, program, streaming=True)["Scan"] == 2
    path, _ = written(TARGET, program, tmp_path, batch_size=4)
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert (shape[0].dim_value, shape[1].dim_param, shape[2].dim_value) == (4, "T", 3)


def test_metadata_holds_the_vocabulary_and_the_version(tmp_path):
    path, _ = written(TARGET, hand_made("one_hot"), tmp_path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {one.key: json.loads(one.value) for one in model.metadata_props}
    assert metadata["deeprnn_keras.vocabulary"] == "äöüßабвг✓" and metadata["deeprnn_keras.kind"] == "language"
    assert model.producer_name == "deeprnn-keras" and model.producer_version


def test_names_of_outputs_are_unique(tmp_path):
    operations = (op.Last("last", ("ü",), 4),)
    program = Program("Größe", (op.Input("ü", 4),), operations, ("last", "ü", "last"), {})
    path = assert_whole(TARGET, program, tmp_path)
    assert [one.name for one in onnx.load(path).graph.output] == ["last", "ü/output_1", "last/output_1"]


@pytest.mark.parametrize("centered", [True, False])
def test_normalization_of_values_far_from_zero(centered, tmp_path):
    weights = {"scale": np.ones(5, "float32"), "offset": np.full(5, 10, "float32")}
    operations = (op.Scale("far", ("x",), 5, "scale", "offset"),)
    operations += (op.LayerNormalization("y", ("far",), 5, epsilon=1e-3, centered=centered),)
    program = Program("far", (op.Input("x", 5),), operations, ("y",), weights)
    _, runner = written(TARGET, program, tmp_path)
    inputs = random_inputs(program, 2, 50)
    assert_close(runner.run(inputs), Interpreter(program).run(inputs)[0])


def test_weights_of_8_bits(tmp_path):
    program = hand_made("one_hot")
    path, runner = written(TARGET, program, tmp_path, quantize="int8")
    assert operators(path, program)["DynamicQuantizeLSTM"] == 3
    inputs = random_inputs(program, 2, 20)
    assert_close(runner.run(inputs), Interpreter(program).run(inputs)[0], atol=0.05)
    _, runner = written(TARGET, program, tmp_path, quantize="int8", streaming=True)
    outputs, _ = runner.step([x[:, 0] for x in inputs])
    assert_close(outputs, [y[:, 0] for y in Interpreter(program).run(inputs)[0]], atol=0.05)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gru", "quantize='int8' is supported for LSTM layers only, and 'deep_rnn.*/forward_1' is not one; pass"),
        ("lstm_hard_sigmoid", "with tanh and sigmoid only, and 'deep_rnn.*/forward_1' has relu and hard_sigmoid; pass"),
    ],
)
def test_quantization_of_other_layers_is_refused(name, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        export(hand_made(name), tmp_path / "p.onnx", quantize="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_export_compares_the_file_with_keras(tmp_path):
    report = export(MODELS["keras_layers"](), tmp_path / "m.onnx")
    assert report.max_abs_error < 1e-6 and report.operators["LSTM"] == report.operators["GRU"] == 1
    report = export(MODELS["mlp_gate_lstm"](), tmp_path / "s.onnx", streaming=True)
    assert report.max_abs_error < 1e-6 and "is a Scan over its equations" in report.notes[0]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name == "kjv_lstm_2x512" else pytest.mark.slow)
        for name in zoo.list_models("kjv_*")
        if zoo.info(name).task == "language"
    ],
)
def test_king_james_models_at_full_size(name, streaming, tmp_path):
    program = zoo.load_program(name)
    check = assert_streamed if streaming else assert_whole
    path = check(TARGET, program, tmp_path)
    assert operators(path, program)["GRU" if "gru" in name else "LSTM"] == 2


@pytest.mark.parametrize("name", MASKED)
def test_padded_sequences_equal_those_of_keras(name, tmp_path):
    path = assert_padded(TARGET, name, tmp_path)
    assert [one.name for one in onnxruntime.InferenceSession(path).get_inputs()][1:] == ["lengths"]


def test_model_whose_layers_do_not_all_read_the_mask_has_no_lengths(tmp_path):
    x, mask = keras.Input((None, 3)), keras.Input((None,), dtype="bool")
    program = lower(keras.Model([x, mask], [keras.layers.LSTM(4)(x, mask=mask), keras.layers.LSTM(4)(x)]))
    path = assert_whole(TARGET, program, tmp_path)
    assert len(onnx.load(path).graph.input) == 1


def test_report_names_the_input_of_lengths(tmp_path):
    report = export(MASKED["lstm, bidirectional=True, per_step=False"](), tmp_path / "m.onnx")
    assert any("is the input 'lengths' (n,)" in note for note in report.notes)
    report = export(MASKED["lstm, bidirectional=False, per_step=False"](), tmp_path / "s.onnx", streaming=True)
    assert not any("lengths" in note for note in report.notes)
