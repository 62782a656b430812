"""Programs under Ray Data and Dask, in an environment without Keras and TensorFlow."""

import re
import subprocess
import sys

import numpy as np
import pytest
from source_files import ROOT

PACKAGES = ["numpy", "safetensors", "msgspec", "lazy_loader", "typing_extensions", "ml_dtypes"]
ENGINES = ["ray[data]", "dask[distributed]"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the interpreter of a new environment with the engines and this package, without its dependencies."""
    directory = tmp_path_factory.mktemp("environment")
    python = directory / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q"]
    for command in (
        [sys.executable, "-m", "venv", directory],
        [*pip, *PACKAGES, *ENGINES],
        [*pip, "--no-deps", ROOT],
    ):
        subprocess.run(command, check=True, cwd=directory)
    return python


@pytest.mark.long
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_two_workers_return_the_outputs_of_the_model(environment, engine, tmp_path):
    import keras

    from deeprnn_keras import DeepRNN, lower

    page = (ROOT / "docs" / "scoring.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- example: score_with_{engine}.py -->\n```python\n(.*?)```", page, re.DOTALL)
    layers = [keras.Input((None, 3)), DeepRNN(4, num_layers=2), keras.layers.Dense(2)]
    model = keras.Sequential(layers, name="sensor")
    lower(model).save(tmp_path / "sensor.program.safetensors")
    x = np.random.default_rng(0).normal(size=(250, 5, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "score.py").write_text(
        f"{code}    import sys; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    done = subprocess.run([environment, "score.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "False False" in done.stdout, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / f"{engine}.npy"), model.predict(x, verbose=0), atol=1e-6)
