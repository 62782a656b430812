"""`LSTM`, `GRU`, and `SimpleRNN` in use: dropout, selection of an implementation, configuration, files, and training.

The XLA implementation runs as a plain graph here, to save compilation time; `test_drop_ins` tests all modes.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from fast_implementations import FASTEST, NATIVE, NATIVE_MISSING, each_fast_implementation
from test_drop_ins import MANY_ROWS, D, T, assert_near, cells, inputs, pair, with_gradients

import deeprnn_keras
from deeprnn_keras.kernels import machine

classes = pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch):
    monkeypatch.setattr(machine, "has_gpu", lambda: False)


def make_layer(name, units, **options):
    return getattr(deeprnn_keras, name)(units, **options)


def sine(x):
    return tf.sin(x)


# === Dropout, and options that only Keras' loop supports ===

LOOP_ONLY = [
    ("gru_reset_before", {"dropout": 0.4, "recurrent_dropout": 0.3}),
    ("rnn", {"recurrent_dropout": 0.3}),
    ("lstm", {"unroll": True, "dropout": 0.4}),
    ("gru", {"activation": "gelu", "dropout": 0.4}),
    ("rnn", {"activation": sine}),
    ("lstm", {"recurrent_activation": "silu"}),
]


def assert_equal_dropout(rng, layers, tolerance):
    """Compare two training calls, each of which draws new dropout masks."""
    x, states = inputs(rng, layers[0])
    for _ in range(2):
        assert_near(*(with_gradients(layer, x, states, MANY_ROWS, training=True) for layer in layers), tolerance)


@each_fast_implementation
@cells
def test_input_dropout_equals_keras(rng, cell, implementation):
    options = {"dropout": 0.4, "seed": 3, "return_sequences": True, "return_state": True}
    layers = pair(rng, cell, implementation=implementation, **options)
    assert_equal_dropout(rng, layers, 1e-5)
    x, _ = inputs(rng, layers[0])
    assert np.any(layers[0](x, training=True)[0] != layers[0](x, training=True)[0])
    assert_near(layers[0](x), layers[1](x))


@pytest.mark.parametrize(("cell", "options"), LOOP_ONLY)
def test_options_that_only_the_loop_supports_run_on_it(rng, cell, options):
    layers = pair(rng, cell, **options, seed=3)
    assert layers[0].selected_implementation() == "loop"
    assert_equal_dropout(rng, layers, 1e-6)


# === Variables as inputs ===


@pytest.mark.parametrize("implementation", [NATIVE, "xla", "loop"])
@cells
def test_gradients_of_variables_equal_those_of_tensors(rng, cell, implementation):
    ours, stock = pair(rng, cell, implementation=implementation, return_sequences=True)
    x, states = inputs(rng, ours)
    variables = [tf.Variable(x), *map(tf.Variable, states)]
    gradients = []
    for layer in (ours, stock):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(variables[0], initial_state=variables[1:]) ** 2)
        gradients.append(tape.gradient(loss, variables))
    assert_near(*gradients)


# === Selection of an implementation ===


@pytest.mark.parametrize(("implementation", "selected"), [("auto", FASTEST), ("xla", "xla"), ("loop", "loop")])
@cells
def test_all_implementations_return_the_same(rng, cell, implementation, selected):
    stock = pair(rng, cell)[1]
    config = {**stock.get_config(), "implementation": implementation}
    layer = getattr(deeprnn_keras, type(stock).__name__).from_config(config)
    layer.build((None, None, D))
    layer.set_weights(stock.get_weights())
    assert (layer.get_config()["implementation"], layer.selected_implementation()) == (implementation, selected)
    x, states = inputs(rng, layer)
    assert_near(layer(x, initial_state=states, mask=MANY_ROWS), stock(x, initial_state=states, mask=MANY_ROWS))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("LSTM", {"implementation": "cudnn", "activation": "relu"}, "activation='relu': cuDNN supports tanh only"),
        (
            "LSTM",
            {"implementation": "cudnn", "recurrent_activation": sine},
            "recurrent_activation is a user-defined function: cuDNN supports sigmoid only",
        ),
        ("GRU", {"implementation": "cudnn", "reset_after": False}, "reset_after=False"),
        ("GRU", {"implementation": "cudnn", "recurrent_dropout": 0.25}, "recurrent_dropout=0.25 rules out cuDNN"),
        ("SimpleRNN", {"implementation": "cudnn"}, "no cuDNN path for a plain RNN"),
        ("LSTM", {"implementation": "xla", "activation": "gelu"}, "activation='gelu'.*hard_sigmoid"),
        ("GRU", {"implementation": "xla", "recurrent_dropout": 0.25}, "recurrent_dropout=0.25 rules out XLA"),
        ("SimpleRNN", {"implementation": "xla", "unroll": True}, "unroll=True"),
        ("LSTM", {"implementation": "native", "activation": "elu"}, "activation='elu': the native code supports"),
        ("GRU", {"implementation": "native", "dtype": "float64"}, "float64: the native code computes in float32"),
        ("LSTM", {"implementation": "xlaa"}, "unknown implementation 'xlaa'; did you mean 'xla'?"),
        (
            "GRU",
            {"implementation": "quick"},
            "unknown implementation 'quick'; choose from 'auto', 'cudnn', 'linear_scan', 'loop', 'native', 'scan', "
            "'xla'",
        ),
    ],
)
def test_unsupported_implementation_is_rejected_in_constructor(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_layer(name, 3, **options)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"implementation": "cudnn"},
            "implementation='cudnn' is not supported for this layer: no GPU is visible to TensorFlow",
        ),
        ({"use_cudnn": True}, "use_cudnn=True is not supported for this layer: no GPU is visible to TensorFlow"),
        ({"implementation": "cudnn", "use_cudnn": False}, "use_cudnn=False disables cuDNN"),
    ],
)
def test_cudnn_without_gpu_is_rejected_in_call(name, options, message):
    layer = make_layer(name, 3, **options)
    for function in (layer.selected_implementation, lambda: layer(np.zeros((2, T, D), "float32"))):
        with pytest.raises(ValueError, match=message):
            function()


SELECTED_WITH_GPU = {
    "cudnn": [
        {},
        {"dropout": 0.1, "stateful": True},
        {"implementation": 1},
        {"use_cudnn": True},
        {"implementation": "cudnn"},
    ],
    "loop": [
        {"use_cudnn": False},
        {"activation": "relu"},
        {"use_bias": False},
        {"unroll": True},
        {"implementation": "loop"},
    ],
    "xla": [{"implementation": "xla"}, {"implementation": "xla", "use_cudnn": True}],
    "native": [] if NATIVE_MISSING else [{"implementation": "native"}],
}


@pytest.mark.parametrize("implementation", SELECTED_WITH_GPU)
def test_selection_with_gpu(monkeypatch, implementation):
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    for options in SELECTED_WITH_GPU[implementation]:
        assert [make_layer(name, 3, **options).selected_implementation() for name in ("LSTM", "GRU")] == [
            implementation
        ] * 2
    assert (
        make_layer("GRU", 3, reset_after=False).selected_implementation()
        == make_layer("SimpleRNN", 3).selected_implementation()
        == "loop"
    )


@pytest.mark.parametrize("options", [{"return_sequences": True}, {"go_backwards": True, "zero_output_for_mask": True}])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_masks_with_gpu(rng, monkeypatch, cell, options):
    """Without a GPU, Keras' cuDNN path falls back to its loop, so this tests only the code around the kernel."""
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    layer, stock = pair(rng, cell, return_state=True, **options)
    assert layer.selected_implementation() == "cudnn"
    x, states = inputs(rng, layer)
    for mask in (None, MANY_ROWS):
        assert_near(with_gradients(layer, x, states, mask), with_gradients(stock, x, states, mask))


