"""Recordings of devices: files, alignment, faults, the simulated amplifier, and batches of segments."""

import functools
import re

import numpy as np
import pytest
import soundfile
from refusals import outcome

from deeprnn_keras.data import AudioPair, audio_batches, audio_pair, simulated_amplifier
from deeprnn_keras.data.amplifier import BIAS, COUPLING, SCOOP, SPEAKER, _amplified, play
from deeprnn_keras.data.plucked_strings import _string

RATE = 16000


@pytest.fixture(scope="module")
def amplifier():
    return simulated_amplifier(2.0, RATE, seed=4)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a recording and returns its path."""

    def save(name, samples, rate=RATE, subtype="FLOAT"):
        soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
        return tmp_path / name

    return save


# === Files ===


@pytest.mark.parametrize(
    ("subtype", "suffix", "tolerance"),
    [("PCM_16", "wav", 4e-5), ("PCM_24", "flac", 2e-7), ("PCM_32", "wav", 1e-7), ("FLOAT", "wav", 0)],
)
def test_pair_is_read_aligned_and_trimmed(subtype, suffix, tolerance, write, amplifier):
    """The files have several channels, a latency, and silence at both ends."""
    silence, late = np.zeros(RATE // 2, "float32"), np.zeros(137, "float32")
    dry = np.concatenate([silence, amplifier.dry, silence])
    wet = np.concatenate([late, silence, amplifier.wet, silence])[: len(dry)]
    options = {"subtype": subtype}
    files = write(f"in.{suffix}", np.stack([0 * dry, dry], 1), **options), write(f"out.{suffix}", wet, **options)
    pair = audio_pair(*files, channel=1)
    assert (pair.sample_rate, pair.latency, pair.name) == (RATE, 137, "out")
    first = int(np.flatnonzero(np.abs(amplifier.dry) > 1e-3 * np.abs(amplifier.dry).max())[0])
    assert abs(len(pair.dry) - len(amplifier.dry)) <= first + 0.1 * RATE + 100
    size = min(len(pair.dry), len(amplifier.dry) - first)
    np.testing.assert_allclose(pair.dry[:size], amplifier.dry[first : first + size], atol=tolerance)
    np.testing.assert_allclose(pair.wet[:size], amplifier.wet[first : first + size], atol=tolerance)
    whole = audio_pair(*files, channel=1, latency=137, trim=False, knobs=(0.5, 1))
    assert len(whole.dry) == len(dry) - 137 and whole.inputs.shape == (len(whole.dry), 3)
    np.testing.assert_array_equal(whole.inputs[::5000], [[x, 0.5, 1] for x in whole.dry[::5000]])


@pytest.mark.parametrize("latency", [-300, 0, 1, 5000])
@pytest.mark.parametrize("drive", [1.0, 60.0])
def test_latency_is_that_of_the_device_despite_filters_distortion_and_noise(latency, drive, write, rng):
    pair = simulated_amplifier(2.0, RATE, drive=drive, seed=1)
    start = max(-latency, 0)
    wet = -np.concatenate([np.zeros(max(latency, 0)), pair.wet])[start : start + len(pair.wet)]  # with inverse polarity
    files = write("in.wav", pair.dry), write("out.wav", wet + rng.normal(size=len(wet)) * 1e-3)
    found = audio_pair(*files)
    assert latency - 3 <= found.latency <= latency and len(found.dry) > 1.5 * RATE


def test_faulty_recordings_are_refused_in_one_sentence_with_the_remedy(write, amplifier, tmp_path):
    dry, wet, sample = amplifier.dry, amplifier.wet, RATE // 4
    clipped, broken, other = np.clip(8 * wet, -1, 1), wet.copy(), simulated_amplifier(2.0, RATE, seed=9)
    broken[sample] = np.nan
    runs = clipped[np.abs(clipped) == 1]
    (tmp_path / "text.mp3").write_bytes(b"this is not a recording" * 100)
    (tmp_path / "cut.wav").write_bytes(write("whole.wav", wet).read_bytes()[:30])
    good = functools.partial(write, "in.wav", dry)
    cases = {
        "rates": (lambda: (good(), write("o.wav", wet, 22050)), r"of 16,000 Hz and .* at the same rate$"),
        "lengths": (lambda: (good(), write("o.wav", wet[:9000])), r"lasts 2\.000 s .* 0\.562 s, .* the same stretch$"),
        "channels": (lambda: (good(), write("o.wav", np.stack([wet, wet], 1))), r"2 channels, .*0 to 1, .* in mono$"),
        "clipped": (lambda: (good(), write("o.wav", clipped)), r"clipped: [\d,]+ samples .* lower level$"),
        "silent": (lambda: (write("o.wav", 0 * dry), good()), r"silent: all samples are 0; check .* record it again$"),
        "quiet": (lambda: (write("o.wav", 1e-5 * dry), good()), r"silent: its peak is -\d+ dB; "),
        "NaN": (lambda: (good(), write("o.wav", broken)), r"1 NaN or .*, the first at 0\.250 s; export .* again$"),
        "empty": (lambda: (good(), write("o.wav", dry[:0])), r"is empty; record it again$"),
        "other": (lambda: (good(), write("o.wav", other.wet)), r"latency .* was not found: .* in samples$"),
        "format": (
            lambda: (good(), tmp_path / "text.mp3"),
            r"text\.mp3: not a recording that soundfile reads \(convert it to WAV or FLAC\), or damaged: ",
        ),
        "damaged": (lambda: (good(), tmp_path / "cut.wav"), r"cut\.wav: not a recording that soundfile reads"),
        "directory": (lambda: (good(), tmp_path), r"not a regular file"),
    }
    found = {
        name: outcome(lambda files=files: audio_pair(*files()), message) for name, (files, message) in cases.items()
    }
    assert not any(found.values()), {name: text for name, text in found.items() if text}
    files = good(), write("o.wav", wet)
    assert not outcome(lambda: audio_pair(*files, latency=2 * RATE), r"^latency must be at most 1 s, which is 16,000")
    assert not outcome(
        lambda: audio_pair(good(), write("o.wav", other.wet), latency=0),
        r"not a function of .* coherence is 0.0[0-9]+, below 0.1, and their correlation .* together$",
    )
    with pytest.raises(ValueError, match=r"clipped: ([\d,]+) samples at full scale in") as error:
        audio_pair(good(), write("o.wav", clipped))
    assert int(re.search(r"([\d,]+) samples", str(error.value))[1].replace(",", "")) <= len(runs)
    with pytest.raises(FileNotFoundError):
        audio_pair(tmp_path / "gone.wav", good())


def test_peak_of_a_normalized_recording_is_not_clipping(write, amplifier):
    wet = amplifier.wet / np.abs(amplifier.wet).max()
    assert audio_pair(write("in.wav", amplifier.dry), write("out.wav", wet)).latency == 0


def test_pairs_are_checked_and_split_in_time():
    pair = AudioPair(np.arange(100), -np.arange(100), 8000, knobs=(np.float32(0.25),))
    assert pair.dry.dtype == "float32" and pair.knobs == (0.25,) and type(pair.knobs[0]) is float
    np.testing.assert_array_equal(np.concatenate([part.dry for part in pair.split()]), pair.dry)
    assert [len(part.wet) for part in pair.split()] == [80, 10, 10]
    cases = {
        r"^dry and wet must have the same number of samples, got 3 and 4; .*audio_pair": ([1, 2, 3], [1, 2, 3, 4]),
        r"^dry must have the shape \(T,\) with T at least 1, got shape \(1, 2\)": ([[1, 2]], [1, 2]),
        r"^wet must hold finite samples, got inf at sample 1": ([1, 2], [1, np.inf]),
        r"^dry must be an array of numbers": (["a"], [1]),
    }
    found = [outcome(functools.partial(AudioPair, *arrays, 8000), message) for message, arrays in cases.items()]
    found.append(outcome(lambda: pair.slice(0, 9).split(), r"at least 10 samples to be split, got 9"))
    assert not any(found), found


# === Simulated amplifier ===


def reference_amplifier(dry, rate, drive):
    """Compute the equations of `simulated_amplifier` sample by sample; all filters are second-order sections."""

    def bilinear(b, a, c):
        """Return the coefficients for s = c (1 - 1/z) / (1 + 1/z)."""
        table = [[c**2, -2 * c**2, c**2], [c, 0, -c], [1, 2, 1]]
        return [np.dot(polynomial, table) for polynomial in (b, a)]

    def section(b, a, x):
        (b, a), y, memory = (np.array(b) / a[0], np.array(a) / a[0]), [], [0.0] * 4
        for now in x:
            y.append(b[0] * now + b[1] * memory[0] + b[2] * memory[1] - a[1] * memory[2] - a[2] * memory[3])
            memory = [now, memory[0], y[-1], memory[2]]
        return y

    def filtered(x, b, a, frequency, prewarp=True):
        omega = 2 * np.pi * frequency
        c = omega / np.tan(omega / 2 / rate) if prewarp else 2 * rate
        return section(*bilinear(b(omega), a(omega), c), x)

    u = filtered(dry, lambda w: [0, 1, 0], lambda w: [0, 1, w], COUPLING)
    u = filtered(u, lambda w: [1, 0.5 * w, w**2], lambda w: [1, w, w**2], SCOOP, prewarp=False)
    a, envelope, lag, core = np.exp(-1 / (0.08 * rate)), 0.0, 0.0, []
    for sample in u:
        envelope = a * envelope + (1 - a) * abs(sample)
        v = np.tanh(drive / (1 + 1.5 * envelope) * sample + BIAS) - np.tanh(BIAS)
        lag = min(max(lag, v - 0.05), v + 0.05)
        core.append(0.85 * v + 0.15 * lag)
    cone = filtered(core, lambda w: [0, 1, 0], lambda w: [0, 1, w], SPEAKER[0])
    cone = filtered(cone, lambda w: [0, 0, w**2], lambda w: [1, np.sqrt(2) * w, w**2], SPEAKER[1])
    return 0.6 * np.array(cone)


def test_amplifier_computes_its_equations_and_is_causal(amplifier, rng):
    dry = amplifier.dry[:3000].astype("float64")
    np.testing.assert_allclose(_amplified(dry, RATE, 4.0), reference_amplifier(dry, RATE, 4.0), atol=1e-9)
    changed = np.concatenate([dry[:2000], rng.normal(size=1000)])
    np.testing.assert_array_equal(_amplified(changed, RATE, 4.0)[:2000], _amplified(dry, RATE, 4.0)[:2000])
    values, state, expected = rng.normal(size=5001), 0.0, []
    for value in values:
        state = min(max(state, value - 0.7), value + 0.7)
        expected.append(state)
    np.testing.assert_array_equal(play(values, 0.7), expected)


def test_amplifier_is_determined_by_its_seed_and_does_not_clip(amplifier):
    again, other, late = (simulated_amplifier(0.5, RATE, seed=seed, latency=n) for seed, n in ((4, 0), (5, 0), (4, 7)))
    same = simulated_amplifier(0.5, RATE, seed=4)
    np.testing.assert_array_equal(again.wet, same.wet)
    np.testing.assert_array_equal(late.wet[7:], same.wet[:-7])
    assert not np.array_equal(other.dry, same.dry) and len(same.dry) == RATE // 2
    assert 0.1 < np.abs(amplifier.dry).max() < 0.95 and 0.1 < np.abs(amplifier.wet).max() < 0.95


def test_string_has_the_recurrence_of_karplus_and_strong(rng):
    y = _string(2000, RATE, 57, rng)
    period = round(RATE / 220 - 0.5)
    averages = 0.5 * (y[1:-period] + y[: -period - 1])
    ratios = y[period + 1 :] / averages
    assert np.ptp(ratios[np.abs(averages) > 1e-3]) < 1e-9 and 0.98 < np.median(ratios) < 1


def test_wrong_arguments_of_the_amplifier_are_refused():
    cases = {
        r"^seconds must be a number of seconds of at least 0\.1, got 0\.01": {"seconds": 0.01},
        r"^sample_rate must be at least 16,000, got 8,000": {"seconds": 1.0, "sample_rate": 8000},
        r"^drive must be a number between 0 and 100, got 0": {"seconds": 1.0, "drive": 0},
        r"^seed must be a non-negative integer, got -1": {"seconds": 1.0, "seed": -1},
    }
    found = [outcome(functools.partial(simulated_amplifier, **case), message) for message, case in cases.items()]
    assert not any(found), found


# === Batches ===


def test_segments_cover_the_recording_with_their_burn_in():
    """Every sample after the first burn-in is scored once per epoch, in an order that changes."""
    pairs = [AudioPair(np.arange(103), -np.arange(103), 8000, knobs=(0.5,))]
    data = audio_batches(pairs, 5, 8, segment=20, burn_in=3, seed=1)
    orders = []
    for _ in range(2):
        scored, batches = [], list(data)
        assert [x.shape[1] for (x, _), _, _ in batches] == [11, 8, 4]
        for (x, reset_mask), y, weights in batches:
            np.testing.assert_array_equal(x[..., 0], -y[..., 0])
            assert (x.numpy()[..., 1] == 0.5).all() and y.shape == (*x.shape[:2], 1)
            scored.append(x.numpy()[..., 0][weights.numpy() == 1])
            assert reset_mask.numpy().tolist() == [len(scored) == 1] * 5
        assert sorted(np.concatenate(scored)) == list(range(3, 103))
        orders.append(batches[0][0][0].numpy()[:, 0, 0].tolist())
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    data.set_position(1, 2)
    np.testing.assert_array_equal(next(iter(data))[0][0], batches[2][0][0])


def test_recordings_that_do_not_fit_each_other_are_refused():
    pair = AudioPair(np.zeros(50), np.zeros(50), 8000)
    cases = {
        r"^pairs must have the same sample rate and .* 8,000 .* and 9,000": [pair, AudioPair([0], [0], 9000)],
        r"^pairs must have .* with 0 knobs and .* with 1 knobs": [pair, AudioPair([0], [0], 8000, knobs=(1,))],
        r"^pairs must .*got no pairs": [],
        r"^pairs must have at least 52 samples, a segment .*got 50; pass": pair,
    }
    found = [
        outcome(functools.partial(audio_batches, case, 1, 8, segment=50, burn_in=2), message)
        for message, case in cases.items()
    ]
    assert not any(found), found
