"""Files that Keras 2 itself wrote, compared with its own predictions."""

import importlib
import zipfile

import numpy as np
import pytest

from deeprnn_keras import interop

pytestmark = pytest.mark.long
D, H, T = 3, 4, 6


@pytest.fixture(scope="module")
def k2():
    return pytest.importorskip("tf_keras")


def ids(k2):
    return np.array([[3, 1, 5, 2, 4, 1], [4, 2, 0, 0, 0, 0]])


def values(k2):
    return np.random.default_rng(0).normal(size=(2, T, D)).astype("float32")


def language_model(k2):
    layers = k2.layers
    return ids, k2.Sequential(
        [
            layers.Embedding(7, D, mask_zero=True, input_length=T),
            layers.LSTM(H, return_sequences=True, dropout=0.1, recurrent_activation="hard_sigmoid", implementation=1),
            layers.LSTM(H, return_sequences=True, go_backwards=True, unit_forget_bias=False),
            layers.TimeDistributed(layers.Dense(7, activation="softmax")),
        ]
    )


def gated(k2):
    layers, x = k2.layers, k2.Input((T, D))
    parts = [
        layers.GRU(H, reset_after=False, recurrent_activation="hard_sigmoid")(x),
        layers.GRU(H, use_bias=False)(x),
        layers.GRU(H, activation="relu", kernel_regularizer="l2", kernel_constraint="max_norm")(x),
        layers.SimpleRNN(H, activation="hard_sigmoid")(x),
    ]
    return values, k2.Model(x, layers.Concatenate()(parts))


def merge_modes(k2):
    layers, x = k2.layers, k2.Input((None, D))
    masked = layers.Masking(-1.0)(x)
    outputs = []
    for mode in ("concat", "sum", "mul", "ave", None):
        result = layers.Bidirectional(layers.LSTM(H, return_sequences=True), merge_mode=mode)(masked)
        outputs += result if mode is None else [result]
    backward = layers.GRU(H, go_backwards=True, activation="relu")
    outputs.append(layers.Bidirectional(layers.GRU(H), backward_layer=backward)(masked))

    def with_mask(k2):
        x = values(k2)
        x[1, 3:] = -1
        return x

    return with_mask, k2.Model(x, outputs)


def convolutional(k2):
    layers = k2.layers
    return values, k2.Sequential(
        [
            k2.Input((T, D)),
            layers.Conv1D(H, 2, padding="causal", activation="relu"),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.1),
            layers.SpatialDropout1D(0.2),
            layers.Bidirectional(layers.GRU(H, return_sequences=True)),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2, activation="hard_sigmoid"),
        ]
    )


def stacked_cells(k2):
    layers, x = k2.layers, k2.Input((T, D))
    cells = [layers.LSTMCell(H), layers.GRUCell(2), layers.SimpleRNNCell(3)]
    outputs = layers.RNN(layers.StackedRNNCells(cells), return_sequences=True, return_state=True)(x)
    return values, k2.Model(x, [one for one in outputs if hasattr(one, "shape")])


def encoder_and_decoder(k2):
    layers, x = k2.layers, k2.Input((T, D))
    inner_x = k2.Input((H,))
    head = k2.Model(inner_x, layers.Dense(2)(layers.BatchNormalization(trainable=False)(layers.Dense(3)(inner_x))))
    _, *states = layers.LSTM(H, return_state=True)(x)
    y = layers.LSTM(H, return_sequences=True)(x, initial_state=states)
    context = layers.Attention()([y, y])
    return values, k2.Model(x, [layers.TimeDistributed(head)(y), head(layers.GlobalAveragePooling1D()(context))])


def time_major(k2):
    layers, x = k2.layers, k2.Input(batch_shape=(2, T, D))
    outputs = [
        layers.LSTM(H, time_major=True, return_sequences=True)(x),
        layers.Bidirectional(layers.GRU(H, time_major=True))(x),
    ]
    return values, k2.Model(x, outputs)


def cudnn(k2):
    cudnn = importlib.import_module("tf_keras.src.layers")
    x = k2.Input((T, D))
    y = cudnn.CuDNNLSTM(H, return_sequences=True)(x)
    return values, k2.Model(x, k2.layers.Bidirectional(cudnn.CuDNNGRU(H))(y))


MODELS = (language_model, gated, merge_modes, convolutional, stacked_cells, encoder_and_decoder, time_major, cudnn)


def randomized(model):
    """Assign random weights, so that zeros and ones of the initializers hide no error."""
    rng = np.random.default_rng(1)
    model.set_weights([np.abs(rng.normal(size=one.shape)) * 0.3 + 0.1 for one in model.get_weights()])


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_model_equals_keras_2(build, k2, tmp_path):
    inputs, model = build(k2)
    x = inputs(k2)
    model.build(x.shape)
    randomized(model)
    path = tmp_path / "model.h5"
    model.save(path)
    loaded = interop.load(path)
    certificate = interop.verify(loaded, path)
    assert certificate.reference == f"tf_keras {k2.__version__}" and certificate.max_abs_error < 1e-6
    if build is not cudnn:  # which runs on GPUs only
        expected, actual = model(x), loaded(x)
        for one, other in zip(*(v if isinstance(v, (list, tuple)) else [v] for v in (expected, actual)), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-6)


@pytest.mark.parametrize("form", ["json", "keras", "zip"])
def test_other_forms_equal_keras_2(form, k2, tmp_path):
    inputs, model = convolutional(k2)
    randomized(model)
    path = tmp_path / "model.keras"
    model.save(path)
    if form == "json":
        path = tmp_path / "model.json"
        path.write_text(model.to_json())
        model.save_weights(tmp_path / "model.h5")
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
            archive.write(path, "inner/model.keras")
        path = tmp_path / "model.zip"
    np.testing.assert_allclose(interop.load(path)(inputs(k2)), model(inputs(k2)), atol=1e-6)
