# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Four ways to be deep
#
# A recurrent network can be made deep between its steps, by stacking layers, or inside the step. Pascanu et al. (2013)
# name the places inside a step: the transition from one state to the next, the input, and the output. Zilly et al.
# (2016) replace the transition by a highway network. The gates of an LSTM can also have hidden layers, without a change
# of its mechanism.
#
# At the end you have compared them at an *equal number of parameters* on the characters of the King James Bible: bits
# per character, time, and how far gradients reach back.
#
# ![Bits per character and relative gradients of six architectures of 400,000 parameters](02_four_ways.png)
#
# The tutorial takes about ten minutes on two CPU cores. It requires the extra `probe`
# (`pip install 'deeprnn-keras[probe]'`). With `TUTORIAL_SCALE=0.01` it runs in half a minute, and its results are
# meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(probe=["sklearn"])

# %%
import time
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from deeprnn_keras import LanguageModel, Recipe, king_james, probe_levels, token_windows, zoo
from deeprnn_keras.training import CosineDecay

# %% [markdown]
# ## Architectures
#
# The baseline is one LSTM layer. It is compared with:
#
# 1. **stacked**: two layers, the input of $\mathbf{H}_t^{(2)}$ is $\mathbf{H}_t^{(1)}$;
# 2. **gates with a hidden layer**: each gate is $\mathbf{V}\tanh(\mathbf{W}x_t + \mathbf{U}h_{t-1} + b) + c$;
# 3. **deep transition**: two LSTM stages from $h_{t-1}$ to $h_t$, of which the second reads $x_t$ and $h_{t-1}$, too;
#    and a **highway** transition: four layers from $h_{t-1}$ to $h_t$, each with a carry gate;
# 4. **deep output**: one LSTM layer, and a hidden layer between $\mathbf{H}_t$ and the logits.
#
# All of them are `DeepRNN`s: `cell` is the name of a cell, or a dictionary with its name and options. The zoo counts
# the parameters of a complete model, including embedding and head, without building it. For each architecture, h is the
# largest value within the budget.

# %%
ARCHITECTURES = {
    "one LSTM layer": {"cell": "lstm", "num_layers": 1},
    "stacked": {"cell": "lstm", "num_layers": 2},
    "gates with a hidden layer": {"cell": "mlp_gate_lstm", "num_layers": 1},
    "deep transition": {"cell": {"name": "deep_transition_lstm", "depth": 2}, "num_layers": 1},
    "highway": {"cell": {"name": "rhn", "depth": 4}, "num_layers": 1},
    "deep output": {"cell": "lstm", "num_layers": 1, "head_units": (256,) if SCALE >= 1 else (16,)},
}
EMBEDDING = 64
BUDGET = 400_000 if SCALE >= 1 else 20_000  # parameters


def num_params(h: int, **architecture: Any) -> int:
    """Return the number of parameters of the complete model with h units."""
    return zoo.count_params("kjv_lstm_2x256", units=h, embedding=EMBEDDING, **architecture)


def largest_width(budget: int, **architecture: Any) -> int:
    """Return the largest h with at most `budget` parameters."""
    h = 1
    while num_params(h + 1, **architecture) <= budget:
        h += 1
    return h


widths = {name: largest_width(BUDGET, **architecture) for name, architecture in ARCHITECTURES.items()}
for name, h in widths.items():
    print(f"{name:26} h = {h:3}  {num_params(h, **ARCHITECTURES[name]):,} parameters")

# %% [markdown]
# ## Training
#
# All models are trained with the same text, batches, number of updates, and recipe. The learning rate was tuned for
# stacked LSTMs and may not be optimal for the other architectures.

# %%
corpus = king_james()
split = corpus.split()
train_ids, validation_ids = corpus.encode(split.train), corpus.encode(split.validation)
RECIPE = Recipe("adam", 4e-3, CosineDecay(final=0.05, warmup=0.03), global_clipnorm=1.0, batch_size=32, bptt=64)
NUM_EVALUATIONS = 10 if SCALE >= 1 else 2  # points of the validation curve
UPDATES = NUM_EVALUATIONS * max(int(150 * SCALE), 2)
WINDOW_INTERVAL = 12  # every 12th validation window is sufficient for a comparison


