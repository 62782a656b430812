# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Depth against width at equal size
#
# The hyperparameters of a deep RNN are L, its number of layers, and h, the units of each layer. Both increase the
# number of parameters, and larger models mostly perform better. A fair comparison therefore fixes the number of
# parameters and distributes them between depth and width (Melis et al. 2018). At the end you have made this comparison
# for two tasks, the characters of the King James Bible and handwritten digits read as 64 steps, and know which
# conclusions hold for both.
#
# ![Result by number of layers at equal size, for three learning rates and two tasks](04_equal_size.png)
#
# The tutorial takes about half an hour on two CPU cores. It requires the extra `tune`
# (`pip install 'deeprnn-keras[tune]'`). With `TUTORIAL_SCALE=0.01` it runs in a few minutes, and its results are
# meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(tune=["keras_tuner", "sklearn"])

# %%
from typing import Any

import keras
import keras_tuner
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from deeprnn_keras import Recipe, count_params, king_james, token_windows, zoo
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.tuning import GridSearch, HyperDeepRNN
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.trial_records import read_trials

FULL = SCALE >= 1
EPOCHS = 4 if FULL else 1
LAYERS = [1, 2, 3, 4] if FULL else [1, 2]
WIDTHS = [32, 64, 128] if FULL else [4]
LEARNING_RATES = [0.002, 0.005, 0.0125] if FULL else [0.005]
SIZES = {"characters": 150_000 if FULL else 8_000, "digits": 30_000 if FULL else 500}
SEEDS = 2 if FULL else 1

# %% [markdown]
# ## Task 1: characters
#
# A model of the zoo is trained for 400 updates. `HyperDeepRNN` takes its configuration and the search ranges; a single
# value fixes a hyperparameter, and `None` keeps the value of the configuration. The data is a function that is called
# with the recipe of each trial, so that batch size and sequence length can be searched, too.

# %%
corpus = king_james()
split = corpus.split()
train_ids, held_out_ids = corpus.encode(split.train), corpus.encode(split.validation)
BIBLE = zoo.info("kjv_lstm_2x256", vocabulary=corpus.vocabulary.symbols)


