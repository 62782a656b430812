"""The processes of a data-parallel run: which rows of a batch this one reads, and what the first one tells the others.

The processes are those of `keras.distribution`, which `deeprnn_keras.training.distribute` starts. Without it there is a
single one.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import keras

UNIT = 2**30  # a number of bytes does not fit into JAX's int32
Value = TypeVar("Value")


@dataclass(frozen=True)
class Shard:
    """Rows of every batch that this process reads: block `index` of `count` blocks of equal size.

    Attributes:
        index: Index of the block.
        count: Number of blocks.
        devices: Number of devices of all processes, of which each computes an equal number of rows.

    >>> import numpy as np
    >>> from deeprnn_keras.processes import Shard
    >>> [Shard(index, 2, 2).rows(np.arange(6)).tolist() for index in range(2)]
    [[0, 1, 2], [3, 4, 5]]
    >>> [Shard(index, 2, 2).rows(np.arange(3)).tolist() for index in range(2)]
    [[0, 1, 2], [0, 1, 2]]
    """

    index: int = 0
    count: int = 1
    devices: int = 1

    def check_batch_size(self, batch_size: int) -> None:
        """Raise a ValueError if the devices cannot divide a batch among them.

        Args:
            batch_size: Number of rows of a batch on all devices together, n.
        """
        if batch_size % self.devices:
            raise ValueError(
                f"batch_size must be a multiple of the number of devices, {self.devices} in {self.count} "
                f"processes, got {batch_size}; the nearest are {self.round_down(batch_size)} and "
                f"{self.round_up(batch_size)}"
            )

    def round_down(self, batch_size: int) -> int:
        """Return the largest batch size up to `batch_size` that the devices can divide; at least one row per device."""
        return max(batch_size // self.devices, 1) * self.devices

    def round_up(self, batch_size: int) -> int:
        """Return the smallest batch size from `batch_size` that the devices can divide."""
        return -(-batch_size // self.devices) * self.devices

    def rows(self, entries: np.ndarray) -> np.ndarray:
        """Return the entries of this process.

        If the devices cannot divide the entries, which happens at the end of a pass, all entries are first repeated as
        often as necessary, so that a mean over them does not change.

        Args:
            entries: One entry per row of a batch.
        """
        entries = np.tile(entries, (self.repetitions(len(entries)), *[1] * (np.ndim(entries) - 1)))
        size = len(entries) // self.count
        return entries[self.index * size : (self.index + 1) * size]

    def repetitions(self, count: int) -> int:
        """Return how often a batch of `count` rows is repeated, so that the devices can divide it."""
        return self.devices // int(np.gcd(count, self.devices))


def current_shard() -> Shard:
    """Return the rows that this process reads; all rows if there is no `keras.distribution`."""
    import keras

    distribution = keras.distribution.distribution()
    if distribution is None:
        return Shard()
    devices = distribution.num_model_replicas
    return Shard(distribution.data_shard_id, min(distribution.num_processes, devices), devices)


def process_count() -> int:
    """Return the number of processes of the run."""
    import keras

    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_processes


def is_first() -> bool:
    """Return whether this process is the first one, which writes the files of a run."""
    if process_count() == 1:
        return True
    import jax

    return jax.process_index() == 0


def all_were_terminated(update: int) -> bool:
    """Return whether all processes of the run have agreed to stop at this update, because one has received SIGTERM.

    JAX handles the signal. In a run of one process it ends the process.

    Args:
        update: Number of updates so far; all processes call the function after each update.
    """
    if process_count() == 1:
        return False
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(update)


@contextmanager
def single_process_model(model: keras.Model, path: Path) -> Iterator[keras.Model]:
    """Give a context in which this process computes without the others: the model, or a copy of it.

    Args:
        model: A model, which all processes compute together if there are several.
        path: File in which it is saved.
    """
    import keras

    if process_count() == 1:
        yield model
        return
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield keras.models.load_model(path)
    finally:
        keras.distribution.set_distribution(distribution)


def from_first(function: Callable[[], Value]) -> Value:
    """Call a function in the first process only, and return its result in all of them.

    Args:
        function: Function without arguments; its result is pickled.

    Raises:
        ValueError: In the other processes, if the function raises an exception in the first one, which raises it
            again.
    """
    if process_count() == 1:
        return function()
    if not is_first():
        result, message = _broadcast(None)
        if message is not None:
            raise ValueError(f"process 0 reports: {message}")
        return result
    try:
        result = function()
    except Exception as error:
        _broadcast((None, str(error)))
        raise
    _broadcast((result, None))
    return result


def _broadcast(value: tuple[Any, str | None] | None) -> tuple[Any, str | None]:
    """Send a value from the first process to the others, which pass None, and return it."""
    from jax.experimental import multihost_utils

    data = np.frombuffer(b"" if value is None else pickle.dumps(value), "uint8")
    high, low = map(int, multihost_utils.broadcast_one_to_all(np.array(divmod(len(data), UNIT), "int32")))
    buffer = data if value is not None else np.zeros(high * UNIT + low, "uint8")
    return pickle.loads(np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes())
