"""Training epochs in PyTorch, with the sizes, windows, optimizer, schedule, and clipping of the Keras epochs.

PyTorch is imported in the functions: it is an optional dependency.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import Config
from deeprnn_keras.bench.epoch import EPOCHS, recipe_from_config, training_ids
from deeprnn_keras.bench.results import Figures
from deeprnn_keras.data.windows import window_starts
from deeprnn_keras.training.schedules import CosineDecay

if TYPE_CHECKING:
    import torch

    from deeprnn_keras.training.recipe import Recipe

CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
KERAS_EPSILON = 1e-7


def train(_: str, config: Config, updates: int, seed: int) -> Figures:
    """Train two epochs of at most `updates` updates.

    Args:
        config: Model and recipe, see `epoch.py`.
        updates: Maximum number of updates per epoch.
        seed: Random seed.
    """
    import torch

    recipe = recipe_from_config(config)
    if recipe.optimizer != "adam" or recipe.global_clipnorm is None:
        raise ValueError(
            "the PyTorch script supports optimizer='adam' with global_clipnorm only, got "
            f"optimizer={recipe.optimizer!r}, global_clipnorm={recipe.global_clipnorm!r}"
        )
    torch.manual_seed(seed)
    model = build_model(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, eps=KERAS_EPSILON)
    loss_function = torch.nn.CrossEntropyLoss()
    x, y = text_windows(config, recipe)
    per_epoch = -(-len(x) // recipe.batch_size)
    count = min(updates, per_epoch)
    seconds, losses, update = [], [], 0
    for _epoch in range(EPOCHS):
        start, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(x)).split(recipe.batch_size)[:count]:
            if isinstance(recipe.schedule, CosineDecay):
                factor = recipe.schedule.factor(update, count, EPOCHS * count)
                optimizer.param_groups[0]["lr"] = recipe.learning_rate * factor
            optimizer.zero_grad()
            loss = loss_function(model(x[batch]).flatten(0, 1), y[batch].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.global_clipnorm)
            optimizer.step()
            total += loss.item()
            update += 1
        seconds.append(time.perf_counter() - start)
        losses.append(total / count)
    return {"epochs_s": seconds, "updates": count, "updates_per_epoch": per_epoch, "loss": losses}


def build_model(config: Config) -> torch.nn.Module:
    """Return a module of embedding, recurrent layers, and linear head."""
    from torch import nn

    vocabulary_size, width, units = len(config["vocabulary"]), config["embedding"], config["units"]

    class TextModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary_size, width)
            layer_class = getattr(nn, CLASSES[config["cell"]])
            self.recurrent = layer_class(width, units, num_layers=config["num_layers"], batch_first=True)
            self.head = nn.Linear(units, vocabulary_size)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.recurrent(self.embedding(ids))[0])

    return TextModel()


def text_windows(config: Config, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all windows of the text, (windows, T), and the same windows shifted by one symbol."""
    import torch

    pieces = training_ids(config)
    starts = window_starts([len(piece) for piece in pieces], recipe.bptt, recipe.stride)
    ids = np.concatenate(pieces).astype("int64")
    windows = torch.from_numpy(ids[starts[:, None] + np.arange(recipe.bptt + 1)])
    return windows[:, :-1], windows[:, 1:]
