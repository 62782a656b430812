"""From figures to words: what is wrong with a network, and what to change."""

import math

import numpy as np

from deeprnn_keras.audit.health_report import VANISHED, Finding
from deeprnn_keras.specs import CELLS

# Lost (1e-4 of what it is at lag 0) within 16 steps: less than .56 is kept per step. A plain LSTM with forget bias 1
# keeps .73 of its cell, a GRU at the start some .65, and both train well.
HORIZON = 16
GROWN = 100.0  # times as large further back; a well-made layer neither damps nor amplifies
LARGE_NORM = 100.0  # of the gradient by all weights; cross-entropies train with 0.1 to 10
LARGE_STATE = 1e4  # a state so large in a network that is not finite: it was the recurrence that grew
DEAD = 0.25  # of a layer's units; on one batch some are silent by chance
ALL_DEAD = 0.9  # of a layer's units: then no gradient passes
SATURATED = 0.75  # of a gate's values; trained networks have gates with half of them at their ends
CLIPPED, OVER_CLIP = 0.9, 10.0  # nearly every update is clipped, and to a tenth or less of its length
UPDATE = 0.05  # of the weights, per update: twenty such steps one way make others of them; 1e-3 is usual
GIVEN_BACK, NOISE, RISE = 0.5, 5.0, 0.1  # of what was gained; standard errors; of the loss itself
JUMP, RECOVERED = 10.0, 0.5  # of the very first loss: jumped so high, and not come down so far
MIN_LOSSES, MIN_NORMS = 20, 3  # to judge a run by


def diagnose(report):
    """The findings of one measurement, causes before consequences."""
    found = [_exploding(report), _not_finite(report), _dead(report), _saturated(report), *_vanishing(report)]
    return [finding for finding in found if finding is not None]


def diagnose_run(report, losses, update_sizes):
    """The findings of a training so far.

    Args:
        report: the last `HealthReport`, with `clipped` and `norms`.
        losses: one per update.
        update_sizes: between measurements, the length of the change of all weights per update, relative to theirs.
    """
    losses = np.array(losses, "float64")
    exploding = any(finding.name == "exploding" for finding in report.findings)
    not_finite = any(finding.name == "not finite" for finding in report.findings)
    found = [
        None if not_finite else _run_not_finite(report, losses),
        None if exploding else _clip_too_tight(report),  # else clipping does what it is for
        _rate_too_high(report, losses, update_sizes),
    ]
    return [finding for finding in found if finding is not None]


# === One measurement ===


def _not_finite(report):
    if not report.weights_finite:
        return Finding(
            "not finite",
            "there are weights that are NaN or infinite.",
            f"go back to the last good weights, and train on with learning_rate={_third(report)} and {_clip(report)}.",
        )
    if math.isfinite(report.loss) and math.isfinite(report.gradient_norm):
        return None
    return Finding(
        "not finite",
        f"the loss is {report.loss:.3g} and the norm of its gradient {report.gradient_norm:.3g}, with weights that "
        "are finite.",
        f"if nothing else is found here, look at what the loss divides by and takes logarithms of, and set "
        f"learning_rate={_third(report)}.",
    )


def _exploding(report):
    growing = {place: _grows(report, place) for place in range(len(report.kinds))}
    growing = {place: found for place, found in growing.items() if found is not None}
    if growing:
        lag, times = max(growing.values(), key=lambda found: found[1])
        text = f"the gradient by the states of {_names(growing)} grows with the lag: {times:.3g} times in {lag} steps."
        return Finding("exploding", text, f"{_recurrent_advice(report)}; {_clip(report)}.")
    if not report.weights_finite:
        return None
    if not math.isfinite(report.gradient_norm) and not max(report.largest) < LARGE_STATE:
        text = f"the states grow without bound, up to {max(report.largest):.3g}."
        return Finding("exploding", text, f"{_recurrent_advice(report)}; {_clip(report)}.")
    if math.isfinite(report.gradient_norm) and report.gradient_norm > LARGE_NORM:
        return Finding(
            "exploding",
            f"the gradient by all weights has norm {report.gradient_norm:.3g}; it does not grow with the lag, so it is "
            f"large already where it enters. The largest |H| is {max(report.largest):.3g}.",
            "bring x and the targets to mean 0 and variance 1, or the loss to a mean over steps and rows; "
            f"{_clip(report)}.",
        )
    return None


