"""`AudioEffect`: values against layers of Keras, carried states, files, and programs."""

import functools
import json

import keras
import numpy as np
import pytest
from refusals import outcome

from deeprnn_keras import AudioEffect, Recipe, Stream, TBPTTDataset, export, interop, lower, zoo
from deeprnn_keras.models import ErrorToSignal, load_model


@functools.cache
def small(**options):
    """Return a model with 5 units; do not change it."""
    keras.utils.set_random_seed(5)
    return AudioEffect(5, name="amp", **{"sample_rate": 50, **options})


def audio(rng, model, n=2, steps=9):
    return rng.normal(size=(n, steps, model.inputs[0].shape[-1])).astype("float32")


@pytest.mark.parametrize(("cell", "inputs", "skip"), [("lstm", 1, True), ("lstm", 3, True), ("gru", 3, False)])
@pytest.mark.parametrize(("n", "steps"), [(2, 9), (1, 1)])
def test_outputs_are_those_of_layers_of_keras(cell, inputs, skip, n, steps, rng):
    model = small(cell=cell, inputs=inputs, skip=skip)
    x = audio(rng, model, n, steps)
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    *recurrent, kernel, bias = model.get_weights()
    layer = kind(5, return_sequences=True)
    layer.build(x.shape)
    layer.set_weights(recurrent)
    expected = np.asarray(layer(x)) @ kernel + bias + (x[..., :1] if skip else 0)
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    np.testing.assert_allclose(Stream(lower(model), n).push(x), expected, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"inputs": 2, "learned_initial_state": True, "dtype": "mixed_float16"}])
def test_files_and_configuration(options, tmp_path, rng):
    model = small(**options)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config() and (loaded.skip, loaded.sample_rate) == (True, 50)
    json.dumps(model.get_config())
    x = audio(rng, model)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert model.output.dtype == "float32"


def test_states_are_carried_from_window_to_window(rng):
    model = small(stateful=True)
    x = audio(rng, model, steps=8)
    whole = np.asarray(model(x))
    halves = [model([x[:, :4], np.ones(2, "bool")]), model([x[:, 4:], np.zeros(2, "bool")])]
    np.testing.assert_allclose(np.concatenate(halves, 1), whole, atol=1e-6)
    np.testing.assert_allclose(model(x), whole, atol=1e-6)  # without a mask, the states are reset


@pytest.mark.usefixtures("eager")
def test_training_reduces_the_error(rng):
    model = AudioEffect(3, stateful=True)
    recipe = Recipe("adam", 0.05, batch_size=2, bptt=16, stateful=True)
    recipe.compile(model, model.loss_function(), model.metric_functions())
    x = rng.normal(size=(96, 1)).astype("float32")
    data = TBPTTDataset(x, 2, 16, targets=np.tanh(2 * x))
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
    assert history["esr"][-1] < 0.9 * history["esr"][0] and history["loss"][-1] < history["loss"][0]
    assert isinstance(model.loss, ErrorToSignal)


# === Programs and files ===


@pytest.mark.parametrize("inputs", [1, 3])
@pytest.mark.parametrize("suffix", [".py", ".onnx"])
def test_skip_connection_is_exported(suffix, inputs, tmp_path):
    model = small(inputs=inputs)
    report = export(model, tmp_path / f"amp{suffix}")
    assert report.max_abs_error < 1e-6
    assert lower(model).attributes == {"kind": "audio", "sample_rate": 50, "skip": True}


@pytest.mark.parametrize(("suffix", "cell"), [(".nam", "lstm"), (".json", "lstm"), (".json", "gru")])
def test_plugin_files(suffix, cell, tmp_path, rng):
    with pytest.raises(ValueError, match=r"skip connection .* such files cannot; use skip=False"):
        export(small(cell=cell), tmp_path / f"amp{suffix}")
    model = small(cell=cell, skip=False)
    assert export(model, tmp_path / f"amp{suffix}").max_abs_error < 1e-6
    if suffix == ".json":
        return
    loaded = interop.load(tmp_path / "amp.nam")
    assert isinstance(loaded, AudioEffect) and (loaded.sample_rate, loaded.skip) == (50, False)
    x = audio(rng, model)
    after_silence = np.pad(x, [[0, 0], [50, 0], [0, 0]])
    np.testing.assert_allclose(loaded(x), np.asarray(model(after_silence))[:, 50:], atol=1e-6)
    for into, message in (
        (small(learned_initial_state=True), "adds the dry signal .*; build it with skip=False"),
        (small(learned_initial_state=True, skip=False, sample_rate=60), "is 50 Hz, but that of into 'amp' is 60 Hz"),
    ):
        with pytest.raises(ValueError, match=message):
            interop.load(tmp_path / "amp.nam", into=into)


# === Zoo and refusals ===


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("amp_lstm_1x16", 4 * (1 * 16 + 16 * 16 + 16) + 16 + 1),
        ("amp_lstm_2x16", 4 * (1 * 16 + 16 * 16 + 16) + 4 * (16 * 16 + 16 * 16 + 16) + 16 + 1),
        ("amp_lstm_1x40", 4 * (1 * 40 + 40 * 40 + 40) + 40 + 1),
        ("amp_gru_1x32", 3 * (1 * 32 + 32 * 32 + 2 * 32) + 32 + 1),
    ],
)
def test_counts_of_the_zoo(name, count):
    assert zoo.count_params(name) == zoo.info(name).build_model().count_params() == count


def test_refusals():
    cases = [
        ({"bidirectional": True}, "bidirectional=True is not supported by AudioEffect"),
        ({"go_backwards": True}, "go_backwards=True is not supported"),
        ({"return_state": True}, "return_state=True is not supported"),
        ({"inputs": 0}, "inputs must be a positive integer"),
        ({"sample_rate": 44_100.5}, "sample_rate must be a positive integer"),
        ({"units": 10**9}, "memory"),
    ]
    wrong = [
        f"{options}: {found}"
        for options, message in cases
        if (found := outcome(lambda options=options: AudioEffect(**{"units": 4, **options}), message))
    ]
    assert not wrong, "\n".join(wrong)
