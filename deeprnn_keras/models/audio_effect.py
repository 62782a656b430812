"""`AudioEffect`: a guitar amplifier or another device, learned from its input and its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks, freezing
from deeprnn_keras._types import ArrayLike, CellSpec, Config, Initializer, Tensor
from deeprnn_keras.layers import AddDryChannel, DeepRNN
from deeprnn_keras.models.audio_losses import ESR, ErrorToSignal
from deeprnn_keras.models.common_arguments import serialize_initializer
from deeprnn_keras.models.config_mixin import ConfigMixin, check_memory, refuse_arguments, with_reset_mask
from deeprnn_keras.streaming import Stream, process


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class AudioEffect(ConfigMixin, keras.Model):
    """Model of an audio device from its input (n, T, d) to its output (n, T, 1), sample by sample.

        O_t = H_t^(L) W + b + X_t[:, :1],

    the last term only with `skip`. Channel 1 of the input is the dry signal, full scale being 1; further channels are
    settings of the device, such as the positions of knobs, constant or not (Wright, Damskägg, and Välimäki 2019).

    Args:
        units: Hidden units of the `DeepRNN`, h, or a list with one entry per layer.
        num_layers: Number of recurrent layers, L.
        cell: Cell of the `DeepRNN`.
        inputs: Number of channels of the input, d: 1, plus the number of settings.
        skip: If True, add the dry signal to the output, so that the network learns the difference. Files of
            Neural Amp Modeler and RTNeural have no such connection; use `skip=False` for these.
        learned_initial_state: If True, train the states before the first sample.
        sample_rate: Sample rate of the recordings in Hz. A recurrent network is a filter: at another rate it is another
            device.
        head_initializer: Initializer of W.
        head_bias_initializer: Initializer of b.
        name: Name of the model.
        trainable: If True, the weights are trainable.
        dtype: Dtype or dtype policy of the layers. The output has the dtype of the weights.
        **deep_rnn: Other arguments of `DeepRNN`, except `return_sequences`. With `stateful=True` the model reads
            (audio, reset_mask), as `TBPTTDataset` yields them, and carries its states from batch to batch; the states
            of rows where reset_mask is True are reset. Called with audio alone, it resets all states.

    Attributes:
        sample_rate: Sample rate in Hz.
        skip: True if the dry signal is added.

    Raises:
        ValueError: If an argument is out of range, or an option of `DeepRNN` is not supported by an audio effect.

    References:
        Wright, Damskägg, and Välimäki 2019, Real-Time Black-Box Modelling with Recurrent Neural Networks, DAFx-19.

    >>> from deeprnn_keras import AudioEffect
    >>> model = AudioEffect(16)
    >>> model.compile("adam", model.loss_function(), metrics=model.metric_functions())
    >>> model.output_shape, model.count_params()
    ((None, None, 1), 1169)
    """

    def __init__(
        self,
        units: int | Sequence[int],
        num_layers: int | None = None,
        cell: CellSpec | Sequence[CellSpec] = "lstm",
        *,
        inputs: int = 1,
        skip: bool = True,
        learned_initial_state: bool = False,
        sample_rate: int = 48_000,
        head_initializer: Initializer = "glorot_uniform",
        head_bias_initializer: Initializer = "zeros",
        name: str | None = None,
        trainable: bool = True,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **deep_rnn: Any,
    ) -> None:
        inputs, sample_rate = checks.positive_int("inputs", inputs), checks.positive_int("sample_rate", sample_rate)
        skip, trainable = checks.flags(skip=skip, trainable=trainable)
        refused = ("return_state", "return_all_layers", "go_backwards", "bidirectional")
        reason = "which returns one sample for each sample that it reads"
        refuse_arguments("AudioEffect", deep_rnn, refused, reason)
        check_memory(*("AudioEffect", inputs, 1, units, num_layers, cell, deep_rnn), embedding=None, head_units=())
        # === Functional model ===
        options = {"name": "deep_rnn", "dtype": dtype, **deep_rnn, "return_sequences": True}
        rnn = DeepRNN(units, num_layers, cell, learned_initial_state=learned_initial_state, **options)
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        head = keras.layers.Dense(
            *(1, None, True, head_initializer, head_bias_initializer), dtype=policy.variable_dtype, name="head"
        )
        audio = keras.Input((None, inputs), name="audio")
        reset_mask = keras.Input((), dtype="bool", name="reset_mask") if rnn.stateful else None
        output = head(rnn(audio, reset_mask=reset_mask) if rnn.stateful else rnn(audio))
        if skip:
            output = AddDryChannel(dtype=policy.variable_dtype, name="skip")([audio, output])
        super().__init__(audio if reset_mask is None else [audio, reset_mask], output, name=name, trainable=trainable)
        freezing.propagate_trainable(self)
        # === Configuration ===
        self.sample_rate, self.skip = sample_rate, skip
        self._config = {
            "inputs": inputs,
            "skip": skip,
            "sample_rate": sample_rate,
            "head_initializer": serialize_initializer(head_initializer),
            "head_bias_initializer": serialize_initializer(head_bias_initializer),
        }

    @override
    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(with_reset_mask(self, inputs), *args, **kwargs)

    def program_attributes(self) -> Config:
        """Return the attributes of the `Program` of this model: its kind, sample rate, and skip connection."""
        return {"kind": "audio", "sample_rate": self.sample_rate, "skip": self.skip}

    def process(
        self,
        audio: ArrayLike,
        sample_rate: int | None = None,
        *,
        knobs: Sequence[float] = (),
        stream: Stream | None = None,
        resample: bool = False,
    ) -> np.ndarray:
        """Return audio that has passed through the model, in bounded working memory; see `streaming.process`.

        Args:
            audio: Samples, (T,), or (T, C) for C channels, each of which passes through the model alone.
            sample_rate: Sample rate of the audio in Hz; None for that of the model.
            knobs: Positions of the knobs, one number for each input after the first.
            stream: A stream of the model, of batch size C, that continues; None to start in the initial states.
            resample: If True, resample audio of another sample rate, and the result back.

        Returns:
            The result, float32, of the shape of `audio`.

        Raises:
            ImportError: If SciPy is missing, which resamples.
            ValueError: If an argument does not fit the model, or the sample rates differ and `resample` is False.
        """
        return process(self, audio, sample_rate, knobs=knobs, stream=stream, resample=resample)

    @staticmethod
    def loss_function(burn_in: int = 0, stft: float = 0.0) -> keras.losses.Loss:
        """Return the loss for `compile`, `ErrorToSignal`.

        Args:
            burn_in: Number of samples at the start of each sequence that are not counted.
            stft: Weight of the multi-resolution STFT loss.
        """
        return ErrorToSignal(burn_in=burn_in, stft=stft)

    @staticmethod
    def metric_functions(burn_in: int = 0) -> list[keras.metrics.Metric]:
        """Return the metrics for `compile`, `ESR`.

        Args:
            burn_in: Number of samples at the start of each sequence that are not counted.
        """
        return [ESR(burn_in=burn_in)]
