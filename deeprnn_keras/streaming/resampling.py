"""`resampled`: change of the sample rate of audio, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from deeprnn_keras.extras import import_optional

HALF_LENGTH = 10
"""Half the length of the filter, in samples of the lower rate."""
KAISER_BETA = 5.0
MIN_BLOCK = 1 << 14
"""Samples that are filtered at a time."""


def resampled(blocks: Iterable[np.ndarray], up: int, down: int) -> Iterator[np.ndarray]:
    """Yield audio at `up / down` times its sample rate.

    The filter is that of `scipy.signal.resample_poly`: a windowed sinc of linear phase, without delay. The result
    equals that of this function for the whole audio.

    Args:
        blocks: Blocks (T, channels), of any lengths.
        up: Factor.
        down: Divisor, which has no common divisor with `up`.

    Yields:
        Blocks (T', channels) of float32; in total ceil(T up / down) samples.

    Raises:
        ImportError: If SciPy is missing.

    >>> import numpy as np
    >>> from deeprnn_keras.streaming.resampling import resampled
    >>> [block.shape for block in resampled([np.zeros((3, 2)), np.zeros((4, 2))], up=3, down=2)]
    [(11, 2)]
    """
    signal = import_optional("scipy.signal", "audio", "Resampling")
    largest = max(up, down)
    half = HALF_LENGTH * largest
    taps = up * signal.firwin(2 * half + 1, 1 / largest, window=("kaiser", KAISER_BETA))
    leading = -half % down  # zeros before the filter, so that an output falls on its center
    taps = np.concatenate([np.zeros(leading), taps])
    center = (half + leading) // down

    def filtered(kept: np.ndarray, first: int, start: int, stop: int) -> np.ndarray:
        """Return outputs `start` to `stop` from inputs that begin with number `first`, a multiple of `down`."""
        outputs = signal.upfirdn(taps, kept, up, down, axis=0)
        offset = center - first // down * up
        missing = np.zeros((max(stop + offset - len(outputs), 0), kept.shape[1]))
        return np.concatenate([outputs, missing])[start + offset : stop + offset].astype(np.float32)

    kept, first, count, done = None, 0, 0, 0  # inputs in memory, number of the first, of all inputs, of all outputs
    for block in blocks:
        kept = block if kept is None else np.concatenate([kept, block])
        count += len(block)
        ready = max((count * up - half) // down, 0)  # outputs whose inputs are all there
        if len(kept) >= MIN_BLOCK and ready > done:
            yield filtered(kept, first, done, ready)
            done = ready
            needed = max(first, (done * down - half) // up // down * down)  # first input of the next output
            kept, first = kept[needed - first :], needed
    if kept is not None and (total := -(-count * up // down)) > done:
        yield filtered(kept, first, done, total)
