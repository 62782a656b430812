"""Cells of tensorflow-addons in Keras 2 files, compared with their equations in NumPy."""

import io
import json
import zipfile
from functools import partial

import h5py
import keras
import numpy as np
import pytest
from cell_oracles import addons_layer_norm_lstm, addons_peephole_lstm
from keras2_files import input_layer, layer, save, sequential

from deeprnn_keras import convert, interop
from deeprnn_keras.cells import LayerNormLSTMCell
from deeprnn_keras.layers import DeepRNN

D, H, T = 3, 4, 5
PEEPHOLE, LAYER_NORM = "Addons>PeepholeLSTMCell", "Addons>LayerNormLSTMCell"
STEPS = {PEEPHOLE: addons_peephole_lstm, "PeepholeLSTMCell": addons_peephole_lstm, LAYER_NORM: addons_layer_norm_lstm}
NORMS = ("kernel_norm", "recurrent_norm", "state_norm")


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def cell(class_name, units=H, **config):
    """Return the configuration of a cell as tensorflow-addons stores it."""
    common = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "unit_forget_bias": True}
    common |= {"implementation": 2, "dropout": 0.1, "recurrent_dropout": 0.2, "kernel_regularizer": None}
    if class_name == LAYER_NORM:
        ones = {"class_name": "Ones", "config": {}}
        common |= {"norm_gamma_initializer": ones, "norm_beta_initializer": ones, "norm_epsilon": 1e-3}
    return layer(class_name, f"cell_{units}", units=units, **{**common, **config})


def shapes(one, inputs, prefix=""):
    """Return the shapes of the arrays of a cell, in the order of its file."""
    units = one["config"]["units"]
    found = {"kernel": (inputs, 4 * units), "recurrent_kernel": (units, 4 * units)}
    found |= {"bias": (4 * units,)} if one["config"]["use_bias"] else {}
    if one["class_name"] == LAYER_NORM:
        widths = zip(NORMS, (4 * units, 4 * units, units), strict=True)
        found |= {f"{norm}/{name}": (width,) for norm, width in widths for name in ("gamma", "beta")}
    else:
        found |= {f"{gate}_gate_peephole_weights": (units,) for gate in ("input", "forget", "output")}
    return {f"{prefix}{name}": shape for name, shape in found.items()}


def run(cells, weights, x):
    """Return the outputs of all steps of cells above each other.

    Args:
        cells: Their configurations.
        weights: For each, {name: array}.
        x: (n, T, d).
    """
    for one, arrays in zip(cells, weights, strict=True):
        config = one["config"]
        step = partial(STEPS[one["class_name"]], w=arrays)
        if config["recurrent_activation"] == "hard_sigmoid":
            step = partial(step, s=hard_sigmoid)
        if "norm_epsilon" in config:
            step = partial(step, epsilon=config["norm_epsilon"])
        states, outputs = [np.zeros((len(x), config["units"]))] * 2, []
        for t in range(x.shape[1]):
            states = step(x[:, t], states)
            outputs.append(states[0])
        x = np.stack(outputs, axis=1)
    return x


HARD = {"recurrent_activation": "hard_sigmoid"}
STACKS = {
    "peephole": [cell(PEEPHOLE, **HARD)],
    "layer norm": [cell(LAYER_NORM, norm_epsilon=0.1)],
    "layer norm, hard sigmoid, no bias": [cell(LAYER_NORM, use_bias=False, **HARD)],
    "stacked": [cell("PeepholeLSTMCell"), cell(LAYER_NORM, 3), cell(PEEPHOLE, 2, use_bias=False)],
}


def written(path, cells, **config):
    """Write a model of one layer with cells, and return {name: array} of each cell."""
    stacked = layer("StackedRNNCells", "stacked", cells=cells)
    rnn = layer("RNN", "rnn", cell=cells[0] if len(cells) == 1 else stacked, return_sequences=True, **config)
    widths = [D, *(one["config"]["units"] for one in cells)]
    each = [shapes(one, width) for one, width in zip(cells, widths, strict=False)]
    names = [f"{number}/{name}" for number, one in enumerate(each) for name in one]
    flat = dict(zip(names, (shape for one in each for shape in one.values()), strict=True))
    arrays = iter(save(path, {"rnn": flat}, sequential(input_layer("x", T, D), rnn))["rnn"])
    return [{name: next(arrays) for name in one} for one in each]


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, T, D)).astype("float32")


@pytest.mark.parametrize("name", STACKS)
def test_values_equal_the_equations_of_tensorflow_addons(name, x, tmp_path):
    path, cells = tmp_path / "model.h5", STACKS[name]
    weights = written(path, cells)
    model = interop.load(path)
    np.testing.assert_allclose(model(x), run(cells, weights, x), atol=1e-6)
    certificate = interop.verify(model, path)
    assert certificate.reference == "NumPy" and certificate.max_abs_error < 1e-6
    notes = interop.inspect(path).notes
    assert any("zeros are assigned" in note for note in notes) == (name == "stacked")
    assert (model.get_layer("rnn").cell.dropout if len(cells) == 1 else 0.1) == 0.1


