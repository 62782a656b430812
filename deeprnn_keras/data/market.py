"""Daily closing prices of stock indices, from the files of the package `arch` or from a CSV file."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from deeprnn_keras import extras
from deeprnn_keras._types import PathLike
from deeprnn_keras.reading import DamagedFileError, damage_reported, read_bytes

PACKAGE, EXTRA = "arch", "market"
MARKETS = ("sp500", "nasdaq")
DATE_FORMATS = ("%Y-%m-%d", "%m/%d/%Y")
CLOSE_COLUMNS = ("Adj Close", "Close")


@dataclass(frozen=True)
class MarketSeries:
    """Daily closing prices of a stock index.

    Attributes:
        name: Name of the index or of the file.
        dates: Trading days, datetime64[D], ascending.
        close: Closing prices.

    >>> import numpy as np
    >>> from deeprnn_keras.data import MarketSeries
    >>> days = np.array(["2018-12-28", "2018-12-31"], "datetime64[D]")
    >>> MarketSeries("index", days, close=np.array([100.0, 101.0])).returns.round(3).tolist()
    [0.995]
    """

    name: str
    dates: np.ndarray
    close: np.ndarray

    def __len__(self) -> int:
        return len(self.close)

    @property
    def returns(self) -> np.ndarray:
        """Daily log returns in percent, 100 log(p_t / p_{t-1}), of all days but the first."""
        return 100 * np.diff(np.log(self.close))


def market_series(source: PathLike = "sp500") -> MarketSeries:
    """Return daily closing prices of a stock index.

    "sp500" and "nasdaq" are the S&P 500 and the NASDAQ Composite from January 4, 1999 to December 31, 2018: 5,031
    trading days, read from the files of the package `arch`, which is not imported.

    Args:
        source: "sp500", "nasdaq", or the path of a CSV file with a column Date (2018-12-31 or 12/31/2018), in ascending
            order, and a column Adj Close or Close; .gz is supported.

    Raises:
        ImportError: If `arch` is not installed.
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is not such a table; the message names the line.

    >>> from deeprnn_keras.data import market_series
    >>> index = market_series("sp500")
    >>> len(index), str(index.dates[-1]), float(index.close[-1].round(2)), float(index.returns.std().round(2))
    (5031, '2018-12-31', 2506.85, 1.2)
    """
    name = str(source)
    if name in MARKETS:
        directory = extras.package_directory(PACKAGE, EXTRA, "Reading market data") / "data" / name
        path = directory / f"{name}.csv.gz"
        remedy = f"; install a version of {PACKAGE} with its data, or pass the path of a CSV file"
    else:
        path, remedy = Path(source).expanduser(), f"; the included series are {' and '.join(MARKETS)}"
    if not path.is_file():
        raise FileNotFoundError(f"market data {str(path)!r} do not exist{remedy}")
    with damage_reported(path, "a table of prices"):
        content = read_bytes(path)
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    dates, close = _read_table(path, text)
    return MarketSeries(name if name in MARKETS else path.stem, dates, close)


def _read_table(path: Path, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return dates and prices."""
    table = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(table, [])]
    column = next((name for name in CLOSE_COLUMNS if name in header), None)
    if "Date" not in header or column is None:
        raise DamagedFileError(path, f"must have the columns Date and Close, got {', '.join(header) or 'none'}")
    places = header.index("Date"), header.index(column)
    dates, close = [], []
    for row in table:
        if not row:
            continue
        try:
            date, price = _date(row[places[0]]), float(row[places[1]])
        except (IndexError, ValueError) as error:
            raise DamagedFileError(path, f"has no date and price in line {table.line_num}: {error}") from error
        if not 0 < price < np.inf:
            raise DamagedFileError(path, f"must have positive prices, got {price} in line {table.line_num}")
        if dates and date <= dates[-1]:
            raise DamagedFileError(path, f"must have ascending dates, got {date} in line {table.line_num}")
        dates.append(date)
        close.append(price)
    if len(close) < 2:
        raise DamagedFileError(path, f"must have at least 2 days, got {len(close)}")
    return np.array(dates), np.array(close)


def _date(text: str) -> np.datetime64:
    for form in DATE_FORMATS:
        try:
            return np.datetime64(datetime.strptime(text.strip(), form).date())
        except ValueError:
            continue
    raise ValueError(f"date {text!r} must have the form 2018-12-31 or 12/31/2018")