def characters(recipe: Recipe) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Return training windows, 100 updates per epoch, and validation windows."""
    train = token_windows(train_ids, recipe.bptt, recipe.batch_size, seed=0, steps=100 if FULL else 3)
    return train, token_windows(held_out_ids, recipe.bptt, 128, stride=800 if FULL else 40_000, shuffle=False)


# %% [markdown]
# ## Task 2: digits
#
# The input is the 8 x 8 pixels of a digit, one pixel per step: 64 steps with one feature, followed by a classification
# into ten classes. A user-defined task requires three things: the input shape, the number of outputs, and the loss.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
x, y = (digits.data[order] / 16).astype("float32")[:, :, None], digits.target[order]
DIGITS = {
    "inputs": (64, 1),
    "outputs": 10,
    "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "metrics": ["accuracy"],
    "recipe": Recipe("adam", 5e-3, CosineDecay(), global_clipnorm=1.0, batch_size=32),
}
TASKS = {
    "characters": (
        lambda **ranges: HyperDeepRNN(BIBLE, **ranges),
        [characters],
        {"epochs": EPOCHS},
        keras_tuner.Objective("val_loss", "min"),
        ("bits per character", 1 / np.log(2)),
    ),
    "digits": (
        lambda **ranges: HyperDeepRNN(**DIGITS, **ranges),
        [x[:1400], y[:1400]],
        {"epochs": 3 * EPOCHS, "validation_data": (x[1400:], y[1400:])},
        keras_tuner.Objective("val_loss", "min"),
        ("validation nats", 1.0),
    ),
}
FIXED = {"cell": "lstm", "connection": None, "dropout": None, "global_clipnorm": None, "forget_bias": None}


def search(task: str, name: str, **ranges: Any) -> SearchResults:
    """Return the results of a grid search. An interrupted search is resumed."""
    make_hypermodel, data, options, objective, scale = TASKS[task]
    hypermodel = make_hypermodel(**FIXED, **ranges)
    tuner = GridSearch(hypermodel, objective, None, directory=f"search_{task}", project_name=name, prune=False)
    tuner.search(*data, verbose=0, **options)
    for seed in range(1, SEEDS) if name == "equal_size" else ():
        for trial_id in tuner.oracle.trials:
            tuner.repeat(trial_id, seed, *data, **options)
    return SearchResults(read_trials(tuner.project_dir, objective.name), hypermodel, objective, scale)


# %% [markdown]
# ## L and h without a budget
#
# All combinations of L and h are trained with one learning rate. In the heat map, the number of parameters increases to
# the right and upwards.

# %%
free = {}
for task in TASKS:
    free[task] = search(task, "free", num_layers=LAYERS, units=WIDTHS, learning_rate=0.005)
    free[task].save(f"free_{task}")
    for row in free[task].rows:
        print(f"{task:12}L {row.layers}  h {row.units:>4}  {row.num_params:>8,} parameters  {row.value:.4f}")

# %% [markdown]
# ## L and h at equal size
#
# With `params`, h is computed from L, so that all models have the same number of parameters to within 3%. Since the
# optimal learning rate can depend on the depth, each L is trained with three learning rates, and every configuration
# with two seeds.

# %%
equal = {}
for task in TASKS:
    equal[task] = search(
        task, "equal_size", num_layers=LAYERS, units=None, learning_rate=LEARNING_RATES, params=SIZES[task]
    )
    equal[task].save(f"equal_{task}")
    print(f"{task}, {SIZES[task]:,} parameters")
    for row in sorted(equal[task].rows, key=lambda row: (row.layers, row.values.get("learning_rate", 0))):
        rate = row.values["learning_rate"]
        print(
            f"  L {row.layers}  h {row.units:>4}  learning rate {rate:<7} {row.value:.4f}  "
            f"{row.ms_per_step:.0f} ms per step"
        )

# %%
means = {}  # {task: {learning rate: {L: result}}}
for task, results in equal.items():
    means[task] = {rate: {} for rate in LEARNING_RATES}
    for row in sorted(results.rows, key=lambda row: row.layers):
        means[task][row.values["learning_rate"]][row.layers] = row.value
measures = {"characters": "bits per character", "digits": "validation nats"}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for panel, (task, by_rate) in zip(axes, means.items(), strict=True):
    for rate, values in by_rate.items():
        panel.plot(list(values), list(values.values()), marker="o", label=f"learning rate {rate}")
    panel.set(xlabel="layers L", ylabel=measures[task], title=f"{task}: {SIZES[task]:,} parameters", xticks=LAYERS)
    panel.spines[["top", "right"]].set_visible(False)
axes[0].legend(frameon=False)
figure.savefig("equal_size.png", dpi=120)

# %%
for task in TASKS:
    best = {}
    for row in equal[task].rows:
        best[row.layers] = min(row.value, best.get(row.layers, np.inf))
    print(f"{task:12}" + "  ".join(f"L {layers}: {value:.4f}" for layers, value in sorted(best.items())))

# %% [markdown]
# Our results (mean over seeds 0 and 1; two cores of an AMD EPYC that ran many other programs, so that the times are not
# meaningful; Keras 3.15.1, TensorFlow 2.21.0, keras-tuner 1.4.8). Without a budget, with a learning rate of 0.005 and
# one seed:
#
# | characters, bits | h 32 | 64 | 128 | | digits, nats | h 32 | 64 | 128 |
# |---|---:|---:|---:|---|---|---:|---:|---:|
# | L 1 | 2.804 | 2.546 | 2.251 | | L 1 | 0.563 | 0.490 | 0.488 |
# | L 2 | 2.887 | 2.485 | **2.169** | | L 2 | 0.533 | 0.388 | **0.302** |
# | L 3 | 3.141 | 2.676 | 2.345 | | L 3 | 0.468 | 0.367 | 0.334 |
# | L 4 | 4.042 | 2.893 | 2.755 | | L 4 | 0.508 | 0.351 | 0.361 |
#
# At equal size, 150,000 parameters for the characters and 30,000 for the digits, by learning rate:
#
# | characters, bits | h | 0.002 | 0.005 | 0.0125 | | digits, nats | h | 0.002 | 0.005 | 0.0125 |
# |---|---:|---:|---:|---:|---|---|---:|---:|---:|---:|
# | L 1 | 154 | 2.454 | 2.197 | **2.012** | | L 1 | 84 | 0.551 | 0.441 | **0.301** |
# | L 2 | 97 | 2.654 | 2.352 | 2.145 | | L 2 | 49 | 0.530 | 0.426 | 0.376 |
# | L 3 | 77 | 2.899 | 2.522 | 2.269 | | L 3 | 38 | 0.563 | 0.449 | 0.304 |
# | L 4 | 66 | 3.308 | 2.881 | 2.724 | | L 4 | 32 | 0.657 | 0.521 | 1.417 |
#
# The following held for both tasks. Without a budget, two layers of 128 units were best. At equal size, one wide layer
# was best and four layers were worst. The highest of the three learning rates was better than the others almost
# everywhere, and the learning rate had a larger effect than L.
#
# The following differed between the tasks. At equal size, each additional layer increased the loss on the characters,
# while on the digits the difference between one, two, and three layers was within the difference between two seeds
# (0.339 and 0.269 with three layers). Of the four-layer networks on the digits with the highest learning rate, one seed
# reached 0.53 and the other 2.31, the loss of a uniform guess: it did not leave the plateau on which training of deep
# stacks starts.
#
# All conclusions of this tutorial have this limitation: the runs are short, with 400 updates on the characters and
# about 530 on the digits, and without residual connections, depth slows the start of training. Longer runs may lead to
# a different order: increase `EPOCHS`, and try `connection="residual"`.
#
# ## Exercises
#
# 1. Do residual connections change the order of the depths? Repeat the search at equal size with
#    `connection="residual"`, for one learning rate.
# 2. Which h has a stack of L layers with 150,000 parameters? Compute the table without training.
# 3. Equal parameters are not equal time. Limit the milliseconds per training step instead of the parameters.
#
# ## Solutions
#
# ### 1. Residual connections

# %%
FIXED["connection"] = "residual"
residual = search("digits", "residual", num_layers=LAYERS, units=None, learning_rate=0.005, params=SIZES["digits"])
for row in sorted(residual.rows, key=lambda row: row.layers):
    plain = means["digits"][0.005].get(row.layers, np.nan)
    print(f"L {row.layers}  h {row.units:>4}  residual {row.value:.4f}, stack {plain:.4f}")

# %% [markdown]
# ### 2. Width by depth

# %%
for L in (1, 2, 3, 4, 8):
    h = 1
    while count_params(input_dim=64, units=h + 1, num_layers=L) <= 150_000:
        h += 1
    print(f"L {L}: h = {h}")

# %% [markdown]
# These are the parameters of the recurrent layers; the table above also counts the embedding and the head, so its h are
# smaller.
#
# ### 3. A budget of time
#
# `HyperDeepRNN(..., max_step_ms=20)` rejects configurations whose training step takes longer than 20 ms on this
# machine, and `deeprnn tune kjv_lstm_2x256 --max-step-ms 20` does the same; see the
# [page on tuning](../docs/tuning.md).
