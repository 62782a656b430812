"""`market_series`: the included indices, CSV files, and damaged files; the sums of `benchmarks.market_levels`."""

import gzip

import numpy as np
import pytest

from benchmarks import market_levels as bench
from deeprnn_keras.data import market_series

LINES = ["Date,Open,Close", "2020-01-02,1,100", "2020-01-03,1,110", "2020-01-06,1,99"]


def write(path, lines):
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name, last", [("sp500", 2506.850098), ("nasdaq", 6635.279785)])
def test_included_indices(name, last):
    index = market_series(name)
    assert len(index) == 5031 and index.close[-1] == last and str(index.dates[0]) == "1999-01-04"
    assert index.dates.dtype == "datetime64[D]" and (np.diff(index.dates) > np.timedelta64(0)).all()
    np.testing.assert_allclose(np.exp(index.returns.sum() / 100), last / index.close[0])


@pytest.mark.parametrize("file", ["mine.csv", "mine.csv.gz"])
def test_csv_file(file, tmp_path):
    lines = [LINES[0] + ",Adj Close", *(f"{line},{price}" for line, price in zip(LINES[1:], (10, 20, 10), strict=True))]
    index = market_series(write(tmp_path / file, [*lines, ""]))
    assert index.close.tolist() == [10, 20, 10] and index.returns == pytest.approx([69.3147, -69.3147])
    american = [LINES[0], "1/2/2020,1,100", "12/31/2020,1,110"]
    assert market_series(write(tmp_path / "other.csv", american)).dates.astype(str).tolist()[1] == "2020-12-31"


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], "must have the columns Date and Close, got none"),
        (["Day,Close", "2020-01-02,1"], "must have the columns Date and Close, got Day, Close"),
        (LINES[:2], "must have at least 2 days, got 1"),
        ([*LINES, "2020-01-07"], "has no date and price in line 5: list index out of range"),
        ([*LINES, "2020-01-07,1,x"], "has no date and price in line 5: could not convert string to float: 'x'"),
        (
            [*LINES, "07.01.2020,1,5"],
            r"has no date and price in line 5: date '07.01.2020' must have the form 2018-12-31 or 12/31/2018",
        ),
        ([*LINES, "2020-01-07,1,0"], r"must have positive prices, got 0\.0 in line 5"),
        ([*LINES, "2020-01-07,1,nan"], "must have positive prices, got nan in line 5"),
        ([*LINES, "2020-01-06,1,9"], "must have ascending dates, got 2020-01-06 in line 5"),
    ],
    ids=range(9),
)
def test_damaged_table(lines, message, tmp_path):
    with pytest.raises(ValueError, match=rf"mine\.csv: {message}"):
        market_series(write(tmp_path / "mine.csv", lines))


def test_file_that_is_not_a_table(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dax\.csv' do not exist; the included series are sp500 and nasdaq"):
        market_series(tmp_path / "dax.csv")
    (tmp_path / "a.csv.gz").write_bytes(b"text")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("a.csv.gz", "a.csv"):
        with pytest.raises(ValueError, match="not a table of prices, or damaged"):
            market_series(tmp_path / name)


def market(days=300):
    rng = np.random.default_rng(0)
    return bench.Market("test", rng.normal(size=days), np.repeat([2008, 2009], [days - 40, 40]))


def test_inputs_of_a_forecast_end_the_day_before(monkeypatch):
    """Variances do not change with the return that they forecast, but with the return of the day before."""
    monkeypatch.setattr(bench, "STEPS", 20)
    network = bench.VolatilityModel([market()], seed=0)
    kernel, bias = network.model.get_layer("log_variance").weights
    kernel.assign(np.ones(kernel.shape))
    bias.assign(np.zeros(1))
    days, returns = np.arange(280, 300), network.markets[0].returns
    before = network.variances(0, days)
    returns[290] += 5
    changed = network.variances(0, days) != before
    assert not changed[: 290 - 280 + 1].any() and changed[290 - 280 + 1 :].all()


def test_scores():
    """The density of the t distribution has variance h; a constant forecast has the known scores."""
    grid = np.linspace(-60, 60, 400_001)
    density = np.exp(bench.log_density(grid, np.full_like(grid, 2.5), 5.0))
    step = grid[1] - grid[0]
    np.testing.assert_allclose(step * density.sum(), 1, rtol=1e-4)
    np.testing.assert_allclose(step * (density * grid**2).sum(), 2.5, rtol=1e-2)
    normal = bench.log_density(np.array([1.0]), np.array([4.0]), None)
    np.testing.assert_allclose(normal, -0.5 * np.log(2 * np.pi * 4) - 1 / 8)
    np.testing.assert_allclose(bench.qlike(np.array([1.0]), np.array([4.0])), np.log(4) + 0.25)
    sample = np.random.default_rng(0).standard_t(6, size=40_000) / np.sqrt(6 / 4)
    assert bench.fit_freedom(sample) == pytest.approx(6, rel=0.1)
    independent = np.random.default_rng(0).normal(size=5_000)
    assert bench.standard_error(independent) == pytest.approx(1 / np.sqrt(5_000), rel=0.15)


def test_targets_of_the_levels():
    one = market()
    targets = bench.level_targets(one)
    assert targets["tomorrow's absolute return"][3] == abs(one.returns[4])
    month = targets["volatility of the month"]
    assert np.isnan(month[:20]).all() and month[50] == pytest.approx(0.5 * np.log(np.mean(one.returns[30:51] ** 2)))
    of_year = month[one.years == 2009]
    np.testing.assert_array_equal(targets["regime of the year"][-40:] == "high", of_year > np.median(of_year))