# === Configuration and files ===


@classes
def test_config_round_trip(name):
    stock = getattr(keras.layers, name)(3, activation="tanh", go_backwards=True, name="layer", dtype="float64")
    layer = getattr(deeprnn_keras, name).from_config(stock.get_config())
    assert isinstance(layer, type(stock))
    assert layer.get_config() == {**stock.get_config(), "implementation": "auto"}
    for use_cudnn in ("auto", True, False) if name != "SimpleRNN" else ():
        layer = make_layer(name, 3, use_cudnn=use_cudnn, implementation="loop")
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert (type(again), again.use_cudnn, again.implementation) == (type(layer), use_cudnn, "loop")


def test_names_and_weights_equal_keras():
    keras.backend.clear_session()
    layers = [
        make_layer("LSTM", 2),
        keras.layers.LSTM(2),
        make_layer("LSTM", 2),
        make_layer("GRU", 2),
        make_layer("SimpleRNN", 2),
    ]
    assert [layer.name for layer in layers] == ["lstm", "lstm_1", "lstm_2", "gru", "simple_rnn"]
    shapes = {"LSTM": [(3, 8), (2, 8), (8,)], "GRU": [(3, 6), (2, 6), (2, 6)], "SimpleRNN": [(3, 2), (2, 2), (2,)]}
    for layer in layers:
        layer.build((None, None, D))
        assert [w.shape for w in layer.get_weights()] == shapes[type(layer).__name__]
        assert [w.name for w in layer.weights] == ["kernel", "recurrent_kernel", "bias"]


