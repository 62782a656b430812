"""Private names of the frameworks and wrapped entry points: one test for each."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import _compat

ROOT = Path(__file__).resolve().parents[1]
PRIVATE = re.compile(
    r"keras\.src|tensorflow\.python|keras_tuner\.(src|engine)|_getframe|inspect\.stack|currentframe|"
    r"\._(keras_mask|flatten_layers|variant_tensor)"
)


def test_importing_compat_imports_no_framework():
    code = (
        "import sys; from deeprnn_keras import _compat\n"
        "print([name for name in ('keras', 'tensorflow', 'keras_tuner') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr


def test_no_other_module_uses_private_names():
    paths = [path for directory in ("deeprnn_keras", "zoo") for path in (ROOT / directory).rglob("*.py")]
    using_private_names = {path.name for path in paths if PRIVATE.search(path.read_text(encoding="utf-8"))}
    assert using_private_names == {"_compat.py"}


@pytest.mark.parametrize("path", ["keras.src.nowhere:Thing", "keras.src.backend:Thing"])
def test_missing_private_name_is_an_import_error(path):
    with pytest.raises(ImportError, match=rf"{path.replace(':', '.')} is not available in keras {keras.__version__};"):
        _compat.private(path)


def test_no_autocast():
    variable = keras.Variable(np.ones(2), dtype="float32")
    with _compat.private("keras.src.backend.common.variables:AutocastScope")("float16"):
        assert keras.ops.convert_to_tensor(variable).dtype == tf.float16, "AutocastScope does not cast variables"
        with _compat.no_autocast():
            assert keras.ops.convert_to_tensor(variable).dtype == tf.float32, "AutocastScope(None) casts variables"


def test_functional_nodes():
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], keras.layers.Dense(2, name="head")(keras.layers.Add(name="sum")([a, b]) * 2.0))
    nodes = list(_compat.functional_nodes(model))
    assert [type(node.operation).__name__ for node in nodes] == ["Add", "Multiply", "Dense"]
    assert [id(one) for one in nodes[0].args[0]] == [id(a), id(b)] and nodes[2].outputs[0] is model.outputs[0]
    assert nodes[1].args[0] is nodes[0].outputs[0] and nodes[1].args[1] == 2.0 and nodes[1].kwargs == {}


def test_profile_message():
    profile = _compat.profile_message()()
    profile.planes.add(name="/host:CPU").event_metadata[1].name = "MatMul"
    assert type(profile).FromString(profile.SerializeToString()) == profile


def test_saved_model_message(tmp_path):
    module = tf.Module()
    module.weight = tf.Variable([1.0])
    tf.saved_model.save(module, str(tmp_path))
    message = _compat.saved_model_message().FromString((tmp_path / "saved_model.pb").read_bytes())
    assert "VarHandleOp" in {node.op for node in message.meta_graphs[0].graph_def.node}


def test_backend_rnn():
    last, outputs, states = _compat.backend_rnn()(
        lambda x, states: (x + states[0], [x + states[0]]),
        np.ones((1, 3, 2), "float32"),
        [np.zeros((1, 2), "float32")],
        go_backwards=False,
        mask=None,
        unroll=False,
        input_length=3,
        zero_output_for_mask=False,
        return_all_outputs=True,
    )
    assert np.asarray(outputs)[0, :, 0].tolist() == [1, 2, 3], "keras.src.backend.rnn changed"
    assert np.asarray(last).tolist() == np.asarray(states[0]).tolist() == [[3, 3]], "keras.src.backend.rnn changed"


def test_dropout_rnn_cell():
    cell = keras.layers.SimpleRNNCell(2, dropout=0.5, recurrent_dropout=0.5)
    assert isinstance(cell, _compat.dropout_rnn_cell()), "Keras' cells do not derive from DropoutRNNCell"
    first = cell.get_dropout_mask(np.ones((1, 4)))
    assert cell.get_dropout_mask(np.ones((1, 4))) is first, "the mask differs between steps"
    assert cell.get_recurrent_dropout_mask(np.ones((1, 2))).shape == (1, 2)
    cell.reset_dropout_mask()
    assert cell.get_dropout_mask(np.ones((1, 4))) is not first


def test_global_seed_state():
    keras.utils.set_random_seed(1)
    before = keras.ops.convert_to_numpy(_compat.global_seed_state())
    keras.random.uniform((1,))
    assert np.any(keras.ops.convert_to_numpy(_compat.global_seed_state()) != before), "Keras uses another state"


def test_flatten_layers():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="in")])
    model = keras.Sequential([keras.Input((2,)), inner], name="out")
    names = [layer.name for layer in _compat.flatten_layers(model)]
    assert names[0] == "out" and "in" in names, "keras.Layer._flatten_layers changed"
    assert "in" not in [layer.name for layer in _compat.flatten_layers(model, include_self=False, recursive=False)]


def test_keras_mask():
    embedded = keras.layers.Embedding(3, 2, mask_zero=True)(np.array([[1, 0]]))
    assert np.asarray(_compat.keras_mask(embedded)).tolist() == [[True, False]], "tensor._keras_mask is missing"
    assert _compat.keras_mask(tf.ones(1)) is None


def test_average_variables():
    optimizer = keras.optimizers.SGD(use_ema=True)
    weight = keras.Variable(np.ones(2))
    optimizer.build([weight])
    optimizer.apply_gradients([(tf.ones(2), weight)])
    (average,) = _compat.average_variables(optimizer)
    assert average.shape == (2,), "keras.optimizers.Optimizer._model_variables_moving_average is missing"


def test_is_unsafe_mode():
    assert not _compat.is_unsafe_mode()
    with _compat.private("keras.src.saving.serialization_lib:SafeModeScope")(False):
        assert _compat.is_unsafe_mode(), "in_safe_mode does not know the scope"


def test_classes_named_by_private_modules():
    x = keras.Input((2,))
    config = keras.Model(x, keras.ops.relu(x) + 1).get_config()
    used = {(layer["module"], layer["class_name"]) for layer in config["layers"] if "keras.src" in layer["module"]}
    assert len(used) == 2 and used <= _compat.classes_named_by_private_modules(), used


def test_tensorflow_seed():
    tf.random.set_seed(5)
    assert _compat.tensorflow_seed() == 5, "tensorflow.python.eager.context.global_seed changed"
    tf.random.set_seed(None)
    assert _compat.tensorflow_seed() is None
    keras.utils.set_random_seed(0)


def test_in_forward_mode():
    x = tf.ones(2)
    assert not _compat.in_forward_mode([x])
    with tf.autodiff.ForwardAccumulator(x, tf.ones(2)):
        assert _compat.in_forward_mode([x]), "tensorflow.python.eager.forwardprop_util.pack_tangents changed"
    variable = tf.Variable(x)
    assert not _compat.in_forward_mode([variable])
    with tf.autodiff.ForwardAccumulator(variable, tf.ones(2)):
        assert _compat.in_forward_mode([variable])


def test_omit_retracing_warning(caplog):
    function = tf.function(lambda x: x)
    assert hasattr(function, "_omit_frequent_tracing_warning"), "tf.function._omit_frequent_tracing_warning is missing"
    _compat.omit_retracing_warning(function)
    for size in range(10):
        function(tf.ones(size))
    assert "retracing" not in caplog.text


def test_variant_tensor():
    dataset = tf.data.Dataset.range(3)
    assert _compat.variant_tensor(dataset).dtype == tf.variant, "tf.data.Dataset._variant_tensor is missing"


def test_tuner_trial():
    keras_tuner = pytest.importorskip("keras_tuner")
    trial = _compat.tuner_trial()(keras_tuner.HyperParameters(), "1", "FAILED", "message")
    copy = _compat.tuner_trial().from_state(trial.get_state())
    assert (copy.trial_id, copy.status, copy.message) == ("1", "FAILED", "message"), "keras_tuner's Trial changed"


@pytest.mark.parametrize("owner", _compat.MEMBERS)
def test_members_that_subclasses_use(owner):
    pytest.importorskip("keras_tuner")
    owner_class = _compat.private(owner)
    codes = [getattr(base.__init__, "__code__", None) for base in owner_class.__mro__]
    attributes = {name for code in codes if code for name in code.co_names}
    for name in _compat.MEMBERS[owner]:
        assert hasattr(owner_class, name) or name in attributes, f"{owner.replace(':', '.')}.{name} is missing"


def test_function_is_retraced_inside_save_context():
    exporting_at_trace = []

    class Recorder(tf.Module):
        @tf.function(input_signature=[])
        def f(self):
            exporting_at_trace.append(_compat.is_exporting())
            return tf.constant(1.0)

    module = Recorder()
    module.f()
    module.f()
    assert exporting_at_trace == [False]
    with _compat.exporting():
        module.f.get_concrete_function()
    assert exporting_at_trace == [False, True], "a tf.function is not retraced inside TensorFlow's save context"
    module.f()
    assert exporting_at_trace == [False, True] and not _compat.is_exporting()


def test_hooks_are_installed_once():
    _compat.install_export_hooks()
    _compat.install_model_hooks()
    before = keras.Model.fit, tf.saved_model.save, tf.lite.TFLiteConverter.convert
    _compat.install_export_hooks()
    _compat.install_model_hooks()
    assert (keras.Model.fit, tf.saved_model.save, tf.lite.TFLiteConverter.convert) == before


def test_saved_model_is_written_inside_exporting(tmp_path):
    """TensorFlow raises an error if its save context is entered twice."""
    module = tf.Module()
    with _compat.exporting():
        tf.saved_model.save(module, str(tmp_path / "m"))
        assert _compat.is_exporting()
    assert not _compat.is_exporting()


def test_running_method_is_recorded():
    _compat.install_model_hooks()
    recorded = []

    class Model(keras.Sequential):
        def reset_metrics(self):
            recorded.append((_compat.in_single_batch(), _compat.fit_shuffles_arrays()))
            super().reset_metrics()

    model = Model([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((2, 1))
    calls = {
        "train_on_batch": (lambda: model.train_on_batch(x, x), (True, False)),
        "test_on_batch": (lambda: model.test_on_batch(x, x), (True, False)),
        "fit": (lambda: model.fit(x, x, verbose=0), (False, True)),
        "fit without shuffling": (lambda: model.fit(x, x, shuffle=False, verbose=0), (False, False)),
        "fit with a dataset": (lambda: model.fit(tf.data.Dataset.from_tensors((x, x)), verbose=0), (False, False)),
        "evaluate": (lambda: model.evaluate(x, x, verbose=0), (False, False)),
    }
    for name, (call, expected) in calls.items():
        recorded.clear()
        call()
        assert set(recorded) == {expected}, name
    assert not _compat.in_single_batch()
    with pytest.raises(TypeError, match="unknown_argument"):
        model.fit(x, x, unknown_argument=1)


def test_variables_without_values():
    before = keras.layers.Dense(1)
    with _compat.variables_without_values() as variables:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    before.build((None, 1))  # values are given to variables that were not created in the block
    assert [tuple(one.shape) for one in variables] == [(3, 2), (2,)] == [tuple(one.shape) for one in model.weights]
    assert [one._value for one in variables] == [None, None]
    _compat.give_values(variables, zeros=variables[:1])
    np.testing.assert_array_equal(model(np.ones((1, 3))), [[0, 0]])


def test_weights_by_path():
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(2), keras.layers.Dense(1)])
    found = _compat.weights_by_path(model)
    assert [path for path in found if "seed" not in path] == [
        *(f"layers/lstm/cell/vars/{number}" for number in range(3)),
        *(f"layers/dense/vars/{number}" for number in range(2)),
    ]
    assert found["layers/dense/vars/0"] is model.layers[1].kernel


def test_reserved_names_are_not_given_to_operations():
    _compat.reserve_names(["reserved_by_a_file", "reserved_with_number_7"])
    auto_name = _compat.private("keras.src.utils.naming:auto_name")
    assert auto_name("reserved_by_a_file") == "reserved_by_a_file_1"
    assert auto_name("reserved_with_number") == "reserved_with_number_8"
    assert _compat.class_path(keras.layers.LSTMCell(1)) == "lstm_cell"


def test_functional_class():
    x = keras.Input((1,))
    assert isinstance(keras.Model(x, x + 1), _compat.functional_class())
    assert not isinstance(keras.Sequential(), _compat.functional_class())


def test_random_seed_of_jax_can_be_shared():
    pytest.importorskip("jax")
    assert callable(_compat.private("keras.src.backend.jax.distribution_lib:initialize_rng"))


def test_assignment_on_replicas():
    """In a strategy of one replica; training/test_replicas.py has two."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        variable = keras.Variable(np.zeros(2, "float32"))
    strategy.run(lambda: _compat.assign_on_replicas([variable], [tf.constant([1.0, 2.0])]))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), [1.0, 2.0])