def test_bidirectional_layer_becomes_one_of_this_package(x, tmp_path):
    one = cell(LAYER_NORM, **HARD)
    inner = layer("RNN", "rnn", cell=one, return_sequences=True, go_backwards=False)
    weights = {"both": {**shapes(one, D, "forward_rnn/"), **shapes(one, D, "backward_rnn/")}}
    config = sequential(input_layer("x", T, D), layer("Bidirectional", "both", layer=inner, merge_mode="sum"))
    arrays = save(tmp_path / "model.h5", weights, config)["both"]
    names = list(shapes(one, D))
    forward, backward = (dict(zip(names, part, strict=True)) for part in (arrays[:9], arrays[9:]))
    expected = run([one], [forward], x) + run([one], [backward], x[:, ::-1])[:, ::-1]
    model = interop.load(tmp_path / "model.h5")
    np.testing.assert_allclose(model(x), expected, atol=1e-6)
    np.testing.assert_allclose(convert(model)(x), expected, atol=1e-6)


def test_keras_file_of_keras_2(x, rng, tmp_path):
    """A `.keras` file has one group for each normalization, and the registered name beside that of the class."""
    one = {**cell(LAYER_NORM), "registered_name": LAYER_NORM}
    weights = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes(one, D).items()}
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in weights.items():
            group = f"layers/rnn/cell/{name.rpartition('/')[0]}/vars".replace("//", "/")
            file[f"{group}/{len(file.get(group, ()))}"] = array
    rnn = layer("RNN", "rnn", cell={**one, "class_name": "LayerNormLSTMCell"}, return_sequences=True)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", json.dumps(sequential(input_layer("x", T, D), rnn)))
        archive.writestr("model.weights.h5", content.getvalue())
    model = interop.load(tmp_path / "model.keras")
    np.testing.assert_allclose(model(x), run([one], [weights], x), atol=1e-6)
    certificate = interop.verify(model, tmp_path / "model.keras")
    assert certificate.reference == "NumPy" and certificate.max_abs_error < 1e-6


def test_weights_into_a_given_layer(x, tmp_path):
    one = cell(PEEPHOLE)
    save(tmp_path / "w.h5", {"other": shapes(one, D)})
    deep_rnn = DeepRNN(H, cell="peephole_lstm", return_sequences=True)
    deep_rnn.build((None, None, D))
    interop.load(tmp_path / "w.h5", into=deep_rnn)
    with h5py.File(tmp_path / "w.h5") as file:
        weights = {name: file[f"other/other/{name}:0"][()] for name in shapes(one, D)}
    np.testing.assert_allclose(deep_rnn(x), run([one], [weights], x), atol=1e-6)
    other = keras.Sequential([keras.Input((T, D)), keras.layers.RNN(LayerNormLSTMCell(H))])
    with pytest.raises(ValueError, match=r"w\.h5: cell .* must be a LayerNormLSTMCell with normalized_state=True"):
        interop.load(tmp_path / "w.h5", into=other)


def test_one_error_lists_missing_unused_and_misshaped_entries(tmp_path):
    path = tmp_path / "model.h5"
    written(path, [cell(PEEPHOLE)])
    with h5py.File(path, "r+") as file:
        group = file["model_weights/rnn/rnn/0"]
        del group["forget_gate_peephole_weights:0"], group["output_gate_peephole_weights:0"]
        group["output_gate_peephole_weights:0"] = np.zeros(H + 1, "float32")
        group["extra:0"] = np.zeros(H, "float32")
    message = (
        r"missing: model_weights/rnn/rnn/0/forget_gate_peephole_weights:0; unused: model_weights/rnn/rnn/0/extra:0; "
        r"wrong shape: model_weights/rnn/rnn/0/output_gate_peephole_weights:0 \(5,\) instead of \(4,\);"
    )
    with pytest.raises(ValueError, match=message):
        interop.load(path)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (layer("Addons>NASCell", "cell", units=H), "NASCell of tensorflow-addons .*, which has LayerNormLSTMCell and"),
        (layer("LayerNormLSTMCell", "cell", units=H), r"neither one of keras\.layers"),
        (cell(PEEPHOLE, projection=3), "{'projection': 3} are not those of the cell of tensorflow-addons"),
        (cell(PEEPHOLE, activation="sine"), "activation names the function 'sine'"),
    ],
)
def test_refused_cells_are_named(one, reason, tmp_path):
    written(tmp_path / "model.h5", [cell(PEEPHOLE)])
    config = sequential(input_layer("x", T, D), layer("RNN", "rnn", cell=one))
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(ValueError, match=rf"model\.h5: layer 'cell.*: .*{reason}"):
        interop.load(tmp_path / "model.h5")
