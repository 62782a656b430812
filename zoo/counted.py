"""Models that are too large to build here; their parameters are counted by formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from deeprnn_keras import Recipe
from deeprnn_keras.stack import layer_units
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.diagram import Row
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.registry import register

if TYPE_CHECKING:
    import keras

BYTES_PER_WEIGHT = 16  # float32: the weight, its gradient, and the two moments of Adam


@dataclass(frozen=True, kw_only=True)
class CountedConfig(Configuration):
    """Published model whose parameters are counted, but which is never built.

    A subclass defines `rows`, the tensors from the input to the output with the parameters of their layers.

    Attributes:
        vocabulary: Number of input symbols.
        symbols: Name of the symbols.
    """

    task: str = "language"
    vocabulary: int
    symbols: str = "words"

    each_step = True
    buildable = False

    @property
    def inputs(self) -> int:
        """Number of input symbols."""
        return self.vocabulary

    outputs = inputs

    @override
    def rows(self) -> list[Row]:
        raise NotImplementedError(f"{type(self).__name__} must define rows")

    @override
    def count_params(self) -> int:
        return sum(row.params for row in self.rows())

    @override
    def kernels(self) -> str:
        return "none: the model is counted only"

    @override
    def input_description(self) -> str:
        return f"{self.vocabulary:,} {self.symbols}"

    @override
    def output_description(self) -> str:
        return f"logits of {self.outputs:,} {self.symbols}"

    @override
    def build_model(self) -> keras.Model:
        count = self.count_params()
        raise ValueError(
            f"{self.name} is listed for its parameter count only and is not created: training its {count:,} "
            f"parameters takes about {count * BYTES_PER_WEIGHT / 2**30:,.0f} GiB of memory besides the activations. "
            "For a smaller model with these layers, use deeprnn_keras.LanguageModel or deeprnn_keras.DeepRNN"
        )


@dataclass(frozen=True, kw_only=True)
class MultiplicativeConfig(CountedConfig):
    """Multiplicative LSTM with weight normalization (Krause et al. 2016; Radford et al. 2017)."""

    @override
    def rows(self) -> list[Row]:
        (h,), v, e = layer_units(self.units, 1), self.vocabulary, self.embedding or 0
        matrices = 4 * h * (e + h) + h * (e + h)  # gates, and the intermediate state m
        biases, gains = 4 * h, 2 * 4 * h + 2 * h  # a gain for each column of the four matrices
        return [
            Row("X_t", f"(n, T, {e})", f"embedding of {self.input_description()}", v * e),
            Row("H^(1)", f"(n, T, {h})", f"multiplicative LSTM, {h} units, weight norm", matrices + biases + gains),
            Row("O_t", f"(n, T, {v})", self.output_description(), (h + 1) * v),
        ]


@dataclass(frozen=True, kw_only=True)
class ProjectedConfig(CountedConfig):
    """LSTM with projected states (Sak et al. 2014; Jozefowicz et al. 2016).

    Attributes:
        projection: Width of the states and of the outputs of each layer.
    """

    projection: int

    @override
    def rows(self) -> list[Row]:
        p, v, e = self.projection, self.vocabulary, self.embedding or 0
        rows, width = [Row("X_t", f"(n, T, {e})", f"embedding of {self.input_description()}", v * e)], e
        for level, h in enumerate(layer_units(self.units, self.num_layers), start=1):
            params = 4 * h * (width + p + 1) + h * p
            rows.append(Row(f"H^({level})", f"(n, T, {p})", f"projected LSTM, {h} units, projection {p}", params))
            width = p
        return [*rows, Row("O_t", f"(n, T, {v})", self.output_description(), (p + 1) * v)]


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig(CountedConfig):
    """Encoder and decoder of L LSTM layers each (Sutskever et al. 2014).

    Attributes:
        target_vocabulary: Number of symbols of the target language.
    """

    target_vocabulary: int

    @property
    def outputs(self) -> int:
        """Number of symbols of the target language."""
        return self.target_vocabulary

    @override
    def rows(self) -> list[Row]:
        v, q, e = self.vocabulary, self.target_vocabulary, self.embedding or 0
        units = layer_units(self.units, self.num_layers)
        rows = []
        for part, size in (("encoder", v), ("decoder", q)):
            width = e
            rows.append(Row("X_t", f"(n, T, {e})", f"{part}: embedding of {size:,} {self.symbols}", size * e))
            for level, h in enumerate(units, start=1):
                params = 4 * h * (width + h + 1)
                rows.append(Row(f"H^({level})", f"(n, T, {h})", f"{part}: LSTM, {h} units", params))
                width = h
        return [*rows, Row("O_t", f"(n, T, {q})", self.output_description(), (units[-1] + 1) * q)]


register(
    MultiplicativeConfig(
        name="mlstm_amazon",
        params=86_319_360,
        title="Multiplicative LSTM, bytes of Amazon reviews (the sentiment neuron)",
        paper="Radford, Jozefowicz & Sutskever 2017, Learning to Generate Reviews and Discovering Sentiment",
        url="https://arxiv.org/abs/1704.01444",
        data="Amazon product reviews, 82 million, 256 byte values",
        vocabulary=256,
        symbols="bytes",
        embedding=64,
        units=4096,
        num_layers=1,
        cell="multiplicative_lstm",
        recipe=Recipe("adam", 5e-4, stateful=True, batch_size=128, bptt=64, epochs=1),
        published="1.12 bits per byte",
        differs="The parameters are counted as in the authors' code: one bias per gate and none in the intermediate "
        "state; a gain for each column of the four matrices; and an output layer with biases and without weight "
        "normalization.",
    ),
    ProjectedConfig(
        name="big_lstm_lm1b",
        params=1_776_882_559,
        title="Projected LSTM, One Billion Word Benchmark (BIG LSTM)",
        paper="Jozefowicz, Vinyals, Schuster, Shazeer & Wu 2016, Exploring the Limits of Language Modeling",
        url="https://arxiv.org/abs/1602.02410",
        data="One Billion Word Benchmark, 793,471 words",
        vocabulary=793_471,
        embedding=1024,
        units=8192,
        num_layers=2,
        cell="projected_lstm",
        projection=1024,
        recipe=Recipe("adam", stateful=True, batch_size=128, bptt=20, epochs=1),
        published="perplexity 30.6 test (1.8 billion parameters)",
        differs="The parameters are counted with word embeddings and a full output layer, and without peepholes. The "
        "source trains with AdaGrad, which a recipe does not support.",
    ),
    TranslatorConfig(
        name="seq2seq_4x1000",
        params=384_112_000,
        title="Encoder and decoder LSTM, English to French",
        paper="Sutskever, Vinyals & Le 2014, Sequence to Sequence Learning with Neural Networks",
        url="https://arxiv.org/abs/1409.3215",
        data="WMT 2014, English to French, 12 million sentence pairs, 160,000 and 80,000 words",
        vocabulary=160_000,
        target_vocabulary=80_000,
        embedding=1000,
        units=1000,
        num_layers=4,
        initialization=Initialization("uniform", 0.08, forget_bias=0.0),
        recipe=Recipe("sgd", 0.7, global_clipnorm=5.0, batch_size=128, bptt=50, epochs=8),
        published="BLEU 34.8 (ensemble of 5)",
        differs="The source states 384 million parameters, 64 million of them in the LSTM layers; the 80,000 biases of "
        "the output layer are included here. The learning rate, halved every half epoch after 5 epochs in the source, "
        "is constant in the recipe.",
    ),
)
