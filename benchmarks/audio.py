"""LSTM of an amplifier beside that of neural-amp-modeler, on the same recordings.

python -m benchmarks.audio PYTHON           # PYTHON: interpreter of an environment with neural-amp-modeler
python -m benchmarks.audio PYTHON --quick   # 12 updates: shows only that it runs
python -m benchmarks.audio PYTHON --time    # 24 updates: the time of an update, on an idle machine

The recordings are 60 s of the simulated amplifier, of which the last tenth is the test part. Both libraries train an
LSTM of the same size with the same number of updates, each with the mean squared error of 16 windows of 2,048 samples,
Adam, and the same learning rates. neural-amp-modeler reads 1,000 samples before each window, half of its length as in
its defaults, and propagates gradients through 512 steps, its default. deeprnn_keras carries the states from window to
window within segments of 0.5 s, as `deeprnn train` does, and propagates gradients through the window.

The error is the error-to-signal ratio on the test part, computed in one pass. The time of an update is the mean without
the first ten, in real time and as processor time, which does not depend on other computations of the machine.
neural-amp-modeler uses one thread: with two it is slower, since the matrices are small. Results are appended to
benchmarks/results/audio/results.csv.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.result_rows import append_row

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data import AudioPair

RESULTS = Path(__file__).resolve().parent / "results" / "audio"
PEER = Path(__file__).with_name("nam_peer.py")
WARM_UP = 10  # updates
TEST_FRACTION = 0.1
LIBRARIES = ("deeprnn_keras", "neural-amp-modeler")


@dataclass(frozen=True)
class Settings:
    """Size of a comparison.

    Attributes:
        units: h.
        num_layers: L.
        updates: Number of updates, which deeprnn_keras rounds up to whole epochs; neural-amp-modeler makes as many.
        batch_size: n.
        window: Samples of a window that are scored, T.
        burn_in: Samples before a window or segment that are not scored.
        truncate: Steps through which neural-amp-modeler propagates gradients.
        segment: Samples of a segment within which deeprnn_keras carries its states.
        learning_rate: Learning rate at the start.
        final: Factor at the end of the cosine decay.
        seconds: Duration of the recordings.
        threads: Number of threads of neural-amp-modeler.
        seed: Random seed.
    """

    units: int = 16
    num_layers: int = 1
    updates: int = 500
    batch_size: int = 16
    window: int = 2048
    burn_in: int = 1000
    truncate: int = 512
    segment: int = 24_576
    learning_rate: float = 5e-3
    final: float = 0.02
    seconds: float = 60.0
    threads: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """Result of one training.

    Attributes:
        library: "deeprnn_keras" or "neural-amp-modeler".
        units: h.
        num_layers: L.
        updates: Number of updates.
        seed: Random seed.
        esr: Error-to-signal ratio on the test part.
        ms_per_update: Mean time of an update after the first ten, in milliseconds.
        cpu_ms_per_update: Its processor time, of all cores together.
        load: Load average of the machine before the training.
    """

    library: str
    units: int
    num_layers: int
    updates: int
    seed: int
    esr: float
    ms_per_update: float
    cpu_ms_per_update: float
    load: float


def recordings(settings: Settings) -> tuple[AudioPair, AudioPair]:
    """Return the part to train on and the test part."""
    from deeprnn_keras.data import simulated_amplifier

    pair = simulated_amplifier(settings.seconds)
    cut = round((1 - TEST_FRACTION) * len(pair.dry))
    return pair.slice(0, cut), pair.slice(cut, len(pair.dry))


@contextmanager
def files(settings: Settings, train: AudioPair, test: AudioPair) -> Iterator[Path]:
    """Yield a directory with the recordings and the settings."""
    import soundfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        for name, signal in (("dry", train.dry), ("wet", train.wet), ("test", test.dry)):
            soundfile.write(path / f"{name}.wav", signal, train.sample_rate, subtype="FLOAT")
        (path / "settings.json").write_text(json.dumps(asdict(settings)))
        yield path


def error_ratio(target: np.ndarray, output: np.ndarray) -> float:
    """Return the error-to-signal ratio."""
    return float(np.sum(np.square(target - output, dtype="float64")) / np.sum(np.square(target, dtype="float64")))


def peer_score(python: str, settings: Settings, load: float) -> Score:
    """Return the result of neural-amp-modeler, which runs in a process of another interpreter."""
    train, test = recordings(settings)
    with files(settings, train, test) as directory:
        command = [python, str(PEER), str(directory)]
        process = subprocess.run(command, capture_output=True, text=True, cwd=directory)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr}")
        times = json.loads((directory / "times.json").read_text())
        return _score("neural-amp-modeler", settings, load, times, test, np.load(directory / "output.npy"))


def own_score(settings: Settings, load: float) -> Score:
    """Return the result of deeprnn_keras on the samples that the files contain."""
    import keras

    from deeprnn_keras import AudioEffect, Recipe
    from deeprnn_keras.data import audio_batches
    from deeprnn_keras.models import ErrorToSignal
    from deeprnn_keras.training import CosineDecay

    train, test = recordings(settings)
    keras.utils.set_random_seed(settings.seed)
    model = AudioEffect(settings.units, settings.num_layers, skip=False, stateful=True)
    options = {"segment": settings.segment, "burn_in": settings.burn_in, "seed": settings.seed}
    data = audio_batches(train, settings.batch_size, settings.window, **options)
    epochs = -(-settings.updates // len(data))
    recipe = Recipe("adam", settings.learning_rate, CosineDecay(settings.final, warmup=0.0), epochs=epochs)
    recipe.compile(model, ErrorToSignal(pre_emphasis=0.0, dc=0.0))
    clock = _clock()
    model.fit(data, epochs=epochs, verbose=0, callbacks=[*recipe.callbacks(data), clock])
    return _score("deeprnn_keras", settings, load, clock.times, test, model.process(test.dry))


def _score(
    library: str,
    settings: Settings,
    load: float,
    times: Sequence[tuple[float, float]],
    test: AudioPair,
    output: np.ndarray,
) -> Score:
    """Return a result from the clocks before the first update and after each."""
    real, processor = 1000 * np.diff(times, axis=0)[WARM_UP:].mean(axis=0)
    sizes = (settings.units, settings.num_layers, len(times) - 1, settings.seed)
    return Score(library, *sizes, error_ratio(test.wet, output), float(real), float(processor), load)


def _clock() -> keras.callbacks.Callback:
    import keras

    class Clock(keras.callbacks.Callback):
        """Real time and processor time before the first update and after each, with the preparation of batches."""

        def __init__(self) -> None:
            super().__init__()
            self.times: list[tuple[float, float]] = []

        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            """Begin to measure."""
            self._add()

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            """Add the time of an update."""
            self._add()

        def _add(self) -> None:
            self.times.append((time.perf_counter(), time.process_time()))

    return Clock()


def main(python: str, *arguments: str) -> None:
    """Compare, print the results, and without --quick save them in benchmarks/results/audio."""
    from deeprnn_keras.bench.environment import environment, load_notes

    settings = Settings()
    if "--quick" in arguments:
        settings = replace(settings, updates=12, seconds=10.0)
    if "--time" in arguments:
        settings = replace(settings, updates=24, seconds=10.0)
    for library in LIBRARIES:
        load = os.getloadavg()[0]
        own = library == "deeprnn_keras"
        score = own_score(settings, load) if own else peer_score(python, settings, load)
        settings = replace(settings, updates=score.updates)
        print(json.dumps(asdict(score)), flush=True)
        if not arguments:
            append_row(RESULTS / "results.csv", asdict(score))
    if not arguments:
        about = {**environment(), **asdict(settings), "notes": load_notes()}
        (RESULTS / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
