# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Deep recurrent networks in Keras
#
# At the end you have read the equations of a deep recurrent network, computed them in NumPy, trained character models
# of different depth and width on the King James Bible, and this picture:
#
# ![A deep recurrent network unrolled over time, and bits per character by L and h](01_deep_rnn.png)
#
# The tutorial takes about four minutes on two CPU cores. It requires no package beyond this one. With the environment
# variable `TUTORIAL_SCALE=0.01` it runs in a few seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from deeprnn_keras import DeepRNN, LanguageModel, Recipe, TextCorpus, count_params, king_james, token_windows, zoo
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.training.compressors import compressed_bits

FULL = SCALE >= 1
keras.utils.set_random_seed(0)

# %% [markdown]
# ## Where to add nonlinearity
#
# A multilayer perceptron becomes more flexible with additional layers. A recurrent network is already deep in time, so
# the first question is *how* and *where* to add nonlinearity. There are two answers:
#
# * **Inside a step.** The gates get several layers in place of one perceptron. The mechanism of the LSTM does not
#   change; it becomes more sophisticated. This makes sense if one believes that this mechanism describes, in general,
#   how latent variables of autoregressive models behave.
# * **Between steps.** Several recurrent layers are stacked. Each layer remains simple, and their combination is more
#   flexible. In particular, data can be relevant at different levels of the stack: in a model of financial data, a high
#   level may keep the condition of the market (bear or bull), and a lower level the dynamics of the last days.
#
# This tutorial covers the second answer; [tutorial 02](02_four_ways_to_be_deep.py) compares both, and
# [tutorial 12](12_what_each_level_knows.py) measures what the levels of trained stacks represent. The notation is that
# of *Dive into Deep Learning*, section 9.3 (Zhang et al. 2020).
#
# ## Equations
#
# The input at step $t$ is a mini-batch $\mathbf{X}_t \in \mathbb{R}^{n \times d}$ with $n$ examples and $d$ inputs.
# Each of the $L$ hidden layers has a state $\mathbf{H}_t^{(l)} \in \mathbb{R}^{n \times h}$ with $h$ hidden units,
# $l = 1, \dots, L$, and an activation function $f_l$. The output is $\mathbf{O}_t \in \mathbb{R}^{n \times q}$ with $q$
# outputs. The first layer reads the input, and each further layer reads the state of the layer below:
#
# $$\mathbf{H}_t^{(1)} = f_1\left(\mathbf{X}_t, \mathbf{H}_{t-1}^{(1)}\right), \qquad
# \mathbf{H}_t^{(l)} = f_l\left(\mathbf{H}_t^{(l-1)}, \mathbf{H}_{t-1}^{(l)}\right), \quad l = 2, \dots, L.$$
#
# The output function $g$ reads only the state of the top layer:
#
# $$\mathbf{O}_t = g\left(\mathbf{H}_t^{(L)}\right).$$
#
# With the weights of a simple RNN and $\mathbf{H}_t^{(0)} = \mathbf{X}_t$, a layer is
#
# $$\mathbf{H}_t^{(l)} = f_l\left(\mathbf{H}_t^{(l-1)} \mathbf{W}_{xh}^{(l)} + \mathbf{H}_{t-1}^{(l)}
# \mathbf{W}_{hh}^{(l)} + \mathbf{b}_h^{(l)}\right),$$
#
# and $f_l(\dots)$ can be replaced by a GRU or an LSTM. $L$ and $h$ are hyperparameters.
#
# The figure shows the network unrolled over time. A hidden state has two readers: the next step of its own layer, to
# the right, and the next layer of the same step, above.


# %%
def draw_network(axes: plt.Axes, steps: tuple[str, ...] = ("1", "2", "…", "T"), num_layers: int = 3) -> None:
    """Draw a deep RNN unrolled over time: one column per step, one row per layer."""
    level_names = ["1", "2", *["…"] * (num_layers > 3), "L"][-num_layers:] if num_layers > 1 else ["L"]
    rows = ["X", *level_names, "O"]
    for column, step in enumerate(steps):
        for row, level in enumerate(rows):
            _draw_box(axes, column, row, level, step, is_hidden=0 < row <= num_layers)
            if row:
                _draw_arrow(axes, (column, row - 0.7), (column, row - 0.3))
            if 0 < row <= num_layers and column:
                _draw_arrow(axes, (column - 0.66, row), (column - 0.34, row))
    axes.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    axes.axis("off")


