"""`LanguageModel`: from the symbols so far to the next one."""

import keras

from deeprnn_keras import checks
from deeprnn_keras.data import TextCorpus
from deeprnn_keras.data.words import plain, vocabulary_of
from deeprnn_keras.generation import generate, score
from deeprnn_keras.layers import DeepOutput, DeepRNN, OneHot
from deeprnn_keras.models.configured import Configured, serialized
from deeprnn_keras.models.tied_head import TiedHead
from deeprnn_keras.stack import output_width


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LanguageModel(Configured, keras.Model):
    """Ids (n, T) -> logits (n, T, V) of the symbol that follows each: embedding, deep RNN, head g.

        X_t = E[w_t]  (one row per symbol; or its indicator vector),  O_t = g(H_t^(L)) = H_t^(L) W_hq + b_q,
        p(w_{t+1} | w_1, ..., w_t) = softmax(O_t)

    The vocabulary is part of the configuration: a saved `.keras` file is all that is needed to go on with text.

    Args:
        vocabulary: the characters as a string or `Vocabulary`; words as a list or `WordVocabulary`; a
            `ByteVocabulary`; or V alone for other symbols.
        units, num_layers, cell, and any other argument of `DeepRNN` by name (`dropout` acts between layers).
        embedding: width of E, or None for indicator vectors (no weights).
        input_dropout, output_dropout: rates on X and on H^(L).
        embeddings_initializer: of E. The default, N(0, 1), gives the first layer inputs of unit variance, for which
            its own initializer is made; Keras' U(-.05, .05) makes it start out nearly blind to its input.
        head_units, head_activation: widths of hidden layers of the head, a `DeepOutput` then; and their activation.
        stateful: the model reads (tokens, reset_mask), what `TBPTTDataset` yields, and carries its state from batch
            to batch; the states of rows where reset_mask is True are reset. Given tokens alone, all are.
        projection: width of a linear map without bias between the recurrent layers and the head, or None.
        tied: W_hq is the transpose of E: as wide as what the head reads, and learnt from both sides (Press & Wolf 2017;
            Inan et al. 2017).
        head_initializer, head_bias_initializer: of W_hq and b_q.

    Raises:
        ValueError: for what `DeepRNN` refuses, V < 2, rates outside [0, 1), or a tied head without an embedding of
            the output's width.

    >>> from deeprnn_keras import LanguageModel
    >>> model = LanguageModel("abc ", units=16, num_layers=2, cell="gru")
    >>> model.compile("adam", model.loss_function())
    >>> model.output_shape
    (None, None, 4)
    """

    def __init__(
        self,
        vocabulary,
        units,
        num_layers=None,
        cell="lstm",
        *,
        embedding=None,
        input_dropout=0.0,
        output_dropout=0.0,
        embeddings_initializer=None,
        head_units=(),
        head_activation="tanh",
        projection=None,
        tied=False,
        head_initializer="glorot_uniform",
        head_bias_initializer="zeros",
        name=None,
        trainable=True,
        dtype=None,
        **deep_rnn,
    ):
        known = vocabulary_of(vocabulary)
        size = checks.positive_int("vocabulary", vocabulary) if known is None else len(known)
        if size < 2:
            raise ValueError(f"vocabulary must have at least two symbols, got {vocabulary!r}")
        for option in ("return_state", "go_backwards", "bidirectional"):
            if deep_rnn.get(option):
                raise ValueError(
                    f"{option}=True makes no language model: the next symbol is predicted from those before"
                )
        # logits in the weights' precision: a softmax in half precision loses what mixed precision gains
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        # === Layers ===
        if embedding is None:
            embed = OneHot(size, dtype=dtype, name="one_hot")
        else:
            embeddings = embeddings_initializer or keras.initializers.RandomNormal(stddev=1.0)
            width = checks.positive_int("embedding", embedding)
            embed = keras.layers.Embedding(size, width, embeddings, dtype=dtype, name="embedding")
        layers = [
            embed,
            keras.layers.Dropout(checks.rate("input_dropout", input_dropout), dtype=dtype, name="input_dropout"),
            DeepRNN(
                units, num_layers, cell, **{"name": "deep_rnn", "dtype": dtype, **deep_rnn, "return_sequences": True}
            ),
            keras.layers.Dropout(checks.rate("output_dropout", output_dropout), dtype=dtype, name="output_dropout"),
        ]
        width = output_width(layers[2].units, layers[2].connection)
        if projection is not None:
            width = checks.positive_int("projection", projection)
            options = {"use_bias": False, "kernel_initializer": head_initializer, "dtype": dtype}
            layers.append(keras.layers.Dense(width, **options, name="projection"))
        head = {"bias_initializer": head_bias_initializer, "dtype": policy.variable_dtype, "name": "head"}
        if tied:
            layers.append(TiedHead(embed, _tied_width(embedding, width, head_units), **head))
        elif head_units:
            units = [*head_units, size]
            layers.append(DeepOutput(units, head_activation, kernel_initializer=head_initializer, **head))
        else:
            layers.append(keras.layers.Dense(size, kernel_initializer=head_initializer, **head))
        # === Functional Model ===
        x = hidden = keras.Input((None,), dtype="int32", name="tokens")
        reset_mask = keras.Input((), dtype="bool", name="reset_mask") if deep_rnn.get("stateful") else None
        for layer in layers:
            told = {"reset_mask": reset_mask} if reset_mask is not None and isinstance(layer, DeepRNN) else {}
            hidden = layer(hidden, **told)
        super().__init__(x if reset_mask is None else [x, reset_mask], hidden, name=name, trainable=trainable)
        # === Config ===
        self.vocabulary = known
        self.vocabulary_size = size
        self._config = {
            "vocabulary": size if known is None else plain(known),
            "embedding": embedding,
            "input_dropout": input_dropout,
            "output_dropout": output_dropout,
            "embeddings_initializer": serialized(embeddings_initializer),
            "head_units": list(head_units),
            "head_activation": head_activation,
            "projection": projection,
            "tied": bool(tied),
            "head_initializer": serialized(head_initializer),
            "head_bias_initializer": serialized(head_bias_initializer),
        }

    def __call__(self, inputs, *args, **kwargs):
        if len(self.inputs) == 2 and not isinstance(inputs, (list, tuple, dict)):
            inputs = keras.ops.convert_to_tensor(inputs)
            inputs = [inputs, keras.ops.ones(keras.ops.shape(inputs)[:1], "bool")]
        return super().__call__(inputs, *args, **kwargs)

    @staticmethod
    def loss_function():
        """Cross-entropy in nats per symbol, from logits."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")

    def generate(self, prompt, length=200, **options):
        """Continues `prompt`: see `deeprnn_keras.generate`."""
        return generate(self, self.require_vocabulary(), prompt, length, **options)

    def score(self, text, unknown="error", **options):
        """A `Score` on a text, or on a list of texts that do not follow each other: see `generation.score`."""
        pieces = [text] if isinstance(text, str) else text
        return score(self, [self.require_vocabulary().encode(piece, unknown) for piece in pieces], **options)

    def corpus(self, text, name="text"):
        """`text` as a `TextCorpus` in this model's vocabulary."""
        return TextCorpus(text, name, self.require_vocabulary())

    def require_vocabulary(self):
        """The vocabulary; a ValueError if the model knows numbers only."""
        if self.vocabulary is None:
            raise ValueError(
                f"model {self.name!r} knows ids below {self.vocabulary_size}, not characters; "
                "create it with vocabulary='...', or a list of words, to use text"
            )
        return self.vocabulary


def _tied_width(embedding, width, head_units):
    if embedding != width or head_units:
        raise ValueError(
            f"tied=True needs an embedding as wide as what the head reads, {width}, and no hidden "
            f"layers in the head; got embedding={embedding} and head_units={list(head_units)}"
        )
    return width