def functional_model(layers):
    """Return a functional model with a mask, a nested model, and bidirectional layers."""
    inner = keras.Sequential([keras.Input((None, D)), layers.SimpleRNN(4, return_sequences=True), layers.LSTM(2)])
    x = keras.Input((None, D))
    masked = keras.layers.Masking()(x)
    sequences = keras.layers.Bidirectional(layers.GRU(2, return_sequences=True), merge_mode="sum")(masked)
    heads = [layers.GRU(2, reset_after=False)(sequences), keras.layers.Bidirectional(layers.LSTM(3))(sequences)]
    return keras.Model(x, keras.layers.Concatenate()([*heads, inner(x)]))


def sequential_model(layers):
    return keras.Sequential([keras.Input((T, D)), layers.LSTM(3, go_backwards=True), keras.layers.Dense(2)])


def padded_inputs(rng):
    x = rng.normal(size=(3, T, D)).astype("float32")
    x[1, 2:] = 0
    return x


@pytest.mark.parametrize("make_model", [sequential_model, functional_model])
def test_weight_files_are_exchangeable_with_keras(rng, tmp_path, make_model):
    x = padded_inputs(rng)
    for source, target in ((keras.layers, deeprnn_keras), (deeprnn_keras, keras.layers)):
        source_model, target_model = make_model(source), make_model(target)
        source_model.set_weights([rng.normal(size=w.shape) for w in source_model.weights])
        source_model.save_weights(tmp_path / "model.weights.h5")
        target_model.load_weights(tmp_path / "model.weights.h5")
        assert_near(target_model(x), source_model(x))


def layer_types(model):
    return [
        (type(layer), layer.get_config().get("implementation")) for layer in model._flatten_layers(include_self=False)
    ]


def stateful_model(layers):
    return keras.Sequential([keras.Input(batch_shape=(3, T, D)), layers.GRU(2, stateful=True, implementation="loop")])


@pytest.mark.parametrize(
    "make_model, layers",
    [(functional_model, deeprnn_keras), (functional_model, keras.layers), (stateful_model, deeprnn_keras)],
)
def test_saved_model_round_trip(rng, tmp_path, make_model, layers):
    x, model = padded_inputs(rng), make_model(layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert layer_types(loaded) == layer_types(model)
    for _ in range(2):
        np.testing.assert_array_equal(loaded(x), model(x))


# === Cases of Keras' own tests ===

WITH_GAPS, RIGHT_PADDED = [[1, 1, 0, 1], [1, 0, 0, 1]], [[1, 1, 1, 0], [1, 1, 0, 0]]
SHORT, LONG, WIDE = (2, 4, 3), (3, 6, 4), (2, 3, 4)
PUBLISHED = [  # layer, units, shape of x, arguments, and the output of each example, or of each example and unit
    ("LSTM", 3, LONG, {}, [0.6288687, 0.86899155, 0.9460773]),
    ("LSTM", 3, LONG, {"go_backwards": True}, [0.35622165, 0.74789524, 0.8872726]),
    ("LSTM", 3, LONG, {"unit_forget_bias": False}, [0.57019705, 0.8661914, 0.9459622]),
    ("LSTM", 3, LONG, {"use_bias": False}, [0.54986924, 0.86226785, 0.9443936]),
    ("GRU", 3, LONG, {}, [0.5217289, 0.6371659, 0.39384964]),
    ("GRU", 3, LONG, {"go_backwards": True}, [0.24406259, 0.611516, 0.3928808]),
    ("GRU", 3, LONG, {"reset_after": False}, [0.51447755, 0.6426879, 0.40208298]),
    ("GRU", 3, LONG, {"use_bias": False}, [0.49988455, 0.64701194, 0.4103359]),
    ("SimpleRNN", 4, WIDE, {"go_backwards": True}, [0.11144729, 0.5528889]),
    ("LSTM", 4, WIDE, {"stateful": True}, [0.3124785, 0.6863672]),
    ("GRU", 4, WIDE, {"stateful": True}, [0.29542392, 0.5885018]),
    ("SimpleRNN", 4, WIDE, {"stateful": True}, [0.40559256, 0.7361247]),
    ("LSTM", 2, SHORT, {"initial_state": 2}, [[0.20574439, 0.3558822], [0.64930826, 0.66276]]),
    ("GRU", 2, SHORT, {"initial_state": 1, "go_backwards": True}, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]]),
    ("SimpleRNN", 4, SHORT, {"initial_state": 1}, [0.33621645, 0.6262637]),
    ("LSTM", 2, SHORT, {"mask": RIGHT_PADDED}, [0.11755939, 0.28556206]),
    ("LSTM", 2, SHORT, {"mask": np.flip(RIGHT_PADDED, 1), "go_backwards": True}, [0.15341201, 0.3844719]),
    ("GRU", 2, SHORT, {"mask": WITH_GAPS}, [0.19393763, 0.30818558]),
    ("SimpleRNN", 4, SHORT, {"mask": WITH_GAPS, "go_backwards": True}, [0.07376196, 0.43645123]),
]


