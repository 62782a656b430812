"""Trained weights of forecasters: published from a saved forecaster, loaded by name, and errors."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras import Forecaster, zoo
from deeprnn_keras.zoo import registry, trained
from deeprnn_keras.zoo.publish import publish_forecaster

NAME = "temperature_deepar"


def temperatures(steps):
    hours = pd.date_range("2024-01-01", periods=steps, freq="h")
    noise = np.random.default_rng(0).normal(size=steps)
    return pd.DataFrame({"ds": hours, "y": 50 + 8 * np.sin(2 * np.pi * hours.hour / 24) + noise})


def test_pretrained_forecaster(tmp_path):
    """It forecasts a series that it has not read in training, also after it is saved and loaded."""
    df, options = temperatures(300), {"seed": 0, "num_samples": 40}
    forecaster = zoo.create_forecaster(NAME, pretrained=True)
    forecast = forecaster.forecast(df, **options)
    assert len(forecast) == 24 and forecast["ds"].iloc[0] == pd.Timestamp("2024-01-13 12:00")
    assert (forecast["q0.1"] < forecast["q0.9"]).all() and np.abs(forecast["y_hat"] - 50).max() < 13
    with pytest.raises(ValueError, match="has read no series; pass df"):
        forecaster.forecast()
    with pytest.raises(ValueError, match="series 0 is not in the training data"):
        forecaster.update(df)
    forecaster.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "saved").forecast(df, **options), forecast)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frequency": "D"}, "frequency is that of the training data with pretrained=True"),
        ({"horizon": 12}, r"do not fit horizon=12 \(trained with 24\)"),
        ({"units": 8}, r"do not fit units=8 \(trained with 40\)"),
    ],
)
def test_other_arguments_than_those_of_the_weights(overrides, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_forecaster(NAME, pretrained=True, **overrides)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_published_forecaster_is_the_trained_one(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    monkeypatch.setattr(trained, "DIRECTORY", tmp_path / "weights")
    config = replace(zoo.info(NAME, units=2, updates_per_epoch=1, context=24), name="small", params=None)
    registry.register(config)
    df = temperatures(400)
    forecaster = zoo.create_forecaster("small", seed=3).fit(df, epochs=2, verbose=False)
    forecaster.save(tmp_path / "run")
    record = publish_forecaster(tmp_path / "run", "a command", 0.5, "a device", trained.DIRECTORY)
    assert (record.seed, record.updates, len(record.log)) == (3, 2, 2)
    loaded = zoo.create_forecaster("small", pretrained=True)
    forecaster.model.set_weights(
        [weight.astype("float16").astype("float32") for weight in forecaster.model.get_weights()]
    )
    forecaster._program = None  # was lowered before the rounding
    expected, actual = (one.sample(df, 20, seed=0) for one in (forecaster, loaded))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    zoo.create_forecaster("small", dropout=0.5).fit(df, epochs=1, verbose=False).save(tmp_path / "other")
    with pytest.raises(ValueError, match="does not have the arguments of small"):
        publish_forecaster(tmp_path / "other", "a command", 0.5, "a device", trained.DIRECTORY)
    zoo.create_forecaster("small").fit(df.iloc[:300], epochs=1, verbose=False).save(tmp_path / "short")
    with pytest.raises(ValueError, match="series of another frequency or length than the entry small, which has 10"):
        publish_forecaster(tmp_path / "short", "a command", 0.5, "a device", trained.DIRECTORY)
