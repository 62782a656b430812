"""Distributions of top-k, top-p, min-p, temperature, and penalty compared with direct computation; C with NumPy."""

import numpy as np
import pytest

from deeprnn_keras.generation.native_sampler import NativeSampler
from deeprnn_keras.generation.random_numbers import uniforms
from deeprnn_keras.generation.sampling import Sampling, draw, penalized, sample, weights
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.sampling import functions

needs_library = pytest.mark.skipif(library.unavailable_reason() is not None, reason="requires the native library")

OPTIONS = [
    {},
    {"temperature": 0.5},
    {"temperature": 3.0},
    {"top_k": 1},
    {"top_k": 4},
    {"top_k": 99},
    {"top_p": 1e-9},
    {"top_p": 0.7},
    {"top_p": 1.0},
    {"min_p": 0.2},
    {"min_p": 1.0},
    {"top_k": 5, "top_p": 0.8},
    {"top_k": 6, "top_p": 0.9, "min_p": 0.1, "temperature": 1.5},
    {"repetition_penalty": 2.0},
    {"repetition_penalty": 0.5, "top_k": 3},
    {"temperature": 0},
    {"temperature": 0, "repetition_penalty": 3.0},
    {"temperature": 1e-310},
]
EVERY_OPTION = pytest.mark.parametrize("options", OPTIONS, ids=str)

# with equal logits at the border of top_k=4, top_k=5, and top_p=0.7
LOGITS = np.array([1.0, 2.0, -1.0, 1.0, 0.5, 1.0, -3.0, 2.0, 0.5, -np.inf], "float32")
SEEN = np.array([0, 1, 1, 0, 0, 0, 0, 0, 0, 1], "uint8")


def expected_distribution(options, logits=LOGITS, seen=SEEN):
    """Return the probabilities of the ids, computed id by id from the definitions."""
    penalty = options.get("repetition_penalty", 1.0)
    scores = {i: float(x) for i, x in enumerate(logits)}
    scores = {i: (x / penalty if x > 0 else x * penalty) if seen[i] else x for i, x in scores.items()}
    order = sorted(scores, key=lambda i: (-scores[i], i))
    temperature = options.get("temperature", 1.0)
    if temperature == 0:
        return {order[0]: 1.0}
    with np.errstate(over="ignore"):  # differences divided by a tiny temperature are -inf
        p = {i: np.exp(np.float64(scores[i] - scores[order[0]]) / temperature) for i in order}
    p = normalized({i: p[i] for i in order[: options.get("top_k")]})
    reached, kept = 0.0, {}
    for i, share in p.items():
        if not kept or reached < options.get("top_p", np.inf) - 1e-12:
            kept[i] = share
        reached += share
    largest = max(kept.values())
    return normalized({i: share for i, share in kept.items() if share >= options.get("min_p", 0.0) * largest - 1e-12})


def normalized(p):
    return {i: share / sum(p.values()) for i, share in p.items() if share > 0}


def sampler(options, logits, seen, seed=0):
    """Return a sampler in C, the array of its ids, and that of the ids that have occurred."""
    n, ids = len(logits), np.empty(len(logits), "int64")
    seen = seen.copy()
    return NativeSampler(Sampling(**options), seed, np.arange(n, dtype="uint64"), logits.copy(), seen, ids), ids, seen


# === Distributions ===


@EVERY_OPTION
def test_kept_ids_and_probabilities(options):
    if options.get("temperature") == 0:
        return
    kept = weights(
        Sampling(**options),
        penalized(LOGITS.astype("float64")[None], SEEN[None], Sampling(**options).repetition_penalty),
    )
    expected = expected_distribution(options)
    assert set(np.flatnonzero(kept[0])) == set(expected)
    np.testing.assert_allclose([kept[0, i] / kept.sum() for i in expected], list(expected.values()), rtol=1e-12)


@EVERY_OPTION
def test_draws_follow_the_distribution(options):
    count = 4000
    numbers = uniforms(3, np.arange(1), np.arange(count))[0, :, 0]
    seen = np.repeat(SEEN[None], count, axis=0)
    ids = sample(Sampling(**options), "m", np.repeat(LOGITS[None], count, axis=0), seen, numbers)
    expected = expected_distribution(options)
    counts = np.bincount(ids, minlength=len(LOGITS))
    assert set(np.flatnonzero(counts)) <= set(expected)
    wanted = np.array([count * p for p in expected.values()])
    chi_square = np.sum((counts[list(expected)] - wanted) ** 2 / wanted)
    assert chi_square < 29.6  # 10 degrees of freedom, 0.1 percent
    assert seen[np.arange(count), ids].all()


