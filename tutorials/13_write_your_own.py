# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Write a cell, a model, and a task family
#
# The package has many cells, models, and tasks, and yours is missing. At the end you have added one of each without a
# change to the package: the minimal gated unit as a cell with a check against NumPy, models of it in the zoo, and a
# task family, parity of bits, that trains and scores them.
#
# ![Accuracy on held-out sequences of bits by epoch, for three cells](13_parity.png)
#
# The tutorial takes about half a minute on two CPU cores (38 s of processor time, measured on two shared cores). It
# requires no package beyond this one. With `TUTORIAL_SCALE=0.01` it
# runs in seconds, and its results are meaningless. The same examples as files for a pull request are in
# [CONTRIBUTING](../CONTRIBUTING.md).

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import csv
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import keras
import matplotlib.pyplot as plt
import numpy as np

from deeprnn_keras import (
    AffineMap,
    DeepRNN,
    Equations,
    Recipe,
    RecurrentCell,
    Stream,
    count_params,
    explain_kernels,
    lower,
    register_cell,
    tasks,
    zoo,
)
from deeprnn_keras.data import LETTERS

FULL = SCALE >= 1
EPOCHS = 60 if FULL else 1

# %% [markdown]
# ## A cell
#
# The minimal gated unit (Zhou et al. 2016) is a GRU whose single gate both resets and updates the state:
#
# $$\mathbf{F}_t = \sigma(\mathbf{X}_t \mathbf{W}_{xf} + \mathbf{H}_{t-1} \mathbf{W}_{hf} + \mathbf{b}_f), \qquad
# \tilde{\mathbf{H}}_t = \tanh(\mathbf{X}_t \mathbf{W}_{xh} + (\mathbf{F}_t \odot \mathbf{H}_{t-1}) \mathbf{W}_{hh} +
# \mathbf{b}_h),$$
# $$\mathbf{H}_t = (1 - \mathbf{F}_t) \odot \mathbf{H}_{t-1} + \mathbf{F}_t \odot \tilde{\mathbf{H}}_t.$$
#
# A cell consists of two classes. `Equations` declares the maps, which are the weights and their blocks, and computes
# one step; `RecurrentCell` makes a Keras cell of it. The step must use only arithmetic, the maps, and the activations
# in `f`, because everything else is derived from it: the gradient, the parameter count, the compiled loop, and the
# programs for streaming and export.


# %%
@dataclass(frozen=True)
class MinimalGated(Equations):
    """f = s(x W_f + h U_f + b_f),  c = a(x W_c + (f h) U_c + b_c),  h' = (1 - f) h + f c (arXiv:1603.09420)."""

    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    def maps(self, input_dim: int) -> list[AffineMap]:
        """Return one map of the input with two blocks, and one of the state for each block."""
        return [
            AffineMap("kernel", input_dim, self.units, ("forget", "candidate"), bias="bias"),
            AffineMap("forget_kernel", self.units, self.units, ("forget",), role="recurrent"),
            AffineMap("candidate_kernel", self.units, self.units, ("candidate",), role="recurrent"),
        ]

    def step(self, x: dict, states: Sequence, linear: Callable, f: object) -> list:
        """Return the new state; x holds the blocks of the projected input."""
        (h,) = states
        forget = f.recurrent_activation(x["forget"] + linear("forget_kernel", h)["forget"])
        candidate = f.activation(x["candidate"] + linear("candidate_kernel", forget * h)["candidate"])
        return [h + forget * (candidate - h)]


@register_cell("minimal_gated")
@keras.saving.register_keras_serializable(package="minimal_gated")
class MinimalGatedCell(RecurrentCell):
    """Keras cell of the minimal gated unit."""

    equations_class = MinimalGated


# %% [markdown]
# The name can be used wherever a cell has a name. A loop in NumPy, written from the equations above, is the check.


# %%
def reference(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, forget_kernel: np.ndarray, candidate_kernel: np.ndarray
) -> np.ndarray:
    """Return the last state, (n, h)."""
    h = np.zeros((len(x), forget_kernel.shape[0]))
    for x_t in np.moveaxis(x, 1, 0):
        forget_input, candidate_input = np.split(x_t @ kernel + bias, 2, axis=1)
        forget = 1 / (1 + np.exp(-forget_input - h @ forget_kernel))
        h = (1 - forget) * h + forget * np.tanh(candidate_input + (forget * h) @ candidate_kernel)
    return h


