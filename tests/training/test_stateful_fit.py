"""Truncated backpropagation through time in `fit`: carried states and their resets."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.layers import Dense, Embedding
from oracles import assert_close

from deeprnn_keras import DeepRNN, LanguageModel, TBPTTDataset

V, H, N, T = 7, 4, 2, 5
STREAM = np.random.default_rng(0).integers(V, size=2 * 20 + 1)
STREAMS = np.stack([STREAM[:20], STREAM[20:40]])
eager = pytest.mark.usefixtures("eager")  # not for test_fit_equals_manual_truncated_backpropagation
implementations = pytest.mark.parametrize("implementation", [pytest.param("xla", marks=pytest.mark.slow), "loop"])
cells = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mlp_gate_lstm"])


def language_models(cell="lstm", implementation="auto"):
    """Return a stateful model and a stateless one with the same weights."""
    keras.utils.set_random_seed(1)
    options = {"units": H, "num_layers": 2, "cell": cell, "implementation": implementation, "embedding": 3}
    stateful, stateless = LanguageModel(V, stateful=True, **options), LanguageModel(V, **options)
    stateless.set_weights(stateful.get_weights())
    for model in (stateful, stateless):
        model.compile(keras.optimizers.SGD(0.5), model.loss_function())
    return stateful, stateless


@pytest.mark.parametrize(
    ("cell", "implementation"), [("lstm", "xla"), pytest.param("mlp_gate_lstm", "loop", marks=pytest.mark.slow)]
)
def test_windows_equal_the_whole_stream(cell, implementation):
    model, stateless = language_models(cell, implementation)
    windows = [model(x) for x, _ in TBPTTDataset(STREAM, N, T)]
    assert_close(np.concatenate(windows, axis=1), stateless(STREAMS).numpy(), 1e-6)


@implementations
@cells
def test_outputs_and_gradients_equal_those_with_an_explicit_initial_state(cell, implementation):
    """Gradients are propagated through the window, but not into the previous one."""
    rng = np.random.default_rng(3)
    layer = DeepRNN(H, 2, cell, stateful=True, return_sequences=True, implementation=implementation)
    stateless = DeepRNN(H, 2, cell, return_sequences=True, return_state=True, implementation=implementation)
    for one in (layer, stateless):
        one.build((None, None, 3))
    stateless.set_weights(layer.get_weights())
    state = None
    for _ in range(3):
        x, results = tf.constant(rng.normal(size=(N, T, 3)), "float32"), []
        for one in (layer, stateless):
            with tf.GradientTape() as tape:
                tape.watch(x)
                if one is layer:
                    y = one(x, training=True)
                else:
                    y, *final = one(x, initial_state=state, training=True)
                loss = tf.reduce_sum(tf.sin(y))
            results.append([y, *tape.gradient(loss, [x, *(w.value for w in one.trainable_weights)])])
        state = [tf.nest.map_structure(tf.stop_gradient, entry) for entry in final]
        for one, other in zip(*results, strict=True):
            assert_close(one, other.numpy(), 1e-6)


class BatchLosses(keras.callbacks.Callback):
    """Loss of each batch; Keras logs the mean since the start of the epoch."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_epoch_begin(self, epoch, logs=None):
        self._sum = 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"] * (batch + 1) - self._sum)
        self._sum = logs["loss"] * (batch + 1)


def manual_losses(model, data, epochs, rate=0.5):
    """Return the loss of each update of plain SGD that passes the states from window to window explicitly."""
    embed, head = (next(one for one in model.layers if isinstance(one, kind)) for kind in (Embedding, Dense))
    layer = model.get_layer("deep_rnn")
    stack = DeepRNN.from_config({**layer.get_config(), "return_state": True})
    stack.build((None, None, 3))
    stack.set_weights(layer.get_weights())
    weights, losses = [embed.embeddings, *stack.trainable_weights, *head.trainable_weights], []
    for _ in range(epochs):
        state = None
        for (x, _), y in data:
            with tf.GradientTape() as tape:
                output, *final = stack(embed(x), initial_state=state, training=True)
                loss = model.loss(y, head(output))
            for weight, gradient in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True):
                weight.assign_sub(rate * tf.convert_to_tensor(gradient))
            losses.append(float(loss))
            state = [tf.nest.map_structure(tf.stop_gradient, entry) for entry in final]
    return losses


