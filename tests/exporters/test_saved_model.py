"""Export to a SavedModel: values of its signatures, operators, names, metadata, and directories that exist."""

import errno
import json
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from exported_programs import (
    MASKED,
    MODELS,
    assert_close,
    assert_padded,
    assert_whole,
    check_sequences,
    check_steps,
    content,
    fail_rename,
    hand_made,
    random_inputs,
    written,
)

from deeprnn_keras import Program, export
from deeprnn_keras._compat import saved_model_message
from deeprnn_keras.exporters.saved_model import module
from deeprnn_keras.exporters.saved_model.target import SavedModelTarget
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.interpreter import Interpreter

TARGET = SavedModelTarget()
QUICK = ("lstm", "gru", "mlp_gate_lstm", "dilation", "one_hot")
FORBIDDEN = re.compile("PyFunc|Cudnn|Xla|Deeprnn", re.IGNORECASE)


def slow_unless(quick, names):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def assert_portable(path):
    """Assert that no function of a SavedModel needs Python, a custom operator, cuDNN, or XLA."""
    graph = saved_model_message().FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    assert len(functions) > 1 and not [node.op for node in nodes if FORBIDDEN.search(node.op)]
    assert not [one for one in (*functions, *nodes) if one.attr["_XlaMustCompile"].b]


@pytest.mark.parametrize("name", slow_unless(("bidirectional", *QUICK), MODELS))
def test_signatures_equal_the_reference(name, tmp_path):
    program = hand_made(name)
    path, runner = written(TARGET, program, tmp_path)
    check_sequences(runner, program, batch_size=2)
    assert_portable(path)
    loops = len([one for one in program.operations if isinstance(one, op.Recurrence)])
    counts = TARGET.operators(path, program, Options())
    assert counts.get("While", 0) + counts.get("StatelessWhile", 0) == loops
    if "bidirectional" in name:
        assert list(tf.saved_model.load(str(path)).signatures) == ["serving_default"]
        return
    check_steps(runner, program, batch_size=2, steps=100 if name in QUICK else 1000)
    assert not [one for one in TARGET.operators(path, program, Options(streaming=True)) if "While" in one]


