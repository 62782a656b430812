"""`SequenceModel`: one answer for a whole sequence, or one for each of its steps."""

import keras
import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.data.buckets import BucketedDataset
from deeprnn_keras.data.words import WordVocabulary, plain_words
from deeprnn_keras.generation.notes import generate_notes
from deeprnn_keras.layers import DeepOutput, DeepRNN
from deeprnn_keras.models.configured import Configured, serialized
from deeprnn_keras.models.output_kinds import OUTPUT_KINDS

PREDICTED = 64  # sequences at once


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SequenceModel(Configured, keras.Model):
    """Sequences (n, T, d), or ids (n, T), -> O = g(H_T^(L)) (n, q), or O_t = g(H_t^(L)) (n, T, q).

    Args:
        inputs: d features per step; with `embedding` the number of ids.
        outputs: q: classes, numbers or notes; 1 for "binary".
        units, num_layers, cell, and any other argument of `DeepRNN` by name.
        kind: what the outputs are.
            "classes": logits of q classes, cross-entropy;
            "binary": the logit of one, cross-entropy;
            "numbers": q real numbers, mean squared error;
            "notes": logits of q notes that sound or not, one per step, the cross-entropy summed over them: nats a
            frame.
        per_step: one answer per step instead of one per sequence; always so for "notes".
        length: T where it is known, which lets the fused kernel compile; None for any.
        embedding: its width, for ids; None for features.
        words: with an embedding the words whose ids are read, as many as `inputs`; sequences may then be raw texts,
            read as `plain_words`. Where `length` is known, the last so many words are read, and shorter texts are
            filled up at the left with "<pad>", or id 0.
        masks: the model reads (x, mask), mask (n, T) of bool, False behind the end of a sequence: for sequences of
            different lengths with one answer each. `dataset` and `predict_labels` see to it.
        offset, scale: features are read as (x + offset) scale, numbers or one per feature: brings raw data to mean 0
            and variance 1.
        labels: the names of the classes, or None.
        input_dropout, output_dropout: rates on X and on H^(L).
        head_units, head_activation: of hidden layers of the head, a `DeepOutput` then.
        embeddings_initializer, head_initializer, head_bias_initializer: Keras initializers.

    Raises:
        ValueError: for what `DeepRNN` refuses, an unknown kind, or numbers that do not go together.

    >>> import numpy as np
    >>> from deeprnn_keras import SequenceModel
    >>> model = SequenceModel(inputs=2, outputs=3, units=8, num_layers=2, masks=True, labels=("a", "b", "c"))
    >>> model.compile("adam", model.loss_function(), metrics=model.metric_functions())
    >>> series = [np.zeros((4, 2)), np.ones((7, 2))]
    >>> history = model.fit(model.dataset(series, ["a", "c"], batch_size=2), shuffle=False, verbose=0)
    >>> len(model.predict_labels(series))
    2
    """

    def __init__(
        self,
        inputs,
        outputs,
        units,
        num_layers=None,
        cell="lstm",
        *,
        kind="classes",
        per_step=False,
        length=None,
        embedding=None,
        words=None,
        masks=False,
        offset=0.0,
        scale=1.0,
        labels=None,
        input_dropout=0.0,
        output_dropout=0.0,
        head_units=(),
        head_activation="tanh",
        embeddings_initializer="uniform",
        head_initializer="glorot_uniform",
        head_bias_initializer="zeros",
        name=None,
        trainable=True,
        dtype=None,
        **deep_rnn,
    ):
        checks.positive_int("inputs", inputs)
        self_kind = OUTPUT_KINDS[checks.one_of("kind", kind, OUTPUT_KINDS)]
        self_kind.check(checks.positive_int("outputs", outputs), labels)
        self_words = _vocabulary(words, inputs, embedding)
        per_step = bool(per_step) or self_kind.per_step
        if masks and per_step:
            raise ValueError("masks=True is for one answer per sequence; with one per step the padding comes after it")
        policy = keras.config.dtype_policy() if dtype is None else keras.dtype_policies.get(dtype)
        # === Layers ===
        rnn = DeepRNN(
            units, num_layers, cell, **{"name": "deep_rnn", "dtype": dtype, **deep_rnn, "return_sequences": per_step}
        )
        head = {"bias_initializer": head_bias_initializer, "dtype": policy.variable_dtype, "name": "head"}
        head["kernel_initializer"] = head_initializer
        if head_units:
            head = DeepOutput([*head_units, outputs], head_activation, **head)
        else:
            head = keras.layers.Dense(outputs, **head)
        # === Functional Model ===
        if embedding is None:
            x = hidden = keras.Input((length, inputs), name="features")
            if np.any(np.not_equal(scale, 1.0)) or np.any(np.not_equal(offset, 0.0)):
                shift = (np.asarray(offset) * np.asarray(scale)).tolist()
                hidden = keras.layers.Rescaling(_plain(scale), shift, dtype=dtype, name="standard")(hidden)
        else:
            x = keras.Input((length,), dtype="int32", name="ids")
            embed = keras.layers.Embedding(inputs, embedding, embeddings_initializer, dtype=dtype, name="embedding")
            hidden = embed(x)
        mask = keras.Input((length,), dtype="bool", name="mask") if masks else None
        hidden = keras.layers.Dropout(checks.rate("input_dropout", input_dropout), dtype=dtype)(hidden)
        hidden = rnn(hidden, mask=mask) if masks else rnn(hidden)
        hidden = keras.layers.Dropout(checks.rate("output_dropout", output_dropout), dtype=dtype)(hidden)
        super().__init__([x, mask] if masks else x, head(hidden), name=name, trainable=trainable)
        # === Config ===
        self.kind, self.per_step, self.masks = kind, per_step, bool(masks)
        self.labels = None if labels is None else tuple(labels)
        self.words = self_words
        self._config = {
            "inputs": inputs,
            "outputs": outputs,
            "kind": kind,
            "per_step": per_step,
            "length": length,
            "embedding": embedding,
            "words": None if words is None else list(words),
            "masks": bool(masks),
            "offset": _plain(offset),
            "scale": _plain(scale),
            "labels": None if labels is None else list(labels),
            "input_dropout": input_dropout,
            "output_dropout": output_dropout,
            "head_units": list(head_units),
            "head_activation": head_activation,
            "embeddings_initializer": serialized(embeddings_initializer),
            "head_initializer": serialized(head_initializer),
            "head_bias_initializer": serialized(head_bias_initializer),
        }

    def loss_function(self):
        """The loss that goes with the kind of answers, over real steps only where there are weights."""
        return OUTPUT_KINDS[self.kind].loss()

    def metric_functions(self):
        """The metrics that go with it, for `compile`."""
        return OUTPUT_KINDS[self.kind].metrics()

    def dataset(self, series, answers, batch_size=32, **options):
        """Batches for `fit` of sequences of any lengths.

        Args:
            series: a list of arrays (T_i, d) or (T_i,), an array (n, T, d), a data frame per sequence, or texts.
            answers: one per sequence, or arrays (T_i, ...), one per step; labels by name or by number.
            batch_size: n.
            options: of `BucketedDataset`.

        Raises:
            ValueError: for other channels than the model reads, or labels that it does not know, saying which.
        """
        series, answers = self._series(series), self._numbered(answers)
        classes = {"num_classes": self._config["outputs"]} if self.kind == "classes" else {}
        return BucketedDataset(series, answers, batch_size, masks=self.masks, **{**classes, **options})

    def predict_labels(self, series, batch_size=PREDICTED):
        """Return the predictions for raw sequences, in their order.

        Args:
            series: a list of arrays (T_i, d) or (T_i,), an array (n, T, d), a data frame per sequence, or texts.
            batch_size: sequences per forward pass.

        Returns:
            For "classes" the most probable class, by name where the model has names; for "binary" and "notes" 0 or 1;
            for "numbers" the numbers. An array with one entry per sequence, or, with one output per step, a list of
            arrays.
        """
        found = [OUTPUT_KINDS[self.kind].label(values) for values in self._sequence_outputs(series, batch_size)]
        if self.labels is not None and self.kind == "classes":
            names = np.array(self.labels)
            found = [names[one] for one in found]
        return found if self.per_step else np.array(found)

    def predict_proba(self, series, batch_size=PREDICTED):
        """Return the probabilities for raw sequences, in their order.

        Args:
            series, batch_size: as for `predict_labels`.

        Returns:
            For "classes" (n, q), in the order of `labels`; for "binary" (n,), the probability of 1; for "notes" one per
            note. With one output per step, a list of arrays.

        Raises:
            ValueError: If the outputs are numbers, which have no probabilities.
        """
        probability = OUTPUT_KINDS[self.kind].probability
        if probability is None:
            raise ValueError(f"predict_proba is not supported for kind={self.kind!r}; use predict_labels")
        found = [probability(values) for values in self._sequence_outputs(series, batch_size)]
        return found if self.per_step else np.array(found)

    def _sequence_outputs(self, series, batch_size):
        """[what the head gives for each sequence, (q,) or (T_i, q)]."""
        given = self._series(series)
        none = [np.zeros(len(one), "int32") for one in given] if self.per_step else np.zeros(len(given), "int32")
        data = BucketedDataset(given, none, batch_size, masks=self.masks, shuffle=False)
        found = [None] * len(given)
        for (x, *_), (rows, *_) in zip(data, data.rows_of(0), strict=True):
            output = keras.ops.convert_to_numpy(self(x, training=False))
            for row, values in zip(np.asarray(rows), output, strict=True):
                found[row] = values[: len(given[row])] if self.per_step else values
        return found

    def generate(self, start, length=64, **options):
        """Continues a piano roll, for "notes": see `deeprnn_keras.generation.generate_notes`."""
        if self.kind != "notes":
            raise ValueError(f"model {self.name!r} answers with {self.kind}; only models of notes generate")
        return generate_notes(self, start, length, **options)

    def _series(self, series):
        found = [self._ids(one) if isinstance(one, str) else np.asarray(getattr(one, "values", one)) for one in series]
        if not found:
            raise ValueError("there is no sequence")
        width, ids = self._config["inputs"], self._config["embedding"] is not None
        for number, one in enumerate(found):
            if ids and (one.ndim != 1 or one.dtype.kind not in "iu" or one.min() < 0 or one.max() >= width):
                raise ValueError(f"sequence {number} must have ids of at least 0 and below {width}, shape (T,)")
            if not ids and (one.ndim != 2 or one.shape[1] != width):
                raise ValueError(
                    f"sequence {number} has shape {one.shape}; the model reads (T, {width}): {width} channels a step"
                )
        lengths = sorted({len(one) for one in found})
        if len(lengths) > 1 and not (self.masks or self.per_step):
            raise ValueError(
                f"sequences have {lengths[0]} to {lengths[-1]} steps; a model with one answer for each reads them with "
                "masks=True, or all of one length"
            )
        return found

    def _ids(self, text):
        """A text as ids."""
        if self.words is None:
            raise ValueError(f"model {self.name!r} knows no words; create it with words=[...] to give it texts")
        ids, length = self.words.encode(plain_words(text), "skip"), self._config["length"]
        if length is None:
            return ids
        ids = ids[-length:]
        return np.concatenate([np.full(length - len(ids), self.words.padding, "int32"), ids])

    def _numbered(self, answers):
        """Labels as numbers."""
        if self.labels is None or self.kind != "classes":
            return answers
        known = {label: number for number, label in enumerate(self.labels)}
        try:
            if self.per_step:
                return [np.array([known[label] for label in one]) for one in answers]
            return np.array([known[label] for label in answers])
        except (KeyError, TypeError) as error:
            raise ValueError(f"unknown label {error}; the model knows {', '.join(map(repr, self.labels))}") from error


def _plain(value):
    return np.asarray(value, float).tolist()


def _vocabulary(words, inputs, embedding):
    """The `WordVocabulary` of a model's words, or None."""
    if words is None:
        return None
    if embedding is None or len(words) != inputs:
        raise ValueError(
            f"words must be as many as inputs, {inputs}, and read through an embedding; got {len(words)} words and "
            f"embedding={embedding}"
        )
    return WordVocabulary(words)
