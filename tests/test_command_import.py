"""`deeprnn import`: files, options, and errors before TensorFlow is imported."""

import json

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file
from test_command import deeprnn, error_of

from deeprnn_keras import Program, interop
from deeprnn_keras.models import load_model

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture
def state_dict(rng, tmp_path):
    """Return the path of a PyTorch state dict, a GRU of two layers."""
    shapes = {"weight_ih_l0": (12, 3), "weight_hh_l0": (12, 4), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    shapes |= {"weight_ih_l1": (12, 4), "weight_hh_l1": (12, 4), "bias_ih_l1": (12,), "bias_hh_l1": (12,)}
    path = tmp_path / "gru.safetensors"
    save_file({name: rng.normal(scale=0.4, size=shape).astype("float32") for name, shape in shapes.items()}, path)
    return path


@pytest.fixture
def keras_file(tmp_path):
    layers = [keras.layers.LSTM(4, return_sequences=True), keras.layers.LSTM(3), keras.layers.Dense(1)]
    keras.Sequential([keras.Input((None, 3)), *layers], name="sensor").save(tmp_path / "stock.keras")
    return tmp_path / "stock.keras"


def test_state_dict_becomes_a_keras_file_and_a_program(rng, state_dict, tmp_path):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    expected = interop.load(state_dict)(x)
    result = deeprnn("import", state_dict, tmp_path / "gru.keras")
    assert result.exit_code == 0, result.output
    assert "weight_hh_l1" in result.output and f"Saved to {tmp_path / 'gru.keras'}" in result.output
    np.testing.assert_allclose(load_model(tmp_path / "gru.keras")(x), expected, atol=1e-6)
    certificate = json.loads((tmp_path / "gru.keras.certificate.json").read_text())
    assert certificate["passed"] and certificate["max_abs_error"] < 1e-5
    assert deeprnn("import", state_dict, tmp_path / "gru.program.safetensors", "--last-step").exit_code == 0
    assert Program.load(tmp_path / "gru.program.safetensors").final


@pytest.mark.slow
def test_layers_of_keras_are_replaced_unless_they_are_kept(keras_file, tmp_path):
    for options, count in (([], 1), (["--keep-layers"], 2)):
        target = tmp_path / f"ours_{count}.keras"
        result = deeprnn("import", keras_file, target, *options)
        assert result.exit_code == 0, result.output
        assert len(load_model(target).layers) == count + 1
        assert ("lstm_" in result.output and "(DeepRNN, 2 layers)" in result.output) == (not options)


def test_weights_alone_are_saved_without_a_certificate(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(4)])
    model.save(tmp_path / "empty.keras")
    model.set_weights([np.full(one.shape, 0.1, "float32") for one in model.weights])
    model.save_weights(tmp_path / "gru.weights.h5")
    arguments = ["import", tmp_path / "gru.weights.h5", tmp_path / "ours.keras", "--into", tmp_path / "empty.keras"]
    assert "pass --no-verify to save the model without a certificate" in error_of(*arguments)
    result = deeprnn(*arguments, "--no-verify")
    assert result.exit_code == 0, result.output
    x = np.ones((2, 5, 3), "float32")
    np.testing.assert_allclose(load_model(tmp_path / "ours.keras")(x), model(x), atol=1e-6)
    assert not list(tmp_path.glob("*certificate*"))


def test_list_writes_nothing(keras_file, tmp_path):
    result = deeprnn("import", keras_file, tmp_path / "ours.keras", "--list")
    assert result.exit_code == 0 and "kernel" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stock.keras"]


def test_errors_are_reported_before_the_model_is_loaded(state_dict, tmp_path):
    assert "TARGET must be a .keras or a .safetensors file, got" in error_of("import", state_dict, tmp_path / "gru.h5")
    assert "exists; pass another path or --overwrite" in error_of("import", state_dict, state_dict)
    assert "does not exist" in error_of("import", state_dict, tmp_path / "missing" / "gru.keras")
    assert "SOURCE" in error_of("import", tmp_path / "missing.h5", tmp_path / "gru.keras")
    (tmp_path / "text.h5").write_text("no weights")
    assert "text.h5" in error_of("import", tmp_path / "text.h5", tmp_path / "gru.keras")
    assert not (tmp_path / "gru.keras").exists()
