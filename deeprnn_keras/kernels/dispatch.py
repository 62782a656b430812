"""The choice of a kernel, in one place.

auto: cuDNN where there is a GPU and the layer is eligible; the fused kernel on a CPU; else Keras' loop.

No rule goes by size. Where the loop came closest, at small h and large n, the fused kernel takes .89 (LSTM), .92 (GRU)
and .90 (RNN) of its time in training and .49, .71 and .62 in inference (2 layers of 32, n = 1024, T = 35; two cores,
benchmarks/results/kernels); over the whole grid the worst is 1.04. `deeprnn bench kernels` checks that no case is above
1.05.
"""

from typing import NamedTuple

import keras

from deeprnn_keras import checks
from deeprnn_keras.kernels.rules import FOR_CPUS, cudnn_obstacles, fused_obstacles

CHOICES = ("auto", "cudnn", "xla", "loop")
NO_GPU = "no GPU is visible to TensorFlow"
NOT_TENSORFLOW = "the {} backend has no kernels here, only TensorFlow has"


class Choice(NamedTuple):
    """A kernel, and why it and no faster one."""

    kernel: str
    reasons: list


def check(implementation, traits):
    """`implementation`, if a layer of these traits can have it on some machine; else a ValueError that says why."""
    checks.one_of("implementation", implementation, CHOICES)
    obstacles = {"cudnn": cudnn_obstacles, "xla": fused_obstacles}.get(implementation, lambda _: [])(traits)
    if obstacles:
        raise ValueError(_cannot_be(f"implementation={implementation!r}", obstacles))
    return implementation


def _cannot_be(asked, obstacles):
    return f"{asked} cannot be: {'; '.join(obstacles)}. 'auto' takes the fastest that can"


def choose(traits, implementation="auto", use_cudnn="auto", gpu=None):
    """The kernel that runs a layer.

    Args:
        traits: `rules.Traits`.
        implementation: the layer's argument.
        use_cudnn: Keras' argument: "auto", True or False.
        gpu: as if there were a GPU (True), or none (False); None looks.

    Raises:
        ValueError: if what is asked for cannot be on this machine.
    """
    gpu = has_gpu() if gpu is None else gpu
    asked = f"implementation={implementation!r}"
    if use_cudnn is True and implementation == "auto":
        implementation, asked = "cudnn", "use_cudnn=True"
    if implementation == "loop":
        return Choice("loop", ["implementation='loop' asks for it"])
    against_cudnn = _against_cudnn(traits, use_cudnn, gpu)
    against_fused = _against_fused(traits, gpu and implementation == "auto")
    if implementation in ("cudnn", "xla"):
        against = against_cudnn if implementation == "cudnn" else against_fused
        if against:
            raise ValueError(_cannot_be(asked, against))
        return Choice(implementation, [f"{asked} asks for it"])
    if not against_cudnn:
        return Choice("cudnn", ["a GPU, and nothing stands in the way"])
    if not against_fused:
        return Choice("xla", against_cudnn[:1])
    return Choice("loop", [*against_cudnn, FOR_CPUS] if gpu else against_fused)


def _against_cudnn(traits, use_cudnn, gpu):
    if keras.backend.backend() != "tensorflow":
        return [NOT_TENSORFLOW.format(keras.backend.backend())]
    return [
        *([] if gpu else [NO_GPU]),
        *(["use_cudnn=False forbids it"] if use_cudnn is False else []),
        *cudnn_obstacles(traits),
    ]


def _against_fused(traits, gpu):
    if keras.backend.backend() != "tensorflow":
        return [NOT_TENSORFLOW.format(keras.backend.backend())]
    return [*([FOR_CPUS] if gpu else []), *fused_obstacles(traits)]


def has_gpu():
    """Whether TensorFlow sees a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))
