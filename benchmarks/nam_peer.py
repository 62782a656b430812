"""Training of neural-amp-modeler's LSTM for `benchmarks.audio`, in an environment of its own, without deeprnn_keras.

python benchmarks/nam_peer.py DIRECTORY

DIRECTORY has dry.wav and wet.wav to train on, test.wav, the dry signal of the test part, and settings.json. It receives
output.npy, the output for test.wav, times.json with the clock before and after each update, and model.nam.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nam.models.recurrent import LSTM
from scipy.io import wavfile


def windows(size: int, settings: dict[str, Any]) -> Iterator[np.ndarray]:
    """Yield the first samples of the windows of each batch, shuffled in each epoch."""
    rng, length = np.random.default_rng(settings["seed"]), settings["burn_in"] + settings["window"]
    starts = np.arange(0, size - length + 1, settings["window"])
    while True:
        order = rng.permutation(starts)
        for first in range(0, len(order) - settings["batch_size"] + 1, settings["batch_size"]):
            yield order[first : first + settings["batch_size"]]


def main(directory: Path) -> None:
    """Train a model and write its output for the test part."""
    settings = json.loads((directory / "settings.json").read_text())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    rate, dry = wavfile.read(directory / "dry.wav")
    _, wet = wavfile.read(directory / "wet.wav")
    model = LSTM(
        settings["units"],
        train_burn_in=settings["burn_in"],
        train_truncate=settings["truncate"],
        sample_rate=rate,
        num_layers=settings["num_layers"],
    )
    optimizer = torch.optim.Adam(model.parameters(), settings["learning_rate"])
    lowest = settings["final"] * settings["learning_rate"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["updates"], lowest)
    times, batches = [(time.perf_counter(), time.process_time())], windows(len(dry), settings)
    span = np.arange(settings["burn_in"] + settings["window"])
    model.train()
    for _ in range(settings["updates"]):
        index = next(batches)[:, None] + span
        x, y = torch.from_numpy(dry[index]), torch.from_numpy(wet[index][:, settings["burn_in"] :])
        optimizer.zero_grad()
        output = model(x, pad_start=False)[:, settings["burn_in"] :]
        torch.nn.functional.mse_loss(output, y).backward()
        optimizer.step()
        schedule.step()
        times.append((time.perf_counter(), time.process_time()))
    model.eval()
    _, test = wavfile.read(directory / "test.wav")
    with torch.no_grad():
        output = model(torch.from_numpy(test[None]), pad_start=False)[0].numpy()
    np.save(directory / "output.npy", output)
    model.export(directory, basename="model")
    (directory / "times.json").write_text(json.dumps(times))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
