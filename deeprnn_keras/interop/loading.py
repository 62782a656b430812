"""`load` and `inspect`: trained networks of other libraries as Keras models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.interop.recognition import recognize
from deeprnn_keras.interop.report import Report
from deeprnn_keras.interop.source import Request

if TYPE_CHECKING:
    import keras


def load(
    source: PathLike | tuple[PathLike, PathLike] | Mapping[str, Any],
    *,
    into: keras.Layer | None = None,
    activation: str | None = None,
    return_sequences: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
) -> keras.Layer:
    """Return a trained network of another library as a Keras model.

    The source is recognized by its content. No code in it is run: neither pickles, nor lambda layers, nor classes that
    are not in `custom_objects`.

    Args:
        source: Path of a file; a mapping of arrays (the state dict of a PyTorch module); or a pair of paths, the JSON
            file of a Keras architecture and the HDF5 file of its weights.
        into: Built model or layer that receives the weights, or None to build one that fits the source.
        activation: Activation of recurrent layers whose source does not state it, "tanh" or "relu": PyTorch's RNN.
            None selects "tanh".
        return_sequences: If True, a bare recurrent network returns the output of all steps.
        custom_objects: Classes of layers and cells, and activations, by the names that the source uses. The key of a
            `Lambda` layer is "Lambda" or the name of the layer; the class does not receive the code of the layer.

    Returns:
        A Keras model, or a built `DeepRNN` if the source is a bare recurrent network; `into` if it was passed. Inputs
        are batch-first: (n, T, d), or (n, T) of ids.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the source is damaged, of no supported kind, or refers to code or to other files; if entries are
            missing, unused, or misshaped, in which case all are listed; or if the weights exceed the memory limit.
        ImportError: If the source requires an optional package that is not installed.

    >>> import numpy as np
    >>> from deeprnn_keras import interop
    >>> h, d = 3, 2
    >>> state_dict = {"weight_ih_l0": np.ones((4 * h, d)), "weight_hh_l0": np.ones((4 * h, h))}
    >>> layer = interop.load(state_dict)
    >>> layer(np.ones((1, 5, d))).shape
    TensorShape([1, 5, 3])
    """
    request = _request(into, activation, return_sequences, custom_objects)
    return recognize(source).load(request)


def inspect(
    source: PathLike | tuple[PathLike, PathLike] | Mapping[str, Any],
    *,
    into: keras.Layer | None = None,
    activation: str | None = None,
    return_sequences: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
) -> Report:
    """Return the mapping from a source to a model that `load` would use, without loading any weight.

    Args:
        source: As in `load`.
        into: As in `load`.
        activation: As in `load`.
        return_sequences: As in `load`.
        custom_objects: As in `load`.

    Returns:
        The report; `print(report)` shows it as a table. Missing, unused, and misshaped entries are part of it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the source is damaged, or of no supported kind.
        ImportError: If the source requires an optional package that is not installed.

    >>> import numpy as np
    >>> from deeprnn_keras import interop
    >>> source = {"weight_ih_l0": np.ones((12, 2), "float32"), "weight_hh_l0": np.ones((12, 3), "float32")}
    >>> print(interop.inspect(source))
    Source: the mapping (PyTorch state dict)
    Layers: deep_rnn: DeepRNN(3, cell='lstm', use_bias=False, return_sequences=True)
    <BLANKLINE>
    source        shape    dtype    weight                                         shape    change
    weight_ih_l0  (12, 2)  float32  deep_rnn/forward_1/lstm_cell/kernel            (2, 12)  transposed
    weight_hh_l0  (12, 3)  float32  deep_rnn/forward_1/lstm_cell/recurrent_kernel  (3, 12)  transposed
    """
    request = _request(into, activation, return_sequences, custom_objects)
    return recognize(source).inspect(request)


def _request(
    into: keras.Layer | None,
    activation: str | None,
    return_sequences: bool,
    custom_objects: Mapping[str, Any] | None,
) -> Request:
    import keras

    if into is not None and not isinstance(into, keras.Layer):
        raise ValueError(f"into must be a Keras model or layer, or None, got {type(into).__name__}")
    if activation is not None:
        checks.one_of("activation", activation, ("tanh", "relu"))
    return Request(into, activation, checks.flag("return_sequences", return_sequences), dict(custom_objects or {}))
