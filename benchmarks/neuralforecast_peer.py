"""Forecasts of neuralforecast for `benchmarks.forecasters`, in an environment of its own, without deeprnn_keras.

python benchmarks/neuralforecast_peer.py SERIES.csv MODEL SEED SETTINGS.json FORECASTS.npz

SERIES.csv has the columns unique_id, ds, y, and calendar features. FORECASTS.npz receives y and the median forecasts,
(windows, H), and the seconds of training and forecasting.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MAE, DistributionLoss
from neuralforecast.models import LSTM, DeepAR

LSTM_CONTEXT, DEEPAR_CONTEXT = 3, 7  # in horizons


WINDOWS = 128  # per update; 1,000 updates of 1,024, the default, take hours on two cores


def build(name: str, horizon: int, calendar: list[str], seed: int, steps: int | None) -> LSTM | DeepAR:
    """Return a model with the defaults of neuralforecast, except its context, the calendar of DeepAR, and `WINDOWS`."""
    options = {
        "h": horizon,
        "random_seed": seed,
        "windows_batch_size": WINDOWS,
        "enable_progress_bar": False,
        "logger": False,
        "enable_checkpointing": False,
        "accelerator": "cpu",
        **({} if steps is None else {"max_steps": steps}),
    }
    if name == "nixtla_lstm":
        return LSTM(input_size=LSTM_CONTEXT * horizon, loss=MAE(), scaler_type="robust", **options)
    loss = DistributionLoss("StudentT", level=[80], return_params=False)
    return DeepAR(input_size=DEEPAR_CONTEXT * horizon, loss=loss, futr_exog_list=calendar, **options)


def main(path: str, name: str, seed: str, settings_path: str, output: str) -> None:
    """Train a model, forecast the last windows, and write the forecasts."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    settings = json.loads(Path(settings_path).read_text())
    frame = pd.read_csv(path, parse_dates=["ds"])
    calendar = [column for column in frame if column not in ("unique_id", "ds", "y")]
    if name == "nixtla_lstm":
        frame = frame.drop(columns=calendar)
    horizon, windows = settings["horizon"], settings["windows"]
    model = build(name, horizon, calendar, int(seed), settings["peer_steps"])
    start = time.perf_counter()
    made = NeuralForecast([model], freq="h").cross_validation(frame, n_windows=windows, step_size=horizon, refit=False)
    seconds = time.perf_counter() - start
    made = made.reset_index(drop="unique_id" in made).sort_values(["unique_id", "ds"])
    column = f"{type(model).__name__}-median"
    median = made[column if column in made else type(model).__name__]
    np.savez(
        output,
        y=made["y"].to_numpy().reshape(-1, horizon),
        median=median.to_numpy().reshape(-1, horizon),
        seconds=seconds,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
