"""ONNX files that PyTorch's exporter writes, as Keras models that equal the modules."""

import itertools
import warnings

import numpy as np
import pytest

from deeprnn_keras import DeepRNN, interop

torch = pytest.importorskip("torch")
D, H, V = 4, 5, 7
MODES = ("LSTM", "GRU", "RNN")


class Net(torch.nn.Module):
    """Embedding, recurrent layers, and a head that reads all steps, the last one, the last states, or the mean."""

    def __init__(self, mode, bidirectional, head):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(V, D), head
        self.rnn = getattr(torch.nn, mode)(D, H, 2, batch_first=True, bidirectional=bidirectional)
        self.linear = torch.nn.Linear(H * (1 + bidirectional), 3)

    def forward(self, x):
        y, state = self.rnn(self.embedding(x))
        if self.head == "all steps":
            return torch.softmax(self.linear(y), -1)
        if self.head == "last step":
            return self.linear(torch.relu(y[:, -1]))
        if self.head == "mean":
            return torch.tanh(self.linear(y.mean(1)))
        state = state[0] if isinstance(state, tuple) else state
        return self.linear(torch.cat([state[-2], state[-1]], 1) if self.rnn.bidirectional else state[-1])


def exported(module, arguments, path, axes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sequences of fixed length, and of the deprecation of this exporter
        torch.onnx.export(
            module, arguments, path, dynamo=False, input_names=["x"], dynamic_axes={"x": axes} if axes else None
        )
    return path


def assert_equal(model, module, x):
    with torch.no_grad():
        expected = module(torch.from_numpy(x))
    expected = expected[0] if isinstance(expected, tuple) else expected
    x = x.astype("int32") if x.dtype.kind == "i" else x
    np.testing.assert_allclose(model(x), expected.numpy(), rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["all steps", "last step", "last states", "mean"])
@pytest.mark.parametrize("mode", MODES)
def test_classifiers(mode, head, tmp_path):
    for bidirectional, axes in itertools.product((False, True), (None, {0: "n", 1: "T"})):
        module = Net(mode, bidirectional, head).eval()
        ids = np.arange(12).reshape(2, 6) % V
        path = exported(module, (torch.from_numpy(ids),), tmp_path / "m.onnx", axes)
        model = interop.load(path)
        assert_equal(model, module, ids)
        stacks = [layer for layer in model.layers if isinstance(layer, DeepRNN)]
        assert [stack.units for stack in stacks] == [[H, H]] and interop.verify(model, path).passed


@pytest.mark.parametrize("mode", MODES)
def test_bare_module(mode, tmp_path):
    """The final states that it returns, too, are left out and noted; its input is time-major."""
    module = getattr(torch.nn, mode)(D, H, 2, bidirectional=True).eval()
    path = exported(module, (torch.zeros(6, 2, D),), tmp_path / "m.onnx", {0: "T", 1: "n"})
    x = np.random.default_rng(0).normal(size=(3, 8, D)).astype("float32")
    model = interop.load(path)
    with torch.no_grad():
        expected = module(torch.from_numpy(x.swapaxes(0, 1)))[0].numpy().swapaxes(0, 1)
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=2e-6)
    notes = interop.inspect(path).notes
    assert sum("holds final states" in note for note in notes) == (2 if mode == "LSTM" else 1)
    assert any("time-major" in note for note in notes)


def test_initial_states_that_are_inputs_are_refused(tmp_path):
    module, states = torch.nn.GRU(D, H), torch.zeros(1, 2, H)
    path = exported(module, (torch.zeros(6, 2, D), states), tmp_path / "m.onnx", {0: "T", 1: "n"})
    with pytest.raises(ValueError, match=r"m\.onnx: node .*GRU.*: initial_h .* is not zero; supported are zero states"):
        interop.load(path)
