"""Selection of the implementation that runs a recurrent layer.

"auto" selects the implementation with the highest preference that supports the layer on this machine. The rule does
not depend on sizes. The loop is closest to XLA at small h and large n: with 2 layers of h = 32, n = 1024, T = 35 on
two cores, XLA takes 0.89 (LSTM), 0.92 (GRU), and 0.90 (RNN) of the loop's time in training and 0.49, 0.71, and 0.62 in
inference (benchmarks/results/kernels). The worst ratio over the whole grid is 1.04; `deeprnn bench kernels` checks
that none exceeds 1.05.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deeprnn_keras import checks
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Implementation, Machine, Traits

AUTO = "auto"
NO_GPU = "no GPU is visible to TensorFlow"
TENSORFLOW_ONLY = "cuDNN and XLA require the TensorFlow backend, the current backend is {}"
FOR_CPUS = "this package's own implementations are for CPUs"
CUDNN_SELECTED = "a GPU is visible, and cuDNN supports the layer"
CUDNN_DISABLED = "use_cudnn=False disables cuDNN"


class Choice(NamedTuple):
    """Selected implementation.

    Attributes:
        implementation: Name of the implementation.
        reasons: Reasons why no faster implementation is used.
    """

    implementation: str
    reasons: list[str]


def argument_values() -> tuple[str, ...]:
    """Return the values of the argument `implementation`."""
    return (AUTO, *implementations())


def check(implementation: str, traits: Traits) -> str:
    """Return `implementation` if it supports a layer with these traits on some machine.

    Raises:
        ValueError: If it is unknown or does not support the layer; the message lists the reasons.
    """
    checks.one_of("implementation", implementation, argument_values())
    reasons = [] if implementation == AUTO else implementations()[implementation].unsupported_reasons(traits)
    if reasons:
        raise ValueError(_unsupported_message(f"implementation={implementation!r}", reasons))
    return implementation


def _unsupported_message(argument: str, reasons: list[str]) -> str:
    return (
        f"{argument} is not supported for this layer: {'; '.join(reasons)}. "
        "Use 'auto' to select the fastest supported one"
    )


def choose(
    traits: Traits,
    implementation: str = AUTO,
    use_cudnn: bool | str = "auto",
    machine: Machine | None = None,
    stack: Sequence[Traits] = (),
) -> Choice:
    """Return the `Choice` for a layer.

    Args:
        traits: Traits of the layer.
        implementation: The layer's argument.
        use_cudnn: Keras' argument: "auto", True, or False.
        machine: Machine to select for; None for TensorFlow on a CPU.
        stack: Traits of all layers of the stack that the layer belongs to. An implementation that runs whole stacks is
            selected for all of them or for none, unless no such implementation supports all.

    Raises:
        ValueError: If the requested implementation does not support the layer on this machine.
    """
    machine = machine or Machine()
    argument = f"implementation={implementation!r}"
    if use_cudnn is True and implementation == AUTO:
        implementation, argument = "cudnn", "use_cudnn=True"
    if implementation != AUTO:
        reasons = _reasons_against(implementations()[implementation], traits, use_cudnn, machine, requested=True)
        if reasons:
            raise ValueError(_unsupported_message(argument, reasons))
        return Choice(implementation, [f"requested by {argument}"])
    return _choose_automatically(traits, use_cudnn, machine, stack)


def reasons_against(implementation: Implementation, traits: Traits, machine: Machine) -> list[str]:
    """Return the reasons why an implementation cannot run a layer on a machine; empty if it can when requested."""
    return _reasons_against(implementation, traits, "auto", machine, requested=True)


def _choose_automatically(traits: Traits, use_cudnn: bool | str, machine: Machine, stack: Sequence[Traits]) -> Choice:
    rejected: list[list[str]] = []
    runs_stack = any(not _reasons_against_stack(each, stack, machine) for each in implementations().values())
    for name, implementation in implementations().items():
        if not implementation.concerns(traits):
            continue
        reasons = _reasons_against(implementation, traits, use_cudnn, machine, requested=False)
        if runs_stack and implementation.stack_runner and not reasons:
            reasons = _reasons_against_stack(implementation, stack, machine)
        if not reasons:
            return Choice(name, _summarize_reasons(rejected))
        rejected.append(reasons)
    raise AssertionError("the loop supports every layer")


def _reasons_against_stack(implementation: Implementation, stack: Sequence[Traits], machine: Machine) -> list[str]:
    """Return the reasons why an implementation does not run a whole stack in one call."""
    if implementation.stack_runner is None:
        return ["it runs layers one by one"]
    reasons = [
        reason
        for traits in stack
        for reason in _reasons_against(implementation, traits, "auto", machine, requested=False)
    ]
    return [f"another layer of the stack: {reason}" for reason in dict.fromkeys(reasons)]


def _summarize_reasons(rejected: list[list[str]]) -> list[str]:
    """Return the reasons for an automatic selection from the reasons against each preferred implementation."""
    if not rejected:
        return [CUDNN_SELECTED]
    # Without a GPU, further reasons against cuDNN are irrelevant and left out.
    relevant = [reason for reasons in rejected if NO_GPU not in reasons for reason in reasons]
    return list(dict.fromkeys(relevant)) or [NO_GPU]


def _reasons_against(
    implementation: Implementation, traits: Traits, use_cudnn: bool | str, machine: Machine, requested: bool
) -> list[str]:
    """Return the reasons why an implementation is not used on a machine."""
    if implementation.backends is not None and machine.backend not in implementation.backends:
        return [TENSORFLOW_ONLY.format(machine.backend)]
    if implementation.device == "cpu" and machine.gpu and not requested:
        return [FOR_CPUS]
    return [
        *([NO_GPU] if implementation.device == "gpu" and not machine.gpu else []),
        *([CUDNN_DISABLED] if implementation.name == "cudnn" and use_cudnn is False else []),
        *implementation.machine_reasons(machine),
        *implementation.unsupported_reasons(traits),
    ]