@each_fast_implementation
@pytest.mark.parametrize(("name", "units", "shape", "options", "expected"), PUBLISHED)
def test_published_values(name, units, shape, options, expected, implementation):
    x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    options = {**options, "implementation": implementation}
    states = [np.arange(2.0 * units).reshape(2, units)] * options.pop("initial_state", 0)
    mask = options.pop("mask", None)
    for role, value in {"kernel": 0.01, "recurrent": 0.02, "bias": 0.03}.items():
        options[f"{role}_initializer"] = keras.initializers.Constant(value)
    layer = make_layer(name, units, **options)
    for _ in range(2):
        if layer.stateful:
            layer.reset_state()
            layer(x)
        output = np.asarray(layer(x, initial_state=states or None, mask=None if mask is None else np.array(mask, bool)))
        np.testing.assert_allclose(output, np.reshape(expected, (len(x), -1)) + 0 * output, rtol=1e-5)


@classes
def test_other_properties_equal_keras(rng, name):
    options = {"dropout": 0.5, "return_sequences": True, "dtype": "mixed_float16", "seed": 1}
    options |= {f"{part}_regularizer": "l2" for part in ("kernel", "recurrent", "bias", "activity")}
    x, properties = inputs(rng, pair(rng, "rnn")[0])[0], []
    for layers in (deeprnn_keras, keras.layers):
        keras.utils.set_random_seed(3)
        layer = getattr(layers, name)(3, **options)
        symbolic = layer(keras.Input((None, D)))
        assert layer.compute_output_shape(x.shape) == layer(x).shape == (len(MANY_ROWS), T, 3)
        properties.append([symbolic.shape, symbolic.dtype, layer.supports_masking, len(layer.non_trainable_variables)])
        properties.append([float(loss) for loss in layer.losses])
        with pytest.raises(ValueError, match="expected ndim=3, found ndim=2"):
            layer(x[0])
    assert properties[0] == properties[2] and len(properties[1]) >= 3 and len(layer.trainable_weights) == 3
    np.testing.assert_allclose(properties[1], properties[3], rtol=1e-3)


@pytest.mark.parametrize(("name", "jit_compile"), [("LSTM", False), pytest.param("GRU", True, marks=pytest.mark.slow)])
def test_training_equals_keras(rng, name, jit_compile):
    x, results = np.concatenate([padded_inputs(rng), padded_inputs(rng)[:2]]), []
    for layers in (deeprnn_keras, keras.layers):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((None, D)), keras.layers.Masking()])
        model.add(getattr(layers, name)(2, dropout=0.2))
        model.compile("sgd", "mse", jit_compile=jit_compile)
        losses = model.fit(x, x[:, 0, :2], batch_size=3, epochs=2, verbose=0).history["loss"]
        results.append([losses, *model.get_weights(), model.predict(x, verbose=0)])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
