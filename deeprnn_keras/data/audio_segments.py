"""`audio_batches`: segments of recordings of a device, for truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence

from deeprnn_keras import checks
from deeprnn_keras.data.audio import AudioPair
from deeprnn_keras.data.tbptt import TBPTTDataset


def audio_batches(
    pairs: AudioPair | Sequence[AudioPair],
    batch_size: int,
    bptt: int,
    *,
    segment: int = 24_000,
    burn_in: int = 1_000,
    shuffle: bool = True,
    reset_mask: bool = True,
    seed: int | None = None,
) -> TBPTTDataset:
    """Return the batches of one or several recordings of a device, as a dataset with a settable position.

    Recordings are cut into segments, which are read n at a time, T samples of each per batch. The states are carried
    from batch to batch, and are reset at the start of a segment. Each segment begins with B samples that also end the
    previous one: there the states recover, and the sample weights are 0 (Wright et al. 2019). The memory is that of the
    recordings.

    Args:
        pairs: Recordings with the same sample rate and number of knobs.
        batch_size: Number of segments that are read at the same time, n.
        bptt: Number of samples per batch, T. The first batch of a segment has B + T, and the last one the remainder.
        segment: Number of samples of a segment, without the burn-in. Samples at the end of a recording that do not fill
            a segment are dropped.
        burn_in: Number of samples B at the start of a segment that are not scored.
        shuffle: If True, draw a new order of the segments for every epoch.
        reset_mask: If True, yield the mask of the rows whose states are reset, as a model with `stateful=True` reads
            it.
        seed: Random seed of the order.

    Yields:
        ((x, reset_mask), y, sample_weight), or (x, y, sample_weight), with x (n, T, 1 + K), y (n, T, 1), and the
        weights (n, T); K is the number of knobs. Without a burn-in there are no weights.

    Raises:
        ValueError: If the recordings differ in rate or knobs, are shorter than a segment, or have too few segments for
            a batch.

    >>> from deeprnn_keras.data import audio_batches, simulated_amplifier
    >>> pairs = [simulated_amplifier(0.2, drive=drive, knobs=(drive,)) for drive in (2.0, 8.0)]
    >>> batches = audio_batches(pairs, 2, 512, segment=2_400, burn_in=100, seed=0)
    >>> [(x.shape.as_list(), y.shape.as_list()) for (x, reset_mask), y, weights in batches.take(2)]
    [([2, 612, 2], [2, 612, 1]), ([2, 512, 2], [2, 512, 1])]
    """
    segment, burn_in = checks.positive_int("segment", segment), checks.non_negative_int("burn_in", burn_in)
    pairs = (pairs,) if isinstance(pairs, AudioPair) else tuple(pairs)
    check_alike(pairs)
    inputs, targets = [], []
    for pair in pairs:
        x, y = pair.inputs, pair.wet[:, None]
        for start in range(0, len(x) - segment - burn_in + 1, segment):
            inputs.append(x[start : start + burn_in + segment])
            targets.append(y[start : start + burn_in + segment])
    if not inputs:
        longest = max(len(pair.dry) for pair in pairs)
        raise ValueError(
            f"pairs must have at least {segment + burn_in:,} samples, a segment with its burn-in, got {longest:,}; "
            "pass longer recordings, or a smaller segment"
        )
    shuffle = checks.flag("shuffle", shuffle) and len(inputs) > 1
    return TBPTTDataset(
        inputs, batch_size, bptt, targets=targets, reset_mask=reset_mask, shuffle=shuffle, burn_in=burn_in, seed=seed
    )


def check_alike(pairs: Sequence[AudioPair]) -> None:
    """Raise a ValueError if there are no recordings, or they differ in sample rate or number of knobs."""
    kinds = sorted({(pair.sample_rate, len(pair.knobs)) for pair in pairs})
    if len(kinds) != 1:
        found = " and ".join(f"{rate:,} Hz with {knobs} knobs" for rate, knobs in kinds)
        raise ValueError(
            f"pairs must have the same sample rate and number of knobs, got {found or 'no pairs'}; record all "
            "positions of the knobs at one rate"
        )
