"""Training epochs in Keras: `model.fit` on windows of the text, with `LanguageModel` or with stock layers."""

from __future__ import annotations

import time

import keras
from typing_extensions import override

from deeprnn_keras._types import Config, Logs
from deeprnn_keras.bench.epoch import EPOCHS, recipe_from_config, training_ids
from deeprnn_keras.bench.results import Figures
from deeprnn_keras.data import token_windows
from deeprnn_keras.models import LanguageModel

STOCK = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def train(name: str, config: Config, updates: int, seed: int) -> Figures:
    """Train two epochs of at most `updates` updates, as `deeprnn train` does, but without validation.

    Args:
        name: "keras" for stock layers; otherwise a `LanguageModel`.
        config: Model and recipe, see `epoch.py`.
        updates: Maximum number of updates per epoch.
        seed: Random seed.
    """
    recipe = recipe_from_config(config)
    keras.utils.set_random_seed(seed)
    model = stock_model(config) if name == "keras" else language_model(config)
    recipe.compile(model, LanguageModel.loss_function())
    data = token_windows(training_ids(config), recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed)
    count = min(updates, len(data))
    timer = EpochTimer()
    model.fit(
        data.repeat(),
        epochs=EPOCHS,
        steps_per_epoch=count,
        callbacks=[*recipe.callbacks(), timer],
        verbose=0,
        shuffle=False,
    )
    return {"epochs_s": timer.seconds, "updates": count, "updates_per_epoch": len(data), "loss": timer.losses}


def language_model(config: Config) -> keras.Model:
    """Return the `LanguageModel`."""
    sizes = {key: config[key] for key in ("units", "num_layers", "cell", "embedding")}
    return LanguageModel(config["vocabulary"], **sizes)


def stock_model(config: Config) -> keras.Model:
    """Return a model of stock Keras layers with the same sizes."""
    vocabulary_size, layer_class = len(config["vocabulary"]), STOCK[config["cell"]]
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(vocabulary_size, config["embedding"]),
            *[layer_class(config["units"], return_sequences=True) for _ in range(config["num_layers"])],
            keras.layers.Dense(vocabulary_size),
        ]
    )


class EpochTimer(keras.callbacks.Callback):
    """Record the duration and the mean loss of each epoch. The first duration includes compilation.

    Attributes:
        seconds: Duration of each epoch.
        losses: Mean loss of each epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._start = time.perf_counter()

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.losses.append(float((logs or {})["loss"]))
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self._start = now