@pytest.mark.slow
def test_fit_equals_manual_truncated_backpropagation():
    """`fit` is traced and compiled, as by default; validation between the epochs does not affect training."""
    model, stateless = language_models()
    data, history = TBPTTDataset(STREAM, N, T), BatchLosses()
    held_out = TBPTTDataset(STREAM[::-1], 5, 3)
    model.fit(data, epochs=3, validation_data=held_out, callbacks=[history], shuffle=False, verbose=0)
    np.testing.assert_allclose(history.losses, manual_losses(stateless, data, 3), rtol=1e-5)


@pytest.mark.slow
@eager
def test_validation_resets_states_and_reads_all_streams():
    model, stateless = language_models()
    history = model.fit(
        TBPTTDataset(STREAM, N, T), epochs=2, validation_data=TBPTTDataset(STREAM, N, T), shuffle=False, verbose=0
    )
    stateless.set_weights(model.get_weights())
    whole = stateless.loss(np.stack([STREAM[1:21], STREAM[21:41]]), stateless(STREAMS))
    assert history.history["val_loss"][1] == pytest.approx(float(whole), rel=1e-5)
    assert model.evaluate(TBPTTDataset(STREAM, N, T), verbose=0) == pytest.approx(float(whole), rel=1e-5)


@eager
def test_sequential_model_needs_no_reset_mask():
    """States are reset at the start of each epoch."""
    keras.utils.set_random_seed(0)
    stack = DeepRNN(H, 2, stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 3)), stack, keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    data = TBPTTDataset(np.random.default_rng(0).normal(size=(41, 3)), N, T, reset_mask=False)
    losses = model.fit(data, epochs=3, shuffle=False, verbose=0).history["loss"]
    assert losses[0] == losses[1] == losses[2]
    assert len(stack.carried_state.to_arrays()) == 8 and any(np.any(value) for value in stack.carried_state.to_arrays())


def test_reset_mask_resets_only_selected_rows(rng):
    layer = DeepRNN(H, 2, "gru", stateful=True)
    x = rng.normal(size=(2, T, 3)).astype("float32")
    first = layer(x).numpy()
    second = layer(x, reset_mask=np.array([True, False])).numpy()
    assert_close(second[0], first[0], 1e-7)
    assert np.max(np.abs(second[1] - first[1])) > 1e-3


def test_training_and_evaluation_carry_separate_states(rng):
    layer = DeepRNN(H, stateful=True)
    x = rng.normal(size=(2, T, 3)).astype("float32")
    first, other = layer(x, training=True).numpy(), layer(x).numpy()
    assert_close(other, first, 1e-7)
    assert np.max(np.abs(layer(x, training=True) - first)) > 1e-3


@eager
def test_train_on_batch_carries_the_state():
    """Keras resets metrics in every `train_on_batch`; the states are not reset."""
    model, stateless = language_models()
    data = TBPTTDataset(STREAM, N, T)
    losses = [model.train_on_batch(x, y) for x, y in data]
    np.testing.assert_allclose(losses, manual_losses(stateless, data, 1), rtol=1e-5)


def test_reset_mask_clears_nan():
    layer = DeepRNN(H, stateful=True)
    layer(np.full((2, 3, 3), np.nan, "float32"))
    assert np.isfinite(layer(np.ones((2, 3, 3), "float32"), reset_mask=np.ones(2, bool))).all()


