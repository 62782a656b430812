"""Networks of published forecasters; their inputs are those of hourly series of two years without covariates."""

from __future__ import annotations

from deeprnn_keras import Recipe
from deeprnn_keras._types import Config
from deeprnn_keras.zoo.forecaster import ForecasterConfig
from deeprnn_keras.zoo.registry import register

OWN_SERIES = "the series of the user"
NEURALFORECAST: Config = {
    "paper": "Nixtla, neuralforecast, the defaults of its models",
    "url": "https://github.com/Nixtla/neuralforecast",
    "data": OWN_SERIES,
    "num_layers": 2,
    "head_units": (128,),
    "inputs": 1,
    "outputs": 1,
    "per_step": True,
    "horizon": 24,
    "likelihood": "mae",
    "strategy": "shifted",
    "scaler": "robust",
    "calendar": False,
    "missing_flag": False,
    "difference": False,
    "updates_per_epoch": 100,
    "recipe": Recipe("adam", 1e-3, batch_size=128, bptt=72, epochs=10),
}

DEEPAR: Config = {
    "units": 40,
    "num_layers": 2,
    "dropout": 0.1,
    "outputs": 3,
    "per_step": True,
    "horizon": 24,
    "likelihood": "student_t",
    "strategy": "recursive",
    "patience": 10,
    "updates_per_epoch": 50,
    "recipe": Recipe("adam", 1e-3, global_clipnorm=10.0, batch_size=32, bptt=95, epochs=100),
}

register(
    ForecasterConfig(
        name="deepar",
        params=21_563,
        title="DeepAR: an LSTM that is sampled step by step",
        paper="Salinas, Flunkert, and Gasthaus 2017, DeepAR, arXiv:1704.04110; sizes of GluonTS",
        url="https://arxiv.org/abs/1704.04110",
        data=OWN_SERIES,
        inputs=12,
        differs="The network predicts the difference from the value one season earlier, in units of the root mean "
        "square of such differences in the context; in the paper, it predicts the value, divided by 1 plus the mean. "
        "It reads the values one season and one week earlier instead of the about 40 lags of GluonTS, and it does not "
        "read the age of the series. The position in the year is an input only if a series has at least two years. "
        "Training ends by early stopping.",
        **DEEPAR,
    ),
    ForecasterConfig(
        name="temperature_deepar",
        params=21_243,
        title="DeepAR for hourly temperatures, trained",
        paper="none: a configuration of this project, that of deepar",
        data="hourly temperature normals of Seattle, 2010, without the last 20 days (vega_datasets 0.9.0, "
        "seattle-temps.csv)",
        inputs=10,
        differs="As for deepar. The position in the year is not an input, because the series has one year only.",
        **DEEPAR,
    ),
    ForecasterConfig(
        name="nixtla_lstm",
        params=214_785,
        title="LSTM of neuralforecast with a decoder that all steps share",
        units=128,
        differs="PyTorch's LSTM has two bias vectors per layer, 1,024 parameters more. A batch consists of 128 windows "
        "of any series instead of 32 series.",
        **NEURALFORECAST,
    ),
    ForecasterConfig(
        name="nixtla_gru",
        params=388_857,
        title="GRU of neuralforecast with a decoder that all steps share",
        units=200,
        cell="gru",
        differs="A batch consists of 128 windows of any series instead of 32 series.",
        **NEURALFORECAST,
    ),
    ForecasterConfig(
        name="darts_rnn",
        params=701,
        title="RNN of darts that feeds its predictions back",
        paper="Herzen et al. 2022, Darts: user-friendly modern machine learning for time series, JMLR 23(124)",
        url="https://jmlr.org/papers/v23/21-1177.html",
        data=OWN_SERIES,
        units=25,
        num_layers=1,
        cell="rnn",
        inputs=1,
        outputs=1,
        per_step=True,
        horizon=24,
        likelihood="mse",
        strategy="recursive",
        calendar=False,
        missing_flag=False,
        lags=(),
        scale_input=False,
        difference=False,
        recipe=Recipe("adam", 1e-3, batch_size=32, bptt=95, epochs=100),
        differs="PyTorch's RNN has two bias vectors, 25 parameters more. darts leaves scaling to the user; each window "
        "is standardized here.",
    ),
)
