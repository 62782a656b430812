"""Diagnosis of a network or a run from measured values: problems and recommended changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from deeprnn_keras.audit.health_report import VANISHED, Finding, HealthReport
from deeprnn_keras.specs import CELLS

# A gradient vanishes if it falls to 1e-4 of its value at lag 0 within this number of steps, that is, if less than 0.56
# is kept per step. An LSTM with forget bias 1 keeps 0.73 of its cell state, a newly initialized GRU about 0.65; both
# train well.
VANISHING_LAGS = 16
EXPLODING_GROWTH = 100.0  # growth of the gradient over the lags; a well-initialized layer keeps it near 1
LARGE_GRADIENT_NORM = 100.0  # norm over all weights; with a cross-entropy loss, 0.1 to 10 is usual
LARGE_STATE = 1e4  # if the gradient is not finite, states of this size show that the recurrence diverged
DEAD_UNITS = 0.25  # fraction of a layer's units; on one batch, some are zero by chance
MAX_DEAD_UNITS = 0.9  # with a larger fraction of dead units, no gradient passes through a layer
SATURATED_VALUES = 0.75  # fraction of a gate's values; in trained networks it reaches one half
CLIPPED_UPDATES = 0.9  # fraction of the updates that are clipped
NORM_OVER_CLIPNORM = 10.0  # median gradient norm relative to the clipping norm
LARGE_UPDATE = 0.05  # norm of an update relative to that of the weights; 1e-3 is usual
# The loss has risen if its increase over its minimum exceeds this fraction of the previous improvement, this number of
# standard errors, and this fraction of the minimum.
LOST_IMPROVEMENT, LOST_ERRORS, LOST_RELATIVE = 0.5, 5.0, 0.1
# The loss has jumped if its maximum exceeds the first loss by this factor, and the last loss is above this fraction of
# the first one.
JUMP, NOT_RECOVERED = 10.0, 0.5
MIN_LOSSES, MIN_NORMS = 20, 3  # number of measurements required to diagnose a run


def diagnose(report: HealthReport) -> list[Finding]:
    """Return the findings of one measurement, causes before consequences."""
    findings = [_exploding(report), _not_finite(report), _dead_units(report), _saturated(report), *_vanishing(report)]
    return [finding for finding in findings if finding is not None]


def diagnose_run(report: HealthReport, losses: Sequence[float], update_sizes: Sequence[float]) -> list[Finding]:
    """Return the findings of a run so far.

    Args:
        report: Last `HealthReport`, with `clipped_fraction` and `gradient_norms`.
        losses: Loss of each update.
        update_sizes: Norm of the change of all weights per update, relative to the norm of the weights, for each
            interval between measurements.
    """
    loss_values = np.array(losses, "float64")
    names = {finding.name for finding in report.findings}
    findings = [
        None if "not finite" in names else _run_not_finite(report, loss_values),
        None if "exploding" in names else _clip_too_tight(report),  # clipping an exploding gradient is intended
        _learning_rate_too_high(report, loss_values, update_sizes),
    ]
    return [finding for finding in findings if finding is not None]


# === One measurement ===


def _not_finite(report: HealthReport) -> Finding | None:
    if not report.weights_finite:
        return Finding(
            "not finite",
            "some weights are NaN or infinite.",
            f"restore the last finite weights, and continue training with learning_rate={_third_of_rate(report)} and "
            f"{_clip_advice(report)}.",
        )
    if math.isfinite(report.loss) and math.isfinite(report.gradient_norm):
        return None
    return Finding(
        "not finite",
        f"the loss is {report.loss:.3g} and the norm of its gradient {report.gradient_norm:.3g}, although the weights "
        "are finite.",
        "if there is no other finding, check divisions and logarithms in the loss, and set "
        f"learning_rate={_third_of_rate(report)}.",
    )


def _exploding(report: HealthReport) -> Finding | None:
    advice = f"{_recurrent_advice(report)}; {_clip_advice(report)}."
    growth = {layer: _growth(report, layer) for layer in range(len(report.layers))}
    growing = {layer: found for layer, found in growth.items() if found is not None}
    if growing:
        lag, factor = max(growing.values(), key=lambda found: found[1])
        return Finding(
            "exploding",
            f"the gradient with respect to the states of {_layer_names(growing)} grows with the lag, by a factor of "
            f"{factor:.3g} over {lag} steps.",
            advice,
        )
    if not report.weights_finite:
        return None
    largest = max(report.max_abs_hidden)
    if not math.isfinite(report.gradient_norm) and not largest < LARGE_STATE:
        return Finding("exploding", f"the states grow without bound, up to {largest:.3g}.", advice)
    if math.isfinite(report.gradient_norm) and report.gradient_norm > LARGE_GRADIENT_NORM:
        return Finding(
            "exploding",
            f"the gradient with respect to all weights has norm {report.gradient_norm:.3g}. It does not grow with the "
            f"lag, so it is already large at the output of the stack. The largest |H| is {largest:.3g}.",
            "standardize x and the targets to mean 0 and variance 1, or average the loss over steps and rows; "
            f"{_clip_advice(report)}.",
        )
    return None


def _growth(report: HealthReport, layer: int) -> tuple[int, float] | None:
    """Return (lag, growth) if the gradient of a layer grows too much, else None.

    Gradients of d layers that neither damp nor amplify add up to binom(k + d, d) at lag k. This growth, that of ReLU
    layers initialized to the identity, is harmless; the measured growth is divided by it.
    """
    norms, num_above = report.state_norms[layer], len(report.layers) - 1 - layer
    if not norms[0] > 0 or np.isnan(norms).any():
        return None
    growth = norms / norms[0] / [math.comb(lag + num_above, num_above) for lag in range(len(norms))]
    lag = int(growth.argmax())
    return (lag, float(norms[lag] / norms[0])) if growth[lag] > EXPLODING_GROWTH else None


def _dead_units(report: HealthReport) -> Finding | None:
    layers = [layer for layer, fraction in enumerate(report.dead_fraction) if fraction > DEAD_UNITS]
    if not layers:
        return None
    fractions = ", ".join(f"{report.dead_fraction[layer]:.0%} in {_layer_name(layer)}" for layer in layers)
    if any(report.layers[layer].activation == "relu" for layer in layers):
        change = (
            "bias_initializer='zeros' and recurrent_initializer=ScaledIdentity(), or activation='tanh', with which "
            "units do not die"
        )
    else:
        change = "check the inputs of these layers, which are 0"
    return Finding(
        "dead units",
        f"units that are 0 in every row and at every step: {fractions}.",
        f"{change}; restart training with learning_rate={_third_of_rate(report)}, since a large step can kill units "
        "permanently.",
    )


def _saturated(report: HealthReport) -> Finding | None:
    gates = _saturated_gates(report)
    if not gates:
        return None
    fractions = ", ".join(f"{gate} of {_layer_name(layer)} {fraction:.0%}" for gate, fraction, layer in gates)
    return Finding(
        "saturated gates",
        f"values near the limits of their range, where almost no gradient passes: {fractions}.",
        "standardize x to mean 0 and variance 1; kernel_initializer=PerGate('glorot_uniform') and "
        "recurrent_initializer=PerGate('orthogonal'), or initializers with a smaller scale; "
        f"learning_rate={_third_of_rate(report)}.",
    )


def _saturated_gates(report: HealthReport) -> list[tuple[str, float, int]]:
    """Return [(gate, fraction, layer)] without the gates that are saturated by design."""
    return [
        (gate, fraction, layer)
        for layer, gates in enumerate(report.saturation)
        for gate, fraction in gates.items()
        if fraction > SATURATED_VALUES and gate not in _memory_gates(report.layers[layer].name)
    ]


def _memory_gates(name: str) -> tuple[str | None, ...]:
    """Return the gates that keep the state or block new values; they saturate in a network that retains information."""
    return (CELLS[name].keep_gate, CELLS[name].write_gate) if name in CELLS else ()


def _vanishing(report: HealthReport) -> Iterator[Finding]:
    """Yield the findings of gradients that vanish over time or through the layers.

    Layers whose dead or saturated units explain the small gradient are skipped.
    """
    saturated = {layer for _, _, layer in _saturated_gates(report)}
    candidates = [
        layer
        for layer, fraction in enumerate(report.dead_fraction)
        if fraction <= MAX_DEAD_UNITS and layer not in saturated
    ]
    vanishing_lags = {layer: lag for layer, lag in enumerate(report.vanishing_lags) if lag is not None}
    vanishing = {layer: vanishing_lags[layer] for layer in candidates if layer in vanishing_lags}
    vanishing = {layer: lag for layer, lag in vanishing.items() if lag <= VANISHING_LAGS}
    if vanishing:
        fraction = min(
            report.state_norms[layer, lag] / report.state_norms[layer, 0] for layer, lag in vanishing.items()
        )
        yield Finding(
            "vanishing",
            f"at lag {min(vanishing.values())} the gradient with respect to the states of {_layer_names(vanishing)} is "
            f"{fraction:.1g} of its value at the last step; the weights cannot learn from earlier steps.",
            _memory_advice(report, vanishing),
        )
    lowest, top = report.state_norms[0].max(), report.state_norms[-1].max()
    if len(candidates) == len(report.layers) and lowest < VANISHED * top:
        yield Finding(
            "vanishing",
            f"the gradient at {_layer_name(0)} is {lowest / top:.1g} of that at {_layer_name(len(report.layers) - 1)}: "
            "it vanishes through the layers.",
            f"connection='residual' instead of {report.connection!r} (with equal units), or fewer layers.",
        )


def _memory_advice(report: HealthReport, layers: Iterable[int]) -> str:
    names = {report.layers[layer].name for layer in layers}
    advice = []
    if "lstm" in names:
        advice.append("bias_initializer=ForgetBias(1), or ChronoBias(T) for dependencies over T steps")
    if "gru" in names:
        advice.append("bias_initializer=ChronoBias(T) for dependencies over T steps")
    if "rnn" in names:
        advice.append("cell='lstm' with ForgetBias(1), or cell='gru'; with activation='relu', ScaledIdentity()")
    return "; ".join([*advice, "recurrent_initializer=PerGate('orthogonal')"]) + "."


def _recurrent_advice(report: HealthReport) -> str:
    has_relu = any(layer.name == "rnn" and layer.activation == "relu" for layer in report.layers)
    return "recurrent_initializer=" + ("ScaledIdentity()" if has_relu else "PerGate('orthogonal')")


# === A run ===


def _run_not_finite(report: HealthReport, losses: np.ndarray) -> Finding | None:
    updates = np.flatnonzero(~np.isfinite(losses))
    if not len(updates):
        return None
    advice = f"learning_rate={_third_of_rate(report)} and {_clip_advice(report)}."
    return Finding("not finite", f"the loss became NaN or infinite at update {updates[0] + 1}.", advice)


def _clip_too_tight(report: HealthReport) -> Finding | None:
    norms = [norm for norm in report.gradient_norms if math.isfinite(norm)]
    if report.global_clipnorm is None or report.clipped_fraction is None or len(norms) < MIN_NORMS:
        return None
    median = float(np.median(norms))
    if report.clipped_fraction < CLIPPED_UPDATES or median < NORM_OVER_CLIPNORM * report.global_clipnorm:
        return None
    return Finding(
        "clip too tight",
        f"{report.clipped_fraction:.0%} of the updates were clipped to {report.global_clipnorm:g}, at a median norm of "
        f"{median:.3g}: nearly all updates have the same length, whatever the gradient.",
        f"global_clipnorm={median:.1g}, which clips only unusually large gradients.",
    )


def _learning_rate_too_high(report: HealthReport, losses: np.ndarray, update_sizes: Sequence[float]) -> Finding | None:
    text = _describe_risen_loss(losses) or _describe_large_updates(update_sizes)
    if text is None:
        return None
    advice = f"learning_rate={_third_of_rate(report)} instead of {float(f'{report.learning_rate:.3g}'):g}."
    return Finding("learning rate too high", text, advice)


def _describe_risen_loss(losses: np.ndarray) -> str | None:
    """Describe a loss that diverged, lost half of its improvement beyond its noise, or jumped; otherwise None."""
    finite = losses[: np.argmin(np.isfinite(losses))] if not np.isfinite(losses).all() else losses
    if len(finite) < len(losses) and len(finite) > 1 and finite[-1] > 3 * abs(finite[0]):
        return f"the loss rose from {finite[0]:.3g} to {finite[-1]:.3g} and then became NaN or infinite."
    if len(finite) < MIN_LOSSES:
        return None
    width = max(5, len(finite) // 10)
    blocks = finite[len(finite) % width :].reshape(-1, width)
    means, noise = blocks.mean(1), np.median(blocks.std(1)) / math.sqrt(width)
    first, best, last = means[0], means.min(), means[-1]
    if last - best > max(LOST_IMPROVEMENT * (first - best), LOST_ERRORS * noise, LOST_RELATIVE * abs(best)):
        return (
            f"the loss fell from {first:.3g} to {best:.3g} and rose to {last:.3g}, more than its noise explains (means "
            f"over {width} updates)."
        )
    if finite.max() > JUMP * abs(finite[0]) and last > NOT_RECOVERED * abs(finite[0]):
        return f"the loss jumped from {finite[0]:.3g} at the first update to {finite.max():.3g} and is now {last:.3g}."
    return None


def _describe_large_updates(update_sizes: Sequence[float]) -> str | None:
    sizes = [size for size in update_sizes if math.isfinite(size)]
    if len(sizes) < MIN_NORMS or np.median(sizes) <= LARGE_UPDATE:
        return None
    return f"an update changes the weights by {np.median(sizes):.0%} of their norm (median)."


# === Numbers and names ===


def _layer_name(layer: int) -> str:
    return f"H^({layer + 1})"


def _layer_names(layers: Iterable[int]) -> str:
    return " and ".join(map(_layer_name, layers))


def _third_of_rate(report: HealthReport) -> str:
    return f"{report.learning_rate / 3:.1g}"


def _clip_advice(report: HealthReport) -> str:
    if report.global_clipnorm is None:
        return "global_clipnorm=1 (currently no clipping)"
    return f"global_clipnorm={min(1.0, report.global_clipnorm / 4):g} instead of {report.global_clipnorm:g}"