@pytest.mark.parametrize("name", slow_unless(("mlp_gate_lstm, bidirectional=True, per_step=True",), MASKED))
def test_padded_sequences_equal_those_of_keras(name, tmp_path):
    path = assert_padded(TARGET, name, tmp_path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert "lengths" in signature.structured_input_signature[1]


def test_signatures_have_the_order_of_the_program(tmp_path):
    """The functions are called by position, the signatures by the names in the metadata."""
    program = hand_made("dilation")
    path, _ = written(TARGET, program, tmp_path, batch_size=2)
    names = json.loads((path / "assets.extra" / "deeprnn_keras.json").read_text(encoding="utf-8"))["signatures"]
    model, (x,) = tf.saved_model.load(str(path)), random_inputs(program, 2, 5)
    states = list(program.initial_states(2).values())
    for t in range(5):
        inputs = [x[:, t : t + 1], *states]
        signature = {key: tf.constant(one) for key, one in zip(names["step"]["inputs"], inputs, strict=True)}
        named = model.signatures["step"](**signature)
        y, *states = model.step(*inputs)
        assert_close([named[key].numpy() for key in names["step"]["outputs"]], [one.numpy() for one in (y, *states)])
    expected, after = Interpreter(program).run([x])
    assert_close([y[:, 0].numpy(), *(one.numpy() for one in states)], [expected[0][:, -1], *after.values()])
    assert_close([model.run(x)[0].numpy()], expected)
    assert names["step"]["inputs"][1] == next(iter(program.states)).replace("/", "_")
    assert names["serving_default"] == {"inputs": ["input"], "outputs": [program.outputs[0].lower()]}


def test_sizes_of_the_signatures(tmp_path):
    path, _ = written(TARGET, hand_made("keras_layers"), tmp_path)
    signatures = tf.saved_model.load(str(path)).signatures
    assert signatures["serving_default"].structured_input_signature[1]["input"].shape.as_list() == [None, None, 3]
    (tmp_path / "fixed").mkdir()
    path, _ = written(TARGET, hand_made("embedding"), tmp_path / "fixed", batch_size=3)
    signature = tf.saved_model.load(str(path)).signatures["step"].structured_input_signature[1]
    assert sorted(one.shape.as_list() for one in signature.values()) == [[3, 1], [3, 6]]
    assert {one.dtype for one in signature.values()} == {tf.int32, tf.float32}


def test_names_that_python_does_not_accept(tmp_path):
    """Names are unique identifiers: capital letters, keywords, and letters outside ASCII are replaced."""
    inputs = [op.Input(name, 4) for name in ("Größe", "lambda", "self", "_2x", "Grösse", "größe")]
    operations = (op.Add("Summe", tuple(one.name for one in inputs), 4), op.Last("last", ("Summe",), 4))
    program = Program("Größe", tuple(inputs), operations, ("last", "Größe", "last"), {})
    path = assert_whole(TARGET, program, tmp_path, lengths=(3,))
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    names = {"value", "lambda_2", "self_2", "value_2x", "grosse", "value_2"}
    assert set(signature.structured_input_signature[1]) == names


def test_weights_are_variables_that_are_stored_once(tmp_path):
    program = hand_made("tied_head")
    path, _ = written(TARGET, program, tmp_path)
    variables = tf.train.list_variables(str(path / "variables" / "variables"))
    shapes = [shape for name, shape in variables if name.startswith("weights")]
    assert sorted(map(tuple, shapes)) == sorted(array.shape for array in program.weights.values())


def test_metadata(tmp_path):
    path, _ = written(TARGET, hand_made("one_hot"), tmp_path)
    facts = json.loads((path / "assets.extra" / "deeprnn_keras.json").read_text(encoding="utf-8"))
    assert facts["vocabulary"] == "äöüßабвг✓" and facts["package"].startswith("deeprnn-keras ")


def test_report(tmp_path, capfd):
    report = export(MODELS["lstm"](), tmp_path / "model", batch_size=2)
    assert report.path == tmp_path / "model" and report.files == (report.path,) and report.max_abs_error < 1e-6
    assert report.size == sum(one.stat().st_size for one in report.path.rglob("*") if one.is_file())
    assert report.latency.reference_name == "Keras" and "is a While over its equations" in report.notes[0]
    report = export(hand_made("gru"), tmp_path / "v1.5", format="savedmodel", streaming=True)
    assert report.operators["MatMul"] == 5 and not report.notes
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model", "v1.5"]
    assert "Assets" not in capfd.readouterr().err  # the temporary directory is not named


def test_report_of_a_masked_model_is_compared_with_keras(tmp_path, monkeypatch):
    model = MASKED["gru, bidirectional=True, per_step=True"]()
    report = export(model, tmp_path / "model")
    assert any("is the input 'lengths' (n,)" in note for note in report.notes)
    assert not any("NumPy interpreter" in note for note in report.notes)
    monkeypatch.setattr(module, "_mask", lambda lengths, steps: tf.ones([steps, tf.shape(lengths)[0], 1], tf.bool))
    with pytest.raises(ValueError, match="from those of Keras"):
        export(model, tmp_path / "model", overwrite=True)


# === Directories that exist ===


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export(hand_made("rnn_gelu_like"), tmp_path_factory.mktemp("exported") / "model", verify=False).path


@pytest.fixture
def earlier(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    return content(tmp_path)


def test_existing_directory_is_kept_without_overwrite(tmp_path, earlier):
    with pytest.raises(FileExistsError, match="model' exists; pass another path or overwrite=True"):
        export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", verify=False)
    assert content(tmp_path) == earlier
    export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", verify=False, overwrite=True)
    assert content(tmp_path) != earlier and [one.name for one in tmp_path.iterdir()] == ["model"]
    program = hand_made("lstm_hard_sigmoid")
    assert TARGET.runner(tmp_path / "model", program, Options()).run(random_inputs(program, 1, 2))


@pytest.mark.parametrize("name", ["notes.txt", "results"])
def test_directory_with_other_files_is_not_replaced(name, tmp_path, earlier):
    (tmp_path / "model" / name).mkdir()
    with pytest.raises(
        FileExistsError, match=rf"it contains '{name}', which is not part of a SavedModel; pass another"
    ):
        export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", overwrite=True)
    assert content(tmp_path) == {**earlier, str(Path("model", name)): False}


def test_file_is_not_replaced_by_a_directory(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(FileExistsError, match="it is a file, and a SavedModel is a directory; pass another path"):
        export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", overwrite=True)
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_paths_without_a_name(path):
    with pytest.raises(ValueError, match="has no name that a new directory can have"):
        export(hand_made("lstm_hard_sigmoid"), path, format="savedmodel", overwrite=True)


@pytest.mark.parametrize("failing", range(2))
@pytest.mark.parametrize("error", [OSError(errno.EIO, "input/output error"), KeyboardInterrupt()])
def test_failure_while_directories_are_renamed(failing, error, monkeypatch, tmp_path, earlier):
    fail_rename(monkeypatch, failing, error)
    with pytest.raises(type(error)):
        export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", overwrite=True, verify=False)
    assert content(tmp_path) == earlier


def test_error_of_the_file_system_is_an_os_error(tmp_path, monkeypatch, earlier):
    def failing(*_, **__):
        raise tf.errors.UnknownError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", failing)
    with pytest.raises(OSError, match="model: No space left on device"):
        export(hand_made("lstm_hard_sigmoid"), tmp_path / "model", overwrite=True)
    assert content(tmp_path) == earlier
