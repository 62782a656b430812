"""Models of pen strokes: the likelihood against SciPy, sampling against the distribution, and a run of the family."""

import functools

import keras
import numpy as np
import pytest
from refusals import outcome
from rich.console import Console
from scipy.stats import bernoulli, multivariate_normal

from deeprnn_keras import Recipe, SequenceModel, Stream, lower
from deeprnn_keras.data import synthetic_strokes
from deeprnn_keras.generation import generate_strokes
from deeprnn_keras.models import StrokeNLL
from deeprnn_keras.tasks import families

M = 3


def oracle(point, outputs):
    """Return -log p of one point under outputs (6 M + 1,), with SciPy's distributions."""
    end, (weights, *rest) = outputs[0], np.split(outputs[1:], 6)
    weights, density = np.exp(weights) / np.exp(weights).sum(), 0.0
    for weight, mean_1, mean_2, log_1, log_2, correlation in zip(weights, *rest, strict=True):
        s_1, s_2, rho = np.exp(log_1), np.exp(log_2), np.tanh(correlation)
        covariance = [[s_1**2, rho * s_1 * s_2], [rho * s_1 * s_2, s_2**2]]
        density += weight * multivariate_normal.pdf(point[:2], [mean_1, mean_2], covariance)
    return -np.log(density) - bernoulli.logpmf(point[2], 1 / (1 + np.exp(-end)))


def test_likelihood_and_its_gradient_equal_those_of_scipy(rng):
    import tensorflow as tf

    outputs = rng.normal(size=(2, 3, 6 * M + 1))
    points = np.concatenate([rng.normal(size=(2, 3, 2)), rng.integers(2, size=(2, 3, 1))], -1)
    predicted = tf.constant(outputs, "float64")
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        losses = StrokeNLL(reduction=None, dtype="float64")(points, predicted)
        total = tf.reduce_sum(losses)
    expected = [[oracle(*pair) for pair in zip(*rows, strict=True)] for rows in zip(points, outputs, strict=True)]
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    gradient, step = np.asarray(tape.gradient(total, predicted)), 1e-6
    for index in range(outputs.shape[-1]):
        shift = step * np.eye(outputs.shape[-1])[index]
        slope = (oracle(points[1, 2], outputs[1, 2] + shift) - oracle(points[1, 2], outputs[1, 2] - shift)) / (2 * step)
        assert gradient[1, 2, index] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_extreme_outputs_have_a_finite_likelihood_and_gradient(dtype):
    import tensorflow as tf

    for value in (-60.0, 60.0):
        outputs = tf.cast(tf.fill((1, 2, 6 * M + 1), value), "float32")
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = StrokeNLL()(np.ones((1, 2, 3), dtype), outputs)
        assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, outputs)).all()


def constant_model(outputs):
    """Return a model whose outputs are the same at every step."""
    model = SequenceModel(3, len(outputs), 2, kind="strokes", implementation="loop", name="constant")
    head = model.get_layer("head")
    head.set_weights([np.zeros_like(head.kernel), np.asarray(outputs, "float32")])
    return model


def test_samples_have_the_moments_of_the_mixture():
    # end, two weights, means in x and y, logarithms of the deviations, correlations
    model = constant_model([np.log(0.25 / 0.75), 0, np.log(3), -2, 2, 5, 0, -1, -1, -2, 0, np.arctanh(0.8), 0])
    points = generate_strokes(model, 6_000, seed=1)
    near = points[:, 0] < 0
    assert near.mean() == pytest.approx(0.25, abs=0.02) and points[:, 2].mean() == pytest.approx(0.25, abs=0.02)
    for group, mean, deviations, rho in ((near, (-2, 5), np.exp([-1, -2]), 0.8), (~near, (2, 0), np.exp([-1, 0]), 0)):
        np.testing.assert_allclose(points[group, :2].mean(0), mean, atol=0.05)
        np.testing.assert_allclose(points[group, :2].std(0), deviations, rtol=0.06)
        assert np.corrcoef(points[group, :2].T)[0, 1] == pytest.approx(rho, abs=0.05)
    biased = generate_strokes(model, 2_000, bias=2.0, seed=1)
    assert (biased[:, 0] < 0).mean() == pytest.approx(1 / (1 + 3**3), abs=0.02)  # odds to the power 1 + b
    assert biased[biased[:, 0] > 0, 1].std() == pytest.approx(np.exp(-2.0), rel=0.06)
    np.testing.assert_allclose(model.predict_labels([points[:4]])[0], [[1, 1.25, 0]] * 4, atol=1e-5)


