"""Search over the arguments of a forecaster: comparable losses, parameters, the search itself, and errors."""

import keras
import numpy as np
import pytest
from scipy import stats

from deeprnn_keras import Forecaster
from deeprnn_keras.tuning import HyperDeepRNN, RandomSearch, TunedForecaster

STEPS, SEASON, HORIZON = 90, 6, 3
SPACE = {
    "units": (2, 4),
    "num_layers": 1,
    "cell": "gru",
    "learning_rate": 1e-3,
    "global_clipnorm": 1.0,
    "forget_bias": 0,
}


def series():
    rng = np.random.default_rng(0)
    y = 50 + 9 * np.sin(np.arange(STEPS) * 2 * np.pi / SEASON) + rng.normal(size=STEPS)
    y[-5] = np.nan
    return y


def tuned(**arguments):
    options = {"season": SEASON, "updates_per_epoch": 1, "strategy": "direct", "units": 3, "num_layers": 1} | arguments
    return TunedForecaster(Forecaster(HORIZON, **options), series())


def held_out_density(config, model):
    """Return the mean of -log p(y) of the held-out values by SciPy, from the outputs of the network."""
    y, context = series(), config.forecaster.arguments.context
    cutter, densities = config._cutter(), []
    for origin in config._held_out():
        steps = np.arange(origin - context, origin)
        unit = np.sqrt(np.nanmean(np.square(y[steps] - y[steps - SEASON])))
        outputs = model.predict(cutter.batch(np.array([origin]), True)[0], verbose=0).reshape(HORIZON, 2)
        location = y[origin - SEASON : origin - SEASON + HORIZON] + unit * outputs[:, 0]
        scale = unit * (np.logaddexp(0, outputs[:, 1]) + 1e-4)
        densities.extend(-stats.norm.logpdf(y[origin : origin + HORIZON], location, scale))
    return np.nanmean(densities)


@pytest.mark.parametrize("context", [6, pytest.param(12, marks=pytest.mark.slow)])
def test_val_loss_is_a_density_of_the_data(context):
    config = tuned().replace(likelihood="gaussian", context=context, learning_rate=1e-2, forget_bias=1.0)
    keras.utils.set_random_seed(0)
    model = config.build()
    assert model.count_params() == config.count_params()
    history = config.fit(model, epochs=1).history
    assert history["val_loss"][-1] == pytest.approx(held_out_density(config, model), rel=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        {"num_layers": 3, "cell": "gru", "connection": "residual"},
        {"units": [4, 2], "num_layers": 2, "likelihood": "quantiles"},
    ],
)
def test_count_params(overrides):
    config = tuned(head_units=(5,)).replace(**overrides)
    assert config.count_params() == config.build().count_params()


@pytest.mark.slow
def test_search(tmp_path):
    """The best forecaster has the values of the best trial; a search over other data is not resumed."""
    hyper = HyperDeepRNN(tuned(), **SPACE, context=[6, 12], likelihood=["student_t", "gaussian"])
    tuner = RandomSearch(hyper, "val_loss", 1, directory=tmp_path)
    tuner.search(epochs=1, verbose=0)
    values = tuner.get_best_hyperparameters()[0].values
    best = hyper.resolve(values)
    arguments = best.config.forecaster.arguments
    assert (arguments.units, arguments.context) == (values["units"], values["context"])
    assert best.config.forecaster.likelihood.name == values["likelihood"]
    assert tuner.get_best_models()[0].count_params() == best.num_params
    with pytest.raises(ValueError, match=r"holds another search: .*validation_windows"):
        RandomSearch(HyperDeepRNN(tuned(validation_windows=1), **SPACE, context=[6, 12]), directory=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "space", "match"),
    [
        ({}, {"likelihood": ["student_t", "mae"]}, "must be a choice among 'student_t' and 'gaussian'"),
        ({"likelihood": "mae"}, {"context": [6, 12]}, "context is not supported as a hyperparameter with likelihood"),
        ({}, {"bptt": (3, 5)}, "bptt is not supported with a TunedForecaster"),
        ({}, {"max_step_ms": 5.0}, "max_step_ms is not supported with a TunedForecaster"),
        ({}, {"likelihood": "normal"}, "unknown likelihood 'normal'"),
    ],
)
def test_unsupported_search_is_an_error(arguments, space, match):
    with pytest.raises(ValueError, match=match):
        HyperDeepRNN(tuned(**arguments), **{**SPACE, **space})


def test_errors():
    gap = np.where((np.arange(STEPS) >= 70) & (np.arange(STEPS) < 78), np.nan, series())
    with pytest.raises(ValueError, match="context changes which windows are held out"):
        HyperDeepRNN(TunedForecaster(Forecaster(HORIZON, season=SEASON), gap), **SPACE, context=(6, 12))
    with pytest.raises(ValueError, match="a search requires held-out windows"):
        tuned(validation_windows=0)
    with pytest.raises(ValueError, match="forecaster must be a Forecaster, got 'deepar'"):
        TunedForecaster("deepar", series())
    with pytest.raises(ValueError, match="context is a hyperparameter of a TunedForecaster"):
        HyperDeepRNN(inputs=3, outputs=1, loss="mse", context=(6, 12))
    with pytest.raises(ValueError, match="x is not supported with a TunedForecaster, which holds its data"):
        tuned().fit(None, series())