layer = DeepRNN(4, cell="minimal_gated")
x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
output = layer(x).numpy()
difference = np.abs(output - reference(x, **{weight.name: weight.numpy() for weight in layer.weights})).max()
print(f"largest difference to NumPy: {difference:.1e}")
assert difference < 1e-5
assert layer.count_params() == count_params(3, 4, cell="minimal_gated")
print(explain_kernels(keras.Sequential([keras.Input((5, 3)), layer])))

# %% [markdown]
# ## A task family
#
# After each bit of a sequence: is the number of ones so far odd? The network has to keep one bit and flip it at every
# 1; a network without memory cannot do better than a guess. A `Family` defines the data, the loss, and the metrics.
# Training with an output directory, resumption, scores, and cards of models come from the base class. Models of the
# family are described by a `Configuration`, a frozen dataclass that builds the Keras model.


# %%
@dataclass(frozen=True, kw_only=True)
class ParityConfig(zoo.Configuration):
    """Model that reads T bits and returns at each step the logit of an odd number of ones."""

    task: str = "parity"
    length: int = 8  # T
    title: str = "a network that counts modulo two"
    paper: str = "none: an example"
    data: str = "all sequences of 8 bits"
    recipe: Recipe = Recipe("adam", 0.01, batch_size=16, epochs=EPOCHS)  # noqa: RUF009 - frozen

    inputs = outputs = 1  # d and q
    each_step = True

    def build_model(self) -> keras.Model:
        """Return the model, not compiled."""
        bits = keras.Input((self.length, self.inputs))
        layer = DeepRNN(self.units, self.num_layers, self.cell, return_sequences=True, name="deep_rnn")
        return keras.Model(bits, keras.layers.Dense(self.outputs, name="head")(layer(bits)), name=self.name)


@tasks.register
class Parity(tasks.Family):
    """Parity of sequences of bits."""

    name = "parity"
    intended_use = "to test whether a recurrent network keeps one bit in memory"
    limits = "The task is artificial."

    def entries(self) -> list[ParityConfig]:
        """Return the models of the family."""
        return [
            ParityConfig(name=f"parity_{cell}_1x16", cell=cell, units=16, num_layers=1)
            for cell in ("rnn", "gru", "minimal_gated")
        ]

    def load_data(self, config: ParityConfig, path: Path | None = None) -> tasks.Split:
        """Return three quarters of all sequences for training and one quarter for the score."""
        bits = np.array([[n >> k & 1 for k in range(config.length)] for n in range(2**config.length)], "float32")
        bits = np.random.default_rng(0).permutation(bits)[:, :, None]
        odd, cut = bits.cumsum(1) % 2, len(bits) * 3 // 4
        train, test = (bits[:cut], odd[:cut]), (bits[cut:], odd[cut:])
        return tasks.Split(train=train, test=test, validation=test, name="bits")

    def loss(self, model: keras.Model) -> keras.losses.Loss:
        """Return the cross-entropy of logits."""
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def metrics(self, model: keras.Model) -> list[keras.metrics.Metric]:
        """Return the accuracy; a logit above 0 is the prediction "odd"."""
        return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]


# %% [markdown]
# The test sequences are also the validation data, so that we can plot the curve; a real task keeps them apart. The
# models are now in the zoo, with a card:

# %%
print(zoo.list_models("parity*"))
print(zoo.info("parity_minimal_gated_1x16").diagram())

# %% [markdown]
# `train` writes what `deeprnn train` writes: the model, its program, the learning curve, and the result. In a package
# of your own, an entry point makes the family known to the command line; see
# [CONTRIBUTING](../CONTRIBUTING.md#a-task-family-in-one-file).

# %%
family = tasks.families()["parity"]
runs = Path(tempfile.mkdtemp())
curves = {}
for cell in ("rnn", "gru", "minimal_gated") if FULL else ("minimal_gated",):
    config = zoo.info(f"parity_{cell}_1x16")
    keras.utils.set_random_seed(0)
    model = zoo.create_model(config.name)
    run = family.train(model, family.load_data(config), config.recipe, runs / config.name)
    with (runs / config.name / "history.csv").open() as file:
        curves[cell] = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    print(f"{cell:14}{model.count_params():6,} parameters, accuracy {curves[cell][-1]:.3f} after the last epoch")

# %%
figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
for cell, accuracies in curves.items():
    axes.plot(range(1, len(accuracies) + 1), accuracies, label=cell)
