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
# ![Forecasts of a week with intervals, errors of four methods, and the total of a day](09_forecasting.png)
#
# The tutorial takes about two and a half minutes on two CPU cores. It requires the extra `forecast`
# (`pip install 'deeprnn-keras[forecast]'`) and a table of the package ISLP, which is read as a file and not imported:
# `pip install --no-deps ISLP==0.6.0`. With `TUTORIAL_SCALE=0.01` it runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(forecast=["narwhals", "pandas", "scipy", "statsmodels", "utilsforecast"])

# %%
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter, DayLocator

from deeprnn_keras import Forecaster, Recipe

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

# %% [markdown]
# ## A forecaster
#
# `Forecaster` needs the number of steps to forecast, and has defaults for the rest. We choose four things:
#
# * rentals are counts, which are never negative and vary more where they are large: `likelihood="negative_binomial"`;
# * the network reads a week, 168 hours, before it forecasts, so that it has seen each day of the week;
# * with the default `strategy="recursive"` it predicts one hour, draws a value, and reads it as if it had happened
#   (DeepAR). A forecast summarizes 200 days that are drawn in this way;
# * one year of one city is little data: dropout between the layers and before the output keeps the network from
#   learning it by heart.
#
# The hour of the day and the day of the week are inputs by default. `fit` finds out that the rows are hours, and
# trains; `holdout` keeps the last four weeks away from it, the December of 2011.


# %%
def make(covariates: list[str], **options: object) -> Forecaster:
    """Return a forecaster of the next day that reads some of the covariates."""
    arguments = {
        "units": 40 if FULL else 4,
        "num_layers": 2,
        "likelihood": "negative_binomial",
        "context": 168 if FULL else 48,
        "known_future": covariates,
        "dropout": 0.2,
        "output_dropout": 0.3,
        "recipe": Recipe("adam", 2e-3, global_clipnorm=10.0, batch_size=32, epochs=25 if FULL else 1),
        "updates_per_epoch": 50 if FULL else 2,
    }
    return Forecaster(HORIZON, **{**arguments, **options})


def columns(covariates: list[str]) -> pd.DataFrame:
    """Return the rentals with some of the covariates."""
    return rentals[["ds", "y", *covariates]]


calendar_only = make([]).fit(columns([]), holdout=WINDOWS * HORIZON, verbose=False)
print(calendar_only)

# %% [markdown]
# `forecast` returns a frame: the median `y_hat` and quantiles. Between `q0.1` and `q0.9` is the 80% interval, in which
# four of five values should lie. Without an argument, it forecasts the day after the training data.

# %%
print(calendar_only.forecast(seed=0).iloc[6:12].to_string(index=False, float_format="{:.0f}".format))

# %% [markdown]
# ## Is it any good?
#
# `evaluate` forecasts from midnight of each of the 28 days that were held out, each time from the values up to then,
# and compares the result with simple methods: *seasonal naive* repeats the day before, *ETS* is exponential smoothing.
#
# * MASE: mean absolute error, divided by that of repeating the day before in the history. Below 1 is better than that.
# * CRPS and WQL measure the whole distribution, in bicycles and relative to the total; lower is better.
# * coverage: the share of values in the 80% interval. It should be 0.8: less is overconfident, more is timid.

# %%
simple = calendar_only.evaluate(columns([]), WINDOWS, baselines=("seasonal_naive", "ets"))
print(simple)

# %% [markdown]
# The network is clearly better than both. Its interval contains 70% of the values and not 80%: December is not like the
# months before, and the network is too sure of itself there. Whoever orders bicycles by these quantiles should know.
#
# ## Covariates: what is known about tomorrow
#
# Whether tomorrow is a working day is known, and the weather roughly. Covariates that are known over the horizon are
# `known_future`; the rows of the horizon have no `y` yet, but have these columns. Here we give the weather as it was,
# which is a perfect weather forecast: the result is a bound of what weather can contribute.

# %%
COVARIATES = [*WORK, *WEATHER]
forecaster = make(COVARIATES).fit(columns(COVARIATES), holdout=WINDOWS * HORIZON, verbose=False)
informed = forecaster.evaluate(columns(COVARIATES), WINDOWS, baselines=())
results = {"repeat yesterday": simple.metrics["seasonal_naive"], "ETS": simple.metrics["ets"]}
results |= {"network": simple.metrics["network"], "network, covariates": informed.metrics["network"]}
print(pd.DataFrame(results).T.round(3).to_string())

