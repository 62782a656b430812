"""The native library against PyTorch's LSTM, GRU, and RNN with the same weights."""

import numpy as np
import pytest
from native_cases import named, random_case, run
from oracles import assert_close

from deeprnn_keras.kernels.native.sequences import Gradients, Layer

pytestmark = pytest.mark.usefixtures("native")

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

CLASSES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
ORDER = {"lstm": [0, 1, 2, 3], "gru": [1, 0, 2], "rnn": [0]}  # PyTorch's gates of a GRU are r, z, n


def reordered(cell, array):
    """Return an array (..., G h) with its gates in the other order."""
    blocks = np.split(array, len(ORDER[cell]), axis=-1)
    return np.concatenate([blocks[index] for index in ORDER[cell]], axis=-1)


def torch_weights(cell, inputs):
    """Return W, U, b, and b' as PyTorch stores them."""
    bias = inputs.bias if cell == "gru" else np.stack([inputs.bias, np.zeros_like(inputs.bias)])
    return [
        *[np.ascontiguousarray(reordered(cell, w).T) for w in (inputs.kernel, inputs.recurrent_kernel)],
        *[reordered(cell, row) for row in bias],
    ]


def run_torch(cell, case):
    """Return the values and gradients of PyTorch."""
    d = case.inputs.x.shape[2]
    module = CLASSES[cell](d, case.d_states[0].shape[1], batch_first=True)
    parameters = list(module.parameters())
    with torch.no_grad():
        for parameter, weight in zip(parameters, torch_weights(cell, case.inputs), strict=True):
            parameter.copy_(torch.from_numpy(weight.copy()))
    x, *states = [torch.from_numpy(array.copy()).requires_grad_() for array in (case.inputs.x, *case.inputs.states)]
    y, final = module(x, tuple(s[None] for s in states) if cell == "lstm" else states[0][None])
    final = list(final) if cell == "lstm" else [final]
    d_y, *d_final = [torch.from_numpy(array) for array in (case.d_y, *case.d_states)]
    torch.autograd.backward([y, *final], [d_y, *[d[None] for d in d_final]])
    dW, dU, db, db_recurrent = (reordered(cell, parameter.grad.numpy().T) for parameter in parameters)
    bias = np.stack([db, db_recurrent]) if cell == "gru" else db
    gradients = Gradients(x.grad.numpy(), dW, dU, bias, [state.grad.numpy() for state in states])
    return named(y.detach().numpy(), [state.detach().numpy()[0] for state in final], gradients)


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (5, 7, 3, 9), (32, 12, 20, 40)], ids=str)
@pytest.mark.parametrize("cell", CLASSES)
def test_values_and_gradients_equal_torch(cell, size):
    case = random_case(Layer(cell), size)
    actual, expected = run(case), run_torch(cell, case)
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        scale = max(1.0, np.abs(array).max())
        assert_close(actual[name] / scale, array / scale)
