"""State dicts of PyTorch: recurrent modules, whole models, files, and errors. PyTorch itself is the reference."""

import json
import pickle
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, LanguageModel, interop, limits, lower
from deeprnn_keras.interop.recognition import recognize

D, H, V = 3, 4, 7
WEIGHTS = {"weight_ih": (4 * H, D), "weight_hh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}


def lstm_entries(prefix="", levels=1, input_dim=D, units=H, seed=0, end="", wrapper=""):
    """Return the state dict of an LSTM as arrays; `end` and `wrapper` as weight dropping adds them to names."""
    rng = np.random.default_rng(seed)
    found = {}
    for level in range(levels):
        d = input_dim if level == 0 else units
        shapes = {"weight_ih": (4 * units, d), "weight_hh": (4 * units, units)}
        shapes |= {"bias_ih": (4 * units,), "bias_hh": (4 * units,)}
        for leaf, shape in shapes.items():
            name = f"{leaf}_l{level}{end if leaf == 'weight_hh' else ''}"
            found[f"{prefix}{wrapper}{name}"] = rng.normal(size=shape).astype("float32")
    return found


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def save(arrays, path, metadata=None):
    from safetensors.numpy import save_file

    save_file(arrays, path, metadata)
    return path


# === Recurrent modules ===

ROUND_TRIPS = [
    (cell, layers, bidirectional, bias)
    for cell in ("lstm", "gru", "tanh", "relu")
    for layers in (1, 2, 3)
    for bidirectional in (False, True)
    for bias in ((True, False) if cell != "relu" else (True,))
]
assert len(ROUND_TRIPS) == 42
ROUND_TRIPS += [("projected", *one) for one in ((1, False, True), (2, True, True), (3, False, False))]
DEFAULT = {
    ("lstm", 2, True, True),
    ("projected", 2, True, True),
    ("gru", 2, True, True),
    ("relu", 2, False, True),
    ("gru", 1, False, False),
}


@pytest.mark.parametrize(
    "cell, layers, bidirectional, bias",
    [pytest.param(*one, marks=() if one in DEFAULT else pytest.mark.slow) for one in ROUND_TRIPS],
)
def test_round_trip_equals_pytorch(torch, cell, layers, bidirectional, bias):
    torch.manual_seed(0)
    is_rnn = cell in ("tanh", "relu")
    options = {"bias": bias, "batch_first": True, "bidirectional": bidirectional}
    options |= {"nonlinearity": cell} if is_rnn else {"proj_size": 3} if cell == "projected" else {}
    kind = "RNN" if is_rnn else "GRU" if cell == "gru" else "LSTM"
    module = getattr(torch.nn, kind)(D, H, layers, **options).eval()
    x = torch.randn(2, 6, D)
    with torch.no_grad():
        expected = module(x)[0].numpy()
    layer = interop.load(module.state_dict(), activation="relu" if cell == "relu" else None)
    assert isinstance(layer, DeepRNN)
    np.testing.assert_allclose(layer(x.numpy()), expected, atol=1e-6)
    entries = interop.inspect(module.state_dict(), activation="relu" if cell == "relu" else None).entries
    assert {one.source for one in entries} == module.state_dict().keys()

    back = interop.to_torch(layer)
    assert repr(back) == repr(module)
    with torch.no_grad():
        np.testing.assert_allclose(back(x)[0].numpy(), expected, atol=1e-6)
    again = interop.load(back.state_dict(), activation="relu" if cell == "relu" else None)
    for first, second in zip(layer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_last_states_are_returned_without_sequences(torch):
    module = torch.nn.GRU(D, H, bidirectional=True, batch_first=True)
    x = torch.randn(2, 5, D)
    layer = interop.load(module.state_dict(), return_sequences=False)
    final = module(x)[1].detach()
    np.testing.assert_allclose(layer(x.numpy()), torch.cat(list(final), -1).numpy(), atol=1e-6)
    assert "h_n" in str(interop.inspect(module.state_dict(), return_sequences=False))


def test_cell_is_a_layer(torch):
    cell = torch.nn.LSTMCell(D, H)
    x, state, steps = torch.randn(2, 5, D), None, []
    for t in range(5):
        state = cell(x[:, t], state)
        steps.append(state[0].detach())
    np.testing.assert_allclose(interop.load(cell.state_dict())(x.numpy()), torch.stack(steps, 1).numpy(), atol=1e-6)


def test_activation_of_an_rnn_is_an_assumption():
    source = {"weight_ih_l0": np.ones((2, 3)), "weight_hh_l0": np.ones((2, 2))}
    assert "tanh is assumed" in " ".join(interop.inspect(source).notes)
    assert not interop.inspect(source, activation="relu").notes[:-1]  # the last one is about float64
    assert interop.load(source, activation="relu").activations == [keras.activations.relu]
    with pytest.raises(ValueError, match=r"activation='relu' has no effect: the mapping has a lstm cell"):
        interop.load(lstm_entries(), activation="relu")


# === Whole models ===


def language_model(style):
    """Return the state dict of an AWD-LSTM with three layers, (arrays, names of the LSTMs, name of the decoder)."""
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(V, D)).astype("float32")
    bias = rng.normal(size=V).astype("float32")
    sizes = [(D, H), (H, H), (H, D)]
    if style == "salesforce":
        found = {"encoder.weight": embeddings}
        for index, (d, h) in enumerate(sizes):
            found |= lstm_entries(f"rnns.{index}.", 1, d, h, index, end="_raw", wrapper="module.")
        return found | {"decoder.weight": embeddings, "decoder.bias": bias}
    found = {"0.encoder.weight": embeddings, "0.encoder_dp.emb.weight": embeddings}
    for index, (d, h) in enumerate(sizes):
        entries = lstm_entries(f"0.rnns.{index}.", 1, d, h, index, wrapper="module.")
        dropped = f"0.rnns.{index}.module.weight_hh_l0"
        found |= {f"0.rnns.{index}.weight_hh_l0_raw": entries[dropped], **entries, dropped: np.zeros((4 * h, h))}
    return found | {"1.decoder.weight": embeddings, "1.decoder.bias": bias}


@pytest.mark.parametrize("style", ["salesforce", "fastai"])
def test_awd_lstm_becomes_a_tied_language_model(style, torch):
    source = language_model(style)
    ids = np.array([[0, 3, 6, 1, 1], [2, 5, 4, 0, 6]])
    x = torch.from_numpy(source[next(iter(source))])[torch.from_numpy(ids)]
    for index, (d, h) in enumerate([(D, H), (H, H), (H, D)]):
        module = torch.nn.LSTM(d, h, batch_first=True)
        module.load_state_dict({k: torch.from_numpy(v) for k, v in lstm_entries("", 1, d, h, index).items()})
        x = module(x)[0].detach()
    *_, weight, bias = source.values()
    expected = (x @ torch.from_numpy(weight).T).numpy() + bias

    model = interop.load(source)
    assert isinstance(model, LanguageModel) and model.get_layer("deep_rnn").units == [H, H, D]
    np.testing.assert_allclose(model(ids), expected, atol=1e-5)
    assert model.count_params() == sum(w.size for w in (weight, bias)) + sum(
        4 * h * (d + h + 1) for d, h in [(D, H), (H, H), (H, D)]
    )
    assert len(model.generate([1, 2], 3, seed=0)) == 5 and lower(model).outputs
    report = interop.inspect(source)
    assert not report.problems and {entry.target for entry in report.entries} == {one.path for one in model.weights}
    assert "is not read" in str(report)
    assert interop.verify(model, source).passed


@pytest.mark.parametrize("kept", ["encoder.weight", "decoder.weight"])
def test_tied_weights_are_stored_once(kept, tmp_path):
    source = language_model("salesforce")
    other = ({"encoder.weight", "decoder.weight"} - {kept}).pop()
    expected = interop.load(source)(np.array([[1, 2, 3]]))
    path = save({name: array for name, array in source.items() if name != other}, tmp_path / "m", {other: kept})
    np.testing.assert_array_equal(interop.load(path)(np.array([[1, 2, 3]])), expected)


def make_tagger(torch):
    """Return a tagger: embedding, bidirectional GRU, and linear layer."""
    torch.manual_seed(1)
    modules = {"word_embedding": torch.nn.Embedding(V, D), "rnn": torch.nn.GRU(D, H, 2, bidirectional=True)}
    return torch.nn.ModuleDict({**modules, "hidden2tag": torch.nn.Linear(2 * H, 5)})


def test_tagger_becomes_a_functional_model(torch, tmp_path):
    from safetensors.torch import save_file

    tagger = make_tagger(torch)
    ids = torch.tensor([[0, 3, 6, 1, 1], [2, 5, 4, 0, 6]])
    hidden = tagger["rnn"](tagger["word_embedding"](ids).transpose(0, 1))[0].transpose(0, 1)
    expected = tagger["hidden2tag"](hidden).detach().numpy()
    save_file(tagger.state_dict(), tmp_path / "m.bin")
    torch.save({"model_state_dict": tagger.state_dict(), "epoch": 3}, tmp_path / "m.pt")
    for source in (tagger.state_dict(), tmp_path / "m.bin", tmp_path / "m.pt"):
        model = interop.load(source)
        np.testing.assert_allclose(model(ids.numpy()), expected, atol=1e-6)
        report = interop.inspect(source)
        assert {entry.target for entry in report.entries} == {one.path for one in model.weights}
    assert report.layers[0] == f"embedding: Embedding({V}, {D})" and report.layers[2] == "head: Dense(5)"
    certificate = interop.verify(model, tmp_path / "m.bin")
    assert certificate.passed and list(certificate.errors) == ["embedding", "deep_rnn", "head", "output"]


def test_report_is_a_table():
    lines = str(interop.inspect({**lstm_entries(), "extra": np.zeros(1)})).splitlines()
    assert lines[0] == "Source: the mapping (PyTorch state dict)"
    assert lines[1] == f"Layers: deep_rnn: DeepRNN({H}, cell='lstm', return_sequences=True)"
    assert lines[3].split() == ["source", "shape", "dtype", "weight", "shape", "change"]
    assert lines[4].split("  ")[0] == "weight_ih_l0" and "transposed" in lines[4]
    assert "Unused: extra" in lines


# === Layers of the caller ===


def test_into_matches_layers_by_name_shape_and_order(torch):
    tagger = make_tagger(torch)
    layers = [
        keras.layers.Embedding(V, D),
        *(keras.layers.Bidirectional(keras.layers.GRU(H, return_sequences=True)) for _ in range(2)),
        keras.layers.TimeDistributed(keras.layers.Dense(5)),
    ]
    into = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    source = tagger.state_dict()
    assert interop.load(source, into=into) is into
    np.testing.assert_allclose(into(np.array([[1, 2, 6]])), interop.load(source)(np.array([[1, 2, 6]])), atol=1e-6)


def test_into_with_convolution_and_normalization(torch):
    torch.manual_seed(2)
    modules = [torch.nn.Conv1d(D, 5, 3), torch.nn.BatchNorm1d(5), torch.nn.LSTM(5, H, batch_first=True)]
    modules += [torch.nn.LayerNorm(H), torch.nn.Linear(H, H), torch.nn.Linear(H, H)]
    convolution, normalization, lstm, scale, first, second = modules
    x = torch.randn(2, 6, D)
    normalization.train()(convolution(x.transpose(1, 2)))  # statistics other than 0 and 1
    normalization.eval()
    hidden = lstm(normalization(convolution(x.transpose(1, 2))).transpose(1, 2))[0]
    expected = second(first(scale(hidden))).detach().numpy()
    layers = [
        keras.layers.Conv1D(5, 3),
        keras.layers.BatchNormalization(epsilon=1e-5),
        DeepRNN(H, return_sequences=True),
    ]
    layers += [keras.layers.LayerNormalization(epsilon=1e-5), keras.layers.Dense(H), keras.layers.Dense(H)]
    into = keras.Sequential([keras.Input((None, D)), *layers])
    source = torch.nn.Sequential(*modules).state_dict()
    interop.load(source, into=into)
    np.testing.assert_allclose(into(x.numpy()), expected, atol=1e-5)


def built(layer, d=D):
    layer.build((None, None, d))
    return layer


def test_into_is_unchanged_after_an_error():
    into = built(DeepRNN(H, num_layers=2))
    before = into.get_weights()
    with pytest.raises(ValueError, match=r"missing: an entry for .*forward_2/lstm_cell/kernel"):
        interop.load(lstm_entries(), into=into)
    for array, expected in zip(into.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DeepRNN(H), "has no weights yet"),
        (lambda: built(DeepRNN(H, cell="gru", reset_after=False)), "reset_after=False is not supported"),
        (lambda: built(DeepRNN(H, cell="mlp_gate_lstm")), "PyTorch has no module for its cell MLPGateLSTMCell"),
        (lambda: built(DeepRNN(H, activation="relu")), "activation must be tanh as in PyTorch's LSTM, got relu"),
        (lambda: built(DeepRNN(H, cell="gru")), r"wrong shape: weight_ih_l0 \(16, 3\) instead of \(12, 3\)"),
        (lambda: built(DeepRNN(H, use_bias=False)), "unused: bias_ih_l0, bias_hh_l0"),
        (lambda: keras.layers.Dropout(0.1), "has no weights"),
        (lambda: built(keras.layers.GroupNormalization(1)), "has no weights for layer .*GroupNormalization"),
        (lambda: 3, "into must be a Keras model or layer, or None, got int"),
    ],
)
def test_into_that_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        interop.load(lstm_entries(), into=make())