# %% [markdown]
# The covariates take another quarter off the error: MASE 0.53 after 0.73.

# %% [markdown]
# ## How many tomorrow, in total?
#
# Quantiles of hours do not add up to those of the day: the sum of 24 high values assumes that everything goes well all
# day. `sample` returns whole days as the network imagines them, (series, paths, hours), in which a rainy morning is
# followed by a quiet noon. The quantiles of their sums are the answer.

# %%
first_day = slice(len(rentals) - WINDOWS * HORIZON, len(rentals) - (WINDOWS - 1) * HORIZON)
totals = forecaster.sample(num_samples=500 if FULL else 20, seed=0)[0].sum(axis=1)
low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
hourly = forecaster.forecast(seed=0)
print(f"the day in total: {middle:,.0f}, with 80% probability {low:,.0f} to {high:,.0f}")
print(f"sums of hourly quantiles: {hourly['q0.1'].sum():,.0f} to {hourly['q0.9'].sum():,.0f}")
print(f"it was {rentals['y'].iloc[first_day].sum():,.0f}")

# %% [markdown]
# ## New observations
#
# At noon, twelve more values are known. `update` lets the network read them, one step each, and the next forecast
# begins there. The rows after them have no `y`, but the covariates of the hours to come. `save` and `load` keep the
# state, so that another process can continue.

# %%
day = columns(COVARIATES).iloc[first_day.start : first_day.start + 12 + HORIZON].copy()
afternoon = day["y"].to_numpy()[12:24].copy()
day.iloc[12:, day.columns.get_loc("y")] = np.nan
at_midnight = hourly["y_hat"].to_numpy()[12:24]
directory = Path(tempfile.mkdtemp()) / "rentals"
forecaster.save(directory)
continued = Forecaster.load(directory)
start = time.perf_counter()
continued.update(day)
print(f"update with 12 hours: {1e3 * (time.perf_counter() - start):.0f} ms")
at_noon = continued.forecast(seed=0)["y_hat"].to_numpy()[:12]
for name, forecast in (("midnight", at_midnight), ("noon", at_noon)):
    print(f"mean error of the afternoon, forecast at {name}: {np.nanmean(np.abs(forecast - afternoon)):.0f} bicycles")

# %% [markdown]
# On this Sunday the values of the morning do not help: at midnight, the forecast was already about as good as at noon.

# %% [markdown]
# ## The picture
#
# `forecaster.plot(df)` draws the next day, as `deeprnn forecast` does. Here we draw the first week that was held out,
# from the forecasts that `evaluate` keeps: each day is forecast at its midnight.

# %%
SHOWN = min(7, WINDOWS)
BLUE, ORANGE, GRAY = "#22303c", "#c2410c", "#9aa5b1"
quantiles = informed.forecasts["network"][:SHOWN].reshape(-1, 9)  # 0.1, 0.2, ..., 0.9
values = informed.forecasts["y"][:SHOWN].ravel()
repeated = simple.forecasts["seasonal_naive"][:SHOWN, :, 4].ravel()
times = rentals["ds"].iloc[first_day.start : first_day.start + SHOWN * HORIZON]

figure = plt.figure(figsize=(11, 6.4), dpi=100, layout="constrained")
top, bottom = figure.add_gridspec(2, 1, height_ratios=(1.35, 1))
bottom = bottom.subgridspec(1, 2, width_ratios=(1, 1.1))
week, errors, total = (figure.add_subplot(place) for place in (top, bottom[0], bottom[1]))
week.plot(times, repeated, color=GRAY, linewidth=1, label="the day before")
week.fill_between(times, quantiles[:, 0], quantiles[:, 8], color=ORANGE, alpha=0.2, linewidth=0, label="80% interval")
week.plot(times, quantiles[:, 4], color=ORANGE, linewidth=1.6, label="forecast at midnight")
week.plot(times, values, "o", color=BLUE, markersize=2.6, label="what happened")
week.xaxis.set_major_locator(DayLocator())
week.xaxis.set_major_formatter(DateFormatter("%a %d %b"))
week.set(ylabel="bicycles per hour", xlim=(times.iloc[0], times.iloc[-1]))
week.set_ylim(0, 1.25 * max(values[~np.isnan(values)].max(), quantiles[:, 8].max()))
week.legend(loc="upper center", ncols=4, frameon=False)

