"""`probe_levels`: linear readouts of a target from each level of a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import _compat, checks, extras
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.audit.find_layers import find_stack
from deeprnn_keras.audit.probe_report import LevelScore, ProbeReport

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.layers import DeepRNN


def probe_levels(
    model: keras.Model,
    x: ArrayLike,
    target: ArrayLike,
    layer: str | None = None,
    held_out: float = 0.2,
    batch_size: int = 32,
    seed: int | None = 0,
) -> ProbeReport:
    """Fit a linear readout of a target to X_t and to each level H^(1), ..., H^(L), and score it on held-out data.

    Different levels of a stack represent different properties of the data: low levels fast dynamics, high levels slow
    ones. A readout y = H w + b with a high score shows that the target is linearly decodable from a level; it does not
    show that the layers above use it. Each readout is ridge regression for numbers (the penalty chosen by leave-one-out
    cross-validation) or logistic regression for classes, on standardized features.

    Args:
        model: Built Sequential or functional Keras model with a `DeepRNN`.
        x: Input of the model, an array with one row per example.
        target: One value per sequence, (n,), predicted from its last step, or one value per step, (n, T). Integers,
            booleans, and strings are classes, floats are numbers.
        layer: Name of the `DeepRNN`, if the model has several.
        held_out: Fraction of the examples to score on; for a single long sequence, the fraction at its end.
        batch_size: Batch size of the forward passes.
        seed: Random seed of the split.

    Returns:
        `ProbeReport`, which prints as a table; `plot(path)` saves a plot. The score is the coefficient of determination
        R² for numbers (1 is perfect, 0 is the mean), and accuracy for classes, for which `baseline` is the accuracy of
        the most frequent class.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If there is no such layer, or if the shape of the target is wrong.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN, probe_levels
    >>> model = keras.Sequential([keras.Input((None, 1)), DeepRNN(8, num_layers=2), keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(50, 6, 1))
    >>> report = probe_levels(model, x, target=np.cumsum(x[:, :, 0], axis=1))
    >>> [row.level for row in report]
    ['X', 'H^(1)', 'H^(2)']
    """
    held_out, batch_size = checks.fraction("held_out", held_out), checks.positive_int("batch_size", batch_size)
    seed = checks.generator_seed("seed", seed)
    extras.import_optional("sklearn", "probe", "probe_levels")
    stack = find_stack(model, layer)
    levels, mask = _level_outputs(model, stack, np.asarray(x), batch_size)
    targets = np.asarray(target)
    n, steps = levels[0].shape[:2]
    if targets.shape not in ((n,), (n, steps)):
        raise ValueError(f"target must have shape ({n},) or ({n}, {steps}) for this x, got {targets.shape}")
    is_per_step = targets.ndim == 2
    train, test = _split_steps(mask if is_per_step else _last_valid(mask), held_out, seed)
    values = targets if is_per_step else np.repeat(targets[:, None], steps, 1)
    is_classification = targets.dtype.kind in "biuSUO"
    names = ["X", *(f"H^({k})" for k in range(1, len(levels)))]
    rows = [
        LevelScore(name, level.shape[2], _score_readout(level, values, train, test, is_classification))
        for name, level in zip(names, levels, strict=True)
    ]
    if is_classification:
        return ProbeReport(rows, "accuracy", _majority_accuracy(values, train, test))
    return ProbeReport(rows, "R²", 0.0)


def _level_outputs(
    model: keras.Model, stack: DeepRNN, x: np.ndarray, batch_size: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return [X, H^(1), ..., H^(L)], (n, T, width) each, and the mask (n, T)."""
    import keras

    from deeprnn_keras.layers import DeepRNN

    model_inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    # With a mask, the input of the layer is a list of the sequences and the mask.
    stack_input = stack.input[0] if isinstance(stack.input, (list, tuple)) else stack.input
    below = keras.Model(model_inputs, stack_input)
    config = {**stack.get_config(), "return_all_layers": True, "return_sequences": True, "return_state": False}
    copy = DeepRNN.from_config({**config, "stateful": False, "name": f"{stack.name}_levels"})
    copy.build(below.output_shape)
    copy.set_weights(stack.get_weights())
    batches, masks = [], []
    for start in range(0, len(x), batch_size):
        sequences = below(x[start : start + batch_size], training=False)
        mask = _compat.keras_mask(sequences)
        outputs = [sequences, *copy(sequences, mask=mask, training=False)]
        batches.append([keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")) for output in outputs])
        if mask is None:
            masks.append(np.ones(sequences.shape[:2], bool))
        else:
            masks.append(keras.ops.convert_to_numpy(mask).astype(bool))
    return [np.concatenate(level) for level in zip(*batches, strict=True)], np.concatenate(masks)


def _split_steps(used: np.ndarray, held_out: float, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (n, T) of the steps to fit on and to score on.

    Args:
        used: Mask (n, T) of the steps that have a target.
        held_out: Fraction of the rows to score on; of the steps, if there is one row.
        seed: Random seed.
    """
    n, steps = used.shape
    test = np.zeros((n, steps), bool)
    if n == 1:
        test[:, steps - max(1, round(held_out * steps)) :] = True
    else:
        rows = np.random.default_rng(seed).permutation(n)[: min(n - 1, max(1, round(held_out * n)))]
        test[rows] = True
    return used & ~test, used & test


def _last_valid(mask: np.ndarray) -> np.ndarray:
    """Return a mask (n, T) of the last valid step of each row."""
    last = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(1))
    last[rows, mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)] = True
    return last


def _score_readout(
    level: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray, is_classification: bool
) -> float:
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not train.any() or not test.any():
        raise ValueError(
            f"x must have valid steps to fit on and to score on, got {train.sum()} and {test.sum()}; pass more examples"
        )
    if is_classification and len(np.unique(values[train])) < 2:
        return float(np.mean(values[test] == values[train][0]))
    readout = LogisticRegression(max_iter=1000) if is_classification else RidgeCV(np.logspace(-4, 4, 9))
    fitted = make_pipeline(StandardScaler(), readout).fit(level[train], values[train])
    return float(fitted.score(level[test], values[test]))


def _majority_accuracy(values: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Return the accuracy of the class that is most frequent in training."""
    classes, counts = np.unique(values[train], return_counts=True)
    return float(np.mean(values[test] == classes[counts.argmax()]))