def _grows(report, place):
    """(lag, growth) where the gradient of a layer grows too much, else None.

    Chains that neither damp nor amplify, d of them above each other, add up to binom(k + d, d) at lag k: a stack of
    ReLU layers that start at the identity does so and is none the worse.
    """
    norms, above = report.state[place], len(report.kinds) - 1 - place
    if not norms[0] > 0 or np.isnan(norms).any():
        return None
    growth = norms / norms[0] / [math.comb(lag + above, above) for lag in range(len(norms))]
    lag = int(growth.argmax())
    return (lag, float(norms[lag] / norms[0])) if growth[lag] > GROWN else None


def _dead(report):
    places = [place for place, share in enumerate(report.dead) if share > DEAD]
    if not places:
        return None
    shares = ", ".join(f"{report.dead[place]:.0%} in H^({place + 1})" for place in places)
    relu = any(report.kinds[place].activation == "relu" for place in places)
    change = (
        "bias_initializer='zeros' and recurrent_initializer=ScaledIdentity(), or activation='tanh', which cannot die"
        if relu
        else "look at what these layers read: it is 0"
    )
    advice = f"{change}; train anew with learning_rate={_third(report)}: a step too long kills units for good."
    return Finding("dead units", f"units that are 0 at every row and step: {shares}.", advice)


def _saturated(report):
    found = _saturated_gates(report)
    if not found:
        return None
    shares = ", ".join(f"{gate} of H^({place + 1}) {share:.0%}" for gate, share, place in found)
    return Finding(
        "saturated gates",
        f"values at the ends of their range, where next to no gradient passes: {shares}.",
        "standardize x to mean 0 and variance 1; kernel_initializer=PerGate('glorot_uniform') and "
        f"recurrent_initializer=PerGate('orthogonal'), or smaller ones; learning_rate={_third(report)}.",
    )


def _saturated_gates(report):
    return [
        (gate, share, place)
        for place, gates in enumerate(report.saturation)
        for gate, share in gates.items()
        if share > SATURATED and gate not in _memory_gates(report.kinds[place].name)
    ]


def _memory_gates(name):
    """Those that keep the state, or let nothing in: at their ends by design where a network remembers."""
    return (CELLS[name].keep_gate, CELLS[name].write_gate) if name in CELLS else ()


def _vanishing(report):
    """Over time, and through the layers; where units are dead or saturated that is a consequence, named already."""
    saturated = {place for _, _, place in _saturated_gates(report)}
    alive = [place for place, share in enumerate(report.dead) if share <= ALL_DEAD and place not in saturated]
    lags = report.reach
    places = [place for place in alive if lags[place] is not None and lags[place] <= HORIZON]
    if places:
        lag = min(lags[place] for place in places)
        left = min(report.state[place, lags[place]] / report.state[place, 0] for place in places)
        yield Finding(
            "vanishing",
            f"{lag} steps back the gradient by the states of {_names(places)} is down to {left:.1g} of what it is at "
            "the last step; the weights cannot learn from anything further back.",
            _memory_advice(report, places),
        )
    lowest, top = report.state[0].max(), report.state[-1].max()
    if len(alive) == len(report.kinds) and lowest < VANISHED * top:
        yield Finding(
            "vanishing",
            f"H^(1) has {lowest / top:.1g} of the gradient that H^({len(report.kinds)}) has: it is lost on the way "
            "down through the layers.",
            f"connection='residual' in place of {report.connection!r} (with equal units), or fewer layers.",
        )


