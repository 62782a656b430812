"""`NativeSampler`: sampling and the loop of generation in the native library."""

from __future__ import annotations

import ctypes

import numpy as np

from deeprnn_keras.generation.sampling import Sampling
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.programs import Stream
from deeprnn_keras.kernels.native.sampling import Sampler, functions


class NativeSampler:
    """Sampling of n rows by the native library, the same as `generation.sampling.sample`.

    Args:
        sampling: The distribution.
        seed: Seed of the random numbers.
        rows: Numbers of the rows, uint64 (n,).
        logits: float32 (n, V), read in each call.
        seen: 1 for each id that has occurred, otherwise 0, uint8 (n, V); updated in each call.
        ids: int64 (n,), written in each call.

    Attributes:
        structure: State of the sampling.
        weights: Numbers proportional to the probabilities of the last row that was sampled, (V,).
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int,
        rows: np.ndarray,
        logits: np.ndarray,
        seen: np.ndarray,
        ids: np.ndarray,
    ) -> None:
        n, size = logits.shape
        self.weights = np.empty(size)
        arrays = {"rows": rows, "logits": logits, "seen": seen, "ids": ids, "weights": self.weights}
        arrays["order"] = np.empty(size, np.int32)
        assert all(array.flags.c_contiguous for array in arrays.values())
        self._arrays = arrays  # to which the structure points
        self._library = functions()
        self.structure = Sampler(
            n=n,
            V=size,
            temperature=sampling.temperature,
            top_k=sampling.top_k or 0,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            min_p=sampling.min_p or 0.0,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed,
            **{name: array.ctypes.data for name, array in arrays.items()},
        )

    def sample(self) -> bool:
        """Draw the next id of each row; return False if the logits are not finite."""
        return self._library.deeprnn_sample(ctypes.byref(self.structure)) == library.OK

    def generate(self, stream: Stream, count: int) -> tuple[np.ndarray, bool]:
        """Return ids of each row, int64 (count, n), and False if the logits are not finite.

        Args:
            stream: A program that reads `ids` and writes `logits`; those of the first position are there already.
            count: Number of steps.

        Raises:
            NativeLibraryError: If the library refuses the program.
        """
        ids = np.empty((count, self.structure.n), np.int64)
        code = self._library.deeprnn_generate(
            ctypes.addressof(stream), ctypes.byref(self.structure), count, ids.ctypes.data
        )
        if code not in (library.OK, library.NOT_FINITE):
            raise library.NativeLibraryError("the native library refused the program")
        return ids, code == library.OK