def test_order_of_a_file_is_unknown(tmp_path):
    """The encoder and the decoder have equal shapes."""
    source = {**lstm_entries("reader.", seed=1), **lstm_entries("writer.", seed=2)}
    path = save(source, tmp_path / "m")
    into = keras.Sequential([keras.Input((None, D)), *(DeepRNN(D, return_sequences=True) for _ in "ab")])
    with pytest.raises(ValueError, match="'reader', 'writer' fit layer 'deep_rnn"):
        interop.load(path, into=into)
    layers = [DeepRNN(H, name=name, return_sequences=True) for name in ("writer", "reader")]
    model = keras.Model(x := keras.Input((None, D)), [layer(x) for layer in layers])
    interop.load(path, into=model)
    np.testing.assert_array_equal(layers[0].get_weights()[0], source["writer.weight_ih_l0"].T)


# === Files and errors ===


@pytest.mark.parametrize("is_file", [False, True])
def test_all_mismatches_are_listed(is_file, tmp_path):
    source = lstm_entries(levels=2)
    del source["bias_hh_l1"]
    source |= {"conv.weight": np.zeros((1, 2, 3), "float32"), "weight_ih_l1": np.zeros((4 * H, H + 1), "float32")}
    source = save(source, tmp_path / "m.safetensors") if is_file else source
    expected = "missing: bias_hh_l1; unused: conv.weight; wrong shape: weight_ih_l1 "
    with pytest.raises(ValueError, match=expected) as error:
        interop.load(source)
    assert str(tmp_path / "m.safetensors" if is_file else "the mapping") in str(error.value)
    report = interop.inspect(source)
    assert report.missing == ("bias_hh_l1",) and report.unused == ("conv.weight",) and len(report.misshaped) == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_are_converted_and_reported(dtype, tmp_path):
    import ml_dtypes

    arrays = {name: array.astype(getattr(ml_dtypes, dtype, dtype)) for name, array in lstm_entries().items()}
    codes = {"float16": "F16", "bfloat16": "BF16", "float64": "F64"}
    header, data = {}, b""
    for name, array in arrays.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": codes[dtype], "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    (tmp_path / "m").write_bytes(len(text).to_bytes(8, "little") + text + data)
    for source in (arrays, tmp_path / "m"):
        assert f"4 entries of {dtype} converted to float32." in interop.inspect(source).notes
        kernel = interop.load(source).get_weights()[0]
        np.testing.assert_array_equal(kernel, arrays["weight_ih_l0"].astype("float32").T)