def test_strokes_are_drawn_from_the_outputs_of_the_model_and_reproducible():
    keras.utils.set_random_seed(0)
    model = SequenceModel(3, 13, 5, 2, "peephole_lstm", kind="strokes", connection="skip", implementation="loop")
    start = synthetic_strokes(train=1, test=1, letters=2).train.targets[0]
    points = generate_strokes(model, 5, start=start, seed=3)
    np.testing.assert_array_equal(points[: len(start)], start)
    np.testing.assert_array_equal(generate_strokes(lower(model), 5, start=start, seed=3), points)
    assert np.any(generate_strokes(model, 5, start=start, seed=4)[-5:] != points[-5:])
    np.testing.assert_array_equal(generate_strokes(model, 4, start=points[:-4], seed=3)[: len(points) - 4], points[:-4])
    whole = np.asarray(model(points[None]))[0]
    streamed = np.asarray(Stream(model).push(points[None]))[0]
    np.testing.assert_allclose(streamed, whole, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_family_trains_scores_and_draws(tmp_path):
    data, family = synthetic_strokes(train=6, test=2, letters=2), families()["strokes"]
    keras.utils.set_random_seed(0)
    model = SequenceModel(3, 13, 8, 1, kind="strokes", name="pen")
    console, recipe = Console(quiet=True), Recipe("adam", 0.05, global_clipnorm=1.0, batch_size=6, epochs=6)
    before = family.score(model, data.test)
    run = family.train(model, data, recipe, tmp_path / "run", console=console)
    assert run.ending == "finished" and run.program_path.is_file()
    assert run.score["nats_per_point"] < before["nats_per_point"] - 0.3 and run.score["lines"] == 2
    points = sum(map(len, data.test.series))
    assert run.score["nats_per_line"] * 2 == pytest.approx(run.score["nats_per_point"] * points)
    losses = StrokeNLL(reduction=None)
    single = [np.sum(losses(y[None], model(x[None]))) for x, y in zip(data.test.series, data.test.targets, strict=True)]
    assert run.score["nats_per_line"] == pytest.approx(np.mean(single), rel=1e-4)
    options = {"output": tmp_path / "a.png", "length": 9, "seed": 0, "temperature": 0.5}
    family.generate(lower(model), None, options, console)
    assert (tmp_path / "a.png").stat().st_size > 500
    for changed, message in (
        ({"output": None}, "require --output"),
        ({"temperature": 1.5}, "temperature must be at most 1"),
        ({"temperature": 0.0}, "temperature must be a positive number"),
        ({"notes": 4}, "do not support --notes"),
    ):
        passed = {name: value for name, value in {**options, **changed}.items() if value is not None}
        assert not outcome(functools.partial(family.generate, model, None, passed, console), message)


def test_wrong_arguments_are_refused():
    model = constant_model(np.zeros(7))
    cases = {
        r"outputs must be 6 M \+ 1": lambda: SequenceModel(3, 12, 2, kind="strokes"),
        "outputs must be at least 7": lambda: SequenceModel(3, 1, 2, kind="strokes"),
        r"start must be points \(T, 3\)": functools.partial(generate_strokes, model, start=np.zeros((4, 2))),
        "length must be a positive integer": functools.partial(generate_strokes, model, 0),
        "bias must be a non-negative number": functools.partial(generate_strokes, model, bias=-1),
        r"must read 3 features and return 6 M \+ 1 outputs": lambda: generate_strokes(
            SequenceModel(2, 7, 2, kind="strokes"), 2
        ),
        "predict_proba is not supported for kind='strokes'": lambda: model.predict_proba([np.zeros((2, 3))]),
    }
    wrong = [found for message, call in cases.items() if (found := outcome(call, message))]
    assert not wrong, wrong
