"""Perplexity and bits per character over whole epochs, compared with NumPy."""

import math

import keras
import numpy as np
import pytest

from deeprnn_keras import LanguageModel
from deeprnn_keras.training.metrics import BitsPerCharacter, Perplexity

pytestmark = pytest.mark.usefixtures("eager")

T, V = 6, 5
METRICS = [Perplexity, BitsPerCharacter]


def nats_of(targets, logits):
    """Return -log softmax(logits)[target] in float64."""
    logits = logits.astype("float64")
    shifted = logits - logits.max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, targets[..., None], -1)[..., 0]


def expected_result(metric, mean):
    return math.exp(mean) if metric is Perplexity else mean / math.log(2)


def batches_of(rng, sizes, shape=(T,)):
    return [
        (rng.integers(0, V, size=(n, *shape)), rng.normal(size=(n, *shape, V), scale=3).astype("float32"))
        for n in sizes
    ]


# === Without a model ===


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(T,), ()], ids=["per step", "per row"])
def test_sums_over_unequal_batches(rng, metric, shape):
    parts, got = batches_of(rng, [4, 1, 7], shape), metric()
    for targets, logits in parts:
        got.update_state(targets, logits)
    nats = [nats_of(*part) for part in parts]
    assert float(got.result()) == pytest.approx(expected_result(metric, np.concatenate(nats).mean()), rel=1e-6)
    of_batches = np.mean([expected_result(metric, part.mean()) for part in nats])
    assert abs(float(got.result()) - of_batches) > 1e-3  # the mean of the results of the batches differs


@pytest.mark.parametrize("metric", METRICS)
def test_probabilities(rng, metric):
    ((targets, logits),) = batches_of(rng, [5])
    probabilities = np.asarray(keras.ops.softmax(logits))
    got = metric(from_logits=False)
    got.update_state(targets, probabilities)
    assert float(got.result()) == pytest.approx(expected_result(metric, nats_of(targets, logits).mean()), rel=1e-5)
    got.update_state(np.array([0]), np.array([[0.0, 1.0]]))
    assert float(got.result()) == math.inf  # the target has probability 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, T)])
def test_weights(rng, metric, shape):
    ((targets, logits),) = batches_of(rng, [4])
    weights = rng.uniform(0.1, 3, size=shape)
    got = metric()
    got.update_state(targets, logits, sample_weight=weights)
    full = np.broadcast_to(weights if weights.ndim == 2 else weights[:, None], targets.shape)
    expected = np.average(nats_of(targets, logits), weights=full)
    assert float(got.result()) == pytest.approx(expected_result(metric, expected), rel=1e-6)


def test_weights_of_rows(rng):
    ((targets, logits),) = batches_of(rng, [4], ())
    weights = np.array([0.0, 1.0, 2.5, 0.5])
    got = BitsPerCharacter()
    got.update_state(targets, logits, sample_weight=weights)
    assert float(got.result()) == pytest.approx(
        np.average(nats_of(targets, logits), weights=weights) / math.log(2), rel=1e-6
    )


