"""Files of Neural Amp Modeler in the package neural-amp-modeler, which is installed into an environment of its own."""

import json
import subprocess
import sysconfig
import venv
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks.audio import PEER, Settings, files, recordings
from deeprnn_keras import AudioEffect, export, interop
from deeprnn_keras.data import simulated_amplifier

pytestmark = pytest.mark.long

PACKAGE = "neural-amp-modeler==0.13.0"
RUN = """
import json, sys
import numpy as np, torch
from nam.models._from_nam import init_from_nam
model = init_from_nam(json.load(open(sys.argv[1])))
model.eval()
with torch.no_grad():
    np.save(sys.argv[3], model(torch.from_numpy(np.load(sys.argv[2])[None]), pad_start=False)[0].numpy())
print(model.sample_rate)
"""


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Return a function that runs Python in the environment and returns what it prints."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    here = next(directory.glob("lib/*/site-packages")) / "here.pth"
    here.write_text(sysconfig.get_path("purelib"))  # PyTorch of this environment is used if it is installed
    subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True)

    def run(*arguments):
        process = subprocess.run([python, *map(str, arguments)], capture_output=True, text=True, cwd=directory)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


@pytest.fixture(scope="module")
def sound():
    """Return 10 s of audio."""
    return simulated_amplifier(10.0).dry


def outputs_there(peer, path, sound, directory):
    """Return the output of a file in neural-amp-modeler, and its sample rate."""
    np.save(directory / "x.npy", sound)
    rate = peer("-c", RUN, path, directory / "x.npy", directory / "y.npy").split()[-1]
    return np.load(directory / "y.npy"), float(rate)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_file_written_here(num_layers, peer, sound, tmp_path):
    keras.utils.set_random_seed(num_layers)
    model = AudioEffect(16, num_layers, skip=False, bias_initializer="random_normal")
    export(model, tmp_path / "amp.nam")
    expected, rate = outputs_there(peer, tmp_path / "amp.nam", sound, tmp_path)
    stream = model.stream()
    model.process(np.zeros(48_000), stream=stream)  # the file starts after one second of silence
    assert rate == 48_000 and expected.std() > 1e-3
    np.testing.assert_allclose(model.process(sound, stream=stream), expected, atol=1e-5)
    np.testing.assert_allclose(interop.load(tmp_path / "amp.nam").process(sound), expected, atol=1e-5)


def test_file_trained_there(peer, sound, tmp_path):
    settings = Settings(updates=150, seconds=5.0)
    with files(settings, *recordings(settings)) as directory:
        assert json.loads((directory / "settings.json").read_text()) == asdict(settings)
        peer(PEER, directory)
        path = Path(directory / "model.nam").rename(tmp_path / "model.nam")
    expected, rate = outputs_there(peer, path, sound, tmp_path)
    model = interop.load(path)
    assert model.sample_rate == rate == 48_000 and expected.std() > 1e-3
    np.testing.assert_allclose(model.process(sound), expected, atol=1e-5)
    assert interop.verify(model, path).passed
    again = export(model, tmp_path / "again.nam").path
    np.testing.assert_allclose(outputs_there(peer, again, sound, tmp_path)[0], expected, atol=1e-5)
