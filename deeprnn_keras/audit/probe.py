"""`probe_levels`: linear readouts of a target from each level of a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from deeprnn_keras import _compat, checks, extras
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.audit.find_layers import find_stack
from deeprnn_keras.audit.probe_report import LevelScore, ProbeReport

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.layers import DeepRNN

SPLITS = ("random", "last")


class Windows(Protocol):
    """Windows of series, each of which ends at a row of the data."""

    series: np.ndarray
    rows: np.ndarray

    def inputs(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the inputs of the network for some windows, (n, T, d)."""
        ...

    def align(self, name: str, values: Any) -> np.ndarray:  # noqa: ANN401 - columns of any library
        """Return the values of the rows at which the windows end; `name` is the argument in messages."""
        ...


@runtime_checkable
class WindowSource(Protocol):
    """Model that reads windows of series in data frames, such as a `Forecaster`."""

    model: keras.Model | None

    def windows(self, df: Any) -> Windows:  # noqa: ANN401 - a frame of any library
        """Return the windows of series."""
        ...


def probe_levels(
    model: keras.Model | WindowSource,
    x: ArrayLike,
    target: ArrayLike,
    layer: str | None = None,
    held_out: float | ArrayLike = 0.2,
    batch_size: int = 32,
    seed: int | None = 0,
    *,
    mask: ArrayLike | None = None,
    split: str | None = None,
) -> ProbeReport:
    """Fit a linear readout of a target to X_t and to each level H^(1), ..., H^(L), and score it on held-out data.

    Different levels of a stack represent different properties of the data: low levels fast dynamics, high levels slow
    ones. A readout y = H w + b with a high score shows that the target is linearly decodable from a level; it does not
    show that the layers above use it. Each readout is ridge regression for numbers (the penalty chosen by leave-one-out
    cross-validation) or logistic regression for classes, on standardized features.

    With a `Forecaster`, `x` is a frame of series, and `target` has one value per row of the frame. The readout for a
    row reads the levels after the window of T steps that ends there, as the forecaster does when it forecasts from this
    row.

    Args:
        model: Built Sequential or functional Keras model with a `DeepRNN`, or a trained `Forecaster`.
        x: Input of the model, an array with one row per example; the series of a forecaster, as for its `forecast`.
        target: One value per sequence, (n,), predicted from its last step, or one value per step, (n, T); for a
            forecaster, one value per row of `x`. Integers, booleans, and strings are classes, floats are numbers. NaN
            and None mark examples without a target.
        layer: Name of the `DeepRNN`, if the model has several.
        held_out: Fraction of the examples to score on; for a single long sequence, the fraction at its end.
            Alternatively, a mask in the shape of `target`, or (n,), True where to score.
        batch_size: Batch size of the forward passes.
        seed: Random seed of the split.
        mask: Mask in the shape of `target`, False for examples or steps that are left out. None: all are used.
        split: "random" to score on random examples, "last" to score on the last ones, of each series in the case of a
            forecaster. Windows that overlap require "last": a random split would score on windows that are almost equal
            to those of the fit. None: "last" for a forecaster, otherwise "random".

    Returns:
        `ProbeReport`, which prints as a table; `plot(path)` saves a plot. The score is the coefficient of determination
        R² for numbers (1 is perfect, 0 is the mean), and accuracy for classes, for which `baseline` is the accuracy of
        the most frequent class.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If there is no such layer, or if the shape of the target or of a mask is wrong.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN, probe_levels
    >>> model = keras.Sequential([keras.Input((None, 1)), DeepRNN(8, num_layers=2), keras.layers.Dense(1)])
    >>> x = np.random.default_rng(0).normal(size=(50, 6, 1))
    >>> report = probe_levels(model, x, target=np.cumsum(x[:, :, 0], axis=1))
    >>> [row.level for row in report]
    ['X', 'H^(1)', 'H^(2)']
    """
    batch_size, seed = checks.positive_int("batch_size", batch_size), checks.generator_seed("seed", seed)
    if split is not None:
        checks.one_of("split", split, SPLITS)
    share = checks.fraction("held_out", held_out) if np.ndim(held_out) == 0 else None
    extras.import_optional("sklearn", "probe", "probe_levels")
    network, examples = _examples(model, x, target, mask, held_out if share is None else None)
    levels, rows, steps, length = _level_features(network, find_stack(network, layer), examples, batch_size)
    values = _at(examples.target, rows, steps)
    values = np.array(values.tolist()) if values.dtype == object else values
    if share is None:
        assert examples.held_out is not None  # either a share or a mask
        scored = _at(examples.held_out, rows, steps)
    else:
        split = split or ("last" if isinstance(model, WindowSource) else "random")
        scored = _scored(examples, rows, steps, length, share, split, seed)
    is_classification = values.dtype.kind in "biuSUO"
    names = ["X", *(f"H^({k})" for k in range(1, len(levels)))]
    scores = [
        LevelScore(name, level.shape[1], _score_readout(level, values, scored, is_classification))
        for name, level in zip(names, levels, strict=True)
    ]
    if is_classification:
        return ProbeReport(scores, "accuracy", _majority_accuracy(values, scored))
    return ProbeReport(scores, "R²", 0.0)