def test_draw_is_the_first_id_whose_cumulative_sum_exceeds_the_number():
    values = np.array([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    numbers = [0.0, 0.25 - 2**-53, 0.25, 0.75 - 2**-53, 0.75, 1 - 2**-53]
    assert [int(draw(values, np.array([u]))[0]) for u in numbers] == [1, 1, 3, 3, 4, 4]


def test_draws_do_not_depend_on_the_batch(rng):
    logits, numbers = rng.normal(size=(7, 30)).astype("float32"), rng.random(7)
    seen = rng.integers(2, size=logits.shape).astype("uint8")
    sampling = Sampling(1.3, 0.8, 20, 0.9, 0.01)
    whole = sample(sampling, "m", logits, seen.copy(), numbers)
    parts = [sample(sampling, "m", logits[i : i + 1], seen[i : i + 1].copy(), numbers[i : i + 1])[0] for i in range(7)]
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_an_error(value):
    logits = np.array([[0, value, 1], [0, 0, 0]], "float32")
    with pytest.raises(ValueError, match="model 'm' cannot generate: its outputs are not finite"):
        sample(Sampling(), "m", logits, np.zeros((2, 3), "uint8"), np.zeros(2))


def test_extreme_penalties_are_finite():
    logits = np.array([[3.0, -3.0]], "float32")
    for penalty in (5e-324, 1e308):
        assert np.isfinite(penalized(logits.astype("float64"), np.ones((1, 2)), penalty)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature must be a non-negative number, got -1.0"),
        ({"temperature": np.inf}, "temperature must be a non-negative number, got inf"),
        ({"top_k": 0}, "top_k must be a positive integer, got 0"),
        ({"top_p": 0.0}, r"top_p must be a number in \(0, 1\] or None, got 0.0"),
        ({"top_p": 1.5}, r"top_p must be a number in \(0, 1\] or None, got 1.5"),
        ({"min_p": -0.1}, r"min_p must be a number in \(0, 1\] or None, got -0.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be a positive number, got 0.0"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


# === C ===


@needs_library
def test_draws_in_c_have_the_same_bits_as_in_numpy(rng):
    """Compare at numbers whose products with the sum are at the cumulative sums or beside them."""
    for size in (1, 2, 66, 1000):
        values = rng.random(size) ** 20
        values[rng.random(size) < 0.3] = 0
        values[-1] = 1e-3
        numbers = np.concatenate([rng.random(500), [0, 1 - 2**-53]])
        borders = np.cumsum(values) / np.cumsum(values)[-1]
        numbers = np.concatenate([numbers, *(np.nextafter(borders, to) for to in (0, 1)), borders])
        numbers = numbers[numbers < 1]
        expected = draw(np.repeat(values[None], len(numbers), axis=0), numbers)
        actual = [functions().deeprnn_draw(values.ctypes.data, size, u) for u in numbers]
        np.testing.assert_array_equal(actual, expected)


@needs_library
@EVERY_OPTION
@pytest.mark.parametrize("size", [2, 10, 500])
def test_samples_in_c_equal_those_in_numpy(rng, options, size):
    logits = rng.normal(scale=2.0, size=(9, size)).round(1).astype("float32")  # rounded: with equal ones
    logits[0, 0] = -np.inf
    seen = rng.integers(2, size=logits.shape).astype("uint8")
    in_c, drawn, seen_in_c = sampler(options, logits, seen, seed=11)
    for position in range(4):
        numbers = uniforms(11, np.array([position]), np.arange(9))[0, :, 0]
        expected = sample(Sampling(**options), "m", logits, seen, numbers)
        assert in_c.sample()
        np.testing.assert_array_equal(drawn, expected)
        np.testing.assert_array_equal(seen_in_c, seen)
    assert in_c.structure.position == 4


@needs_library
@EVERY_OPTION
def test_kept_ids_in_c_equal_those_in_numpy(options):
    if options.get("temperature") == 0:
        return
    in_c, *_ = sampler(options, LOGITS[None], SEEN[None])
    assert in_c.sample()
    expected = expected_distribution(options)
    assert set(np.flatnonzero(in_c.weights)) == set(expected)
    total = in_c.weights.sum()
    np.testing.assert_allclose([in_c.weights[i] / total for i in expected], list(expected.values()), rtol=1e-12)


@needs_library
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{"temperature": 0.0}, {}, {"repetition_penalty": 1.5}], ids=str)
@pytest.mark.parametrize("seen", [0, 1])
def test_c_refuses_logits_that_are_not_finite(value, options, seen):
    logits = np.array([[0, value, 1]], "float32")
    assert not sampler(options, logits, np.full((1, 3), seen, "uint8"))[0].sample()


@needs_library
def test_extreme_penalties_in_c_equal_those_in_numpy():
    logits = np.array([[3.0, -3.0, -np.inf, 1.0]], "float32")
    for penalty in (5e-324, 1e308):
        options, seen = {"repetition_penalty": penalty, "temperature": 1e308}, np.ones((1, 4), "uint8")
        in_c, *_ = sampler(options, logits, seen)
        assert in_c.sample()
        expected = weights(Sampling(**options), penalized(logits.astype("float64"), seen, penalty))
        np.testing.assert_allclose(in_c.weights, expected[0], rtol=1e-12)
        assert expected[0, 2] == 0
