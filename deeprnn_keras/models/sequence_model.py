"""`SequenceModel`: predict classes, numbers, notes, labels, or strokes for a sequence or for each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks, freezing, progress
from deeprnn_keras._types import Activation, ArrayLike, CellSpec, Config, Initializer, Tensor
from deeprnn_keras.data.buckets import BucketedDataset, padded_batches
from deeprnn_keras.data.values import numeric_array
from deeprnn_keras.data.words import PADDING, UNKNOWN, WordVocabulary, plain_words
from deeprnn_keras.generation.notes import generate_notes
from deeprnn_keras.layers import BlankPadding, DeepRNN
from deeprnn_keras.models.common_arguments import CommonArguments
from deeprnn_keras.models.config_mixin import ConfigMixin, check_integer_ids, check_memory, refuse_arguments
from deeprnn_keras.models.ctc import decode_ctc, pad_labels
from deeprnn_keras.models.normalized_stack import batch_normalized_stack
from deeprnn_keras.models.output_kinds import OUTPUT_KINDS

PREDICTION_BATCH_SIZE = 64


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SequenceModel(ConfigMixin, keras.Model):
    """Model with a `DeepRNN` and a head for sequences of features (n, T, d) or ids (n, T).

    The head g returns one output per sequence, O = g(H_T^(L)), (n, q), or one per step, O_t = g(H_t^(L)), (n, T, q).

    Args:
        inputs: Number of features per step, d; with `embedding` the number of ids.
        outputs: Number of outputs, q: classes, numbers, or notes; 1 for "binary".
        units: Hidden units of the `DeepRNN`, h, or a list with one entry per layer.
        num_layers: Number of recurrent layers, L.
        cell: Cell of the `DeepRNN`.
        kind: Meaning of the outputs.
            "classes": logits of q classes; the loss is the cross-entropy.
            "binary": one logit; the loss is the binary cross-entropy.
            "numbers": q real numbers; the loss is the mean squared error.
            "notes": logits of q notes, each of which sounds or does not sound, one output per step; the loss is
            `FrameNLL`, the binary cross-entropy summed over the notes, in nats per frame.
            "ctc": logits of q classes, the first of which is the blank, one output per step; the target of a sequence
            is a shorter sequence of labels 1 to q - 1, and the loss is the CTC loss (Graves et al. 2006), in nats per
            sequence. Sequences of different lengths require `masks`.
            "strokes": parameters of the distribution of the next point of pen strokes, one output per step, with
            q = 6 M + 1 for a mixture of M components; the loss is `StrokeNLL`, in nats per step.
        per_step: If True, there is one output per step instead of one per sequence. Always True for "notes", "ctc", and
            "strokes".
        length: T if it is fixed, so that the fused kernel can be compiled; None for any length.
        embedding: Width of an embedding of ids, or None for features.
        words: Words whose ids the embedding reads, as many as `inputs`. Sequences may then be raw texts, which are
            converted by `plain_words`. If `length` is set, the last `length` words are read, and shorter texts are
            padded on the left with "<pad>", or with id 0. If `length` is None, a text without a known word is read as
            one step of "<pad>", or of "<unk>" if it has id 0; with neither, it is an error.
        masks: If True, the model reads (x, mask), with mask (n, T) of bool, False after the end of a sequence. This is
            required for sequences of different lengths with one output per sequence or in a bidirectional model, which
            would otherwise read the padding. `dataset`, `predict_labels`, and `predict_proba` create the masks.
        offset: Offset of the features, a finite number or one per feature. `offset` and `scale` standardize raw data:
            the model computes (x + offset) scale.
        scale: Scale of the features, a finite number or one per feature, not 0.
        labels: Names of the classes, or None. For "binary", the name of 0 and the name of 1; for "ctc", the first name
            is that of the blank.
        input_dropout: Dropout rate on X.
        output_dropout: Dropout rate on H^(L).
        batch_normalization: If True, a `keras.layers.BatchNormalization` follows each recurrent layer. The layers are
            then L `DeepRNN`s of one layer each, named deep_rnn_1, ..., deep_rnn_L, instead of one named deep_rnn.
        head_units: Widths of hidden layers of the head, which is then a `DeepOutput`.
        head_activation: Activation of these hidden layers.
        embeddings_initializer: Initializer of the embedding.
        head_initializer: Initializer of the kernel of the head.
        head_bias_initializer: Initializer of the bias of the head.
        name: Name of the model.
        trainable: If False, the weights are frozen.
        dtype: Dtype or dtype policy of the layers. The outputs have the dtype of the weights.
        **deep_rnn: Other arguments of `DeepRNN`, except `return_sequences`.

    Attributes:
        kind: Meaning of the outputs.
        per_step: True if there is one output per step.
        masks: True if the model reads masks.
        labels: Names of the classes as a tuple, or None.
        words: `WordVocabulary` of the words, or None.

    Raises:
        ValueError: If an option of `DeepRNN` is not supported, if `kind` is unknown, or if arguments contradict each
            other.

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
        inputs: int,
        outputs: int,
        units: int | Sequence[int],
        num_layers: int | None = None,
        cell: CellSpec | Sequence[CellSpec] = "lstm",
        *,
        kind: str = "classes",
        per_step: bool = False,
        length: int | None = None,
        embedding: int | None = None,
        words: Sequence[str] | None = None,
        masks: bool = False,
        offset: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        labels: Sequence[str] | None = None,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        batch_normalization: bool = False,
        head_units: Sequence[int] = (),
        head_activation: Activation = "tanh",
        embeddings_initializer: Initializer = "uniform",
        head_initializer: Initializer = "glorot_uniform",
        head_bias_initializer: Initializer = "zeros",
        name: str | None = None,
        trainable: bool = True,
        dtype: str | keras.dtype_policies.DTypePolicy | None = None,
        **deep_rnn: Any,
    ) -> None:
        inputs, outputs = checks.positive_int("inputs", inputs), checks.positive_int("outputs", outputs)
        length = checks.positive_int_or_none("length", length)
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
        per_step, masks, trainable, batch_normalization = checks.flags(
            per_step=per_step, masks=masks, trainable=trainable, batch_normalization=batch_normalization
        )
        labels = None if labels is None else tuple(checks.to_python(list(labels)))
        output_kind = OUTPUT_KINDS[checks.one_of("kind", kind, OUTPUT_KINDS)]
        output_kind.check(kind, outputs, labels)
        offset, scale = _standardization(offset, scale, inputs, common.embedding)
        vocabulary = _word_vocabulary(words, inputs, common.embedding)
        per_step = per_step or output_kind.per_step
        refuse_arguments(
            "SequenceModel", deep_rnn, ("return_state", "return_all_layers"), "whose head reads one output per step"
        )
        if per_step:
            refuse_arguments(
                "SequenceModel",
                deep_rnn,
                ("go_backwards",),
                "whose outputs would be in the reverse order of the targets",
            )
        check_memory(
            *("SequenceModel", inputs, outputs, units, num_layers, cell, deep_rnn),
            embedding=common.embedding,
            head_units=common.head_units,
        )
        # === Layers ===
        rnn = DeepRNN(
            units, num_layers, cell, **{"name": "deep_rnn", "dtype": dtype, **deep_rnn, "return_sequences": per_step}
        )
        head = common.head(outputs)
        # === Functional model ===
        if common.embedding is None:
            x = hidden = keras.Input((length, inputs), name="features")
            if np.any(np.not_equal(scale, 1.0)) or np.any(np.not_equal(offset, 0.0)):
                shift = (np.asarray(offset) * np.asarray(scale)).tolist()
                hidden = keras.layers.Rescaling(scale, shift, dtype=dtype, name="standard")(hidden)
        else:
            x = keras.Input((length,), dtype="int32", name="ids")
            embed = keras.layers.Embedding(
                inputs, common.embedding, embeddings_initializer, dtype=dtype, name="embedding"
            )
            hidden = embed(x)
        mask = keras.Input((length,), dtype="bool", name="mask") if masks else None
        hidden = common.dropout_layer("input_dropout")(hidden)
        if batch_normalization:
            hidden = batch_normalized_stack(rnn, hidden, mask)
        else:
            hidden = rnn(hidden, mask=mask) if masks else rnn(hidden)
        hidden = common.dropout_layer("output_dropout")(hidden)
        prediction = head(hidden)
        if masks and output_kind.label_sequences:
            prediction = BlankPadding(dtype=head.dtype_policy, name="blank_padding")(prediction, mask=mask)
        super().__init__([x, mask] if masks else x, prediction, name=name, trainable=trainable)
        freezing.propagate_trainable(self)
        # === Configuration ===
        self.kind, self.per_step, self.masks = kind, per_step, masks
        self._padding_remedy = _padding_remedy(rnn, kind, per_step, masks)
        self.labels = labels
        self.words = vocabulary
        self._stack_config = rnn.get_config if batch_normalization else None
        self._config = {
            "inputs": inputs,
            "outputs": outputs,
            "kind": kind,
            "per_step": per_step,
            "length": length,
            "words": None if words is None else list(words),
            "masks": masks,
            "offset": offset,
            "scale": scale,
            "labels": None if labels is None else list(labels),
            "batch_normalization": batch_normalization,
            **common.config(),
        }

    @override
    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._config["embedding"] is not None:
            ids = inputs
            if self.masks and isinstance(inputs, (list, tuple, dict)):
                ids = inputs["ids"] if isinstance(inputs, dict) else inputs[0]
            check_integer_ids(self.name, "ids", ids)
        return super().__call__(inputs, *args, **kwargs)

    def program_attributes(self) -> Config:
        """Return the attributes of the `Program` of this model: the kind of its outputs, its labels, and its words."""
        return {name: self._config[name] for name in ("kind", "per_step", "labels", "words")}

    # === Training ===

    def loss_function(self) -> keras.losses.Loss:
        """Return the loss for `compile`, according to `kind`. With sample weights it is a mean over real steps."""
        return OUTPUT_KINDS[self.kind].make_loss()

    def metric_functions(self) -> list[keras.metrics.Metric]:
        """Return the metrics for `compile`, according to `kind`."""
        return OUTPUT_KINDS[self.kind].make_metrics()

    def dataset(
        self, series: Iterable[ArrayLike], targets: Sequence[Any] | np.ndarray, batch_size: int = 32, **options: Any
    ) -> BucketedDataset:
        """Return a dataset for `fit` from sequences of any lengths.

        Args:
            series: List of arrays (T_i, d) or (T_i,), array (n, T, d), list of data frames, or list of texts.
            targets: One entry per sequence, or one array (T_i, ...) per sequence with one row per step; with one output
                per step, (T_i,) and (T_i, 1) are equivalent. Classes are given by name if the model has labels,
                otherwise by index. The targets of "binary" and "notes" are 0 and 1. Those of "ctc" are one array of
                labels (S_i,) per sequence, and those of "strokes" points (T_i, 3).
            batch_size: Batch size, n.
            **options: Other arguments of `BucketedDataset`.

        Raises:
            ValueError: If the sequences do not match the inputs of the model, or if a target is not one of the labels.
        """
        arrays, encoded = self._arrays(series), self._encode_targets(targets)
        if OUTPUT_KINDS[self.kind].label_sequences:
            encoded = pad_labels(encoded, arrays, self._config["outputs"])
        elif self.per_step and OUTPUT_KINDS[self.kind].one_column_per_output and self._config["outputs"] == 1:
            encoded = [_as_column(entry) for entry in encoded]
        num_classes = OUTPUT_KINDS[self.kind].num_target_values(self._config["outputs"])
        classes = {} if num_classes is None else {"num_classes": num_classes}
        return BucketedDataset(arrays, encoded, batch_size, masks=self.masks, **{**classes, **options})

    @override
    def fit(
        self, *args: Any, class_weight: Mapping[Any, float] | None = None, **kwargs: Any
    ) -> keras.callbacks.History:
        """Train the model as `keras.Model.fit` does.

        Args:
            *args: Arguments of `keras.Model.fit`.
            class_weight: Weight of the loss of each class, by name or index; 1 for classes that are left out.
            **kwargs: Arguments of `keras.Model.fit`.
        """
        if class_weight is not None:
            kwargs["class_weight"] = self.class_weights(class_weight)
        return super().fit(*args, **kwargs)

    def class_weights(self, weights: Mapping[Any, float]) -> dict[int, float]:
        """Return weights of classes, given by name or index, by index, with 1 for classes that are left out.

        Raises:
            ValueError: If the model has no classes, a class is unknown, or a weight is negative.
        """
        count = OUTPUT_KINDS[self.kind].num_target_values(self._config["outputs"])
        if count is None or self.kind not in ("classes", "binary"):
            raise ValueError(f"class_weight is not supported for kind={self.kind!r}, which has no classes")
        names = self.labels if self._has_class_names and set(weights) <= set(self.labels or ()) else range(count)
        indices = {name: index for index, name in enumerate(names or ())}
        result = dict.fromkeys(range(count), 1.0)
        for name, weight in weights.items():
            if name not in indices:
                known = ", ".join(map(repr, self.labels or range(count)))
                raise ValueError(f"class_weight must have classes of the model as keys, {known}, got {name!r}")
            result[indices[name]] = checks.non_negative(f"class_weight[{name!r}]", weight)
        return result

    @property
    def _has_class_names(self) -> bool:
        """True if `labels` are the names of the values of a target."""
        return self.labels is not None and OUTPUT_KINDS[self.kind].named

    # === Prediction ===

    def predict_labels(
        self, series: Iterable[ArrayLike], batch_size: int = PREDICTION_BATCH_SIZE, beam_width: int | None = None
    ) -> np.ndarray | list[np.ndarray]:
        """Return the predictions for raw sequences, in their order.

        Args:
            series: As for `dataset`.
            batch_size: Number of sequences per forward pass.
            beam_width: For "ctc", the width of a beam search; None for the labels of the most probable alignment. See
                `deeprnn_keras.models.decode_ctc`.

        Returns:
            For "classes" the most probable class, for "binary" 0 or 1, both by name if the model has labels; for
            "notes" 0 or 1; for "numbers" the outputs; for "ctc" the labels, by name if the model has labels; for
            "strokes" the expected next point of each step. An array with one entry per sequence, or, with one output
            per step, a list of arrays, one per sequence.

        Raises:
            ValueError: If `beam_width` is passed and the model is not of kind "ctc".
        """
        predict = OUTPUT_KINDS[self.kind].predict if beam_width is None else self._beam_search(beam_width)
        predictions = [predict(values) for values in self._sequence_outputs(series, batch_size)]
        if self._has_class_names:
            names = np.array(self.labels)
            predictions = [names[classes] for classes in predictions]
        return predictions if self.per_step else np.array(predictions)

    def _beam_search(self, beam_width: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from the outputs for a sequence to its labels."""
        beam_width = checks.positive_int("beam_width", beam_width)
        if self.kind != "ctc":
            raise ValueError(f"beam_width is supported for kind='ctc' only, got a model of kind={self.kind!r}")
        return lambda logits: decode_ctc(logits[None], beam_width)[0]

    def predict_proba(
        self, series: Iterable[ArrayLike], batch_size: int = PREDICTION_BATCH_SIZE
    ) -> np.ndarray | list[np.ndarray]:
        """Return the probabilities for raw sequences, in their order.

        Args:
            series: As for `dataset`.
            batch_size: Number of sequences per forward pass.

        Returns:
            For "classes" (n, q), in the order of `labels`; for "binary" (n,), the probability of 1; for "notes" one
            probability per note. With one output per step, a list of arrays, one per sequence.

        Raises:
            ValueError: If the outputs are numbers, which have no probabilities.
        """
        probability = OUTPUT_KINDS[self.kind].probability
        if probability is None:
            raise ValueError(f"predict_proba is not supported for kind={self.kind!r}; use predict_labels")
        probabilities = [probability(values) for values in self._sequence_outputs(series, batch_size)]
        return probabilities if self.per_step else np.array(probabilities)

    def generate(self, start: ArrayLike, length: int = 64, **options: Any) -> np.ndarray:
        """Return a piano roll continued by `length` frames, for a model of kind "notes".

        Args:
            start: Piano roll to continue, (T, q).
            length: Number of frames to generate.
            **options: Arguments of `deeprnn_keras.generation.generate_notes`: `notes`, `temperature`, `seed`.

        Raises:
            ValueError: If the model is of another kind.
        """
        if self.kind != "notes":
            raise ValueError(f"generate is supported for kind='notes' only, got a model of kind={self.kind!r}")
        return generate_notes(self, start, length, **options)

    def _sequence_outputs(self, series: Iterable[ArrayLike], batch_size: int) -> list[np.ndarray]:
        """Return the outputs for each sequence, (q,) or (T_i, q)."""
        arrays = self._arrays(series)
        lengths = [len(array) for array in arrays]
        outputs: dict[int, np.ndarray] = {}  # outputs by index of the sequence
        batches = list(padded_batches(arrays, batch_size, self.masks))
        for rows, x in progress.tracked(batches, len(batches)):
            batch: Tensor = keras.ops.convert_to_numpy(self(x, training=False))
            for row, values in zip(rows.tolist(), batch, strict=True):
                outputs[row] = values[: lengths[row]] if self.per_step else values
        return [outputs[row] for row in range(len(arrays))]

    # === Conversion of sequences and targets ===

    def _arrays(self, series: Iterable[ArrayLike]) -> list[np.ndarray]:
        """Return sequences as arrays that the model can read."""
        arrays = [
            self._encode_text(number, sequence)
            if isinstance(sequence, str)
            else np.asarray(getattr(sequence, "values", sequence))
            for number, sequence in enumerate(_list_of_sequences(series))
        ]
        if not arrays:
            raise ValueError("series must contain at least 1 sequence, got none")
        empty = next((number for number, array in enumerate(arrays) if array.shape[:1] == (0,)), None)
        if empty is not None:
            raise ValueError(f"series must have at least 1 step each, but sequence {empty} is empty; remove it")
        check = self._check_features if self._config["embedding"] is None else self._check_ids
        for number, array in enumerate(arrays):
            check(number, array)
        lengths = sorted({len(array) for array in arrays})
        if len(lengths) > 1 and self._padding_remedy is not None:
            raise ValueError(
                f"series must have equal lengths, got {lengths[0]} to {lengths[-1]} steps; {self._padding_remedy}"
            )
        return arrays

    def _check_features(self, number: int, array: np.ndarray) -> None:
        width = self._config["inputs"]
        if array.ndim != 2 or array.shape[1] != width:
            raise ValueError(
                f"series[{number}] must have shape (T, {width}), because the model has inputs={width}, got shape "
                f"{array.shape}"
            )

    def _check_ids(self, number: int, array: np.ndarray) -> None:
        size = self._config["inputs"]
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(
                f"series[{number}] must be integer ids of shape (T,), got {array.dtype} of shape {array.shape}"
            )
        if array.size and (array.min() < 0 or array.max() >= size):
            raise ValueError(f"series[{number}] must have ids in [0, {size}), got {array.min()} to {array.max()}")

    def _encode_text(self, number: int, text: str) -> np.ndarray:
        """Return the ids of text `number`, truncated or padded to `length`; at least one id if `length` is None."""
        if self.words is None:
            raise ValueError(f"texts require words, but model {self.name!r} has none; create it with words=[...]")
        ids, length = self.words.encode(plain_words(text), "skip"), self._config["length"]
        padding = self.words.padding
        if length is not None:
            ids = ids[-length:]
            return np.concatenate([np.full(length - len(ids), padding, "int32"), ids])
        if not len(ids) and self.words.words[padding] not in (PADDING, UNKNOWN):
            raise ValueError(
                f"series[{number}] is a text without a word of the model, {text[:60]!r}; remove it, or create the "
                f"model with words that include {PADDING!r}"
            )
        return ids if len(ids) else np.array([padding], "int32")

    def _encode_targets(self, targets: Sequence[Any] | np.ndarray) -> Sequence[Any] | np.ndarray:
        """Replace names of classes with their indices; return other targets unchanged."""
        if self.labels is None or not self._has_class_names:
            return targets
        indices = {label: index for index, label in enumerate(self.labels)}
        try:
            if self.per_step:
                return [np.array([indices[label] for label in labels]) for labels in targets]
            return np.array([indices[label] for label in targets])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"targets must be labels of the model, {', '.join(map(repr, self.labels))}, got {error}"
            ) from error


def _padding_remedy(rnn: DeepRNN, kind: str, per_step: bool, masks: bool) -> str | None:
    """Return how to support sequences of different lengths, or None if padding does not change the outputs."""
    if masks or (per_step and not rnn.bidirectional and not OUTPUT_KINDS[kind].label_sequences):
        return None
    model = "a bidirectional model" if per_step else "one output per sequence"
    model = f"kind={kind!r}" if OUTPUT_KINDS[kind].label_sequences else model
    return f"for {model} and sequences of any length, create the model with masks=True"


def _as_column(values: ArrayLike) -> np.ndarray:
    """Return targets (T,) as (T, 1), and others as they are."""
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array


def _list_of_sequences(series: Iterable[ArrayLike]) -> Iterable[ArrayLike]:
    """Return `series` if it is not a single sequence."""
    if isinstance(series, str) or hasattr(series, "columns") or not isinstance(series, Iterable):
        kind = type(series).__name__
        raise ValueError(f"series must be a list of sequences, got one {kind}; for one sequence, pass [sequence]")
    return series


def _standardization(
    offset: ArrayLike, scale: ArrayLike, inputs: int, embedding: int | None
) -> tuple[float | list[float], float | list[float]]:
    """Return `offset` and `scale` as one number, or as a list of one number per feature."""
    checked: dict[str, float | list[float]] = {}
    for name, value, default in (("offset", offset, 0.0), ("scale", scale, 1.0)):
        array = numeric_array(name, value).astype("float64")
        if array.shape not in ((), (inputs,)) or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must be a finite number, or a list of {inputs} of them, one per feature, got {value!r}"
            )
        if embedding is not None and np.any(array != default):
            raise ValueError(f"{name} is not supported with an embedding, which reads ids, got {value!r}")
        checked[name] = array.tolist()
    if np.any(np.equal(checked["scale"], 0.0)):
        raise ValueError(f"scale must not be 0, which would remove a feature, got {scale!r}")
    return checked["offset"], checked["scale"]


def _word_vocabulary(words: Sequence[str] | None, inputs: int, embedding: int | None) -> WordVocabulary | None:
    """Return the vocabulary of a model's words, or None."""
    if words is None:
        return None
    if embedding is None or len(words) != inputs:
        raise ValueError(
            f"words requires an embedding and inputs={len(words)}, the number of words, got embedding={embedding} and "
            f"inputs={inputs}"
        )
    return WordVocabulary(words)
