"""`BucketedDataset`: padded batches of sequences of similar length, with padding excluded from loss and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.data.batches import Batches, fingerprint, resolve_seed
from deeprnn_keras.data.bucket_plan import bucket_boundaries, bucket_plan
from deeprnn_keras.data.values import Locate, check_all, numeric_array, to_model_dtype

NUM_BUCKETS = 8


class BucketedDataset(Batches):
    """Dataset of right-padded batches of sequences of similar length, with targets per sequence or per step.

    Sequences are assigned to buckets by length. Each batch comes from one bucket and is padded to the longest sequence
    of that bucket rather than of the batch. There are then at most `num_buckets` different lengths T, and XLA, which
    compiles the fused kernel once per length in 1 to 2 s, soon stops compiling. The last batch of a bucket may be
    smaller. In every pass, the sequences are shuffled within their buckets, and then the order of all batches is
    shuffled. Pass the dataset to `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no
    effect.

    Compile the model so that only real steps count:

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        model.compile("adam", loss, weighted_metrics=[Perplexity()])

    The loss of a batch is then the mean over its real steps, Σ a_i loss_i / Σ a_i, where a_i are the sample weights.
    Keras' default reduction divides by B T, padding included, so that heavily padded batches count less.
    The sample weights reach `weighted_metrics`, but not `metrics`. `Perplexity` and `BitsPerCharacter` are exact over
    an epoch. Keras' own metrics, for example `SparseCategoricalAccuracy`, count real steps only, but weight each by
    1 / T of its batch; the `loss` in the logs of an epoch is a mean over batches, weighted by their number of rows.
    Neither equals the mean over all real steps.

    With one target per sequence, the model needs a mask: a layer that returns its last output would otherwise continue
    through the padding. With one target per step it needs none, because padding follows the real steps, except if the
    model also reads from right to left, as with `bidirectional`. There are two ways to provide the mask: `masks=True`,
    or a layer that recognizes padding by its value, `Embedding(mask_zero=True)` or `Masking(padding)`. Such a layer
    also masks real steps that have this value. With one target per sequence, unequal lengths, and `masks=False`, real
    steps that equal `padding` are therefore an error. With one target per step they are not, since most models then
    need no mask; if the model has such a layer, choose a `padding` value that occurs in no real step.

    Args:
        sequences: n arrays of ids (T_i,) or of features (T_i, d).
        targets: One target per sequence, an array (n,) or (n, k); or one per step, a list of n arrays (T_i,) or
            (T_i, k).
        batch_size: Batch size, B.
        num_buckets: Maximum number of buckets, which hold about the same number of sequences each.
        boundaries: User-defined maximum lengths of the buckets, in increasing order. Replaces `num_buckets`.
        padding: Id, or value of all features, after the end of a sequence.
        masks: If True, the inputs are (x, mask) instead of x, with mask (B, T) of bool, True at real steps. This
            requires a model with two inputs: `DeepRNN(...)(x, mask=mask)`.
        weights: User-defined sample weights, >= 0: an array (n,), one per sequence; or, with targets per step, a list
            of arrays (T_i,).
        shuffle: If True, draw a new order for every epoch. False keeps the order of the sequences within each bucket,
            and starts with the bucket of the shortest sequences.
        num_classes: Number of classes. If set, targets are checked to be class indices in [0, num_classes).
        seed: Random seed of the order. None draws one that `keras.utils.set_random_seed` determines.
        steps: Number of batches per epoch of `fit`. None: one pass. With another number, an epoch continues where the
            previous one stopped.

    Yields:
        With one target per sequence (x, y), or (x, y, weights) with weights (B,) if `weights` is set. With one target
        per step (x, y, weights), with weights (B, T): 0 at padding, and 1 or the user-defined weight at real steps; y
        is 0 at padding. x is (B, T) or (B, T, d); with `masks=True`, (x, mask) replaces x. `epoch_plan(epoch)` yields
        (indices of the sequences, T) for each batch, for example to restore the order of the outputs of `predict`.

    Attributes:
        padded_lengths: T of each bucket, in increasing order.

    Raises:
        ValueError: If a sequence is empty, has another number of features than the first, or has no weight above 0; if
            values are not finite; if the number, shapes, or values of the targets are invalid; if a real step equals
            `padding` as described above; or if a size or `boundaries` is out of range. For a single invalid sequence,
            the message contains its index.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.data import BucketedDataset
    >>> from deeprnn_keras.training import Perplexity
    >>> words = [np.array([5, 2, 2]), np.array([3]), np.array([1, 4])]
    >>> data = BucketedDataset(words, words, batch_size=2, num_buckets=2, num_classes=6, shuffle=False)
    >>> [(x.numpy().tolist(), weights.numpy().tolist()) for x, y, weights in data]
    [([[3, 0], [1, 4]], [[1.0, 0.0], [1.0, 1.0]]), ([[5, 2, 2]], [[1.0, 1.0, 1.0]])]
    >>> model = keras.Sequential([keras.layers.Embedding(6, 4), DeepRNN(8, return_sequences=True)])
    >>> model.add(keras.layers.Dense(6))
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    >>> model.compile("adam", loss, weighted_metrics=[Perplexity()])
    >>> history = model.fit(data, epochs=2, shuffle=False, verbose=0)
    """

    def __init__(
        self,
        sequences: Iterable[ArrayLike],
        targets: ArrayLike | Sequence[ArrayLike],
        batch_size: int,
        *,
        num_buckets: int = NUM_BUCKETS,
        boundaries: Sequence[int] | None = None,
        padding: float = 0,
        masks: bool = False,
        weights: ArrayLike | Sequence[ArrayLike] | None = None,
        shuffle: bool = True,
        num_classes: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
    ) -> None:
        batch_size = checks.positive_int("batch_size", batch_size)
        masks, shuffle = checks.flags(masks=masks, shuffle=shuffle)
        values, lengths = _concatenate_sequences(sequences)
        outputs, per_step = _per_sequence_or_step("targets", targets, lengths)
        if num_classes is not None:
            _check_classes(outputs, checks.positive_int("num_classes", num_classes), lengths if per_step else None)
        sample_weights = _sample_weights(weights, lengths, per_step)
        padding_value = _padding_value(padding, values)
        if not (masks or per_step) and len(set(lengths)) > 1:  # equal lengths need no padding
            _check_padding_is_unique(values, padding_value, lengths)
        bucket_ends = bucket_boundaries(lengths, num_buckets, boundaries)
        seed = resolve_seed(seed) if shuffle else None
        plan, self.padded_lengths = bucket_plan(lengths, bucket_ends, batch_size, seed)
        about = {
            "kind": "buckets",
            "sequences": fingerprint(values, lengths),
            "targets": fingerprint(outputs),
            "weights": "none" if weights is None or sample_weights is None else fingerprint(sample_weights),
            "buckets": " ".join(map(str, bucket_ends)),
            "n": batch_size,
            "padding": padding_value.item(),
            "masks": masks,
            "seed": seed,
        }
        signature = [tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64)]
        make_batch = _batch_maker(values, outputs, sample_weights, lengths, padding_value, masks, per_step)
        super().__init__(plan, signature, make_batch, about, steps)


def padded_batches(
    sequences: Iterable[ArrayLike], batch_size: int, masks: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray | tuple[np.ndarray, np.ndarray]]]:
    """Yield (indices of the sequences, x) for each batch of a `BucketedDataset` in the order of the lengths.

    For predictions: TensorFlow traces graphs for every data set, and does not release their memory.

    Args:
        sequences: As for `BucketedDataset`.
        batch_size: Batch size, B.
        masks: As for `BucketedDataset`.

    Raises:
        ValueError: If a sequence is empty or not finite, or has another number of features than the first.
    """
    values, lengths = _concatenate_sequences(sequences)
    boundaries = bucket_boundaries(lengths, NUM_BUCKETS)
    plan, _ = bucket_plan(lengths, boundaries, checks.positive_int("batch_size", batch_size))
    first_steps = np.cumsum(lengths) - lengths
    for rows, steps in zip(*plan(0), strict=True):
        within = np.arange(steps)
        real = within < lengths[rows, None]
        x = values[np.where(real, first_steps[rows, None] + within, 0)]
        x[~real] = 0
        yield rows, (x, real) if masks else x


# === Arrays from arguments ===


def _concatenate_sequences(sequences: Iterable[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Return (all sequences concatenated, their lengths) after checking their shapes and values."""
    arrays = [numeric_array(f"sequences[{number}]", sequence) for number, sequence in enumerate(sequences)]
    if not arrays:
        raise ValueError("sequences must contain at least 1 sequence, got none")
    for number, array in enumerate(arrays):
        if array.shape[:1] == (0,):
            raise ValueError(f"sequences[{number}] must have at least 1 step, got an empty sequence; remove it")
        if array.ndim not in (1, 2) or array.shape[1:] != arrays[0].shape[1:] or not array.size:
            raise ValueError(
                "sequences must be ids (T,) or features (T, d), with d at least 1 and the same for all, got shape "
                f"{array.shape} for sequences[{number}]"
                + (f" and {arrays[0].shape} for sequences[0]" if number else "")
            )
    lengths = np.array([len(array) for array in arrays], "int64")
    return to_model_dtype("sequences", np.concatenate(arrays), _locate(lengths)), lengths


def _per_sequence_or_step(
    name: str, values: ArrayLike | Sequence[ArrayLike], lengths: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return targets or weights as one array, and whether they are per step.

    Args:
        name: Name of the argument.
        values: An array with one row per sequence, or a list of arrays with one row per step.
        lengths: Lengths of the sequences.

    Returns:
        (n, ...) and False, or all steps concatenated and True.
    """
    array = None if isinstance(values, (list, tuple)) else np.asarray(values)
    entries = list(values) if array is None else list(array) if array.ndim else []
    if len(entries) != len(lengths):
        raise ValueError(f"{name} must have one entry per sequence ({len(lengths)}), got {len(entries)}")
    parts = [numeric_array(f"{name}[{number}]", entry) for number, entry in enumerate(entries)]
    per_step = (array is None or array.dtype == object) and any(part.ndim for part in parts)
    for number, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        if not per_step and part.ndim > 1:
            raise ValueError(
                f"{name} must be an array (n,) or (n, k), one row per sequence, or a list of arrays (T,) or (T, k), "
                f"one row per step, got an array of shape {np.shape(values)}"
            )
        if per_step and (part.ndim not in (1, 2) or part.shape[1:] != parts[0].shape[1:] or len(part) != length):
            raise ValueError(
                f"a list of {name} must contain arrays with one row per step and equal numbers of columns, got shape "
                f"{part.shape} for sequence {number} of {length} steps"
                f"{f' and {parts[0].shape} for sequence 0' if number else ''}; pass an array for {name} per sequence"
            )
    joined = np.concatenate(parts) if per_step else np.stack(parts)
    return to_model_dtype(name, joined, _locate(lengths if per_step else None)), per_step


def _sample_weights(
    weights: ArrayLike | Sequence[ArrayLike] | None, lengths: np.ndarray, per_step: bool
) -> np.ndarray | None:
    """Return one weight per target: all steps concatenated, or (n,); None if all targets have the same weight."""
    if weights is None:
        return np.ones(lengths.sum(), "float32") if per_step else None
    values, weights_per_step = _per_sequence_or_step("weights", weights, lengths)
    if values.ndim > 1 or (weights_per_step and not per_step):
        raise ValueError(
            "weights must have one number per sequence, (n,)"
            f"{', or per step, a list of arrays (T,)' if per_step else ''}, "
            f"for targets per {'step' if per_step else 'sequence'}, got "
            f"{'numbers per step' if weights_per_step else f'shape {values.shape}'}"
        )
    check_all("weights", "at least 0", values < 0, values, _locate(lengths if weights_per_step else None))
    values = (values if weights_per_step or not per_step else np.repeat(values, lengths)).astype("float32")
    largest = np.maximum.reduceat(values, np.cumsum(lengths) - lengths) if per_step else values
    if not largest.all():
        number = int(np.flatnonzero(largest == 0)[0])
        raise ValueError(
            f"weights must not all be 0 for a sequence, got only 0 for sequence {number}; remove the sequence"
        )
    return values


def _padding_value(padding: float, values: np.ndarray) -> np.generic:
    """Return `padding` in the dtype of `values`."""
    number = checks.number("padding", padding, -(2.0**31), 2.0**31, "a number in the range of int32")
    if values.dtype.kind == "i" and number != int(number):
        raise ValueError(f"padding must be an integer for sequences of integers, got {padding!r}")
    return values.dtype.type(number)


# === Checks ===


def _check_padding_is_unique(values: np.ndarray, padding: np.generic, lengths: np.ndarray) -> None:
    rows = np.flatnonzero((values == padding).reshape(len(values), -1).all(1))
    if len(rows):
        raise ValueError(
            f"padding must differ from every real step, because a mask derived from it would exclude the step, got "
            f"padding={padding}, which equals {_locate(lengths)(rows[0])} ({len(rows)} steps in total); use "
            "another padding or masks=True"
        )


def _check_classes(values: np.ndarray, num_classes: int, lengths: np.ndarray | None) -> None:
    invalid = (values < 0) | (values >= num_classes) | (values != np.floor(values))
    # values of weight 0 are checked too, since 0 times NaN is NaN
    check_all("targets", f"class indices in [0, num_classes={num_classes})", invalid, values, _locate(lengths))


def _locate(lengths: np.ndarray | None) -> Locate:
    """Return the function that describes a row of concatenated sequences of `lengths`, or for None of sequences."""

    def locate(row: int) -> str:
        if lengths is None:
            return f"sequence {row}"
        number = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
        return f"sequence {number}, step {row - lengths[:number].sum()}"

    return locate


# === Batches ===


def _batch_maker(
    values: np.ndarray,
    targets: np.ndarray,
    sample_weights: np.ndarray | None,
    lengths: np.ndarray,
    padding: np.generic,
    masks: bool,
    per_step: bool,
) -> Callable[[Tensor, Tensor], tuple[Tensor, ...]]:
    """Return the function from (indices of sequences, T) to a batch."""
    inputs, outputs, sizes = tf.constant(values), tf.constant(targets), tf.constant(lengths)
    first_steps = tf.constant(np.cumsum(lengths) - lengths)
    weights = None if sample_weights is None else tf.constant(sample_weights)

    def make_batch(rows: Tensor, steps: Tensor) -> tuple[Tensor, ...]:
        within = tf.range(steps)
        real = within < tf.gather(sizes, rows)[:, None]
        positions = tf.where(real, tf.gather(first_steps, rows)[:, None] + within, 0)

        def padded(flat: Tensor, fill: Tensor) -> Tensor:
            gathered = tf.gather(flat, positions)
            return tf.where(real if gathered.shape.rank == 2 else real[:, :, None], gathered, tf.cast(fill, flat.dtype))

        x = padded(inputs, padding)
        x = (x, real) if masks else x
        if per_step:
            return x, padded(outputs, 0), padded(weights, 0)
        y = tf.gather(outputs, rows)
        return (x, y) if weights is None else (x, y, tf.gather(weights, rows))

    return make_batch