# === Examples ===


@dataclass(frozen=True)
class _Examples:
    """Sequences with their targets.

    Attributes:
        count: Number of sequences, n.
        inputs: Function from row numbers to inputs of the network.
        target: Targets, (n,) or (n, T).
        used: Mask in the shape of `target`, False where there is none.
        held_out: Mask (n,) or (n, T) of what to score on, or None.
        series: Number of the series of each sequence; its sequences are in the order of time.
    """

    count: int
    inputs: Callable[[np.ndarray], np.ndarray]
    target: np.ndarray
    used: np.ndarray
    held_out: np.ndarray | None
    series: np.ndarray


def _examples(
    model: keras.Model | WindowSource,
    x: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None,
    held_out: ArrayLike | None,
) -> tuple[keras.Model, _Examples]:
    """Return the network and its sequences with their targets."""
    if not isinstance(model, WindowSource):
        return model, _of_arrays(np.asarray(x), target, mask, held_out)
    examples = _of_windows(model.windows(x), target, mask, held_out)
    assert model.model is not None  # `windows` has refused a model that is not trained
    return model.model, examples


def _of_arrays(x: np.ndarray, target: ArrayLike, mask: ArrayLike | None, held_out: ArrayLike | None) -> _Examples:
    n, targets = len(x), np.asarray(target)
    if targets.ndim not in (1, 2) or len(targets) != n:
        raise ValueError(f"target must have shape ({n},) or ({n}, T) for this x, got {targets.shape}")
    used = _with_target(targets)
    if mask is not None:
        used = used & _mask("mask", mask, {targets.shape})
    test = None if held_out is None else _mask("held_out", held_out, {targets.shape, (n,)})
    return _Examples(n, lambda rows: x[rows], targets, used, test, np.zeros(n, np.int64))


def _of_windows(windows: Windows, target: ArrayLike, mask: ArrayLike | None, held_out: ArrayLike | None) -> _Examples:
    """Return the windows that end at a row of the data with a target."""
    targets = windows.align("target", target)
    used = _with_target(targets) & (windows.rows >= 0)
    if mask is not None:
        aligned = windows.align("mask", mask)
        used = used & _mask("mask", aligned, {aligned.shape})
    chosen = np.flatnonzero(used)
    test = None
    if held_out is not None:
        aligned = windows.align("held_out", held_out)
        test = _mask("held_out", aligned, {aligned.shape})[chosen]
    return _Examples(
        len(chosen),
        lambda rows: windows.inputs(chosen[rows]),
        targets[chosen],
        np.ones(len(chosen), bool),
        test,
        windows.series[chosen],
    )


def _with_target(targets: np.ndarray) -> np.ndarray:
    """Return a mask that is False where a target is NaN or None."""
    if targets.dtype.kind == "O":
        return np.array([one is not None and one == one for one in targets.ravel()], bool).reshape(targets.shape)
    if targets.dtype.kind != "f":
        return np.ones(targets.shape, bool)
    infinite = np.argwhere(np.isinf(targets))
    if len(infinite):
        raise ValueError(f"target must be finite or NaN, got {targets[tuple(infinite[0])]} at {infinite[0].tolist()}")
    return ~np.isnan(targets)


