"""Parts of the benchmark of the zero-shot forecaster."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import zero_shot
from benchmarks.zero_shot_series import RealSeries
from deeprnn_keras import zoo


@pytest.mark.parametrize("steps, horizon", [(25, 4), (36, 12), (289, 48), (8759, 24), (1461, 14)])
def test_windows_are_in_the_series(steps, horizon):
    windows, stride = zero_shot.rolling_plan(steps, horizon)
    assert zero_shot.MIN_WINDOWS <= windows <= zero_shot.MAX_WINDOWS and stride >= 1
    assert horizon + (windows - 1) * stride <= max(steps // 2, horizon + zero_shot.MIN_WINDOWS)


def test_rows_and_summary():
    pytest.importorskip("utilsforecast")
    stamps = pd.date_range("2020-01-01", periods=80, freq="MS")
    y = 10 + np.sin(np.arange(80) * np.pi / 6) + np.random.default_rng(0).normal(0, 0.1, 80)
    series = RealSeries("made", "MS", pd.DataFrame({"ds": stamps, "y": y}))
    forecaster = zoo.create_forecaster(zero_shot.MODEL, pretrained=True)
    (row,) = zero_shot.measure(forecaster, [series], ets=False)
    assert 0 < row.network < 1.1 and np.isnan(row.ets) and row.cells()[:5] == ("made", "MS", "80", "12", "3")
    rows = [zero_shot.Row(series, 3, network, ets, 0.8) for network, ets in ((0.5, 0.8), (2.0, 0.9))]
    text = zero_shot.page(rows)
    assert "mean relative MASE 1.250, geometric mean 1.000, better than seasonal naive on 1 of 2 series" in text
    assert "is better than ETS on 1 of 2 series" in text and "contain 80.0% of the values" in text
    assert "| made | MS | 80 | 12 | 3 | 2.000 | 0.900 | 0.800 |" in text
