# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Forecasting with intervals: from a data frame to tomorrow
#
# How many bicycles will be rented in each hour of tomorrow, and how sure is that? At the end you have a small network
# that answers both questions, numbers that say how far it can be trusted, and this picture:
#
# ![Forecasts of a week with intervals, errors of four methods, and the distribution of a day's total](09_forecasting.png)
#
# The tutorial takes about five minutes on two CPU cores. It requires the extra `forecast`
# (`pip install 'deeprnn-keras[forecast]'`) and a table of the package ISLP, which is read as a file and not imported:
# `pip install --no-deps ISLP==0.6.0`. With `TUTORIAL_SCALE=0.01` it runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deeprnn_keras import Forecaster, Recipe

SCALE = float(os.environ.get("TUTORIAL_SCALE", "1"))
FULL = SCALE >= 1
HORIZON = 24
WINDOWS = 28 if FULL else 2  # the last days, which are held out

# %% [markdown]
# ## The data
#
# The table has one row per hour of 2011: the bicycles that were rented in Washington, D.C., the weather, and whether
# people had to work (Fanaee-T and Gama 2013, CC BY 4.0). A `Forecaster` reads frames with a time stamp `ds`, a value
# `y`, and further columns, which it calls covariates. With several cities there would also be a `unique_id`.
#
# 115 hours are missing, most of them at night. A missing `y` is no problem: the network reads a flag for it. Covariates
# must be given for each hour, so that we fill them with the last known weather.


# %%
def read_rentals() -> pd.DataFrame:
    """Return the rentals and the weather of each hour of 2011."""
    spec = find_spec("ISLP")
    if spec is None or spec.origin is None:
        raise ImportError("the rentals are a table of the package ISLP: pip install --no-deps ISLP==0.6.0")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "Bikeshare.csv")
    hours = 24 * (table["day"] - 1) + table["hr"].astype(int)  # since the year began
    table["ds"] = pd.Timestamp("2011-01-01") + pd.to_timedelta(hours, unit="h")
    table["rain"] = table["weathersit"].str.contains("rain").astype(float)
    table = table.rename(columns={"bikers": "y"}).set_index("ds").asfreq("h")
    covariates = [*WORK, *WEATHER]
    table[covariates] = table[covariates].astype(float).ffill()
    return table.reset_index()[["ds", "y", *covariates]]


WORK, WEATHER = ["workingday", "holiday"], ["temp", "hum", "windspeed", "rain"]
rentals = read_rentals()
if not FULL:
    rentals = rentals.head(24 * 40)
print(rentals.head(3).to_string(index=False))
print(f"{len(rentals):,} hours, {rentals['y'].isna().sum()} of them without a value")
