"""`GradientHealth` in training: findings in runs with known problems, and absence of side effects."""

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import DeepRNN
from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.audit.health_callback import GradientHealth

N, T, D = 64, 5, 3


@pytest.fixture
def task(rng):
    """Random x and the mean of its first feature, which is learned within 50 updates."""
    x = rng.normal(size=(N, T, D)).astype("float32")
    return x, x[:, :, :1].mean(1)


def build_model(optimizer, cell="rnn", **options):
    model = keras.Sequential(
        [keras.Input((T, D)), DeepRNN(16, 2, cell, seed=1, implementation="loop", **options), keras.layers.Dense(1)]
    )
    model.compile(optimizer, "mse")
    return model


def train(model, task, epochs=10, batch_size=16, **options):
    health = GradientHealth(task[0][:16], task[1][:16], **options)
    model.fit(*task, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[health])
    return health


def names(health):
    return [finding.name for finding in health.report.findings]


class CountingSGD(keras.optimizers.SGD):
    """Optimizer that counts applied and clipped updates, as the optimizers of this library do."""

    def __init__(self, learning_rate):
        super().__init__(learning_rate)
        self.global_clipnorm = 0.001

    def build(self, variables):
        super().build(variables)
        self.applied = self.add_variable((), dtype="int32", name="applied", initializer="zeros")
        self.clipped = self.add_variable((), dtype="int32", name="clipped", initializer="zeros")

    def apply(self, grads, trainable_variables=None):
        norm = tf.linalg.global_norm(grads)
        super().apply([g * tf.minimum(1.0, self.global_clipnorm / norm) for g in grads], trainable_variables)
        self.applied.assign_add(1)
        self.clipped.assign_add(keras.ops.cast(norm > self.global_clipnorm, "int32"))


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "rate"), [("lstm", 1e-2), ("rnn", 1e-3)])
def test_healthy_run_has_no_findings(task, cell, rate):
    health = train(build_model(keras.optimizers.Adam(rate, global_clipnorm=1.0), cell), task, every=10)
    assert names(health) == [] and health.report.verdict == "healthy"
    assert [update for update, _ in health.reports] == [1, 10, 20, 30, 40]
    assert health.report.clipped_fraction is not None and len(health.report.gradient_norms) == 5
    assert len(health.losses) == len(health.learning_rates) == 40 and len(health.update_sizes) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.5),
        lambda: keras.optimizers.SGD(20.0),
    ],
    ids=["adam", "sgd"],
)
def test_high_learning_rate_is_found(task, optimizer):
    model = build_model(optimizer())
    health = train(model, task, every=10)
    assert "learning rate too high" in names(health)
    finding = next(finding for finding in health.report.findings if finding.name == "learning rate too high")
    rate = float(model.optimizer.learning_rate)
    assert finding.advice == f"learning_rate={rate / 3:.1g} instead of {rate:g}."


@pytest.mark.slow
def test_rising_loss_is_found(task):
    """The learning rate rises by a factor of 1,000 during a healthy run; the loss shows it without `update_sizes`."""
    model = build_model(keras.optimizers.Adam(0.003))
    health = GradientHealth(task[0][:16], task[1][:16], every=1000)
    model.fit(*task, batch_size=16, epochs=15, verbose=0, callbacks=[health])
    assert names(health) == []
    model.optimizer.learning_rate = 3.0
    model.fit(*task, batch_size=16, epochs=3, verbose=0, callbacks=[health])
    assert "learning rate too high" in names(health) and health.num_updates == 72
    assert any("the loss fell from" in finding.text for finding in health.report.findings)


def test_weights_that_are_not_finite_are_found(task):
    model = build_model(keras.optimizers.SGD(100.0), "rnn", activation="linear")
    health = train(model, task, every=10)
    assert "not finite" in names(health) and not health.reports[-1][1].weights_finite


@pytest.mark.usefixtures("eager")  # a few updates
def test_tight_clip_is_found(task):
    model = build_model(keras.optimizers.Adam(1e-3, global_clipnorm=1e-4))
    health = train(model, task, epochs=5, every=5)
    assert names(health) == ["clip too tight"] and health.report.clipped_fraction == 1.0
    assert "100% of the updates were clipped to 0.0001" in str(health.report)


