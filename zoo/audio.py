"""Models of guitar amplifiers and other audio devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from deeprnn_keras import Recipe, checks
from deeprnn_keras._types import Config
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.registry import register

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class AudioEffectConfig(Configuration):
    """Audio effect: channels of the input -> deep RNN -> one sample of the output for each sample.

    Attributes:
        inputs: Number of channels, d: the dry signal, and the positions of knobs.
        skip: As in `AudioEffect`.
        sample_rate: As in `AudioEffect`, in Hz.
    """

    task: str = "audio"
    inputs: int = 1
    skip: bool = False
    sample_rate: int = 48_000

    outputs = 1
    each_step = True
    # not fields
    stored_as = "audio_effect"
    kind = "audio"  # of the program

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, sample_rate=checks.positive_int("sample_rate", self.sample_rate))

    @override
    def input_description(self) -> str:
        settings = self.inputs - 1
        rate = f"audio at {self.sample_rate:,} Hz"
        return rate + (f" and {settings} setting{'s' * (settings > 1)}" if settings else "")

    @override
    def output_description(self) -> str:
        return "1 sample"

    @override
    def build_model(self) -> keras.Model:
        from deeprnn_keras import AudioEffect

        names = ("inputs", "skip", "sample_rate", "activation", "connection", "dropout", "name")
        initializers = self.initialization.arguments(self.cell)
        initializers.pop("embeddings_initializer", None)
        return AudioEffect(
            self.units,
            self.num_layers,
            self.cell,
            stateful=self.recipe.stateful,
            **{name: getattr(self, name) for name in names},
            **initializers,
        )


WRIGHT = "Wright, Damskägg, and Välimäki 2019, Real-Time Black-Box Modelling with Recurrent Neural Networks, DAFx-19"
SHARED: Config = {
    "paper": WRIGHT,
    "url": "https://www.dafx.de/paper-archive/2019/DAFx2019_paper_43.pdf",
    "data": "3 minutes of the simulated amplifier, which two recordings of a device replace",
    "recipe": Recipe(
        *("adam", 5e-3),
        schedule=CosineDecay(final=0.02),
        global_clipnorm=1.0,
        stateful=True,
        batch_size=64,
        bptt=512,
        epochs=30,
    ),
}
DIFFERS = (
    "The source has 32, 64, or 96 units and a connection that adds the input to the output. Plugin files have no such "
    "connection; skip=True adds it. The source trains with windows of 2,048 samples and a learning rate of 0.0005."
)

register(
    AudioEffectConfig(
        name="amp_lstm_1x16",
        params=1_169,
        title="Guitar amplifier as a small LSTM, for plugins on slow machines",
        units=16,
        num_layers=1,
        differs=DIFFERS,
        **SHARED,
    ),
    AudioEffectConfig(
        name="amp_lstm_2x16",
        params=3_281,
        title="Guitar amplifier as a small LSTM of two layers",
        units=16,
        num_layers=2,
        differs=f"{DIFFERS} The source has one layer.",
        **SHARED,
    ),
    AudioEffectConfig(
        name="amp_lstm_1x40",
        params=6_761,
        title="Guitar amplifier as an LSTM of the size that most plugins load",
        units=40,
        num_layers=1,
        differs=DIFFERS,
        **SHARED,
    ),
    AudioEffectConfig(
        name="amp_gru_1x32",
        params=3_393,
        title="Guitar amplifier as a GRU",
        units=32,
        num_layers=1,
        cell="gru",
        differs=f"{DIFFERS} A GRU of Keras has two bias vectors, 96 parameters more than one with one.",
        **SHARED,
    ),
)