def test_tensors_in_half_precision(torch):
    module = torch.nn.LSTM(D, H).to(torch.bfloat16)
    kernel = interop.load(module.state_dict()).get_weights()[0]
    np.testing.assert_array_equal(kernel, module.weight_ih_l0.detach().float().numpy().T)


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_are_not_run(torch, tmp_path):
    torch.save({"weight_ih_l0": Payload(tmp_path / "created")}, tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Payload(tmp_path / "created")))
    torch.save(torch.nn.LSTM(D, H), tmp_path / "module.pt")
    for name in ("new.pt", "old.pt", "module.pt"):
        with pytest.raises(ValueError, match=rf"{name}: PyTorch does not read weights .* nothing in it was run"):
            interop.load(tmp_path / name)
    assert not (tmp_path / "created").exists()


def test_without_pytorch_the_error_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "m.pt").write_bytes(pickle.dumps({}))
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"requires the package torch; install it with: .*deeprnn-keras\[torch\]"):
        interop.load(tmp_path / "m.pt")


SHORT = {"weight_ih_l0": np.ones((4, 1), "f"), "weight_hh_l0": np.ones((4, 1), "f")}


@pytest.mark.parametrize(
    "source, message",
    [
        (3, "source must be a PyTorch state dict .*; got int"),
        (SimpleNamespace(state_dict=dict), "not a SimpleNamespace; pass its state_dict"),
        ({}, "no entry is named as a weight of torch.nn.LSTM"),
        ({1: np.ones(2)}, "the keys of source must be names of arrays, got 1"),
        ({"weight_ih_l0": [1.0]}, r"source\['weight_ih_l0'\] must be an array, got list"),
        (
            {**SHORT, "weight_hr_l0": np.ones((2, 1))},
            "weight_hr_l0 must project .* at most h features, got 2 .* 4 rows",
        ),
        ({**SHORT, "weight_hr_l0": np.ones((1, 3))}, r"wrong shape: weight_hr_l0 \(1, 3\) instead of \(1, 1\)"),
        ({**SHORT, "weight_hr_l1": np.ones((1, 1))}, "missing: weight_hr_l0, weight_ih_l1, weight_hh_l1"),
        ({f"{part}.{name}": one for part in "ab" for name, one in SHORT.items()}, "recurrent networks, 'a', 'b'"),
        ({"weight_ih_l0": np.ones((0, 1)), "weight_hh_l0": np.ones((0, 0))}, "are empty"),
        ({**SHORT, "weight_ih_l0": np.ones((4, 1), "int8")}, "weight_ih_l0 int8 instead of floating-point numbers"),
        ({**SHORT, "weight_hh_l999": np.ones((4, 1), "f")}, r"missing: weight_ih_l1, .*, and \d+ more"),
        ({"in.weight": np.ones((1, 1)), "in.bias": np.ones(1), **SHORT}, "unused: in.weight, in.bias"),
    ],
)
def test_unsupported_mappings(source, message):
    with pytest.raises(ValueError, match=message):
        interop.load(source)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "which is empty"),
        (b"\x10\0\0\0\0\0\0\0{" + b" " * 15, "not a safetensors file, or damaged"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "whose content is of none of these kinds"),
    ],
)
def test_damaged_files(content, message, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=rf"m\.safetensors.*{message}"):
        interop.inspect(tmp_path / "m.safetensors")


