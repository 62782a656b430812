"""Certificates: errors of each layer, references, and files."""

import json

import keras
import numpy as np
import onnx
import pytest
from onnx_graphs import D, H, classifier, one_layer

from deeprnn_keras import DeepRNN, interop
from deeprnn_keras.interop.source import Reference


class Known(Reference):
    """A reference that returns given arrays."""

    title = "known arrays"

    def __init__(self, **arrays):
        self.arrays = arrays

    def run(self, x):
        return {name: function(x) for name, function in self.arrays.items()}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.LSTM(H, name="lstm", return_sequences=True), keras.layers.Dense(2, name="head")]
    return keras.Sequential([keras.Input((None, D)), *layers], name="small")


def test_certificate_of_a_file(tmp_path):
    path = classifier(tmp_path / "m.onnx")
    certificate = interop.verify(interop.load(path), path)
    assert certificate.passed and certificate.max_abs_error < 1e-6 and certificate.source == str(path)
    assert list(certificate.errors) == ["embedded", "Y1", "logits", "y"]
    assert certificate.reference.startswith("onnxruntime ") and len(certificate.sha256) == 64
    saved = certificate.save(tmp_path / "m.keras")
    assert saved.name == "m.keras.certificate.json"
    stored = json.loads(saved.read_text())
    assert stored["passed"] is True and stored["max_abs_error"] == certificate.max_abs_error
    assert stored["errors"] == certificate.errors and stored["input_shape"] == [2, 20]
    assert certificate.save(tmp_path / "c.json") == tmp_path / "c.json"
    assert "equals onnxruntime" in str(certificate)


def test_a_changed_weight_is_found_in_its_layer(tmp_path):
    path = classifier(tmp_path / "m.onnx")
    model = interop.load(path)
    bias = model.get_layer("logits").bias
    bias.assign(bias + 0.5)
    certificate = interop.verify(model, path)
    assert not certificate.passed and "differs from onnxruntime" in str(certificate)
    assert certificate.errors["Y1"] < 1e-6 and certificate.errors["logits"] == pytest.approx(0.5, abs=1e-5)
    model.get_layer("logits").bias.assign(np.full(6, np.nan))
    certificate = interop.verify(model, path)
    assert certificate.errors["logits"] == np.inf and not certificate.passed
    assert json.loads(certificate.save(tmp_path / "c.json").read_text())["max_abs_error"] == "inf"


def test_a_model_without_finite_outputs_proves_nothing(model):
    weights = model.get_weights()
    model.set_weights([np.full_like(weight, np.nan) for weight in weights])
    try:
        with pytest.raises(ValueError, match=r"the reference returns no finite number .* check its weights"):
            interop.verify(model, model)
    finally:
        model.set_weights(weights)


def test_layers_are_compared_by_name(model):
    reference = Known(lstm=lambda x: np.asarray(model.layers[0](x)) + 0.25, other=np.zeros_like, output=model)
    certificate = interop.verify(model, reference, batch_size=3, steps=4, seed=1)
    assert certificate.errors == {"lstm": pytest.approx(0.25), "output": 0.0}
    assert (certificate.input_shape, certificate.seed, certificate.sha256) == ((3, 4, D), 1, None)
    functional = keras.Model(model.inputs, model.outputs)
    assert interop.verify(functional, reference).errors["lstm"] == pytest.approx(0.25)


def test_keras_model_as_reference(model):
    layer = DeepRNN(H, return_sequences=True)
    layer.build((None, None, D))
    layer.set_weights(model.layers[0].get_weights())
    certificate = interop.verify(layer, model.layers[0])
    assert certificate.passed and certificate.reference == f"keras {keras.__version__}"


def test_required_sizes():
    layer = keras.Sequential([keras.Input((7, D), batch_size=3), keras.layers.SimpleRNN(H)])
    assert interop.verify(layer, layer).input_shape == (3, 7, D)


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_torch_module_as_reference(mode, return_sequences):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, mode)(D, H, num_layers=2, bidirectional=True)
    layer = interop.load(module.state_dict(), return_sequences=return_sequences)
    certificate = interop.verify(layer, module)
    assert certificate.passed and certificate.reference == f"PyTorch {torch.__version__}"
    assert module.training


def test_parts_of_a_torch_module():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = torch.nn.LSTM(D, H, batch_first=True), torch.nn.Linear(H, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    module = Net()
    certificate = interop.verify(interop.load(module.state_dict()), module)
    assert certificate.passed and list(certificate.errors)[-1] == "output"


@pytest.mark.parametrize(
    ("model", "reference", "error"),
    [
        (DeepRNN(2, name="unbuilt"), Known(output=np.asarray), "model 'unbuilt' must be built before it is verified"),
        (keras.layers.Dense(2, name="unbuilt"), Known(output=np.asarray), "'unbuilt' must be built"),
    ],
)
def test_model_that_is_not_built(model, reference, error):
    with pytest.raises(ValueError, match=error):
        interop.verify(model, reference)


def test_other_shapes_and_unknown_references(model, tmp_path):
    with pytest.raises(ValueError, match=r"the model returns \(2, 20, 2\), but its reference \(2, 20, 3\)"):
        interop.verify(model, Known(output=np.asarray))
    with pytest.raises(FileNotFoundError):
        interop.verify(model, tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="source must be"):
        interop.verify(model, 3)
    with pytest.raises(ValueError, match="steps must be a positive integer, got 0"):
        interop.verify(model, Known(output=np.asarray), steps=0)


def test_input_of_the_size_that_the_file_requires(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "RNN")
    stored = onnx.load(path)
    for axis, size in ((0, 9), (1, 4)):
        stored.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    onnx.save(stored, path)
    assert interop.verify(interop.load(path), path).input_shape == (4, 9, D)