def _draw_box(axes: plt.Axes, column: int, row: int, level: str, step: str, is_hidden: bool) -> None:
    if step == "…":
        axes.text(column, row, "…", ha="center", va="center", fontsize=13)
        return
    color = "#f3d9cb" if is_hidden else "#dbe6f1"
    box = FancyBboxPatch((column - 0.32, row - 0.28), 0.64, 0.56, "round,pad=0,rounding_size=0.08")
    box.set(facecolor=color, edgecolor="#22303c", linewidth=0.8)
    axes.add_patch(box)
    symbol = rf"$\mathbf{{H}}_{step}^{{({level})}}$" if is_hidden else rf"$\mathbf{{{level}}}_{step}$"
    axes.text(column, row, symbol, ha="center", va="center", fontsize=11)


def _draw_arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#22303c", "linewidth": 0.9})


network_figure, network_axes = plt.subplots(figsize=(5, 4), layout="constrained")
draw_network(network_axes)
network_figure.savefig("unrolled.png", dpi=120)

# %% [markdown]
# ## A deep RNN in five lines

# %%
inputs = keras.Input((None, 3))  # any T, d = 3
hidden = DeepRNN(units=16, num_layers=2, cell="rnn", return_sequences=True)(inputs)  # H^(L), all steps
outputs = keras.layers.Dense(1)(hidden)  # g
deep_rnn = keras.Model(inputs, outputs)
deep_rnn.summary()

# %% [markdown]
# ## The same in NumPy
#
# `get_weights()` starts with the lowest layer. Each layer has a kernel $\mathbf{W}_{xh}$, a recurrent kernel
# $\mathbf{W}_{hh}$, and a bias. Two nested loops, over steps and over layers, compute the model.

# %%
x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
*recurrent, W_hq, b_q = deep_rnn.get_weights()
layers = [recurrent[:3], recurrent[3:]]
H = [np.zeros((4, 16)) for _ in layers]
by_hand = []
for t in range(x.shape[1]):
    below = x[:, t]
    for level, (W_xh, W_hh, b_h) in enumerate(layers):
        below = H[level] = np.tanh(below @ W_xh + H[level] @ W_hh + b_h)
    by_hand.append(below @ W_hq + b_q)
