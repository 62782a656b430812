"""Selection of an implementation, in one place.

"auto" takes the most preferred implementation that supports the layer on this machine. No rule goes by size: where the
loop came closest to XLA, at small h and large n, XLA takes 0.89 (LSTM), 0.92 (GRU), and 0.90 (RNN) of its time in
training and 0.49, 0.71, and 0.62 in inference (2 layers of 32, n = 1024, T = 35; two cores,
benchmarks/results/kernels); over the whole grid the worst is 1.04. `deeprnn bench kernels` checks that no case is
above 1.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from deeprnn_keras import checks
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Implementation, Traits

AUTO = "auto"
NO_GPU = "no GPU is visible to TensorFlow"
ONLY_TENSORFLOW = "the {} backend has no implementation here, only TensorFlow has"
FOR_CPUS = "the XLA implementation is for CPUs"
NOTHING_AGAINST_GPU = "a GPU is visible, and cuDNN supports the layer"


@dataclass(frozen=True)
class Machine:
    """The facts about a machine on which the selection depends.

    Attributes:
        backend: The Keras backend.
        gpu: Whether a GPU is visible.
    """

    backend: str = "tensorflow"
    gpu: bool = False


class Choice(NamedTuple):
    """The name of an implementation, and why it and no faster one is used."""

    implementation: str
    reasons: list[str]


def choices() -> tuple[str, ...]:
    """Return the values of the argument `implementation`."""
    return (AUTO, *implementations())


def check(implementation: str, traits: Traits) -> str:
    """Return the argument `implementation` if it supports a layer of these traits on some machine.

    Raises:
        ValueError: If it is unknown, or does not support the layer; the message says why.
    """
    checks.one_of("implementation", implementation, choices())
    found = [] if implementation == AUTO else implementations()[implementation].unsupported_reasons(traits)
    if found:
        raise ValueError(_unsupported_message(f"implementation={implementation!r}", found))
    return implementation


def _unsupported_message(asked: str, unsupported_reasons: list[str]) -> str:
    return (
        f"{asked} is not supported for this layer: {'; '.join(unsupported_reasons)}. "
        "Use 'auto' to select the fastest supported one"
    )


def choose(
    traits: Traits, implementation: str = AUTO, use_cudnn: bool | str = "auto", machine: Machine | None = None
) -> Choice:
    """Return the `Choice` for a layer.

    Args:
        traits: Of the layer.
        implementation: The layer's argument.
        use_cudnn: Keras' argument: "auto", True, or False.
        machine: What is there; None: TensorFlow on a CPU.

    Raises:
        ValueError: If the requested implementation does not support the layer on this machine.
    """
    machine = machine or Machine()
    asked = f"implementation={implementation!r}"
    if use_cudnn is True and implementation == AUTO:
        implementation, asked = "cudnn", "use_cudnn=True"
    if implementation != AUTO:
        against = _against(implementations()[implementation], traits, use_cudnn, machine, requested=True)
        if against:
            raise ValueError(_unsupported_message(asked, against))
        return Choice(implementation, [f"{asked} requests it"])
    passed_over: list[list[str]] = []
    for found in implementations().values():
        against = _against(found, traits, use_cudnn, machine, requested=False)
        if not against:
            break
        passed_over.append(against)
    if not passed_over:
        return Choice(found.name, [NOTHING_AGAINST_GPU])
    # without a GPU, what else would rule out cuDNN is of no interest, unless nothing is left to say
    reasons = [reason for against in passed_over if NO_GPU not in against for reason in against]
    return Choice(found.name, list(dict.fromkeys(reasons)) or [NO_GPU])


def _against(
    implementation: Implementation, traits: Traits, use_cudnn: bool | str, machine: Machine, requested: bool
) -> list[str]:
    """Return why an implementation is not used."""
    if implementation.backend not in (None, machine.backend):
        return [ONLY_TENSORFLOW.format(machine.backend)]
    if implementation.device == "cpu" and machine.gpu and not requested:
        return [FOR_CPUS]
    return [
        *([NO_GPU] if implementation.device == "gpu" and not machine.gpu else []),
        *(["use_cudnn=False forbids it"] if implementation.name == "cudnn" and use_cudnn is False else []),
        *implementation.unsupported_reasons(traits),
    ]
