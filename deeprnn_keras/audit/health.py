"""`gradient_health`: measure how far the gradient propagates back in time, and diagnose problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from deeprnn_keras._types import ArrayLike, CellSpec, Tensor
from deeprnn_keras.audit.diagnosis import diagnose
from deeprnn_keras.audit.find_layers import find_stack
from deeprnn_keras.audit.gate_saturation import candidate_activation, dead_fraction, saturation
from deeprnn_keras.audit.health_report import HealthReport, LayerDescription
from deeprnn_keras.audit.step_by_step import LayerPass, StepByStep, replaced_call, restored_variables
from deeprnn_keras.optimizers.clipping import global_clipnorm_of, unwrap_optimizer

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.layers import DeepRNN

FLOAT16_LOSS_SCALE = 1024.0  # prevents underflow in float16 layers between the stack and the loss, as in training

ModelInput: TypeAlias = "ArrayLike | Sequence[ArrayLike] | Mapping[str, ArrayLike]"
"""Input of a model: an array, or a list or dictionary of arrays."""


def gradient_health(model: keras.Model, x: ModelInput, y: ArrayLike, layer: str | None = None) -> HealthReport:
    """Measure on one batch how the gradient of the loss reaches the states of a `DeepRNN`, and diagnose problems.

    The loss of the last step alone is differentiated with respect to every state of every layer at every step, through
    all later steps and all layers above, without approximation. Let T' be the last step of a row, H_t^(l) the output of
    layer l at step t, and S_t^(l) all its states: h and c for an LSTM, H_t^(l) for a layer with one state. The report
    contains the root mean square over the rows of the norm of the gradient at lag k:

        state_norms[l, k]  = sqrt(mean over rows |n dloss/dS_{T'-k}^(l)|^2)
        hidden_norms[l, k] = sqrt(mean over rows |n dloss/dH_{T'-k}^(l)|^2)

    The loss is a mean over the n rows; the factor n turns its gradient into that of the loss of one row, so that the
    norms do not depend on the batch size. A row begins at its first and ends at its last unmasked step. If the output
    of the model has no time axis, the whole loss is differentiated. (If the model computes this output from all steps,
    for example by pooling or attention, the loss depends on each step directly.)

    The pass is deterministic and changes nothing: it applies no dropout and leaves weights, optimizer, seeds, metrics,
    and carried states as they were. It starts from zero states, even if the layer is stateful.

    Args:
        model: Built and compiled model with one output and a `DeepRNN` that is used once, with one direction and no
            dilation.
        x: Inputs of one batch, as passed to `model.fit`: a NumPy array, or a list or dictionary of arrays.
        y: Targets of the batch.
        layer: Name of the `DeepRNN`, if the model has several.

    Returns:
        `HealthReport`, which prints as a table with findings; `plot(path)` saves a plot.

    Raises:
        ValueError: If the model is not built, not compiled, or has several outputs; if there is no such layer, or it
            has `bidirectional`, `dilation`, or `go_backwards`; if x is not finite; or if x and y differ in their
            number of rows.

    Sources: Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras import gradient_health
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(8, num_layers=2), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.random.default_rng(0).normal(size=(4, 30, 3)), np.ones((4, 1))
    >>> report = gradient_health(model, x, y)
    >>> report.state_norms.shape, [finding.name for finding in report.findings]
    ((2, 30), [])
    """
    import tensorflow as tf

    stack = _check_model(model, find_stack(model, layer) if model.built else None)
    x, y = _to_tensors(x, y)
    with restored_variables(model), tf.GradientTape(persistent=True) as tape:
        steps = StepByStep(stack, tape)
        scale = FLOAT16_LOSS_SCALE if stack.compute_dtype == "float16" else 1.0
        with replaced_call(stack, steps.call):
            predicted = model(x, training=False)
        _check_pass(model, stack, steps, predicted)
        loss = model.compute_loss(x=x, y=y, y_pred=predicted)
        scaled_loss = scale * loss
        last_step_loss = scale * _last_step_loss(model, stack, x, y, predicted, loss, steps.mask)
    state_gradients = tape.gradient(
        last_step_loss,
        [layer_pass.offsets for layer_pass in steps.passes],
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    weight_norms = _weight_norms(model, tape.gradient(scaled_loss, model.trainable_variables), scale)
    return _build_report(model, stack, steps, state_gradients, weight_norms, float(loss), scale)


def _check_model(model: keras.Model, stack: DeepRNN | None) -> DeepRNN:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"gradient_health requires the TensorFlow backend, got {keras.backend.backend()!r}")
    if stack is None:
        raise ValueError(f"model {model.name!r} is not built; start it with keras.Input, or call it once")
    if not model.compiled or model.loss is None:
        raise ValueError(f"model {model.name!r} has no loss; compile it with an optimizer and a loss")
    for option, default in (("bidirectional", False), ("go_backwards", False), ("dilation", [1] * stack.num_layers)):
        if getattr(stack, option) != default:
            raise ValueError(
                f"layer {stack.name!r} has {option}={getattr(stack, option)!r}, for which the lag between a state and "
                "the last step is not defined; pass a model whose stack reads forward only and has no dilation"
            )
    return stack


def _to_tensors(x: ModelInput, y: ArrayLike) -> tuple[Any, Tensor]:
    import keras
    import tensorflow as tf

    x = keras.tree.map_structure(np.asarray, x) if isinstance(x, (list, tuple, dict)) else np.asarray(x)
    y = np.asarray(y)
    for part in keras.tree.flatten(x):
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise ValueError("x must be finite, got NaN or infinite values; clean the data first")
        if y.ndim == 0 or len(part) != len(y):
            raise ValueError(f"y must have one row for each row of x, got shapes {part.shape} and {y.shape}")
    return keras.tree.map_structure(tf.convert_to_tensor, x), tf.convert_to_tensor(y)


def _check_pass(model: keras.Model, stack: DeepRNN, steps: StepByStep, predicted: object) -> None:
    if isinstance(predicted, (list, tuple, dict)):
        raise ValueError(f"model {model.name!r} must have one output, got {len(predicted)}")
    if steps.calls != 1:
        raise ValueError(f"layer {stack.name!r} must be used once in the model, got {steps.calls} uses")
    if not steps.mask.any():
        raise ValueError("x must have at least one step that is not masked, got none")


def _last_step_loss(
    model: keras.Model, stack: DeepRNN, x: object, y: Tensor, predicted: Tensor, loss: Tensor, mask: np.ndarray
) -> Tensor:
    """Return the loss of the last steps of all rows, or `loss` if y or the predictions have no time axis."""
    import tensorflow as tf

    last = _first_and_last_valid(mask)[1]
    has_time_axis = stack.return_sequences and len(predicted.shape) > 2 and len(y.shape) > 1
    if not has_time_axis or predicted.shape[1] != y.shape[1] or y.shape[1] <= last.max():
        return loss
    steps = np.maximum(last, 0)  # _lag_norms ignores rows that are entirely masked
    y, predicted = (tf.gather(part, steps, axis=1, batch_dims=1)[:, None] for part in (y, predicted))
    return model.compute_loss(x=x, y=y, y_pred=predicted)


def _first_and_last_valid(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last valid step of each row; (1, 0) for a row without one."""
    has_valid = mask.any(1)
    first = np.where(has_valid, mask.argmax(1), 1)
    return first, np.where(has_valid, mask.shape[1] - 1 - mask[:, ::-1].argmax(1), 0)


def _weight_norms(model: keras.Model, gradients: Sequence[Tensor | None], scale: float) -> dict[str, float]:
    """Return {path of the weight: norm of its gradient}."""
    import tensorflow as tf

    # convert_to_tensor sums the repeated rows in the sparse gradient of an embedding
    norms = [0.0 if g is None else np.linalg.norm(np.asarray(tf.convert_to_tensor(g), "float64")) for g in gradients]
    return {v.path: float(norm) / scale for v, norm in zip(model.trainable_variables, norms, strict=True)}


def _lag_norms(squares: np.ndarray, mask: np.ndarray) -> list[float]:
    """Return n sqrt(mean of the squares) for each lag, where the mean is over the rows with at least lag + 1 steps.

    Args:
        squares: Squared norms of the gradients with respect to the states, (T, n).
        mask: (n, T).
    """
    first, last = _first_and_last_valid(mask)
    norms = []
    for lag in range(int((last - first).max()) + 1):
        rows = np.flatnonzero(last - first >= lag)
        norms.append(mask.shape[0] * np.sqrt(squares[last[rows] - lag, rows].mean()))
    return norms


def _build_report(
    model: keras.Model,
    stack: DeepRNN,
    steps: StepByStep,
    state_gradients: Sequence[Sequence[Tensor]],
    weight_norms: dict[str, float],
    loss: float,
    scale: float,
) -> HealthReport:
    mask = steps.mask
    squares = [[(np.asarray(g, "float64") ** 2).sum(-1) / scale**2 for g in gradients] for gradients in state_gradients]
    report = HealthReport(
        layers=[_describe_layer(*pair) for pair in zip(stack.cells, steps.passes, strict=True)],
        connection=stack.connection,
        hidden_norms=np.array([_lag_norms(parts[0], mask) for parts in squares]),
        state_norms=np.array([_lag_norms(np.sum(parts, axis=0), mask) for parts in squares]),
        max_abs_hidden=[float(np.abs(np.stack(layer_pass.outputs)).max()) for layer_pass in steps.passes],
        saturation=[saturation(layer_pass, mask) for layer_pass in steps.passes],
        dead_fraction=[dead_fraction(layer_pass, mask) for layer_pass in steps.passes],
        loss=loss,
        gradient_norm=float(np.linalg.norm(list(weight_norms.values()))),
        weight_norms=weight_norms,
        weights_finite=all(np.isfinite(v.numpy()).all() for v in model.trainable_variables),
        learning_rate=float(unwrap_optimizer(model.optimizer).learning_rate),
        global_clipnorm=global_clipnorm_of(model.optimizer),
    )
    return replace(report, findings=diagnose(report))


def _describe_layer(spec: CellSpec, layer_pass: LayerPass) -> LayerDescription:
    cell = layer_pass.layer.cell
    name = spec["name"] if isinstance(spec, dict) else spec if isinstance(spec, str) else type(cell).__name__
    return LayerDescription(name, getattr(candidate_activation(cell), "__name__", None))
