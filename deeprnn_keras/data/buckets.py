"""`BucketedDataset`: sequences of any length as padded batches of like length, in which real steps only count."""

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras.data.batches import Batches, compact, drawn_seed, fingerprint
from deeprnn_keras.data.bucket_plan import bucket_borders, bucket_plan


class BucketedDataset(Batches):
    """Batches of sequences of like length, padded at the right, with one target per sequence or one per step.

    Sequences go into buckets by their length. A batch comes from one bucket and is padded to the longest sequence of
    that bucket, not of the batch: there are at most `num_buckets` lengths T, so that XLA, which compiles the fused
    kernel anew for a new length (a second or two), is soon done. The last batch of a bucket may have fewer rows.
    In every pass, rows are shuffled within their buckets, and then the batches of all buckets among each other.

    Compile the model so that real steps only count:

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
        model.compile("adam", loss, weighted_metrics=[Perplexity()])

    The loss of a batch then is the mean over its real steps, Σ a_i loss_i / Σ a_i with a_i the sample weights. By
    default Keras divides by B T, padding included, so that the more a batch is padded, the less it counts.
    `weighted_metrics`, not `metrics`, are given the weights; `Perplexity` and `BitsPerCharacter` are exact over the
    epoch. Keras' own metrics, such as `SparseCategoricalAccuracy`, count real steps only, but each as 1 / T of its
    batch; the `loss` in the logs of an epoch is a mean over batches by their rows. Neither is the mean over all steps.

    Does the model need a mask? With one target per sequence it does: a layer that returns its last output would
    otherwise go on through the padding. With one per step it does not, as padding comes after the steps that count,
    unless it reads from the right, as with `bidirectional`. There are two ways: `masks=True`; or a layer that finds
    the padding by its value, `Embedding(mask_zero=True)` or `Masking(padding)`, which takes a real step of that value
    for padding too. With one target per sequence, different lengths and without `masks` such a step is an error here.
    With one per step it is not, as most models then need no such layer; where yours has one, use a `padding` that no
    step equals.

    Args:
        sequences: n arrays of ids (T_i,) or of features (T_i, d).
        targets: an array (n,) or (n, k), one per sequence; or a list of n arrays (T_i,) or (T_i, k), one per step.
        batch_size: B.
        num_buckets: at most so many buckets, of about as many sequences each.
        boundaries: in place of that, the greatest length of each bucket, rising.
        padding: the id, or the value of all features, behind the end of a sequence.
        masks: whether x is (x, mask), mask (B, T) of bool, True at real steps, for a model with two inputs:
            `DeepRNN(...)(x, mask=mask)`.
        weights: of ones own, at least 0: (n,), one per sequence; or, with targets per step, a list of arrays (T_i,).
        shuffle: whether the order is drawn anew in every epoch; if not, it is as given, shortest bucket first.
        num_classes: to have targets checked as labels, at least 0 and below it; None: they are not.
        seed: of the order, a whole number, or None for one that `keras.utils.set_random_seed` fixes.
        steps: batches in an epoch of `fit`, None for one pass; where it is another number, epochs go on where the
            last one stopped.

    Yields, with one target per sequence, (x, y), or (x, y, weights (B,)) where weights are given; with one per step
    (x, y, weights (B, T)): 0 at padding and else 1, or your own; y is 0 at padding. x is (B, T) or (B, T, d). Give it
    to `fit` with `shuffle=False`, or Keras warns that its shuffling does nothing. `rows_of(epoch)` tells which
    sequences are in each batch, for instance to sort what `predict` returned.

    Attributes:
        padded_to: T of each bucket, rising.

    Raises:
        ValueError: if a sequence is empty or of another width, or is all of weight 0; if numbers are not finite,
            targets are not labels or of another number or form, or a real step looks like padding; or for sizes and
            boundaries out of range. It says which.

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
        sequences,
        targets,
        batch_size,
        *,
        num_buckets=8,
        boundaries=None,
        padding=0,
        masks=False,
        weights=None,
        shuffle=True,
        num_classes=None,
        seed=None,
        steps=None,
    ):
        n = checks.positive_int("batch_size", batch_size)
        values, lengths = _sequences(sequences)
        answers, per_step = _attached("targets", targets, lengths)
        if num_classes is not None:
            _check_labels(answers, checks.positive_int("num_classes", num_classes), lengths if per_step else None)
        shares = _shares(weights, lengths, per_step)
        padding = _padding(padding, values)
        if not (masks or per_step) and len(set(lengths)) > 1:  # else nothing is padded
            _check_padding(values, padding, lengths)
        borders = bucket_borders(lengths, num_buckets, boundaries)
        seed = drawn_seed(seed) if shuffle else None
        plan, self.padded_to = bucket_plan(lengths, borders, n, seed)
        about = {
            "kind": "buckets",
            "sequences": fingerprint(values, lengths),
            "targets": fingerprint(answers),
            "weights": "none" if weights is None else fingerprint(shares),
            "buckets": " ".join(map(str, borders)),
            "n": n,
            "padding": padding.item(),
            "masks": bool(masks),
            "seed": seed,
        }
        signature = [tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int64)]
        cut = _cutter(values, answers, shares, lengths, padding, masks, per_step)
        super().__init__(plan, signature, cut, about, steps)


def _array(name, number, value):
    """One sequence, or what belongs to it, as an array of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be arrays of numbers, but number {number} is {str(value)[:60]!r}")
    return array