@pytest.mark.usefixtures("eager")  # a few updates
def test_counts_of_the_optimizer_take_precedence(task):
    """The counts determine the fraction of clipped updates, even if the measured gradient norms suggest another."""
    model = build_model(CountingSGD(0.01))
    model.optimizer.build(model.trainable_variables)
    health = train(model, task, epochs=2, every=4)
    assert health.update_counts == [(0, 0), (1, 1), (4, 4), (8, 8)] and health.report.global_clipnorm == 0.001
    assert names(health) == ["clip too tight"]
    health.update_counts[-1] = (8, 4)
    assert health.report.clipped_fraction == 0.5 and names(health) == []


@pytest.mark.usefixtures("eager")  # a few updates
def test_loss_of_each_update(task):
    """Keras logs the mean since the start of the epoch; the mean of the recorded losses equals it."""
    model = build_model(keras.optimizers.SGD(0.0))
    health = train(model, task, epochs=2, batch_size=16)
    expected = np.mean((model(task[0]) - task[1]) ** 2)
    np.testing.assert_allclose(
        [np.mean(health.losses[:4]), np.mean(health.losses[4:])], [expected, expected], rtol=1e-4
    )
    assert len(set(health.losses[:4])) == 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Weights of a run without and with the callback, the callback, and its directory."""
    directory, rng = tmp_path_factory.mktemp("run") / "new" / "health", np.random.default_rng(7)
    x, weights = rng.normal(size=(N, T, D)).astype("float32"), []
    y = x[:, :, :1].mean(1)
    for has_callback in (False, True):
        keras.utils.set_random_seed(3)
        model = build_model("adam", "lstm", dropout=0.2)
        health = GradientHealth(x[:8], y[:8], every=4, directory=directory, tensorboard=True)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[health] if has_callback else [])
        weights.append(model.get_weights())
    return weights, health, directory


@pytest.mark.slow
def test_callback_does_not_change_training(runs):
    for one, other in zip(*runs[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_files_and_tensorboard(runs):
    _, health, directory = runs
    assert (directory / "gradient_health.png").stat().st_size > 5000
    assert (directory / "gradient_health.txt").read_text() == f"{health.report}\n"
    (events,) = directory.glob("events.out.tfevents.*")
    values = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            values[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
            assert value.metadata.plugin_data.plugin_name == "scalars"
    assert {step for _, step in values} == {1, 4, 8}
    report = health.reports[1][1]
    assert values["gradient_health/gradient_norm", 4] == pytest.approx(report.gradient_norm)
    assert values["gradient_health/layer_2/norm_at_lag_2", 4] == pytest.approx(report.state_norms[1, 2])
    assert values["gradient_health/layer_1/saturated_forget", 4] == pytest.approx(report.saturation[0]["forget"])


@pytest.mark.usefixtures("eager")  # a few updates
def test_state_is_picklable_and_continues(task):
    """Its attributes can be pickled, and a second `fit` continues the count."""
    model = build_model("adam")
    health = train(model, task, epochs=1, every=3)
    state = {name: value for name, value in vars(health).items() if name.islower() and not name.startswith("_")}
    restored = GradientHealth(health.x, health.y, every=3)
    vars(restored).update({name: pickle.loads(pickle.dumps(state[name])) for name in state if name != "params"})
    model.fit(*task, batch_size=16, epochs=1, verbose=0, callbacks=[restored])
    assert [update for update, _ in restored.reports] == [1, 3, 4, 6, 8] and len(restored.losses) == 8
    assert restored.reports[-1][1].loss == gradient_health(model, health.x, health.y).loss


def test_invalid_arguments_are_rejected(task, tmp_path):
    assert GradientHealth(*task).report is None
    with pytest.raises(ValueError, match="every must be a positive integer, got 0"):
        GradientHealth(*task, every=0)
    with pytest.raises(ValueError, match="tensorboard=True requires a directory"):
        GradientHealth(*task, tensorboard=True)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; pass a new or existing directory"):
        GradientHealth(*task, directory=tmp_path / "file")
