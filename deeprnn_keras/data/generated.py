"""`GeneratedDataset`: batches of an artificial task, which differ in every update."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeprnn_keras import checks
from deeprnn_keras._types import Tensor
from deeprnn_keras.data.batches import Batches, fingerprint, resolve_seed


class GeneratedDataset(Batches):
    """Dataset for `fit` of examples that a function draws, different ones in every batch and in every epoch.

    A batch depends only on the seed and on its index since the start of training, so that `Resume` can continue a run
    anywhere. Pass the dataset to `fit` with `shuffle=False`; otherwise Keras warns that its own shuffling has no
    effect.

    Args:
        generate: Function of `examples` and `seed` that returns (x, y), arrays with `examples` rows each. `seed` is a
            non-negative integer, which must determine the result.
        batch_size: Batch size, n.
        steps: Number of batches per epoch.
        seed: Random seed. None draws one that `keras.utils.set_random_seed` determines.

    Raises:
        ValueError: If a size is not a positive integer, or `generate` returns arrays with another number of rows.

    >>> import functools
    >>> from deeprnn_keras.data import GeneratedDataset, adding_problem
    >>> data = GeneratedDataset(functools.partial(adding_problem, steps=10), batch_size=4, steps=3, seed=0)
    >>> [x.shape.as_list() for x, y in data], data.element_spec[1].shape.as_list()
    ([[4, 10, 2], [4, 10, 2], [4, 10, 2]], [None, 1])
    """

    def __init__(
        self,
        generate: Callable[..., tuple[np.ndarray, np.ndarray]],
        batch_size: int,
        *,
        steps: int,
        seed: int | None = None,
    ) -> None:
        batch_size, steps = checks.positive_int("batch_size", batch_size), checks.positive_int("steps", steps)
        seed = resolve_seed(seed)

        def plan(index: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
            """Draw one batch: a pass over the data has one row."""
            x, y = generate(examples=batch_size, seed=int(np.random.default_rng([seed, index]).integers(2**62)))
            return [np.asarray(x)], [np.asarray(y)]

        first = [column[0] for column in plan(0)]
        for name, array in zip(("x", "y"), first, strict=True):
            if array.shape[:1] != (batch_size,):
                raise ValueError(
                    f"generate must return arrays with {batch_size} rows for examples={batch_size}, got {name} of "
                    f"shape {array.shape}"
                )
        signature = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in first]
        about = {"kind": "generated", "first batch": fingerprint(*first), "n": batch_size, "seed": seed}
        super().__init__(plan, signature, _as_batch, about, steps)


def _as_batch(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x, y
