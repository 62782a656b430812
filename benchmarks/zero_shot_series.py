"""Real series of public Python packages, for the benchmark of the zero-shot forecaster.

None of them is training data. The packages are statsmodels, sktime, and vega_datasets, which no extra contains:
pip install vega_datasets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pandas as pd

from deeprnn_keras import extras

HORIZONS = {"30min": 48, "h": 24, "D": 14, "W": 13, "MS": 12, "QS": 8, "YS": 4}


@dataclass(frozen=True)
class RealSeries:
    """One series.

    Attributes:
        name: Name, beginning with that of the package.
        frequency: Frequency as in pandas.
        frame: Columns ds and y.
    """

    name: str
    frequency: str
    frame: pd.DataFrame

    @property
    def horizon(self) -> int:
        """Steps to forecast."""
        return HORIZONS[self.frequency]


def _series(name: str, frequency: str, start: str, values: pd.Series) -> RealSeries:
    times = pd.date_range(start, periods=len(values), freq=frequency)
    return RealSeries(name, frequency, pd.DataFrame({"ds": times, "y": np.asarray(values, np.float64)}))


def real_series() -> list[RealSeries]:
    """Return all series."""
    return [*_statsmodels(), *_sktime(), *_vega()]


def _statsmodels() -> Iterator[RealSeries]:
    def data(name: str) -> pd.DataFrame:
        return import_module(f"statsmodels.datasets.{name}").load_pandas().data

    yield _series("statsmodels co2", "W", "1958-03-29", data("co2")["co2"])
    yield _series("statsmodels nile", "YS", "1871-01-01", data("nile")["volume"])
    yield _series("statsmodels sunspots", "YS", "1700-01-01", data("sunspots")["SUNACTIVITY"])
    yield _series("statsmodels elnino", "MS", "1950-01-01", data("elnino").iloc[:, 1:].stack())
    yield _series("statsmodels elec_equip", "MS", "1995-01-01", data("elec_equip").iloc[:, -1])
    copper = data("copper")
    for column in ("WORLDCONSUMPTION", "COPPERPRICE"):
        yield _series(f"statsmodels copper {column}", "YS", "1951-01-01", copper[column])
    macro = data("macrodata")
    for column in ("realgdp", "realinv", "unemp", "infl", "tbilrate", "m1"):
        yield _series(f"statsmodels macrodata {column}", "QS", "1959-01-01", macro[column])
    rates = data("interest_inflation")
    for column in ("Dp", "R"):
        yield _series(f"statsmodels interest_inflation {column}", "QS", "1972-04-01", rates[column])
    danish = data("danish_data")
    for column in ("lrm", "ibo"):
        yield _series(f"statsmodels danish_data {column}", "QS", "1974-01-01", danish[column])


def _sktime() -> Iterator[RealSeries]:
    directory = extras.package_directory("sktime", "data", "The benchmark") / "datasets" / "data"

    def table(name: str) -> pd.DataFrame:
        return pd.read_csv(directory / name / f"{name}.csv")

    yield _series("sktime airline", "MS", "1949-01-01", table("Airline")["Passengers"])
    yield _series("sktime shampoo", "MS", "1991-01-01", table("ShampooSales")["Sales"])
    yield _series("sktime PBS", "MS", "1991-07-01", table("PBS_dataset")["Scripts"])
    yield _series("sktime seatbelts", "MS", "1969-01-01", table("seatbelts")["KSI"])
    yield _series("sktime lynx", "YS", "1821-01-01", table("Lynx").iloc[:, 1])
    yield _series("sktime solar", "30min", "2021-05-01", table("solar")["solar_gen"])
    change = table("Uschange")
    for column in ("Consumption", "Income", "Production"):
        yield _series(f"sktime uschange {column}", "QS", "1970-01-01", change[column])


def _vega() -> Iterator[RealSeries]:
    data = import_module("vega_datasets").data
    for city in ("seattle", "sf"):
        yield _series(f"vega {city} temperature", "h", "2010-01-01", getattr(data, f"{city}_temps")()["temp"])
    weather = data.seattle_weather()
    for column in ("temp_max", "temp_min", "wind", "precipitation"):
        yield _series(f"vega seattle {column}", "D", "2012-01-01", weather[column])
    employment = data.us_employment()
    for column in ("nonfarm", "construction", "retail_trade", "manufacturing"):
        yield _series(f"vega employment {column}", "MS", "2006-01-01", employment[column])
    stocks = data.stocks()
    for symbol in ("MSFT", "IBM"):
        yield _series(f"vega stocks {symbol}", "MS", "2000-01-01", stocks.loc[stocks["symbol"] == symbol, "price"])