difference = np.abs(np.stack(by_hand, axis=1) - deep_rnn.predict(x, verbose=0)).max()
print(f"largest difference: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# [Tutorial 14](14_from_scratch.py) continues from here: an LSTM and the gradients of all weights.
#
# ## Cells and states
#
# `cell` is a name, for example "rnn", "gru", or "lstm", or a list with one name per layer; `units` can differ between
# layers, too. The state has one entry per layer: $\mathbf{H}$, or $[\mathbf{H}, \mathbf{C}]$ for an LSTM. The layer can
# return it and accept it as the initial state, so that a long sequence can be processed in segments.

# %%
layer = DeepRNN([8, 6], cell=["gru", "lstm"], return_sequences=True, return_state=True)
whole, *_ = layer(x)
first, *state = layer(x[:, :2])
second, *_ = layer(x[:, 2:], initial_state=state)
segments = np.concatenate([first, second], axis=1)
print("state:", keras.tree.map_structure(lambda tensor: tuple(tensor.shape), state))
assert np.allclose(whole, segments, atol=1e-6)

# %% [markdown]
# ## A language model
#
# The King James Bible is included in the package. The model reads a character and predicts a distribution over the next
# one. The loss is the cross-entropy in nats per character; its exponential is the *perplexity*, and the loss divided by
# $\ln 2$ is the number of *bits per character*, which is comparable with the size of a compressed file. `split` divides
# the text into ten equal segments and holds out the last tenth of each, because the end of the book differs from its
# beginning.

# %%
corpus = king_james()
split = corpus.split()
train_ids, validation_ids = corpus.encode(split.train), corpus.encode(split.validation)
print(f"{len(corpus):,} characters, {len(corpus.vocabulary)} distinct: {corpus.text[:60]!r}...")

RECIPE = Recipe("adam", 5e-3, CosineDecay(), global_clipnorm=1.0, batch_size=32, bptt=32)
UPDATES = max(int(400 * SCALE), 2)
WINDOW_INTERVAL = 24 if FULL else 2_000  # every 24th validation window is sufficient for a comparison


def train(model: LanguageModel, ids: list[np.ndarray] = train_ids) -> tuple[float, float]:
    """Train for UPDATES updates; return the validation bits per character and the milliseconds per update."""
    data = token_windows(ids, RECIPE.bptt, RECIPE.batch_size, seed=0, steps=UPDATES // 2)
    held_out = token_windows(validation_ids, RECIPE.bptt, 256, stride=WINDOW_INTERVAL * RECIPE.bptt, shuffle=False)
    RECIPE.compile(model, model.loss_function())
    times = []  # the first epoch includes compilation, the second does not
    timer = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: times.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: times.append(time.perf_counter()),
    )
    model.fit(data, epochs=2, callbacks=[*RECIPE.callbacks(), timer], verbose=0, shuffle=False)
    milliseconds = 1e3 * (times[3] - times[2]) / len(data)
    return float(model.evaluate(held_out, verbose=0) / np.log(2)), milliseconds


def new_model(L: int = 2, h: int = 128 if FULL else 8, **options: object) -> LanguageModel:
    """Return a character model with the weights of seed 0."""
    keras.utils.set_random_seed(0)
    return LanguageModel(corpus.vocabulary, units=h, num_layers=L, embedding=32, **options)


# %% [markdown]
# ## Effect of the initialization
#
# The initialization of deep RNNs requires care. The same network is trained with the same updates from two
# initializations. The defaults of Keras initialize the embedding with U(-0.05, 0.05), so that the first layer receives
# almost no input, and treat the four gates of an LSTM as one matrix. The defaults of this library initialize the
# embedding with N(0, 1), the kernel of each gate with its own fan-in and fan-out, and the recurrent matrix of each gate
# as an orthogonal matrix.

# %%
KERAS_INITIALIZERS = {
    "embeddings_initializer": "uniform",
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
}
for name, initializers in (("Keras defaults", KERAS_INITIALIZERS), ("this library", {})):
    bits, _ = train(new_model(**initializers))
    print(f"{name:16} {bits:.3f} bits per character after {UPDATES} updates")

# %% [markdown]
# Our results are 2.936 and 2.387 (seed 0, two CPU cores, Keras 3.15.1, TensorFlow 2.21.0). Convergence depends on the
# learning rate, on clipping, and on more; [tutorial 03](03_convergence.py) is about it.
#
# ## Effect of L and h
#
# L and h are the two hyperparameters of a deep RNN. All configurations are trained with the same number of updates, so
# larger networks use more computation, and a longer run might lead to a different order.

# %%
DEPTHS, WIDTHS = ((1, 2, 3), (32, 64, 128)) if FULL else ((1, 2), (8,))
results = np.zeros((len(DEPTHS), len(WIDTHS)))
for i, L in enumerate(DEPTHS):
    for j, h in enumerate(WIDTHS):
        results[i, j], _ = train(new_model(L, h))
        num_params = count_params(input_dim=32, units=h, num_layers=L)
        print(f"L = {L}, h = {h:3}: {num_params:7,} recurrent parameters, {results[i, j]:.3f} bits per character")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
draw_network(left)
image = right.imshow(results, cmap="viridis_r")
right.set(xlabel="hidden units h", ylabel="hidden layers L", title=f"bits per character after {UPDATES} updates")
right.set_xticks(range(len(WIDTHS)), WIDTHS)
right.set_yticks(range(len(DEPTHS)), DEPTHS)
for i, j in np.ndindex(results.shape):
    text_color = "black" if image.norm(results[i, j]) < 0.5 else "white"
    right.text(j, i, f"{results[i, j]:.2f}", ha="center", va="center", color=text_color, fontweight="bold")
figure.savefig("deep_rnn.png", dpi=120)

# %% [markdown]
# In our run (as above), more units improved the result at every depth. Two layers were better than one with h = 64 and
# 128, but not with 32, and three layers were the worst in every column. This is one seed and about a ninth of the
# updates of the zoo's recipe: it shows how these networks start to learn, not which is best after complete training.
#
# ## Models of the zoo
#
# Published configurations are available by name, with their recipe and exact number of parameters, compiled and ready
# for `fit`.

# %%
for name in zoo.list_models(task="language"):
    print(f"{name:20} {zoo.count_params(name):>13,} parameters  {zoo.info(name).paper}")

# %% [markdown]
# On the command line, `deeprnn train kjv_lstm_2x256` trains a model of this kind with its complete recipe.
#
# ## Summary
#
# * In a deep RNN, a hidden state is passed to the next step of its layer and to the next layer of its step.
# * Its layers can be simple RNNs, GRUs, or LSTMs.
# * The initialization requires care, and so does convergence: learning rate, clipping, and more.
#
# ## Exercises
#
# 1. Replace the LSTM by a GRU, and compare accuracy and speed.
# 2. Increase the training data to include more books. How low can the perplexity get?
# 3. Would you combine the texts of different authors in one model? Why is this a good idea, and what could go wrong?
# 4. Do residual connections (`connection="residual"`) help a stack of L = 4 after so few updates?
# 5. Your own text: which number of bits per character is a fair baseline?
#
# ## Solutions
#
# ### 1. GRU in place of LSTM

# %%
for cell in ("rnn", "gru", "lstm") if FULL else ("gru",):
    model = new_model(cell=cell)
    bits, milliseconds = train(model)
    print(
        f"{cell:5}{model.count_params():9,} parameters  {bits:.3f} bits per character  {milliseconds:.0f} ms per update"
    )

# %% [markdown]
# Our run, with the times measured separately on the idle machine:
#
# | | parameters | bits per character | ms per update |
# |---|---:|---:|---:|
# | RNN | 64,130 | 2.270 | 9 |
# | GRU | 171,906 | 2.145 | 15 |
# | LSTM | 224,642 | 2.387 | 19 |
#
# After 400 updates the GRU is best, and it is faster than the LSTM, which has a third more recurrent weights. This is
# how the networks start to learn; after 3,638 updates of the zoo's recipe, the LSTM reaches 1.439 and the GRU 1.427
# bits.
#
# ### 2. More books
#
# The Bible consists of 66 books. Genesis, the first, has 4.8% of the text, the first five have 20%. All models are
# trained for the same number of updates and scored on the same text, which is taken from all parts of the Bible.

# %%
training_text = "".join(split.train)
for share in (0.048, 0.2, 1.0) if FULL else (0.048,):
    text = training_text[: int(share * len(training_text))]
    bits, _ = train(new_model(), [corpus.vocabulary.encode(text)])
    print(f"{share:6.1%} of the training text: {bits:.3f} bits per character, perplexity {2**bits:.2f}")

# %% [markdown]
# Our results are 2.502, 2.430, and 2.364 bits. More books help although the number of updates is the same, because the
# model meets the words of all parts of the Bible. With so few updates it is far from memorizing even one book.
#
# How low can it get? Lower with more updates and more units, as the trained models of the zoo show: `kjv_lstm_2x256`
# reaches a perplexity of 2.71 after 3,638 updates and `kjv_lstm_2x512` one of 2.42 after 9,090, on all held-out text.
# [Tutorial 05](05_text.py) measures the effect of the amount of text with longer training.
#
# ### 3. Different authors
#
# It is a good idea if the texts have much in common, because the model then learns common words and grammar from more
# data. It goes wrong if the texts differ: with the same number of parameters and updates, the model has to represent
# both, and its samples mix the styles. [Tutorial 05](05_text.py) trains models on the Bible,
# on the reference of the Python language, and on both: the mixed model is worse than each of the specialists on its
# text, by 0.22 and 0.35 bits per character, but the specialists fail on the other text.
#
# ### 4. Residual connections

# %%
for connection in ("stack", "residual") if FULL else ("residual",):
    bits, _ = train(new_model(L=4, connection=connection))
    print(f"L = 4, {connection:9} {bits:.3f} bits per character")

# %% [markdown]
# Our results are 3.009 bits without and 2.186 bits with residual connections: better than every stack of the heat map.
# A residual connection gives the gradient a path around each layer, so that four layers start to learn at once.
#
# ### 5. A baseline for your text
#
# A general-purpose compressor needs no training: its size in bits divided by the number of characters is comparable
# with the score of a model. `deeprnn train --text FILE` prints three of them. Your text is `TextCorpus.from_file(FILE)`
# in place of `king_james()`; here it is the first half of the book.

# %%
your_corpus = TextCorpus(corpus.text[: len(corpus) // 2], "first half")
your_split = your_corpus.split()
for name, bits in compressed_bits("".join(your_split.validation)):
    print(f"{name:10} {bits:.3f} bits per character")