def test_data_outside_the_file(tmp_path):
    header = json.dumps({"weight_ih_l0": {"dtype": "F32", "shape": [4, 1], "data_offsets": [0, 16]}}).encode()
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 15)
    with pytest.raises(ValueError, match="not a safetensors file, or damaged"):
        interop.inspect(tmp_path / "m")


def test_file_of_a_program_is_not_a_state_dict(tmp_path):
    model = keras.Sequential([keras.Input((None, D)), DeepRNN(H, return_sequences=True)])
    lower(model).save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="is the file of a program"):
        interop.load(tmp_path / "m.safetensors")


def test_weights_above_the_memory_limit_are_refused_before_they_are_read(monkeypatch):
    huge = {"weight_ih_l0": np.broadcast_to(np.float32(0), (4 * 10**6, 10**6))}
    huge |= {"weight_hh_l0": np.broadcast_to(np.float32(0), (4 * 10**6, 10**6))}
    monkeypatch.setattr(type(recognize(huge).arrays), "read", None)
    assert not interop.inspect(huge).problems
    with pytest.raises(ValueError, match=r"the mapping: the model has .* more than the limit of"):
        interop.load(huge)
    limits.set_memory_limit("1K")
    try:
        with pytest.raises(ValueError, match="more than the limit"):
            interop.load(lstm_entries(levels=5))
    finally:
        limits.set_memory_limit(None)