def _at(values: np.ndarray, rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the values, (n,) or (n, T), of some steps."""
    return values[rows] if values.ndim == 1 else values[rows, steps]


def _mask(name: str, mask: ArrayLike, shapes: set[tuple[int, ...]]) -> np.ndarray:
    array = np.asarray(mask)
    if array.dtype != np.bool_ or array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in sorted(shapes, key=len, reverse=True))
        raise ValueError(f"{name} must be an array of booleans of shape {expected}, got {array.dtype} {array.shape}")
    return array


# === Levels ===


def _level_features(
    model: keras.Model, stack: DeepRNN, examples: _Examples, batch_size: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, int]:
    """Return [X, H^(1), ..., H^(L)] at the steps that have a target, (steps, width) each.

    Returns:
        The levels, the sequence and the step of each of their rows, and T.
    """
    if not examples.count:
        raise ValueError("x must have at least one example with a target, got none; pass more examples")
    batches, rows, steps, length = [], [], [], 0
    for start, outputs, mask in _level_outputs(model, stack, examples, batch_size):
        chosen = _chosen_steps(examples, start, mask)
        batches.append([output[chosen] for output in outputs])
        found = np.nonzero(chosen)
        rows.append(found[0] + start)
        steps.append(found[1])
        length = mask.shape[1]
    levels = [np.concatenate(level) for level in zip(*batches, strict=True)]
    return levels, np.concatenate(rows), np.concatenate(steps), length


def _level_outputs(
    model: keras.Model, stack: DeepRNN, examples: _Examples, batch_size: int
) -> Iterator[tuple[int, list[np.ndarray], np.ndarray]]:
    """Yield for each batch its first row, [X, H^(1), ..., H^(L)], (n, T, width) each, and the mask (n, T)."""
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
    for start in range(0, examples.count, batch_size):
        rows = np.arange(start, min(start + batch_size, examples.count))
        sequences = below(examples.inputs(rows), training=False)
        mask = _compat.keras_mask(sequences)
        outputs = [sequences, *copy(sequences, mask=mask, training=False)]
        arrays = [keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")) for output in outputs]
        valid = np.ones(arrays[0].shape[:2], bool) if mask is None else keras.ops.convert_to_numpy(mask).astype(bool)
        yield start, arrays, valid


def _chosen_steps(examples: _Examples, start: int, mask: np.ndarray) -> np.ndarray:
    """Return a mask (rows, T) of the steps of a batch that have a target: the last valid one, or all."""
    used = examples.used[start : start + len(mask)]
    if used.ndim == 1:
        return _last_valid(mask) & used[:, None]
    if used.shape != mask.shape:
        n, steps = examples.count, mask.shape[1]
        raise ValueError(f"target must have shape ({n},) or ({n}, {steps}) for this x, got {examples.target.shape}")
    return mask & used


# === Split ===


def _scored(
    examples: _Examples,
    rows: np.ndarray,
    steps: np.ndarray,
    length: int,
    share: float,
    split: str,
    seed: int | None,
) -> np.ndarray:
    """Return a mask of the steps to score on; the readout is fitted to the others.

    Args:
        examples: The sequences.
        rows: Sequence of each step.
        steps: Position of each step.
        length: T.
        share: Share of the sequences to score on; of the steps, if there is one sequence.
        split: "random" or "last".
        seed: Random seed.
    """
    if examples.count == 1:
        return steps >= length - max(1, round(share * length))
    if split == "random":
        order = np.random.default_rng(seed).permutation(np.unique(rows))
        return np.isin(rows, order[: _count(len(order), share)])
    test = [np.array([], np.int64)]
    for series in np.unique(examples.series):
        own = np.intersect1d(rows, np.flatnonzero(examples.series == series))
        test.append(own[len(own) - _count(len(own), share) :])
    return np.isin(rows, np.concatenate(test))


def _count(total: int, share: float) -> int:
    """Return the number of examples to score on: at least 1, but not all."""
    return min(total - 1, max(1, round(share * total)))


def _last_valid(mask: np.ndarray) -> np.ndarray:
    """Return a mask (n, T) of the last valid step of each row."""
    last = np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(1))
    last[rows, mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)] = True
    return last


def _score_readout(level: np.ndarray, values: np.ndarray, scored: np.ndarray, is_classification: bool) -> float:
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted_on = ~scored
    if not fitted_on.any() or not scored.any():
        raise ValueError(
            f"x must have valid steps to fit on and to score on, got {fitted_on.sum()} and {scored.sum()}; pass more "
            "examples"
        )
    if is_classification and len(np.unique(values[fitted_on])) < 2:
        return float(np.mean(values[scored] == values[fitted_on][0]))
    readout = LogisticRegression(max_iter=1000) if is_classification else RidgeCV(np.logspace(-4, 4, 9))
    fitted = make_pipeline(StandardScaler(), readout).fit(level[fitted_on], values[fitted_on])
    return float(fitted.score(level[scored], values[scored]))


def _majority_accuracy(values: np.ndarray, scored: np.ndarray) -> float:
    """Return the accuracy of the class that is most frequent in the fit."""
    classes, counts = np.unique(values[~scored], return_counts=True)
    return float(np.mean(values[scored] == classes[counts.argmax()]))