names = list(results)
errors.barh(names, [results[name]["MASE"] for name in names], color=[GRAY, GRAY, "#e0a184", ORANGE])
for row, name in enumerate(names):
    errors.text(results[name]["MASE"] + 0.01, row, f"{results[name]['MASE']:.2f}", va="center", fontsize=9)
errors.invert_yaxis()
errors.set(xlabel="MASE of 28 days", xlim=(0, 1.15 * max(one["MASE"] for one in results.values())))

total.hist(totals, bins=30, color="#e9c3b1")
for value, style in ((low, ":"), (middle, "-"), (high, ":")):
    total.axvline(value, color=ORANGE, linestyle=style, linewidth=1.6)
total.axvline(rentals["y"].iloc[first_day].sum(), color=BLUE, linewidth=2)
label = {"color": BLUE, "ha": "center", "va": "bottom", "fontsize": 9}
total.text(rentals["y"].iloc[first_day].sum(), 1.01, "what happened", transform=total.get_xaxis_transform(), **label)
total.set(xlabel=f"bicycles on {times.iloc[0]:%A, %B} {times.iloc[0].day}: 500 imagined days", yticks=[])
for axes in (week, errors, total):
    axes.spines[["top", "right"]].set_visible(False)
total.spines["left"].set_visible(False)
figure.savefig("forecasting.png")

# %% [markdown]
# ## Exercises
#
# 1. What if it rains? Forecast the first day once more with rain in all hours. How many rentals does the rain cost?
# 2. Repeating the day before is a weak opponent on Mondays. Is it harder to beat the same hour of the *week* before?
# 3. The forecaster feeds its own samples back, hour by hour. With `strategy="direct"` and `likelihood="quantiles"`, it
#    predicts the quantiles of all hours at once. Which is better, and which intervals are more honest?
#
# ## Solutions
#
# ### 1. Rain
#
# The rows after the last `y` say what the weather will be. The answer is what the network has learned from the rainy
# hours of the year; rain comes with clouds and cold, so that it is not the effect of rain alone.

# %%
history = columns(COVARIATES).iloc[: first_day.stop].copy()
history.iloc[first_day.start :, history.columns.get_loc("y")] = np.nan
for name, rain in (("as it was", None), ("dry", 0.0), ("rain all day", 1.0)):
    scenario = history.copy()
    if rain is not None:
        scenario.iloc[first_day.start :, scenario.columns.get_loc("rain")] = rain
    print(f"{name:14} {forecaster.sample(scenario, 200, seed=0)[0].sum(axis=1).mean():,.0f} bicycles")

# %% [markdown]
# Rain all day leaves 951 of 3,438 bicycles, if we believe the network.

# %% [markdown]
# ### 2. The week before

# %%
y = rentals["y"].to_numpy()
held_out = slice(len(y) - WINDOWS * HORIZON, len(y))
references = {"day before": y[held_out.start - 24 : -24], "week before": y[held_out.start - 168 : -168]}
references["network"] = informed.forecasts["network"][:, :, 4].ravel()
for name, reference in references.items():
    print(f"{name:12} mean absolute error {np.nanmean(np.abs(reference - y[held_out])):.1f} bicycles")

# %% [markdown]
# Hardly: 47.3 in place of 48.2 bicycles. The network has 27.3.

# %% [markdown]
# ### 3. All hours at once

# %%
direct = make(COVARIATES, strategy="direct", likelihood="quantiles")
direct.fit(columns(COVARIATES), holdout=WINDOWS * HORIZON, verbose=False)
both = {"recursive": informed, "direct": direct.evaluate(columns(COVARIATES), WINDOWS, baselines=())}
print(pd.DataFrame({name: one.metrics["network"] for name, one in both.items()}).T.round(3).to_string())

# %% [markdown]
# The recursive network has smaller errors. The direct one has the more honest intervals, 78% in place of 74%: its
# quantiles are trained for each hour, while those of the paths depend on all hours before.
