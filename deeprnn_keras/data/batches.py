"""`Batches`: a `tf.data.Dataset` whose batches are planned for every epoch, so that training can resume anywhere."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Tensor
from deeprnn_keras.processes import Shard, current_shard

PassPlan: TypeAlias = Callable[[int], Sequence[np.ndarray | Sequence[np.ndarray]]]
"""Function from the index of a pass over the data to the columns of its plan, each with one entry per batch."""


class Batches(tf.data.Dataset):
    """Dataset for `model.fit` that cuts its batches from arrays according to a plan.

    The plan of a pass over the data is a table with one row per batch. It depends only on the index of the pass, not
    on how often the dataset has been iterated: epoch 7 has the same batches whether or not epochs 0 to 6 were run.
    `set_position` lets the next iteration start within an epoch, so that an interrupted run can be resumed.

    Pass it to `fit` with `shuffle=False`. Keras never shuffles a `tf.data.Dataset`, but warns if `shuffle` is True.

    In a data-parallel run (see `deeprnn_keras.training.distribute`), the plan and the position are those of the whole
    batches, and each process reads its part: of P processes, process i reads block i of P equal blocks of rows. The
    rows of a batch that the devices cannot divide, at the end of a pass, are repeated, so that means do not change.

    Args:
        plan: Function from the index of a pass to the columns of its plan. All passes have the same number of rows.
        signature: One `tf.TensorSpec` per column, for the entries of one row. Columns that are not scalar have one
            entry per row of the batch. If all are scalar, every process makes the whole batch and takes its part.
        make_batch: Function from the entries of a row to a batch for `fit`, in TensorFlow operations.
        about: Description that distinguishes this data from other data: a flat dictionary of JSON values, with the
            batch size as "n". See `fingerprint`.
        steps: Number of batches per epoch of `fit`. None: one pass. With another number, an epoch continues where the
            previous one stopped.

    Attributes:
        about: The description.

    Raises:
        ValueError: If the batch size is not a multiple of the number of devices of a data-parallel run, or the dataset
            is read in another run than the one that it was created in.
    """

    def __init__(
        self,
        plan: PassPlan,
        signature: Sequence[tf.TensorSpec],
        make_batch: Callable[..., Tensor],
        about: Mapping[str, Any],
        steps: int | None = None,
    ) -> None:
        self.about: dict[str, Any] = dict(about)
        self._plan = plan
        self._batches_per_pass = len(plan(0)[0])
        self._steps = self._batches_per_pass if steps is None else checks.positive_int("steps", steps)
        self._position = (0, 0)  # epoch and batch at which the next iteration starts
        self._shard = current_shard()
        self._shard.check_batch_size(self.about.get("n", self._shard.devices))
        self._has_rows = [spec.shape.rank > 0 for spec in signature]
        specs = tuple(_of_shard(spec, self._shard) for spec in signature)
        rows = tf.data.Dataset.from_generator(self._rows, output_signature=specs)
        batches = rows.map(make_batch, num_parallel_calls=1, deterministic=True)
        if self._shard.devices > 1 and not any(self._has_rows):
            batches = batches.map(lambda *batch: tf.nest.map_structure(self._part, batch))
        self._dataset = batches.prefetch(2)
        super().__init__(_compat.variant_tensor(self._dataset))

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """Start the next iteration at a batch of an epoch; the iteration after it reads the following epoch in full.

        Args:
            epoch: Index of the epoch, from 0.
            batch: Index of the batch within the epoch, from 0.

        Raises:
            ValueError: If `epoch` is negative, or if `batch` is outside the epoch.
        """
        epoch, batch = checks.non_negative_int("epoch", epoch), checks.non_negative_int("batch", batch)
        if batch >= self._steps:
            raise ValueError(
                f"batch must be in [0, {self._steps}), because an epoch has {self._steps} batches, "
                f"got epoch={epoch} and batch={batch}"
            )
        self._position = (epoch, batch)

    def epoch_plan(self, epoch: int, first_batch: int = 0) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of the plan from a batch to the end of an epoch, one tuple per batch."""
        columns: Sequence[np.ndarray | Sequence[np.ndarray]] = ()
        planned = None
        for number in range(epoch * self._steps + first_batch, (epoch + 1) * self._steps):
            pass_number, row = divmod(number, self._batches_per_pass)
            if pass_number != planned:
                columns, planned = self._plan(pass_number), pass_number
            yield tuple(column[row] for column in columns)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        epoch, batch = self._position
        self._position = (epoch + 1, 0)
        for row in self.epoch_plan(epoch, batch):
            yield tuple(
                self._shard.rows(entry) if has_rows else entry
                for entry, has_rows in zip(row, self._has_rows, strict=True)
            )

    def _part(self, tensor: Tensor) -> Tensor:
        """Return the rows of this process of a tensor of the whole batch."""
        size = tensor.shape[0] // self._shard.count
        return tensor[self._shard.index * size : (self._shard.index + 1) * size]

    @override
    def __iter__(self) -> Iterator[Any]:
        if current_shard() != self._shard:
            raise ValueError(
                f"the dataset was created to be read as {self._shard}, and is read as {current_shard()}; call "
                "deeprnn_keras.training.distribute() before creating datasets and models"
            )
        return super().__iter__()

    @override
    def cardinality(self) -> Tensor:
        """Return the number of batches per epoch."""
        return tf.constant(self._steps, tf.int64)

    @override
    def __len__(self) -> int:
        return self._steps

    @override
    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    @override
    def element_spec(self) -> tf.TypeSpec:
        return self._dataset.element_spec


def _of_shard(spec: tf.TensorSpec, shard: Shard) -> tf.TensorSpec:
    """Return the specification of the entries that a process reads of a column."""
    if not spec.shape.rank or spec.shape[0] is None:
        return spec
    return tf.TensorSpec((spec.shape[0] // shard.count, *spec.shape[1:]), spec.dtype)


def fingerprint(*arrays: np.ndarray) -> str:
    """Return a short text that identifies arrays: dtypes, shapes, and a hash of the values.

    >>> import numpy as np
    >>> from deeprnn_keras.data.batches import fingerprint
    >>> fingerprint(np.arange(3, dtype="int32"))
    'int32 (3,) 82c392ca'
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    shapes = ", ".join(f"{array.dtype} {array.shape}" for array in arrays[:3])
    return f"{shapes}{' ...' if len(arrays) > 3 else ''} {digest.hexdigest()[:8]}"


def permutation(count: int, seed: int, pass_number: int) -> np.ndarray:
    """Return the order of `count` examples in a pass: a permutation of range(count)."""
    return np.random.default_rng([seed, pass_number]).permutation(count)


def resolve_seed(seed: int | None) -> int:
    """Return `seed` as a non-negative integer; for None, draw one that `keras.utils.set_random_seed` determines."""
    seed = checks.seed("seed", seed)
    return random.getrandbits(31) if seed is None else seed % 2**63
