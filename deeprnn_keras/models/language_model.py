"""`LanguageModel`: predict the next symbol of a sequence from the previous ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks, freezing
from deeprnn_keras._types import Activation, ArrayLike, CellSpec, Config, Initializer, Layer, Tensor
from deeprnn_keras.data import TextCorpus
from deeprnn_keras.data.vocabulary import TextVocabulary
from deeprnn_keras.data.words import VocabularyLike, deserialize_vocabulary, serialize_vocabulary
from deeprnn_keras.generation import Score, generate, generate_stream, score
from deeprnn_keras.initializers.seeding import reseeded
from deeprnn_keras.layers import DeepRNN, OneHot
from deeprnn_keras.layers.dropout_embedding import DropoutEmbedding
from deeprnn_keras.layers.tied_head import TiedHead
from deeprnn_keras.models.common_arguments import CommonArguments
from deeprnn_keras.models.config_mixin import (
    ConfigMixin,
    check_integer_ids,
    check_memory,
    refuse_arguments,
    with_reset_mask,
)
from deeprnn_keras.models.normalized_stack import residual_stack
from deeprnn_keras.stack import output_width

NORMALIZATIONS = ("rms",)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LanguageModel(ConfigMixin, keras.Model):
    """Language model from ids (n, T) to logits (n, T, V) of the next symbols: an embedding, a `DeepRNN`, and a head.

        X_t = E[w_t]  (one row of E per symbol; or the one-hot vector of w_t),
        O_t = g(H_t^(L)) = H_t^(L) W_hq + b_q,
        p(w_{t+1} | w_1, ..., w_t) = softmax(O_t)

    The vocabulary is part of the configuration, so that a saved `.keras` file is sufficient to encode, score, and
    generate text.

    Args:
        vocabulary: The characters as a string or `Vocabulary`; the words as a list or `WordVocabulary`; a
            `ByteVocabulary`; or only the number of symbols, V, for a model of ids.
        units: Hidden units of the `DeepRNN`, h, or a list with one entry per layer.
        num_layers: Number of recurrent layers, L.
        cell: Cell of the `DeepRNN`.
        embedding: Width of the embedding E, or None for one-hot vectors, which have no weights.
        embedding_dropout: Rate at which whole rows of E, symbols, are dropped, with one mask per batch (Gal &
            Ghahramani 2016). A tied head uses E without dropout.
        input_dropout: Dropout rate on X.
        output_dropout: Dropout rate on H^(L). `dropout`, an argument of `DeepRNN`, acts between layers.
        variational: If True, `input_dropout` and `output_dropout` use one mask per sequence for all its steps. Between
            layers, `variational_dropout` of `DeepRNN` has this effect.
        embeddings_initializer: Initializer of E. None: N(0, 1), which gives the first layer inputs of unit variance,
            as its own initializer assumes. With Keras' default, U(-0.05, 0.05), the first layer hardly responds to
            its inputs at the start of training. With `tied`, None: N(0, 1/h) for the width h of E, so that the logits
            are small at the start.
        head_units: Widths of hidden layers of the head, which is then a `DeepOutput`.
        head_activation: Activation of these hidden layers.
        normalization: None, or "rms": H^(l) = H^(l-1) + F_l(RMSNorm(H^(l-1))) for each recurrent layer F_l, with
            H^(0) = X, and the head reads RMSNorm(H^(L)). `embedding` must equal the width of the layers. The layers
            are named deep_rnn_1, deep_rnn_2, ... With it, deep stacks of cells that are linear over time train well.
        projection: Width of a linear layer without bias between the recurrent layers and the head, or None.
        tied: If True, W_hq is the transpose of E (Press & Wolf 2017; Inan et al. 2017). `embedding` must equal the
            width of the head's input.
        head_initializer: Initializer of W_hq.
        head_bias_initializer: Initializer of b_q.
        name: Name of the model.
        trainable: If False, the weights are frozen.
        dtype: Dtype or dtype policy of the layers. The logits have the dtype of the weights.
        **deep_rnn: Other arguments of `DeepRNN`, except `return_sequences`. With `stateful=True` the model reads
            (tokens, reset_mask), as `TBPTTDataset` yields them, and carries its states from batch to batch; the
            states of rows where reset_mask is True are reset. Called with tokens alone, it resets all states.

    Attributes:
        vocabulary: The vocabulary, or None for a model of ids.
        vocabulary_size: Number of symbols, V.

    Raises:
        ValueError: If V < 2, if an option is not supported by `DeepRNN` or by a language model, if a rate is
            outside [0, 1), if `tied` is set and `embedding` differs from the width of the head's input, if
            `normalization` is set and `embedding` differs from the width of a layer, or if `embedding_dropout` is set
            without an embedding.

    >>> from deeprnn_keras import LanguageModel
    >>> model = LanguageModel("abc ", units=16, num_layers=2, cell="gru")
    >>> model.compile("adam", model.loss_function())
    >>> model.output_shape
    (None, None, 4)
    """

    def __init__(
        self,
        vocabulary: VocabularyLike,
        units: int | Sequence[int],
        num_layers: int | None = None,
        cell: CellSpec | Sequence[CellSpec] = "lstm",
        *,
        embedding: int | None = None,
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        variational: bool = False,
        embeddings_initializer: Initializer = None,
        head_units: Sequence[int] = (),
        head_activation: Activation = "tanh",
        normalization: str | None = None,
        projection: int | None = None,
        tied: bool = False,
        head_initializer: Initializer = "glorot_uniform",
        head_bias_initializer: Initializer = "zeros",
        name: str | None = None,
        trainable: bool = True,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **deep_rnn: Any,
    ) -> None:
        text_vocabulary = deserialize_vocabulary(vocabulary)
        size = checks.positive_int("vocabulary", vocabulary) if text_vocabulary is None else len(text_vocabulary)
        if size < 2:
            raise ValueError(f"vocabulary must have at least 2 symbols, got {vocabulary!r}")
        tied, trainable, variational = checks.flags(tied=tied, trainable=trainable, variational=variational)
        embedding_dropout = checks.rate("embedding_dropout", embedding_dropout)
        common = CommonArguments(
            embedding,
            input_dropout,
            output_dropout,
            embeddings_initializer,
            head_units,
            head_activation,
            head_initializer,
            head_bias_initializer,
            dtype,
        )
        projection = checks.positive_int_or_none("projection", projection)
        if normalization is not None:
            checks.one_of("normalization", normalization, NORMALIZATIONS)
        refused = ("return_state", "return_all_layers", "go_backwards", "bidirectional")
        reason = "which predicts each symbol from the previous ones"
        refuse_arguments("LanguageModel", deep_rnn, refused, reason)
        check_memory(
            *("LanguageModel", size, size, units, num_layers, cell, deep_rnn),
            embedding=common.embedding,
            head_units=common.head_units,
            projection=projection,
            tied=tied,
        )
        # === Layers ===
        initializer = embeddings_initializer or _unit_variance(common.embedding if tied else None)
        embed = _embedding_layer(size, common.embedding, embedding_dropout, initializer, dtype)
        rnn_options = {"name": "deep_rnn", "dtype": dtype, **deep_rnn, "return_sequences": True}
        rnn = DeepRNN(units, num_layers, cell, **rnn_options)
        lower = [embed, common.dropout_layer("input_dropout", variational)]
        upper = [common.dropout_layer("output_dropout", variational)]
        width = output_width(rnn.widths, rnn.connection)
        if projection is not None:
            width = projection
            kernel_initializer = reseeded(keras.initializers.get(head_initializer), "projection", 1)
            options = {"use_bias": False, "kernel_initializer": kernel_initializer, "dtype": dtype}
            upper.append(keras.layers.Dense(width, **options, name="projection"))
        if tied:
            _check_tied(common.embedding, width, common.head_units)
            upper.append(TiedHead(embed, width, **common.head_options()))
        else:
            upper.append(common.head(size))
        if normalization is not None:
            _check_residual(common.embedding, rnn.widths)
        # === Functional model ===
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        reset_mask = keras.Input((), dtype="bool", name="reset_mask") if rnn.stateful else None
        hidden = _chain(lower, tokens)
        if normalization is not None:
            hidden = residual_stack(rnn, hidden, reset_mask)
        else:
            hidden = rnn(hidden) if reset_mask is None else rnn(hidden, reset_mask=reset_mask)
        inputs = tokens if reset_mask is None else [tokens, reset_mask]
        super().__init__(inputs, _chain(upper, hidden), name=name, trainable=trainable)
        freezing.propagate_trainable(self)
        # === Configuration ===
        self.vocabulary = text_vocabulary
        self.vocabulary_size = size
        self._stack_config = None if normalization is None else rnn.get_config
        self._config = {
            "vocabulary": size if text_vocabulary is None else serialize_vocabulary(text_vocabulary),
            "embedding_dropout": embedding_dropout,
            "variational": variational,
            "normalization": normalization,
            "projection": projection,
            "tied": tied,
            **common.config(),
        }

    @override
    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inputs = with_reset_mask(self, inputs)
        tokens = inputs
        if len(self.inputs) == 2:
            tokens = inputs["tokens"] if isinstance(inputs, dict) else inputs[0]
        check_integer_ids(self.name, "tokens", tokens)
        return super().__call__(inputs, *args, **kwargs)

    def program_attributes(self) -> Config:
        """Return the attributes of the `Program` of this model: its kind, and its vocabulary, or V if it reads ids."""
        return {"kind": "language", "vocabulary": self._config["vocabulary"]}

    @staticmethod
    def loss_function() -> keras.losses.Loss:
        """Return the loss for `compile`: cross-entropy from logits, in nats per symbol."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")

    def generate(self, prompt: str | ArrayLike, length: int = 200, **options: Any) -> str | list[str] | np.ndarray:
        """Return `prompt` continued by `length` symbols; see `deeprnn_keras.generate`.

        Args:
            prompt: Text to continue, at least one symbol, or ids.
            length: Number of symbols to generate.
            **options: Arguments of `deeprnn_keras.generate`: `temperature`, `top_k`, `top_p`, `min_p`,
                `repetition_penalty`, `seed`, `stop`, `num_samples`, `unknown`.
        """
        return generate(self, prompt, length, **options)

    def generate_stream(
        self, prompt: str | ArrayLike, length: int = 200, **options: Any
    ) -> Iterator[str] | Iterator[np.ndarray]:
        """Return an iterator over the pieces of the continuation; see `deeprnn_keras.generate_stream`.

        Args:
            prompt: Text to continue, or ids.
            length: Number of symbols to generate.
            **options: Arguments of `deeprnn_keras.generate_stream`: those of `generate` without `num_samples`.
        """
        return generate_stream(self, prompt, length, **options)

    def score(self, text: str | Iterable[str], unknown: str = "error", **options: Any) -> Score:
        """Return the `Score` of the model on a text.

        Args:
            text: One text, or several that do not continue each other; an iterator is read text by text.
            unknown: "error", or "skip" to omit symbols that are not in the vocabulary.
            **options: Arguments of `deeprnn_keras.generation.score`: `on_batch`.
        """
        pieces = [text] if isinstance(text, str) else text
        vocabulary = self.require_vocabulary()
        encoded = (vocabulary.encode(piece, unknown) for piece in pieces)
        return score(self, encoded if isinstance(pieces, Iterator) else list(encoded), **options)

    def corpus(self, text: str, name: str = "text") -> TextCorpus:
        """Return `text` as a `TextCorpus` with the vocabulary of this model.

        Args:
            text: The text.
            name: Name of the text in reports.
        """
        return TextCorpus(text, name, self.require_vocabulary())

    def require_vocabulary(self) -> TextVocabulary:
        """Return the vocabulary.

        Raises:
            ValueError: If the model was created with a number of symbols only.
        """
        if self.vocabulary is None:
            raise ValueError(
                f"text requires a vocabulary, but model {self.name!r} reads ids below {self.vocabulary_size}; create "
                "the model with vocabulary='...' or a list of words"
            )
        return self.vocabulary


