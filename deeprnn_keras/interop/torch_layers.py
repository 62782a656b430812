"""`to_torch`: recurrent layers of Keras as modules of PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import keras
import numpy as np

from deeprnn_keras._types import Cell, Layer
from deeprnn_keras.cells.keras_cells import activation_name, cell_recurrence
from deeprnn_keras.extras import import_optional
from deeprnn_keras.interop.keras_targets import cell_weights, cells_of, pytorch_cell, pytorch_refusal
from deeprnn_keras.interop.torch_names import PROJECTED, TITLES
from deeprnn_keras.interop.torch_weights import to_pytorch
from deeprnn_keras.layers import DeepRNN

if TYPE_CHECKING:
    import torch

SUPPORTED = "a DeepRNN, or an LSTM, GRU, SimpleRNN, RNN, or Bidirectional of this package or of keras.layers"
# {attribute of a DeepRNN: its value in a stack that PyTorch has}
PLAIN_STACK = {"connection": "stack", "go_backwards": False, "return_all_layers": False}


def to_torch(layer: Layer) -> torch.nn.Module:
    """Return a recurrent layer as a module of PyTorch with the same weights.

    The module is a `torch.nn.LSTM`, `GRU`, or `RNN` with `batch_first=True`, in evaluation mode, with weights of its
    own. It returns the output of all steps and the final states, whatever the layer returns:
    `output, state = module(x)`. It supports neither masks nor carried states. `interop.load(module.state_dict())`
    converts back.

    Args:
        layer: Built `DeepRNN`, or a built LSTM, GRU, SimpleRNN, RNN, or Bidirectional of this package or of
            `keras.layers`. All layers inside it must have the same cell and number of units. "projected_lstm" becomes
            an LSTM with `proj_size`. Dropout between layers becomes that of the module.

    Raises:
        ValueError: If the layer is not built, or PyTorch has no module that is equal to it; the reason is stated.
        ImportError: If PyTorch is not installed.

    >>> import numpy as np
    >>> from deeprnn_keras import DeepRNN, interop
    >>> layer = DeepRNN(4, num_layers=2, cell="gru")
    >>> y = layer(np.ones((1, 5, 3), "float32"))
    >>> module = interop.to_torch(layer)  # doctest: +SKIP
    >>> module  # doctest: +SKIP
    GRU(3, 4, num_layers=2, batch_first=True)
    """
    _check_layer(layer)
    levels = cells_of(layer)
    _check_cells(layer, [cell for level in levels for cell in level])
    torch = import_optional("torch", "torch", "interop.to_torch")
    first = levels[0][0]
    name = cast("str", pytorch_cell(first))  # `_check_cells` rejects None
    special = {"nonlinearity": activation_name(first.activation)} if name == "rnn" else {}
    special |= {"proj_size": first.output_size} if name == PROJECTED else {}
    module = getattr(torch.nn, TITLES[name])(
        int(first.kernel.shape[0]),
        first.units,
        num_layers=len(levels),
        bias="bias" in cell_weights(first),
        batch_first=True,
        dropout=getattr(layer, "dropout", 0.0) if len(levels) > 1 else 0.0,
        bidirectional=len(levels[0]) == 2,
        **special,
    )
    arrays = _state_dict(name, levels)
    module.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in arrays.items()})
    return module.eval()


def _state_dict(name: str, levels: Sequence[Sequence[Cell]]) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for number, level in enumerate(levels):
        for cell, direction in zip(level, ("", "_reverse"), strict=False):
            arrays = {
                key: keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))
                for key, weight in cell_weights(cell).items()
            }
            found |= to_pytorch(name, arrays, f"_l{number}{direction}")
    return found


def _check_layer(layer: Any) -> None:  # noqa: ANN401 - an argument
    if not isinstance(layer, (DeepRNN, keras.layers.RNN, keras.layers.Bidirectional)):
        raise ValueError(f"layer must be {SUPPORTED}, got {type(layer).__name__}")
    if not layer.built:
        raise ValueError(f"layer {layer.name!r} has no weights yet; call it on an input first")
    if isinstance(layer, DeepRNN):
        _check_stack(layer)
    elif isinstance(layer, keras.layers.Bidirectional):
        if layer.merge_mode != "concat":
            raise _refusal(layer, f"merge_mode={layer.merge_mode!r}: PyTorch concatenates both directions")
        if layer.forward_layer.go_backwards:
            raise _refusal(layer, "its forward layer has go_backwards=True")
        if len(cells_of(layer)) > 1:
            raise _refusal(layer, "it has stacked cells, whose directions PyTorch concatenates after each of them")
    elif layer.go_backwards:
        raise _refusal(layer, "go_backwards=True; reverse the inputs instead")


def _check_stack(layer: DeepRNN) -> None:
    for name, supported in PLAIN_STACK.items():
        value = getattr(layer, name)
        if value != supported:
            raise _refusal(layer, f"{name}={value!r}; the nearest supported value is {supported!r}")
    if any(rate > 1 for rate in layer.dilation):
        raise _refusal(layer, f"dilation={list(layer.dilation)}; use dilation=1")


def _check_cells(layer: Layer, cells: Sequence[Cell]) -> None:
    """Raise a ValueError unless all cells are equal except for their weights, and PyTorch has them."""
    for cell in cells:
        reason = pytorch_refusal(cell)
        if reason is not None:
            raise _refusal(layer, reason)
    if len({cell_recurrence(cell) for cell in cells}) > 1:
        raise _refusal(
            layer, "its layers have different cells, units, biases, or activations; convert each of them as a layer"
        )
    rates = {name: getattr(cells[0], name) for name in ("dropout", "recurrent_dropout") if getattr(cells[0], name, 0.0)}
    if rates:
        settings = " and ".join(f"{name}={rate:g}" for name, rate in rates.items())
        warnings.warn(
            f"layer {layer.name!r}: {settings} within its cells acts in training only and is not part of the module",
            stacklevel=3,
        )


def _refusal(layer: Layer, reason: str) -> ValueError:
    return ValueError(f"layer {layer.name!r} has no equal module in PyTorch: {reason}")
