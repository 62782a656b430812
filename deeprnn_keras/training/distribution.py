"""Data-parallel training in several processes on the JAX backend."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from deeprnn_keras import _compat, checks
from deeprnn_keras.training.cluster import find_launcher, find_place
from deeprnn_keras.training.roll_call import call_roll

if TYPE_CHECKING:
    import keras

TIMEOUT = 300.0  # seconds
SHUTDOWN_SECONDS = 86_400  # the first process scores the model while the others wait for it
FAILED, INTERRUPTED = 1, 130  # exit codes


def distribute(
    *,
    num_processes: int | None = None,
    process_id: int | None = None,
    address: str | None = None,
    timeout: float = TIMEOUT,
) -> keras.distribution.DataParallel:
    """Connect the processes of a data-parallel run, and divide all batches among their devices.

    Call it at the start of the script, before models and datasets are created. Every process runs the same script.
    Then train with `model.fit`: each process reads its rows of every batch of a `TBPTTDataset`, a `BucketedDataset`,
    `token_windows`, or another dataset of this package. `batch_size` is that of all processes together. The gradient
    is the mean over the whole batch, and is clipped after the sum over the processes, so that the weights are those of
    a single process up to rounding. `Resume` writes checkpoints in process 0, and continues with any number of
    processes.

    The arguments are read from the environment variables of the launcher: of `deeprnn train --processes`, of
    `keras.distribution.initialize`, of Slurm (`srun`), Open MPI and PMI (`mpirun`), or of a Kubernetes Indexed Job. A
    script that none of them has started runs in one process.

    Args:
        num_processes: Number of processes.
        process_id: Index of this process, from 0.
        address: Host and port of process 0, at which it waits for the others: "10.0.0.1:1234".
        timeout: Time to wait for the other processes, in seconds.

    Returns:
        The distribution, which is set by `keras.distribution.set_distribution`.

    Raises:
        TimeoutError: If a process does not start in time; the message names it.
        ValueError: If the backend is not JAX, or an argument or a variable is missing or invalid.

    >>> from deeprnn_keras.training import distribute
    >>> distribute(num_processes=0)
    Traceback (most recent call last):
        ...
    ValueError: num_processes must be a positive integer, got 0
    """
    import keras

    num_processes = checks.positive_int_or_none("num_processes", num_processes)
    process_id = None if process_id is None else checks.non_negative_int("process_id", process_id)
    timeout = checks.positive("timeout", timeout)
    check_backend("distribute()")
    passed = any(value is not None for value in (num_processes, process_id, address))
    if num_processes != 1 and (passed or find_launcher(os.environ)):
        place = find_place(os.environ, index=process_id, count=num_processes, address=address)
        call_roll(place, timeout)
        _connect(place.address, place.count, place.index, timeout)
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    return distribution


def _connect(address: str, count: int, index: int, timeout: float) -> None:
    import jax

    jax.distributed.initialize(
        address,
        count,
        index,
        initialization_timeout=math.ceil(timeout),
        shutdown_timeout_seconds=SHUTDOWN_SECONDS,
    )
    sys.excepthook = _end_after(sys.excepthook)
    _compat.share_random_seed()


def _end_after(report: Callable[..., object]) -> Callable[..., object]:
    """Return the hook that ends the process after an exception is reported.

    At its regular end, JAX would wait for the other processes, which wait for this one in their next update.
    """

    def report_and_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> NoReturn:
        report(kind, error, traceback)
        end_process(INTERRUPTED if issubclass(kind, KeyboardInterrupt) else FAILED)

    return report_and_end


def end_process(code: int) -> NoReturn:
    """End this process at once, without waiting for the other processes of the run."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def check_backend(subject: str) -> None:
    """Raise a ValueError unless the Keras backend is JAX.

    Args:
        subject: Subject of the message.
    """
    import keras

    backend = keras.backend.backend()
    if backend != "jax":
        remedy = " For several GPUs of one machine on TensorFlow, use tf.distribute.MirroredStrategy."
        raise ValueError(
            f"{subject} requires the JAX backend, the current backend is {backend!r}; set the environment variable "
            f"KERAS_BACKEND=jax.{remedy if backend == 'tensorflow' else ''}"
        )