def _unit_variance(summed: int | None) -> keras.initializers.Initializer:
    """Return the initializer of an embedding that a head reads as sums over `summed` units, or does not read."""
    return keras.initializers.RandomNormal(stddev=1.0 if summed is None else summed**-0.5)


def _embedding_layer(
    size: int,
    embedding: int | None,
    dropout: float,
    initializer: Initializer,
    dtype: str | keras.dtype_policies.DTypePolicy | None,
) -> Layer:
    if embedding is None:
        if dropout:
            raise ValueError(
                f"embedding_dropout={dropout:g} has no effect on one-hot vectors; pass a width as embedding, or use "
                "input_dropout"
            )
        return OneHot(size, dtype=dtype, name="one_hot")
    options: dict[str, Any] = {"dtype": dtype, "name": "embedding"}
    options["embeddings_initializer"] = initializer
    if dropout:
        return DropoutEmbedding(size, embedding, dropout=dropout, **options)
    return keras.layers.Embedding(size, embedding, **options)


def _check_tied(embedding: int | None, width: int, head_units: Sequence[int]) -> None:
    if embedding != width or head_units:
        raise ValueError(
            f"tied=True requires embedding={width}, the width of the input of the head, and no head_units, got "
            f"embedding={embedding} and head_units={list(head_units)}; projection={embedding or width} changes that "
            "width"
        )


def _check_residual(embedding: int | None, widths: Sequence[int]) -> None:
    if set(widths) != {embedding}:
        raise ValueError(
            "normalization='rms' adds the input of each layer to its output, and requires that the embedding and all "
            f"layers have the same width, got embedding={embedding} and the widths {list(widths)}"
        )


def _chain(layers: Sequence[Layer], hidden: Tensor) -> Tensor:
    for layer in layers:
        hidden = layer(hidden)
    return hidden