def _memory_advice(report, places):
    names = {report.kinds[place].name for place in places}
    advice = []
    if "lstm" in names:
        advice.append("bias_initializer=ForgetBias(1), or ChronoBias(T) for dependences over T steps")
    if "gru" in names:
        advice.append("bias_initializer=ChronoBias(T) for dependences over T steps")
    if "rnn" in names:
        advice.append(
            "cell='lstm' with ForgetBias(1), or 'gru'; or, for an rnn with activation='relu', ScaledIdentity()"
        )
    return "; ".join([*advice, "recurrent_initializer=PerGate('orthogonal')"]) + "."


def _recurrent_advice(report):
    relu = any(kind.name == "rnn" and kind.activation == "relu" for kind in report.kinds)
    return "recurrent_initializer=" + ("ScaledIdentity()" if relu else "PerGate('orthogonal')")


# === A run ===


def _run_not_finite(report, losses):
    wrong = np.flatnonzero(~np.isfinite(losses))
    if not len(wrong):
        return None
    advice = f"learning_rate={_third(report)} and {_clip(report)}."
    return Finding("not finite", f"the loss was no longer finite at update {wrong[0] + 1}.", advice)


def _clip_too_tight(report):
    norms = [norm for norm in report.norms if math.isfinite(norm)]
    if report.global_clipnorm is None or report.clipped is None or len(norms) < MIN_NORMS:
        return None
    median = float(np.median(norms))
    if report.clipped < CLIPPED or median < OVER_CLIP * report.global_clipnorm:
        return None
    return Finding(
        "clip too tight",
        f"{report.clipped:.0%} of the updates were clipped to {report.global_clipnorm:g}, the norm being {median:.3g} "
        "(median): all steps have the same length, whatever the gradient.",
        f"global_clipnorm={median:.1g}, so that it catches the exceptions.",
    )


def _rate_too_high(report, losses, update_sizes):
    text = _risen(losses) or _large_updates(update_sizes)
    if text is None:
        return None
    return Finding("learning rate too high", text, f"learning_rate={_third(report)} in place of {_rate(report):g}.")


def _risen(losses):
    """In words, if the loss lost half of what it had gained, beyond its noise; jumped; or rose and ended in NaN."""
    finite = losses[: np.argmin(np.isfinite(losses))] if not np.isfinite(losses).all() else losses
    if len(finite) < len(losses) and len(finite) > 1 and finite[-1] > 3 * abs(finite[0]):
        return f"the loss rose from {finite[0]:.3g} to {finite[-1]:.3g} and then was no longer finite."
    if len(finite) < MIN_LOSSES:
        return None
    width = max(5, len(finite) // 10)
    blocks = finite[len(finite) % width :].reshape(-1, width)
    means, noise = blocks.mean(1), np.median(blocks.std(1)) / math.sqrt(width)
    first, best, now = means[0], means.min(), means[-1]
    if now - best > max(GIVEN_BACK * (first - best), NOISE * noise, RISE * abs(best)):
        return (
            f"the loss was down to {best:.3g}, the mean of {width} updates, and is at {now:.3g} now, beyond what its "
            f"noise explains; it began at {first:.3g}."
        )
    if finite.max() > JUMP * abs(finite[0]) and now > RECOVERED * abs(finite[0]):
        return f"the loss began at {finite[0]:.3g}, jumped to {finite.max():.3g} and is at {now:.3g} now."
    return None


def _large_updates(update_sizes):
    sizes = [size for size in update_sizes if math.isfinite(size)]
    if len(sizes) < MIN_NORMS or np.median(sizes) <= UPDATE:
        return None
    return f"an update moves the weights by {np.median(sizes):.0%} of their length (median)."


# === Numbers and names ===


def _names(places):
    return " and ".join(f"H^({place + 1})" for place in places)


def _rate(report):
    return float(f"{report.learning_rate:.3g}")


def _third(report):
    return f"{report.learning_rate / 3:.1g}"


def _clip(report):
    if report.global_clipnorm is None:
        return "global_clipnorm=1, which is not set now"
    return f"global_clipnorm={min(1.0, report.global_clipnorm / 4):g} in place of {report.global_clipnorm:g}"