@pytest.mark.parametrize("metric", METRICS)
def test_steps_of_weight_zero_may_be_invalid(rng, metric):
    ((targets, logits),) = batches_of(rng, [3])
    weights = np.ones((3, T))
    weights[:, 4:] = 0
    expected = expected_result(metric, nats_of(targets, logits)[:, :4].mean())
    targets[:, 4:], logits[:, 4], logits[:, 5] = -1, np.nan, np.inf
    got = metric()
    got.update_state(targets, logits, sample_weight=weights)
    assert float(got.result()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.filterwarnings("error")
def test_batch_without_steps_is_ignored(rng, metric):
    ((targets, logits),) = batches_of(rng, [2])
    got = metric()
    assert math.isnan(float(got.result()))
    got.update_state(targets, logits, sample_weight=np.zeros((2, T)))
    assert math.isnan(float(got.result()))
    got.update_state(targets, logits)
    assert float(got.result()) == pytest.approx(expected_result(metric, nats_of(targets, logits).mean()), rel=1e-6)
    got.reset_state()
    assert math.isnan(float(got.result()))


@pytest.mark.filterwarnings("error")
def test_overflowing_perplexity_is_infinite():
    logits = np.array([[0.0, 200.0]], "float32")
    perplexity, bits = Perplexity(), BitsPerCharacter()
    for metric in (perplexity, bits):
        metric.update_state(np.array([0]), logits)
    assert float(perplexity.result()) == math.inf
    assert float(bits.result()) == pytest.approx(200 / math.log(2))


def test_half_precision_outputs_are_summed_in_float32(rng):
    """The sums of 40,000 steps of 6 nats are not representable in float16."""
    logits = np.tile(np.array([0.0, 6.0], "float16"), (200, 200, 1))
    got = BitsPerCharacter()
    got.update_state(np.zeros((200, 200), int), keras.ops.convert_to_tensor(logits))
    assert got.total.dtype == got.count.dtype == "float32"
    assert float(got.result()) == pytest.approx((6 + math.log1p(math.exp(-6))) / math.log(2), rel=1e-5)


def test_float64_counts_beyond_2_to_the_24():
    got = BitsPerCharacter(dtype="float64")
    got.count.assign(2.0**24)
    got.update_state(np.array([0]), np.zeros((1, 2)))
    assert float(got.count) == 2.0**24 + 1


# === In a model ===


def model_of(metrics=(), weighted_metrics=(), mask_zero=True):
    model = keras.Sequential(
        [
            keras.Input((T,), dtype="int32"),
            keras.layers.Embedding(V, 4, mask_zero=mask_zero),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Dense(V),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=list(metrics), weighted_metrics=list(weighted_metrics))
    return model


def padded(rng, n):
    """Return ids padded with zeros, one row all zeros, and targets for all steps."""
    x, y = rng.integers(1, V, size=(n, T)), rng.integers(0, V, size=(n, T))
    for row, length in enumerate(rng.integers(1, T + 1, size=n)):
        x[row, length:] = 0
    x[2] = 0
    return x, y


@pytest.mark.parametrize("mask_zero", [True, False])
def test_masked_steps_are_excluded_in_fit_and_evaluate(rng, mask_zero):
    model = model_of([Perplexity(), BitsPerCharacter()], mask_zero=mask_zero)
    x, y = padded(rng, 11)
    nats = nats_of(y, np.asarray(model(x)))
    mean = nats[x > 0].mean() if mask_zero else nats.mean()
    got = model.evaluate(x, y, batch_size=4, return_dict=True, verbose=0)
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0).history  # the learning rate is 0
    for logs in (got, {key: values[1] for key, values in history.items()}):
        assert logs["perplexity"] == pytest.approx(math.exp(mean), rel=1e-5)
        assert logs["bits_per_character"] == pytest.approx(mean / math.log(2), rel=1e-5)


def test_masks_and_weights_together(rng):
    model = model_of(weighted_metrics=[Perplexity()])
    x, y = padded(rng, 9)
    nats = nats_of(y, np.asarray(model(x)))
    for weights in (rng.uniform(0, 2, size=(9, 1)), rng.uniform(0, 2, size=(9, T))):
        got = model.evaluate(x, y, sample_weight=weights, batch_size=4, return_dict=True, verbose=0)
        expected = np.average(nats, weights=weights * (x > 0))
        assert got["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    metric = Perplexity()  # Keras' losses do not support weights (n,) with a mask (n, T)
    metric.update_state(y, model(x), sample_weight=weights[:, 0])
    expected = np.average(nats, weights=weights[:, :1] * (x > 0))
    assert float(metric.result()) == pytest.approx(math.exp(expected), rel=1e-5)


def test_fully_masked_batch_is_ignored(rng):
    model = model_of([Perplexity(), BitsPerCharacter()])
    x, y = padded(rng, 8)
    x[:4] = 0
    nats = nats_of(y, np.asarray(model(x)))
    got = model.evaluate(x, y, batch_size=4, return_dict=True, verbose=0)
    assert got["perplexity"] == pytest.approx(math.exp(nats[x > 0].mean()), rel=1e-5)
    got = model.evaluate(np.zeros_like(x), y, batch_size=4, return_dict=True, verbose=0)
    assert math.isnan(got["perplexity"]) and math.isnan(got["bits_per_character"])


def test_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = model_of([BitsPerCharacter()])
    finally:
        keras.config.set_dtype_policy("float32")
    x, y = padded(rng, 8)
    logits = model(x)
    assert keras.backend.standardize_dtype(logits.dtype) == "float16"
    expected = nats_of(y, np.asarray(logits))[x > 0].mean() / math.log(2)
    got = model.evaluate(x, y, batch_size=3, return_dict=True, verbose=0)
    assert got["bits_per_character"] == pytest.approx(expected, rel=1e-3)
    assert {variable.dtype for variable in model.metrics_variables} == {"float32"}


def test_saved_and_loaded_compiled_model(rng, tmp_path):
    model = model_of([Perplexity(name="ppl", dtype="float64"), BitsPerCharacter()])
    x, y = padded(rng, 6)
    before = model.evaluate(x, y, return_dict=True, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, return_dict=True, verbose=0) == pytest.approx(before, rel=1e-6)
    assert set(before) == {"loss", "ppl", "bits_per_character"}


def test_language_model(rng):
    model = LanguageModel("abcd", units=6)
    model.compile("adam", model.loss_function(), metrics=[Perplexity(), BitsPerCharacter()])
    ids = rng.integers(0, 4, size=(6, 9))
    logs = model.evaluate(ids[:, :-1], ids[:, 1:], batch_size=3, return_dict=True, verbose=0)
    assert logs["perplexity"] == pytest.approx(math.exp(logs["loss"]), rel=1e-5)
    assert logs["bits_per_character"] == pytest.approx(logs["loss"] / math.log(2), rel=1e-5)


def test_early_stopping_infers_the_direction(rng):
    model = model_of([Perplexity()])
    x, y = padded(rng, 8)
    stop = keras.callbacks.EarlyStopping("val_perplexity", patience=5)
    model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[stop])
    assert stop.monitor_op(1.0, 2.0) and not stop.monitor_op(2.0, 1.0)


@pytest.mark.parametrize("metric", METRICS)
def test_configuration_round_trip(metric):
    config = metric(from_logits=False, name="a", dtype="float64").get_config()
    assert config == {"from_logits": False, "name": "a", "dtype": "float64"}
    restored = keras.metrics.deserialize(keras.metrics.serialize(metric.from_config(config)))
    assert type(restored) is metric and restored.get_config() == config


# === Errors ===


@pytest.mark.parametrize("metric", METRICS)
def test_float16_sums_are_not_supported(metric):
    with pytest.raises(ValueError, match="unknown dtype 'float16'"):
        metric(dtype="float16")


@pytest.mark.parametrize(
    ("targets", "weights", "message"),
    [
        (np.zeros((2, T, 3), int), None, r"y_true must have shape .* got y_true \(2, 6, 3\) and y_pred \(2, 6, 5\)"),
        (np.zeros(2, int), None, r"y_true must have shape .* got y_true \(2,\) and y_pred \(2, 6, 5\)"),
        (np.zeros((2, T), int), np.ones((2, T, 3)), r"sample_weight must have at most 2 axes, as y_true has"),
    ],
)
def test_mismatched_shapes(targets, weights, message):
    with pytest.raises(ValueError, match=message):
        Perplexity().update_state(targets, np.zeros((2, T, V)), sample_weight=weights)
