"""`gradient_health`: how far the gradient reaches back in time, and what is wrong where it does not."""

from dataclasses import replace

import numpy as np

from deeprnn_keras.audit import gate_saturation
from deeprnn_keras.audit.diagnosis import diagnose
from deeprnn_keras.audit.find_layers import find_stack
from deeprnn_keras.audit.health_report import HealthReport, LayerKind
from deeprnn_keras.audit.step_by_step import StepByStep, standing_in, unchanged
from deeprnn_keras.optimizers.clipping import global_clipnorm_of

HALF_SCALE = 1024.0  # of the loss, where layers above compute in float16: as in training, against underflow


def gradient_health(model, x, y, layer=None):
    """Measures on one batch how the gradient of the loss reaches the states of a `DeepRNN`, and says what is wrong.

    The loss of the last step alone is differentiated by every state of every layer at every step, through all later
    steps and all layers above, exactly. With T' a row's last step, and S_t^(l) all states of layer l (h and c of an
    LSTM; of a GRU S = H):

        state[l, k] = sqrt(mean over rows |n dloss/dS_{T'-k}^(l)|^2),   hidden[l, k]: the same for H_{T'-k}^(l)

    n times, since the loss is a mean over the n rows: it is the gradient of a row's own loss, whatever the batch. A row
    counts from its first to its last step that is not masked. With a network whose output has no time axis, the loss
    is the whole one. (If it reads all steps, by pooling or attention, the loss has short ways to all of them.)

    Nothing is drawn or changed: no dropout, and no weight, optimizer, seed, metric or carried state is another one
    afterwards. Carried states are taken to be zero.

    Args:
        model: built and compiled, with one output and a `DeepRNN` that is used once: one direction, no dilation.
        x, y: one batch as `model.fit` takes it, of NumPy arrays; x may be a list or dictionary of them.
        layer: the name of the `DeepRNN`, where there are several.

    Returns a `HealthReport`: printed, a table and the findings in words; `plot(path)` draws it.

    Raises:
        ValueError: for a model that is not built or not compiled, or has more outputs; no such layer, or one with
            bidirectional, dilation or go_backwards; x that is not finite; y with another number of rows.

    Sources: Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063).

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras import gradient_health
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(8, num_layers=2), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.random.default_rng(0).normal(size=(4, 30, 3)), np.ones((4, 1))
    >>> report = gradient_health(model, x, y)
    >>> report.state.shape, [finding.name for finding in report.findings]
    ((2, 30), [])
    """
    import tensorflow as tf

    stack = _checked(model, find_stack(model, layer) if model.built else None)
    x, y = _batch(x, y)
    with unchanged(model), tf.GradientTape(persistent=True) as tape:
        steps = StepByStep(stack, tape)
        scale = HALF_SCALE if stack.compute_dtype == "float16" else 1.0
        with standing_in(stack, steps.call):
            predicted = model(x, training=False)
        _check_pass(model, stack, steps, predicted)
        loss = model.compute_loss(x=x, y=y, y_pred=predicted)
        training_loss = scale * loss
        last_loss = scale * _last_loss(model, stack, x, y, predicted, loss, _ends(steps.mask)[1])
    by_state = tape.gradient(
        last_loss, [done.offsets for done in steps.passes], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    by_weight = _by_weight(model, tape.gradient(training_loss, model.trainable_variables), scale)
    return _report(model, stack, steps, by_state, by_weight, float(loss), scale)


def _checked(model, stack):
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"gradient_health needs Keras on TensorFlow, got {keras.backend.backend()!r}")
    if stack is None:
        raise ValueError(f"model {model.name!r} is not built; begin it with keras.Input, or call it once")
    if not model.compiled or model.loss is None:
        raise ValueError(f"model {model.name!r} has no loss; compile it with an optimizer and a loss")
    for option, without in (("bidirectional", False), ("go_backwards", False), ("dilation", [1] * stack.num_layers)):
        if getattr(stack, option) != without:
            raise ValueError(
                f"layer {stack.name!r} has {option}={getattr(stack, option)!r}, for which the lag between a state and "
                "the last step is not defined; measure a stack that reads forwards, step by step"
            )
    return stack


