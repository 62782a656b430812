"""Forecasters of the zoo beside neuralforecast, which is installed into an environment of its own."""

import subprocess
import venv

import numpy as np
import pytest

from benchmarks.forecasters import MODELS, compare

PEER = "neuralforecast==3.3.0"


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    directory = tmp_path_factory.mktemp("neuralforecast")
    venv.create(directory, with_pip=True)
    python = str(directory / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", PEER], check=True)
    return compare(python)


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_forecaster_is_not_worse_than_that_of_neuralforecast(scores, model):
    """The mean MASE of three seeds is at most that of neuralforecast plus one standard deviation."""
    own, peer = (
        [score.mase for score in scores if (score.library, score.model) == (library, model)]
        for library in ("deeprnn_keras", "neuralforecast")
    )
    assert len(own) == len(peer) == 3 and np.mean(own) <= np.mean(peer) + np.std(peer, ddof=1), (own, peer)