def train(name: str, seed: int = 0) -> tuple[LanguageModel, list[tuple[int, float]], float]:
    """Train an architecture.

    Returns:
        The model, the validation curve [(updates, bits per character)], and milliseconds per update.
    """
    keras.utils.set_random_seed(seed)
    model = LanguageModel(corpus.vocabulary, units=widths[name], embedding=EMBEDDING, **ARCHITECTURES[name])
    RECIPE.compile(model, model.loss_function())
    data = token_windows(train_ids, RECIPE.bptt, RECIPE.batch_size, seed=seed).repeat()
    held_out = token_windows(validation_ids, RECIPE.bptt, 256, stride=WINDOW_INTERVAL * RECIPE.bptt, shuffle=False)
    start_times, durations = [], []
    timer = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: start_times.append(time.perf_counter()),
        on_train_batch_end=lambda batch, logs: durations.append(time.perf_counter() - start_times[-1]),
    )
    history = model.fit(
        data,
        epochs=NUM_EVALUATIONS,
        steps_per_epoch=UPDATES // NUM_EVALUATIONS,
        validation_data=held_out,
        callbacks=[*RECIPE.callbacks(), timer],
        shuffle=False,
        verbose=0,
    )
    bits = [loss / np.log(2) for loss in history.history["val_loss"]]
    updates = [UPDATES // NUM_EVALUATIONS * (number + 1) for number in range(NUM_EVALUATIONS)]
    return model, list(zip(updates, bits, strict=True)), 1e3 * float(np.median(durations))


runs = {}
for name in ARCHITECTURES:
    runs[name] = train(name)
    _, curve, milliseconds = runs[name]
    print(f"{name:26} {curve[-1][1]:.3f} bits per character, {milliseconds:.0f} ms per update", flush=True)

# %% [markdown]
# ## Gradients over time
#
# The gradient of the loss at the last step of a window with respect to the embedding $k$ steps earlier shows how
# strongly that character still affects the loss. The plot shows its norm, averaged over 32 windows of held-out text and
# relative to $k = 0$.

# %%
LAGS = 64


def relative_gradient_norms(model: LanguageModel) -> np.ndarray:
    """Return the norm of the gradient at each lag, relative to lag 0."""
    x, y = next(iter(token_windows(validation_ids, LAGS, 32, seed=1)))
    embed, *layers = model.layers[1:]
    vectors = embed(x)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        hidden = vectors
        for layer in layers:
            hidden = layer(hidden)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y[:, -1], hidden[:, -1], from_logits=True))
    norms = np.linalg.norm(tape.gradient(loss, vectors).numpy(), axis=-1).mean(0)[::-1]
    return norms / norms[0]


gradient_norms = {name: relative_gradient_norms(model) for name, (model, _, _) in runs.items()}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for name, (_, curve, _) in runs.items():
    left.plot(*zip(*curve, strict=True), marker="o", markersize=3.5, label=f"{name}, h = {widths[name]}")
    right.semilogy(range(LAGS), gradient_norms[name], label=name)
left.set(xlabel="updates", ylabel="validation bits per character", title=f"{BUDGET:,} parameters each")
right.set(xlabel="lag in steps", ylabel="relative gradient norm", title="Gradient of the last loss at earlier steps")
left.legend(frameon=False, fontsize=8.5)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("curves.png", dpi=120)