def _checked(name, values, lengths):
    """`compact`, if nothing is lost and all is finite."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf and is refused
        found = compact(values)
    wrong = ~np.isfinite(found) if found.dtype == "float32" else found != values
    _refuse(name, f"finite numbers in the range of {found.dtype}", wrong, values, lengths)
    return found


def _sequences(given):
    """(all steps end to end, lengths) of sequences that are as they should be."""
    sequences = [_array("sequences", number, sequence) for number, sequence in enumerate(given)]
    if not sequences:
        raise ValueError("sequences must have at least one sequence, got none")
    for number, sequence in enumerate(sequences):
        if sequence.shape[:1] == (0,):
            raise ValueError(f"sequences must have at least one step, but sequence {number} is empty; leave it out")
        if sequence.ndim not in (1, 2) or sequence.shape[1:] != sequences[0].shape[1:] or not sequence.size:
            raise ValueError(
                f"sequences must be ids (T,) or features (T, d), d at least 1 and the same for all; sequence {number} "
                f"has shape {sequence.shape}" + (f", sequence 0 {sequences[0].shape}" if number else "")
            )
    lengths = np.array([len(sequence) for sequence in sequences], "int64")
    return _checked("sequences", np.concatenate(sequences), lengths), lengths


def _attached(name, given, lengths):
    """What belongs to sequences, (n, ...) or to all their steps end to end; and whether it is the latter."""
    array = None if isinstance(given, (list, tuple)) else np.asarray(given)
    parts = list(given) if array is None else list(array) if array.ndim else []
    if len(parts) != len(lengths):
        raise ValueError(f"{name} must be as many as the {len(lengths)} sequences, got {len(parts)}")
    parts = [_array(name, number, part) for number, part in enumerate(parts)]
    per_step = (array is None or array.dtype == object) and any(part.ndim for part in parts)
    for number, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        if not per_step and part.ndim > 1:
            raise ValueError(
                f"{name} must be an array (n,) or (n, k), one per sequence, or a list of arrays (T,) or (T, k), one "
                f"per step; got an array of shape {np.shape(given)}"
            )
        if per_step and (part.ndim not in (1, 2) or part.shape[1:] != parts[0].shape[1:] or len(part) != length):
            raise ValueError(
                f"{name} must have one row per step where they are a list of arrays, and equal rows; sequence {number} "
                f"has {length} steps and {name} of shape {part.shape}"
                f"{f', of sequence 0 {parts[0].shape}' if number else ''}; for one per sequence give an array"
            )
    whole = np.concatenate(parts) if per_step else np.stack(parts)
    return _checked(name, whole, lengths if per_step else None), per_step


def _shares(weights, lengths, per_step):
    """Weights as they go with targets: of each step (N,), of each sequence (n,), or None where nothing needs them."""
    if weights is None:
        return np.ones(lengths.sum(), "float32") if per_step else None
    shares, of_steps = _attached("weights", weights, lengths)
    if shares.ndim > 1 or (of_steps and not per_step):
        raise ValueError(
            f"weights must be one number per sequence, (n,){', or per step, a list of arrays (T,)' if per_step else ''}"
            f", as targets are one per {'step' if per_step else 'sequence'}; got "
            f"{'one or more per step' if of_steps else f'shape {shares.shape}'}"
        )
    _refuse("weights", "at least 0", shares < 0, shares, lengths if of_steps else None)
    shares = (shares if of_steps or not per_step else np.repeat(shares, lengths)).astype("float32")
    largest = np.maximum.reduceat(shares, np.cumsum(lengths) - lengths) if per_step else shares
    if not largest.all():
        number = int(np.flatnonzero(largest == 0)[0])
        raise ValueError(f"weights of sequence {number} are all 0: it would count for nothing; leave it out")
    return shares


def _padding(padding, values):
    """`padding` as a number of the type of `values`."""
    number = checks.number("padding", padding, -(2.0**31), 2.0**31, "a number in the range of int32")
    if values.dtype.kind == "i" and number != int(number):
        raise ValueError(f"padding must be an integer, as sequences are, got {padding!r}")
    return values.dtype.type(number)


def _check_padding(values, padding, lengths):
    rows = np.flatnonzero((values == padding).reshape(len(values), -1).all(1))
    if len(rows):
        raise ValueError(
            f"padding={padding} must differ from every real step, or a mask made from it skips the step, but "
            f"{_place(rows[0], lengths)}, equals it ({len(rows)} in all); use another padding, or masks=True"
        )


def _check_labels(values, size, lengths):
    wrong = (values < 0) | (values >= size) | (values != np.floor(values))
    _refuse("targets", f"whole numbers of at least 0 and below num_classes={size}", wrong, values, lengths)


def _refuse(name, right, wrong, values, lengths):
    """Raises an error that names the first wrong value, if there is one; weight 0 is no excuse, as 0 NaN is NaN."""
    rows, columns = np.nonzero(wrong.reshape(len(wrong), -1))
    if len(rows):
        raise ValueError(
            f"{name} must be {right}, but {len(rows)} are not: the first is "
            f"{values.reshape(len(values), -1)[rows[0], columns[0]]} at {_place(rows[0], lengths)}"
        )


def _place(row, lengths):
    """Where a row comes from: a step, sequences of these lengths laid end to end, or with None a sequence."""
    if lengths is None:
        return f"sequence {row}"
    number = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
    return f"sequence {number}, step {row - lengths[:number].sum()}"


def _cutter(values, answers, shares, lengths, padding, masks, per_step):
    inputs, outputs, sizes = tf.constant(values), tf.constant(answers), tf.constant(lengths)
    firsts = tf.constant(np.cumsum(lengths) - lengths)
    weights = None if shares is None else tf.constant(shares)

    def cut(rows, steps):
        within = tf.range(steps)
        real = within < tf.gather(sizes, rows)[:, None]
        places = tf.where(real, tf.gather(firsts, rows)[:, None] + within, 0)

        def laid_out(flat, behind):
            found = tf.gather(flat, places)
            return tf.where(real if found.shape.rank == 2 else real[:, :, None], found, tf.cast(behind, flat.dtype))

        x = laid_out(inputs, padding)
        x = (x, real) if masks else x
        if per_step:
            return x, laid_out(outputs, 0), laid_out(weights, 0)
        y = tf.gather(outputs, rows)
        return (x, y) if weights is None else (x, y, tf.gather(weights, rows))

    return cut
