"""`probe_levels`: what each level of a stack knows."""

import numpy as np

from deeprnn_keras import checks, extras
from deeprnn_keras.audit.find_layers import find_stack
from deeprnn_keras.audit.probe_report import LevelScore, ProbeReport


def probe_levels(model, x, target, layer=None, held_out=0.2, batch_size=32, seed=0):
    """Fits a linear readout of a target to X_t and to each level H^(1), ..., H^(L), and scores it on held-out data.

    Data may be relevant at different levels of a stack: slow things high up, short-term dynamics low down. A readout
    y = H w + b that does well says that a level has the target at hand; it says nothing of whether the layers above
    use it. Each readout is ridge regression (numbers; the penalty by leave-one-out) or logistic regression (classes),
    on standardized features.

    Args:
        model: a built Sequential or functional Keras model with a `DeepRNN`.
        x: what the model reads, an array with one row per example.
        target: (n,): one value per sequence, read at its last step; or (n, T): one per step. Whole numbers, booleans
            and strings are classes, other numbers are numbers.
        layer: the name of the `DeepRNN`, where there are several.
        held_out: the share of examples to score on; of a single long sequence, the share of its end.
        batch_size: of the passes through the model.
        seed: of the split.

    Returns a `ProbeReport`: printed, a table; `plot(path)` draws it. Its score is the coefficient of determination R²
    for numbers (1 is perfect, 0 is the mean), accuracy for classes, with the most frequent class as `baseline`.

    Raises:
        ImportError: without scikit-learn.
        ValueError: if there is no such layer, or the target has another shape.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN, probe_levels
    >>> model = keras.Sequential([keras.Input((None, 1)), DeepRNN(8, num_layers=2), keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(50, 6, 1))
    >>> report = probe_levels(model, x, target=np.cumsum(x[:, :, 0], axis=1))
    >>> [row.level for row in report]
    ['X', 'H^(1)', 'H^(2)']
    """
    extras.import_optional("sklearn", "probe", "probe_levels")
    stack = find_stack(model, layer)
    share = checks.fraction("held_out", held_out)
    levels, mask = _levels(model, stack, np.asarray(x), checks.positive_int("batch_size", batch_size))
    target = np.asarray(target)
    n, steps = levels[0].shape[:2]
    if target.shape not in ((n,), (n, steps)):
        raise ValueError(f"target must have shape ({n},) or ({n}, {steps}) for this x, got {target.shape}")
    train, test = _split(n, steps, mask, target.ndim == 2, share, checks.seed("seed", seed))
    values = target if target.ndim == 2 else np.repeat(target[:, None], steps, 1)
    classes = target.dtype.kind in "biuSUO"
    rows = [
        LevelScore(name, level.shape[2], _score(level, values, train, test, classes))
        for name, level in zip(["X", *(f"H^({k})" for k in range(1, len(levels)))], levels, strict=True)
    ]
    return ProbeReport(rows, "accuracy" if classes else "R²", _baseline(values, train, test) if classes else 0.0)


def _levels(model, stack, x, batch_size):
    """[X, H^(1), ..., H^(L)] as (n, T, width), and the mask (n, T)."""
    import keras

    from deeprnn_keras.layers import DeepRNN

    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    reads = stack.input[0] if isinstance(stack.input, (list, tuple)) else stack.input  # a mask comes beside it
    below = keras.Model(inputs, reads)
    config = {**stack.get_config(), "return_all_layers": True, "return_sequences": True, "return_state": False}
    copy = DeepRNN.from_config({**config, "stateful": False, "name": f"{stack.name}_levels"})
    copy.build(below.output_shape)
    copy.set_weights(stack.get_weights())
    parts, masks = [], []
    for start in range(0, len(x), batch_size):
        read = below(x[start : start + batch_size], training=False)
        mask = getattr(read, "_keras_mask", None)
        outputs = [read, *copy(read, mask=mask, training=False)]
        parts.append([keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")) for output in outputs])
        masks.append(np.ones(read.shape[:2], bool) if mask is None else keras.ops.convert_to_numpy(mask).astype(bool))
    return [np.concatenate(level) for level in zip(*parts, strict=True)], np.concatenate(masks)


def _split(n, steps, mask, every_step, share, seed):
    """Two arrays (n, T) of bool: the steps to fit on, and those to score on."""
    used = mask if every_step else _last_valid(mask)
    test = np.zeros((n, steps), bool)
    if n == 1:
        test[:, steps - max(1, round(share * steps)) :] = True
    else:
        chosen = np.random.default_rng(seed).permutation(n)[: min(n - 1, max(1, round(share * n)))]
        test[chosen] = True
    return used & ~test, used & test


def _last_valid(mask):
    last = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(1))
    last[rows, mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)] = True
    return last


def _score(level, values, train, test, classes):
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not train.any() or not test.any():
        raise ValueError("x must have steps to fit on and steps to score on; got too few examples")
    if classes and len(np.unique(values[train])) < 2:
        return float(np.mean(values[test] == values[train][0]))
    readout = LogisticRegression(max_iter=1000) if classes else RidgeCV(np.logspace(-4, 4, 9))
    fitted = make_pipeline(StandardScaler(), readout).fit(level[train], values[train])
    return float(fitted.score(level[test], values[test]))


def _baseline(values, train, test):
    """The accuracy of the class that is most frequent in training."""
    names, counts = np.unique(values[train], return_counts=True)
    return float(np.mean(values[test] == names[counts.argmax()]))
