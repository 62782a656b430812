"""Random models through every format: exact files or clear refusals."""

import keras
import numpy as np
import pytest
from exported_programs import assert_close, random_inputs

from deeprnn_keras import DeepRNN, export, lower
from deeprnn_keras.exporters.targets import FORMATS, find_target
from deeprnn_keras.exporters.verification import VerificationError
from deeprnn_keras.program.interpreter import Interpreter

pytestmark = pytest.mark.long

ACTIVATIONS = ("tanh", "relu", "sigmoid", "hard_sigmoid", "linear", "elu", "silu", "softplus")
CELLS = ("lstm", "gru", "rnn", "mlp_gate_lstm", "mlp_gate_gru", "rhn", "deep_transition_gru", "deep_transition_lstm")


def recurrent_layer(rng, last):
    """Return a random recurrent layer."""
    units = int(rng.integers(1, 9))
    if rng.random() < 0.4:
        kind = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)[rng.integers(3)]
        options = {"activation": str(rng.choice(ACTIVATIONS[:5])), "use_bias": bool(rng.random() < 0.8)}
        if kind is keras.layers.GRU:
            options["reset_after"] = bool(rng.random() < 0.5)
        layer = kind(units, return_sequences=not last, **options)
        return keras.layers.Bidirectional(layer) if rng.random() < 0.2 else layer
    count = int(rng.integers(1, 4))
    options = {"connection": str(rng.choice(["stack", "residual", "skip"])), "bidirectional": bool(rng.random() < 0.2)}
    if rng.random() < 0.3:
        options["dilation"] = [int(rate) for rate in rng.integers(1, 4, count)]
    cell = str(rng.choice(CELLS))
    return DeepRNN(units, count, cell, return_sequences=not last, implementation="loop", **options)


def random_model(seed):
    """Return a model of 1 to 3 recurrent layers with other layers between them."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    if rng.random() < 0.4:
        layers = [keras.Input((None,), dtype="int32"), keras.layers.Embedding(7, int(rng.integers(1, 6)))]
    else:
        layers = [keras.Input((None, int(rng.integers(1, 6))))]
    count = int(rng.integers(1, 4))
    for number in range(count):
        layers.append(recurrent_layer(rng, last=number == count - 1 and rng.random() < 0.4))
        between = (keras.layers.LayerNormalization(), keras.layers.Dropout(0.5), keras.layers.Activation("elu"))
        layers += [between[rng.integers(3)]] if rng.random() < 0.5 else []
    model = keras.Sequential([*layers, keras.layers.Dense(int(rng.integers(1, 9)), str(rng.choice(ACTIVATIONS)))])
    for weight in model.weights:
        if weight.shape and not np.any(weight.numpy()):
            weight.assign(rng.normal(size=weight.shape, scale=0.3))
    return model


@pytest.mark.parametrize("seed", range(200))
def test_files_are_exact_or_refused(seed, tmp_path):
    """The program equals Keras, and each file equals the program."""
    model, rng = random_model(seed), np.random.default_rng(1000 + seed)
    program = lower(model)
    inputs = random_inputs(program, 2, 7)
    x = inputs[0].astype("int32") if program.inputs[0].ids else inputs[0]
    assert_close(Interpreter(program).run(inputs)[0], [model(x).numpy()], atol=1e-4)
    for format in FORMATS:
        options = {"streaming": bool(rng.random() < 0.5), "quantize": "int8" if rng.random() < 0.2 else None}
        path = tmp_path / f"model{find_target(tmp_path, format).suffix}"
        try:
            report = export(program, path, format=format, **options)
        except VerificationError:
            raise
        except ValueError as error:  # a refusal
            assert any(part in str(error) for part in ("has no single step", "not supported")), error
        else:
            assert path.exists() and (options["quantize"] or report.max_abs_error < 1e-3)