# %%
summary = {  # bits per character, milliseconds per update, relative gradient norms at lags 10 and 40
    name: (curve[-1][1], milliseconds, gradient_norms[name][10], gradient_norms[name][40])
    for name, (_, curve, milliseconds) in runs.items()
}
print(f"{'':26}{'h':>5}{'bits/char':>11}{'ms/update':>11}{'gradient at lag 10':>20}{'lag 40':>10}")
for name, (bits, milliseconds, *gradients) in summary.items():
    print(f"{name:26}{widths[name]:>5}{bits:>11.3f}{milliseconds:>11.0f}{gradients[0]:>20.1e}{gradients[1]:>10.1e}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
names, rows = list(summary), np.arange(len(summary))
left.plot([summary[name][0] for name in names], rows, "o", color="#c2410c")
for row, name in enumerate(names):
    left.text(summary[name][0], row - 0.25, f"{summary[name][0]:.3f}", ha="center", fontsize=9)
left.set_yticks(rows, names)
left.set(xlabel=f"bits per character, {BUDGET:,} parameters each")
left.grid(axis="y", color="0.9")
left.margins(x=0.15)
left.invert_yaxis()
for offset, lag, color in ((-0.2, 10, "#2b6ca3"), (0.2, 40, "#9db8d2")):
    right.barh(
        rows + offset, [summary[name][2 if lag == 10 else 3] for name in names], 0.4, color=color, label=f"lag {lag}"
    )
right.set(xscale="log", xlabel="relative gradient norm")
right.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("four_ways.png", dpi=120)

# %% [markdown]
# Our results (seed 0; two cores of an AMD EPYC that sometimes ran other programs; Keras 3.15.1, TensorFlow 2.21.0):
#
# | | h | bits per character | ms per update | gradient at lag 10 | at lag 40 |
# |---|---:|---:|---:|---:|---:|
# | one LSTM layer | 276 | 1.746 | 43 | 4.3e-02 | 5.2e-05 |
# | stacked | 168 | 1.768 | 53 | 4.2e-02 | 1.4e-04 |
# | gates with a hidden layer | 202 | 1.721 | 49 | 4.2e-02 | 2.1e-04 |
# | deep transition | 158 | 1.706 | 60 | 2.8e-02 | 2.6e-05 |
# | highway | 210 | 1.655 | 52 | 4.0e-02 | 1.5e-05 |
# | deep output | 249 | **1.641** | 45 | 5.4e-02 | 7.1e-04 |
#
# At this size and after 1,500 updates, the hidden layer before the logits gave the best result at little additional
# time, and every architecture with depth inside the step was better than one layer. Stacking, after which this library
# is named, was the worst: its second layer reduces the width to 168 units. The curves had not crossed and were still
# falling. A longer run, a larger budget, or another seed may lead to a different order. Gradients reach farthest back
# in the deep output network, whose recurrence is the simplest. They decay fastest in the highway network, which is
# second best nevertheless: in this text, characters more than 30 steps back hardly matter.
#
# ## Information in each layer
#
# The layers of a stack can represent different information: higher layers may represent what changes slowly, and lower
# layers what changes from step to step. `probe_levels` fits a linear readout to each level, that is, to the embedding
# and to the states of each layer. The two targets here are the position in the current word, and whether the next
# character is a space.

# %%
model = runs["stacked"][0]
ids = np.asarray(validation_ids[0][: 64 * 60]).reshape(-1, 64)
space = corpus.vocabulary.encode(" ")[0]
position_in_word = np.zeros(ids.shape)
for t in range(1, ids.shape[1]):
    position_in_word[:, t] = np.where(ids[:, t] == space, 0, position_in_word[:, t - 1] + 1)
next_is_space = np.concatenate([ids[:, 1:], ids[:, :1]], 1) == space
position_probe = probe_levels(model, ids, position_in_word)
space_probe = probe_levels(model, ids, next_is_space)
position_probe.plot("levels.png", title="Linear readout of the position in the word")
print("position in the word\n", position_probe, sep="")
print("next character is a space\n", space_probe, sep="")

# %% [markdown]
# In our run, both layers represented the position in the word (R² 0.883 in the first, 0.871 in the second, 0.423 in the
# embedding) and the end of a word (accuracy 0.954, 0.944, and 0.842; the constant prediction "no" has an accuracy of
# 0.812). The first layer was slightly better at both, so these two targets do not show the contribution of the second.
#
# ## Exercises
#
# 1. How does h depend on the depth of a highway network at equal size? Compute it for depths of 1 to 10, without
#    training.
# 2. How long is the path of a gradient from one step to the next? Count the layers that it passes in each architecture,
#    and compare the gradients at lag 10.
# 3. Which target is known to the second layer and not to the first? Ask `probe_levels` for the character three steps
#    ago.
#
# ## Solutions
#
# ### 1. Depth against width of a highway network

# %%
for depth in (1, 2, 4, 10):
    deep = {"cell": {"name": "rhn", "depth": depth}, "num_layers": 1}
    h = largest_width(BUDGET, **deep)
    print(f"depth {depth:2}: h = {h}, {num_params(h, **deep):,} parameters")

# %% [markdown]
# Each layer of the transition has two square matrices of its own, so h decreases about with the square root of the
# depth.
#
# ### 2. Length of the path
#
# Between two steps, the state passes one layer in the LSTM, the stack, and the deep output; two in the deep transition
# and in gates with a hidden layer; and four in the highway network. The count alone does not determine the decay,
# because gates add an almost linear path: in the table, the highway network has a larger gradient at lag 10 than the
# deep transition, and the smallest at lag 40.
#
# ### 3. Memory of the second layer

# %%
vowels = corpus.vocabulary.encode("aeiou")
was_vowel = np.zeros(ids.shape, bool)
was_vowel[:, 3:] = np.isin(ids[:, :-3], vowels)
print("a vowel three steps ago\n", probe_levels(model, ids, was_vowel), sep="")

# %% [markdown]
# [Tutorial 12](12_what_each_level_knows.py) asks such questions to three networks, and to untrained ones for
# comparison.