@eager
def test_loaded_model_evaluates_the_same(tmp_path):
    model, _ = language_models()
    data = TBPTTDataset(STREAM, N, T)
    model.fit(data, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(data, verbose=0) == model.evaluate(data, verbose=0)
    assert loaded.count_params() == model.count_params()


@pytest.mark.slow
def test_score_and_generate_ignore_the_carried_state():
    keras.utils.set_random_seed(0)
    model = LanguageModel("abc", H, 2, stateful=True)
    stateless = LanguageModel("abc", H, 2)
    stateless.set_weights(model.get_weights())
    text = "abcabbcac" * 10
    assert model.score(text).nats == pytest.approx(stateless.score(text).nats, rel=1e-6)
    assert model.generate("ab", 20, seed=3) == stateless.generate("ab", 20, seed=3)


@eager
def test_tokens_without_reset_mask_start_from_zero():
    (model, stateless), ids = language_models(), STREAMS[:, :T]
    for _ in range(2):
        assert_close(model(ids), stateless(ids).numpy(), 1e-6)
    losses = [one.fit(ids, ids, batch_size=1, epochs=2, shuffle=False, verbose=0) for one in (model, stateless)]
    np.testing.assert_allclose(*(one.history["loss"] for one in losses), rtol=1e-5)
    assert_close(model.predict(ids, verbose=0), stateless.predict(ids, verbose=0), 1e-5)


# === AR and TAR ===


@pytest.mark.parametrize("masked", [False, True])
def test_penalties_equal_numpy(rng, masked):
    x = rng.normal(size=(3, T, 2)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool) if masked else None
    layer = DeepRNN(H, 2, "gru", return_sequences=True, ar=2.0, tar=0.5)
    h = layer(x, mask=mask).numpy()
    assert layer.losses == []
    layer(x, mask=mask, training=True)
    valid = np.ones((3, T), bool) if mask is None else mask
    ar = np.mean(h[valid] ** 2)
    steps = (h[:, 1:] - h[:, :-1]) ** 2
    tar = np.mean(steps[valid[:, 1:] & valid[:, :-1]])
    assert float(layer.losses[0]) == pytest.approx(2 * ar + 0.5 * tar, rel=1e-5)


@eager
def test_penalties_apply_in_training_only():
    model = LanguageModel(V, H, ar=1.0, tar=1.0)
    model.compile(keras.optimizers.SGD(0.0), model.loss_function())
    data = TBPTTDataset(STREAM, N, T, reset_mask=False)
    history = model.fit(data, validation_data=data, shuffle=False, verbose=0).history
    assert history["loss"][0] > history["val_loss"][0] + 1e-4


# === Metrics, replicas, and compiled steps ===


@eager
def test_carried_states_add_no_metric():
    found = []
    for stateful in (False, True):
        model = keras.Sequential([keras.Input((T, 3)), DeepRNN(H, stateful=stateful), Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        model.fit(np.ones((4, T, 3)), np.ones((4, 1)), batch_size=2, shuffle=False, verbose=0)
        found.append((model.metrics_names, [type(metric) for metric in model.metrics]))
    assert found[0] == found[1]


@eager
def test_nested_stack_starts_every_epoch_and_evaluation_at_zero():
    inner = keras.Sequential([keras.Input((T, 3)), DeepRNN(H, stateful=True)])
    model = keras.Sequential([inner, Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = np.random.default_rng(0).normal(size=(4, T, 3)), np.ones((4, 1))
    losses = model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert losses[0] == losses[1]
    assert model.evaluate(x, y, batch_size=2, verbose=0) == model.evaluate(x, y, batch_size=2, verbose=0)
    first, second = (model.train_on_batch(x[:2], y[:2]) for _ in range(2))
    assert first != second  # carries the states on


REPLICAS = """
import keras, numpy as np, sys, tensorflow as tf
from deeprnn_keras import DeepRNN
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).normal(size=(16, 5, 2)).astype("float32")
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        stack = DeepRNN(4, 2, cell=["gru", "lstm"], stateful=True, implementation="loop")
        model = keras.Sequential([keras.Input((5, 2)), stack, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), "mse")
    y = x.sum((1, 2))
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, validation_data=(x, y)).history
    print(*history["loss"], *history["val_loss"])
"""


@pytest.mark.long
def test_two_replicas_equal_one_device():
    process = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    one, two = ([float(number) for number in line.split()] for line in process.stdout.splitlines())
    np.testing.assert_allclose(two, one, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 2])
def test_jit_compile_trains_with_a_known_batch_size_and_is_off_otherwise(batch_size):
    model = keras.Sequential([keras.Input((T, 3), batch_size=batch_size), DeepRNN(H, stateful=True), Dense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    assert model.jit_compile == (batch_size is not None)
    model.fit(np.ones((4, T, 3)), np.ones((4, 1)), batch_size=2, shuffle=False, verbose=0)


def test_jit_compile_of_a_layer_that_is_built_later_is_rejected():
    layer = DeepRNN(H, stateful=True)
    model = keras.Sequential([layer, Dense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    layer.build((None, T, 3))
    with pytest.raises(ValueError, match="the batch size must be known"):
        model.fit(np.ones((4, T, 3)), np.ones((4, 1)), batch_size=2, shuffle=False, verbose=0)
