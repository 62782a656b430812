"""Operators that TensorFlow ran, according to a profile of its executor and of the GPU."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from deeprnn_keras import _compat
from deeprnn_keras._types import Config

# Operators that are cheap for the host, as are all operators of a GPU, are recorded from this level on.
HOST_TRACER_LEVEL = 3
OPERATOR = re.compile(r"([^\s;]+):([A-Za-z_]\w*)")  # scope/name:Type
LOOP = re.compile(r"((?:.*?/)?while\w*)/(?:body|cond)/")
NATIVE = "PyFuncStateless"  # through which TensorFlow calls native code
EXECUTABLE = re.compile(r"(?:Cpu|Gpu)Executable::Execute")
GPU_KERNEL = re.compile(r"rnn|lstm|gru", re.IGNORECASE)
MAX_KERNELS = 5  # names of kernels that are kept


def trace(function: Callable[[], object]) -> Config:
    """Return which recurrent operators ran during a call of `function`.

    Args:
        function: Function that returns after the device has finished, for example because it fetches a result. It must
            not be called for the first time, since tracing and compilation would be part of the profile.

    Returns:
        {"cudnn": number of cuDNN's forward operators (CudnnRNNV3), "cudnn_backward": of its backward operators,
        "native": number of operators that call native code, "loops": number of loops over steps, "executables": number
        of programs of XLA that ran, "gpu_events": number of events on the GPU, "gpu_kernels": names of up to 5 kernels
        of the GPU for recurrent layers}.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(
            directory, tf.profiler.experimental.ProfilerOptions(host_tracer_level=HOST_TRACER_LEVEL)
        )
        try:
            function()
        finally:
            tf.profiler.experimental.stop()
        return summarize(load_profile(directory))


def load_profile(directory: str) -> Any:  # noqa: ANN401 - a protocol buffer
    """Return the profile in a directory of TensorBoard.

    Raises:
        FileNotFoundError: If the profiler wrote no profile.
    """
    paths = sorted(Path(directory).rglob("*.xplane.pb"))
    if not paths:
        raise FileNotFoundError(f"TensorFlow's profiler wrote no *.xplane.pb file to {directory!r}")
    return _compat.profile_message().FromString(paths[-1].read_bytes())


def summarize(profile: Any) -> Config:  # noqa: ANN401 - a protocol buffer
    """Return the result of `trace` for a profile."""
    on_host = [name for plane in profile.planes if not _is_gpu(plane) for name in _event_names(plane)]
    gpu_planes = [plane for plane in profile.planes if _is_gpu(plane)]
    on_gpu = [name for plane in gpu_planes for name in _event_names(plane)]
    # a kernel of the GPU is annotated with the operator that launched it
    operators = _operators([*on_host, *(text for plane in gpu_planes for text in _annotations(plane))])
    cudnn = [kind for _, kind in operators if kind.startswith("CudnnRNN")]
    return {
        "cudnn": sum("Backprop" not in kind for kind in cudnn),
        "cudnn_backward": sum("Backprop" in kind for kind in cudnn),
        "native": sum(kind == NATIVE for _, kind in operators),
        "loops": len({match[1] for name, _ in operators if (match := LOOP.match(name))}),
        "executables": sum(EXECUTABLE.match(name) is not None for name in on_host),
        "gpu_events": len(on_gpu),
        "gpu_kernels": sorted({name for name in on_gpu if GPU_KERNEL.search(name)})[:MAX_KERNELS],
    }


def _is_gpu(plane: Any) -> bool:  # noqa: ANN401 - a protocol buffer
    return plane.name.startswith("/device:GPU")


def _operators(texts: Iterable[str]) -> set[tuple[str, str]]:
    """Return the distinct (scope/name, type) of operators; one that runs at each step of a loop counts once."""
    return {(name, kind) for text in texts for name, kind in OPERATOR.findall(text)}


def _event_names(plane: Any) -> Iterator[str]:  # noqa: ANN401 - a protocol buffer
    for line in plane.lines:
        for event in line.events:
            yield plane.event_metadata[event.metadata_id].name


def _annotations(plane: Any) -> Iterator[str]:  # noqa: ANN401 - a protocol buffer
    """Yield the texts that are attached to the events of a plane."""
    for line in plane.lines:
        for event in line.events:
            for stat in event.stats:
                yield stat.str_value or plane.stat_metadata[stat.ref_value].name
