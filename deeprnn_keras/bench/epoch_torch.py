"""The epoch in PyTorch, as a plain script has it: the same sizes, windows, optimizer, schedule and clipping.

PyTorch is imported where it is used: the package does without it.
"""

import time

import numpy as np

from deeprnn_keras.bench.epoch import EPOCHS, recipe_of, text_pieces
from deeprnn_keras.data.windows import window_starts

CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
KERAS_EPSILON = 1e-7


def train(_, model, updates, seed):
    """Two epochs of at most so many updates."""
    import torch

    recipe = recipe_of(model)
    if recipe.optimizer != "adam" or recipe.global_clipnorm is None:
        raise ValueError(f"the PyTorch script has Adam and global_clipnorm only; the recipe is {recipe}")
    torch.manual_seed(seed)
    net = network(model)
    optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate, eps=KERAS_EPSILON)
    loss_function = torch.nn.CrossEntropyLoss()
    x, y = windows(model, recipe)
    per_epoch = -(-len(x) // recipe.batch_size)
    count = min(updates, per_epoch)
    seconds, losses, done = [], [], 0
    for _epoch in range(EPOCHS):
        began, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(x)).split(recipe.batch_size)[:count]:
            if recipe.schedule is not None:
                factor = recipe.schedule.factor(done, count, EPOCHS * count)
                optimizer.param_groups[0]["lr"] = recipe.learning_rate * factor
            optimizer.zero_grad()
            loss = loss_function(net(x[batch]).flatten(0, 1), y[batch].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.global_clipnorm)
            optimizer.step()
            total += loss.item()
            done += 1
        seconds.append(time.perf_counter() - began)
        losses.append(total / count)
    return {"epochs_s": seconds, "updates": count, "updates_per_epoch": per_epoch, "loss": losses}


def network(model):
    """Embedding, recurrent layers, affine head."""
    from torch import nn

    size, width, units = len(model["vocabulary"]), model["embedding"], model["units"]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(size, width)
            layers = getattr(nn, CLASSES[model["cell"]])
            self.recurrent = layers(width, units, num_layers=model["num_layers"], batch_first=True)
            self.head = nn.Linear(units, size)

        def forward(self, ids):
            return self.head(self.recurrent(self.embedding(ids))[0])

    return Network()


def windows(model, recipe):
    """All windows of the text, (windows, T), and the same one symbol later."""
    import torch

    pieces = text_pieces(model)
    starts = window_starts([len(piece) for piece in pieces], recipe.bptt, recipe.stride)
    symbols = np.concatenate(pieces).astype("int64")
    cut = torch.from_numpy(symbols[starts[:, None] + np.arange(recipe.bptt + 1)])
    return cut[:, :-1], cut[:, 1:]