def _batch(x, y):
    import keras
    import tensorflow as tf

    x = keras.tree.map_structure(np.asarray, x) if isinstance(x, (list, tuple, dict)) else np.asarray(x)
    y = np.asarray(y)
    for part in keras.tree.flatten(x):
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise ValueError("x must be finite, got NaN or infinity in it; clean the data first")
        if y.ndim == 0 or len(part) != len(y):
            raise ValueError(f"y must have one row for each row of x, got shapes {part.shape} and {y.shape}")
    return keras.tree.map_structure(tf.convert_to_tensor, x), tf.convert_to_tensor(y)


def _check_pass(model, stack, steps, predicted):
    if isinstance(predicted, (list, tuple, dict)):
        raise ValueError(f"model {model.name!r} must have one output, got {len(predicted)}")
    if steps.calls != 1:
        raise ValueError(f"layer {stack.name!r} must be used once in the model, got {steps.calls} uses")
    if not steps.mask.any():
        raise ValueError("x must have a step that is not masked, got none")


def _last_loss(model, stack, x, y, predicted, loss, last):
    """The loss of each row's last step, where predictions and targets have the stack's time axis; else the loss."""
    import tensorflow as tf

    timed = stack.return_sequences and len(predicted.shape) > 2 and len(y.shape) > 1
    if not timed or predicted.shape[1] != y.shape[1] or y.shape[1] <= last.max():
        return loss
    at = np.maximum(last, 0)  # a row that is masked altogether is left out when the rows are counted
    y, predicted = (tf.gather(part, at, axis=1, batch_dims=1)[:, None] for part in (y, predicted))
    return model.compute_loss(x=x, y=y, y_pred=predicted)


def _ends(mask):
    """First and last valid step of each row; (1, 0) of a row that has none."""
    some = mask.any(1)
    first = np.where(some, mask.argmax(1), 1)
    return first, np.where(some, mask.shape[1] - 1 - mask[:, ::-1].argmax(1), 0)


def _by_weight(model, gradients, scale):
    """{path: norm}. Rows of an embedding that come several times are added up first: `convert_to_tensor` does so."""
    import tensorflow as tf

    norms = [0.0 if g is None else np.linalg.norm(np.asarray(tf.convert_to_tensor(g), "float64")) for g in gradients]
    return {v.path: float(norm) / scale for v, norm in zip(model.trainable_variables, norms, strict=True)}


def _by_lag(squares, mask):
    """sqrt(mean over rows of n^2 squares (T, n)) for each lag, a list."""
    first, last = _ends(mask)
    norms = []
    for lag in range(int((last - first).max()) + 1):
        rows = np.flatnonzero(last - first >= lag)
        norms.append(mask.shape[0] * np.sqrt(squares[last[rows] - lag, rows].mean()))
    return norms


def _report(model, stack, steps, by_state, by_weight, loss, scale):
    mask = steps.mask
    squares = [[(np.asarray(g, "float64") ** 2).sum(-1) / scale**2 for g in parts] for parts in by_state]
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a LossScaleOptimizer
    report = HealthReport(
        kinds=[_kind(given, done.layer.cell) for given, done in zip(stack.cells, steps.passes, strict=True)],
        connection=stack.connection,
        hidden=np.array([_by_lag(parts[0], mask) for parts in squares]),
        state=np.array([_by_lag(sum(parts), mask) for parts in squares]),
        largest=[float(np.abs(np.stack(done.outputs)).max()) for done in steps.passes],
        saturation=[gate_saturation.saturation(done, mask) for done in steps.passes],
        dead=[gate_saturation.dead(done, mask) for done in steps.passes],
        loss=loss,
        gradient_norm=float(np.linalg.norm(list(by_weight.values()))),
        by_weight=by_weight,
        weights_finite=all(np.isfinite(v.numpy()).all() for v in model.trainable_variables),
        learning_rate=float(optimizer.learning_rate),
        global_clipnorm=global_clipnorm_of(model.optimizer),
    )
    return replace(report, findings=diagnose(report))


def _kind(given, cell):
    name = given["name"] if isinstance(given, dict) else given if isinstance(given, str) else type(cell).__name__
    return LayerKind(name, getattr(gate_saturation.activation(cell), "__name__", None))