axes.axhline(0.5, color="0.6", linestyle=":", label="guess")
axes.set(xlabel="epoch", ylabel="accuracy on 64 held-out sequences", ylim=(0.0, 1.04))
axes.legend(frameon=False, loc="lower right")
axes.spines[["top", "right"]].set_visible(False)
figure.savefig("parity.png", dpi=120)

# %% [markdown]
# In our run, the GRU and the minimal gated unit make no error after 11 epochs, and the simple RNN after 28. The minimal
# gated unit has two thirds of the parameters of the GRU.
#
# ## A model of an existing family
#
# A model of a task that exists is data only: sizes, recipe, and source. This is Elman's network of 1990 on letters.
# `params` is the number of parameters that the source states or that follows from its sizes; the tests of the zoo
# compare it with the model.

# %%
zoo.register(
    zoo.LanguageModelConfig(
        name="elman_1x20",
        params=1568,
        title="Elman's simple recurrent network",
        paper="Elman 1990, Finding Structure in Time, Cognitive Science 14",
        url="https://doi.org/10.1207/s15516709cog1402_1",
        data="15-word sentences without breaks, letters",
        vocabulary=LETTERS,
        letters=True,
        units=20,
        num_layers=1,
        cell="rnn",
        initialization=zoo.Initialization("uniform", 0.1, forget_bias=0.0),
        recipe=Recipe("sgd", 0.1, batch_size=1, bptt=1, stateful=True, epochs=10),
        differs="The source has logistic units and letters of five bits; this model has tanh units, one-hot letters.",
    )
)
print(f"{zoo.count_params('elman_1x20'):,} parameters")
print(zoo.create_model("elman_1x20").name)

# %% [markdown]
# ## Exercises
#
# 1. Does the cell run outside of Keras? Lower a model of it, and compare one output.
# 2. Write a cell whose state is a leaky average: $\mathbf{H}_t = (1 - a) \mathbf{H}_{t-1} + a \tanh(\mathbf{X}_t
#    \mathbf{W}_{xh} + \mathbf{H}_{t-1} \mathbf{W}_{hh} + \mathbf{b}_h)$ with a = 0.5. Check it against NumPy.
# 3. What does `register_cell` say to a step that uses a function outside of the equations, such as NumPy's?
#
# ## Solutions
#
# ### 1. A program of the cell

# %%
sequences = keras.Sequential([keras.Input((None, 3)), DeepRNN(4, cell="minimal_gated"), keras.layers.Dense(1)])
program = lower(sequences)
print(program)
steps = Stream(program, batch_size=2).push(x)  # (n, T, 1)
print(f"largest difference of the last step: {np.abs(steps[:, -1] - sequences(x).numpy()).max():.1e}")

# %% [markdown]
# ### 2. A leaky average


# %%
@dataclass(frozen=True)
class Leaky(Equations):
    """h' = h / 2 + tanh(x W + h U + b) / 2."""

    activations: ClassVar[dict[str, str]] = {"activation": "tanh"}

    def maps(self, input_dim: int) -> list[AffineMap]:
        """Return the maps of a simple RNN."""
        return [
            AffineMap("kernel", input_dim, self.units, ("new",), bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, ("new",), role="recurrent"),
        ]

    def step(self, x: dict, states: Sequence, linear: Callable, f: object) -> list:
        """Return the new state."""
        (h,) = states
        return [0.5 * h + 0.5 * f.activation(x["new"] + linear("recurrent_kernel", h)["new"])]


@register_cell("leaky")
@keras.saving.register_keras_serializable(package="leaky")
class LeakyCell(RecurrentCell):
    """Keras cell of the leaky average."""

    equations_class = Leaky


leaky = DeepRNN(4, cell="leaky")
leaky_output = leaky(x).numpy()
W_xh, W_hh, b_h = leaky.get_weights()
h = np.zeros((2, 4))
for t in range(5):
    h = 0.5 * h + 0.5 * np.tanh(x[:, t] @ W_xh + h @ W_hh + b_h)
print(f"largest difference to NumPy: {np.abs(leaky_output - h).max():.1e}")

# %% [markdown]
# ### 3. A function outside of the equations


# %%
@dataclass(frozen=True)
class Sorted(Leaky):
    """Equations that sort the state, which is not supported."""

    def step(self, x: dict, states: Sequence, linear: Callable, f: object) -> list:
        """Return the sorted state."""
        return [np.sort(states[0])]


class SortedCell(RecurrentCell):
    """Keras cell of these equations."""

    equations_class = Sorted


try:
    register_cell("sorted")(SortedCell)
except (TypeError, ValueError) as error:
    print(error)
