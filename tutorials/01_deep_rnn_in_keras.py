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
# A multilayer perceptron becomes more flexible with additional layers. A recurrent network is already deep in time, so
# the first question is *where* to add nonlinearities. There are two answers:
#
# * inside a step: the gates get hidden layers, and the mechanism of the LSTM does not change;
# * between steps: several recurrent layers are stacked. Each layer remains simple, their combination is more flexible,
#   and different layers can represent different time scales.
#
# This tutorial covers the second. It takes about ten minutes on two CPU cores. With the environment variable
# `TUTORIAL_SCALE=0.01` it runs in a few seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from deeprnn_keras import DeepRNN, LanguageModel, Recipe, count_params, king_james, token_windows, zoo
from deeprnn_keras.training import CosineDecay

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Equations
#
# The input at step $t$ is a mini-batch $\mathbf{X}_t \in \mathbb{R}^{n \times d}$ with $n$ examples and $d$ features.
# Hidden layer $l = 1, \dots, L$ has the state $\mathbf{H}_t^{(l)} \in \mathbb{R}^{n \times h}$ with $h$ hidden units.
# With $\mathbf{H}_t^{(0)} = \mathbf{X}_t$,
#
# $$\mathbf{H}_t^{(l)} = f_l\left(\mathbf{H}_t^{(l-1)} \mathbf{W}_{xh}^{(l)} + \mathbf{H}_{t-1}^{(l)}
# \mathbf{W}_{hh}^{(l)} + \mathbf{b}_h^{(l)}\right), \qquad \mathbf{O}_t = g\left(\mathbf{H}_t^{(L)}\right).$$
#
# A hidden state is used twice: by the next step of its own layer, and by the same step of the next layer. Only the top
# layer is connected to the output. $f_l(\dots)$ can be replaced by a GRU or an LSTM.
#
# ## A deep RNN in five lines

# %%
inputs = keras.Input((None, 3))  # any T, d = 3
hidden = DeepRNN(units=16, num_layers=2, cell="rnn", return_sequences=True)(inputs)  # H^(L), all steps
outputs = keras.layers.Dense(1)(hidden)  # g
model = keras.Model(inputs, outputs)
model.summary()

# %% [markdown]
# ## The same in NumPy
#
# `get_weights()` starts with the lowest layer. Each layer has a kernel $\mathbf{W}_{xh}$, a recurrent kernel
# $\mathbf{W}_{hh}$, and a bias. Two nested loops, over steps and over layers, compute the model.

# %%
x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
*recurrent, W_hq, b_q = model.get_weights()
layers = [recurrent[:3], recurrent[3:]]
H = [np.zeros((4, 16)) for _ in layers]
by_hand = []
for t in range(x.shape[1]):
    below = x[:, t]
    for level, (W_xh, W_hh, b_h) in enumerate(layers):
        below = H[level] = np.tanh(below @ W_xh + H[level] @ W_hh + b_h)
    by_hand.append(below @ W_hq + b_q)
by_hand = np.stack(by_hand, axis=1)
difference = np.abs(by_hand - model.predict(x, verbose=0)).max()
print(f"largest difference: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# ## Cells and states
#
# `cell` is a name, for example "rnn", "gru", or "lstm", or a list with one name per layer; `units` can differ between
# layers, too. The state has one entry per layer: $\mathbf{H}$, or $[\mathbf{H}, \mathbf{C}]$ for an LSTM. The layer can
# return it and accept it as the initial state, so that a long sequence can be processed in segments.

# %%
layer = DeepRNN([8, 6], cell=["gru", "lstm"], return_sequences=True, return_state=True)
whole, *state = layer(x)
first, *state = layer(x[:, :2])
second, *state = layer(x[:, 2:], initial_state=state)
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
WINDOW_INTERVAL = 24  # every 24th validation window is sufficient for a comparison


def train(model: LanguageModel, recipe: Recipe = RECIPE, seed: int = 0) -> float:
    """Train for UPDATES updates and return the validation bits per character."""
    data = token_windows(train_ids, recipe.bptt, recipe.batch_size, seed=seed).take(UPDATES)
    held_out = token_windows(validation_ids, recipe.bptt, 256, stride=WINDOW_INTERVAL * recipe.bptt, shuffle=False)
    recipe.compile(model, model.loss_function())
    model.fit(data, epochs=1, steps_per_epoch=UPDATES, callbacks=recipe.callbacks(), verbose=0, shuffle=False)
    return model.evaluate(held_out, verbose=0) / np.log(2)


# %% [markdown]
# ## Effect of the initialization
#
# The same network is trained with the same updates from two initializations. The defaults of Keras initialize the
# embedding with U(-0.05, 0.05), so that the first layer receives almost no input, and treat the four gates of an LSTM
# as one matrix. The defaults of this library initialize the embedding with N(0, 1), the kernel of each gate with its
# own fan-in and fan-out, and the recurrent matrix of each gate as an orthogonal matrix.

# %%
KERAS_INITIALIZERS = {
    "embeddings_initializer": "uniform",
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
}
for name, initializers in (("Keras defaults", KERAS_INITIALIZERS), ("this library", {})):
    keras.utils.set_random_seed(0)
    bits = train(LanguageModel(corpus.vocabulary, units=128, num_layers=2, embedding=32, **initializers))
    print(f"{name:16} {bits:.3f} bits per character after {UPDATES} updates")

# %% [markdown]
# Our results are 2.940 and 2.382 (seed 0, two CPU cores, Keras 3.15.1, TensorFlow 2.21.0).
#
# ## Effect of L and h
#
# L and h are the two hyperparameters of a deep RNN. All configurations are trained with the same number of updates, so
# larger networks use more computation, and a longer run might lead to a different order.

# %%
DEPTHS, WIDTHS = ((1, 2, 3), (32, 64, 128)) if SCALE >= 1 else ((1, 2), (32,))
results = np.zeros((len(DEPTHS), len(WIDTHS)))
for i, L in enumerate(DEPTHS):
    for j, h in enumerate(WIDTHS):
        keras.utils.set_random_seed(0)
        results[i, j] = train(LanguageModel(corpus.vocabulary, units=h, num_layers=L, embedding=32))
        num_params = count_params(input_dim=32, units=h, num_layers=L)
        print(f"L = {L}, h = {h:3}: {num_params:7,} recurrent parameters, {results[i, j]:.3f} bits per character")

# %%
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
image = axes.imshow(results, cmap="viridis_r")
axes.set(xlabel="hidden units h", ylabel="hidden layers L", title=f"bits per character after {UPDATES} updates")
axes.set_xticks(range(len(WIDTHS)), WIDTHS)
axes.set_yticks(range(len(DEPTHS)), DEPTHS)
for i, j in np.ndindex(results.shape):
    text_color = "black" if image.norm(results[i, j]) < 0.5 else "white"
    axes.text(j, i, f"{results[i, j]:.2f}", ha="center", va="center", color=text_color, fontweight="bold")
figure.savefig("l_and_h.png", dpi=120)

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
for name in zoo.list_models():
    print(f"{name:16} {zoo.count_params(name):>11,} parameters  {zoo.info(name).paper}")

# %% [markdown]
# On the command line, `deeprnn train kjv_lstm_2x256` trains a model of this kind with its complete recipe.
#
# ## Exercises
#
# 1. Replace the LSTM by a GRU (`cell="gru"`). Compare bits per character and seconds per epoch.
# 2. Add residual connections (`connection="residual"`) with L = 4. Do they help after so few updates?
# 3. Replace the King James Bible by `TextCorpus.from_file("your.txt")`. What is a fair baseline for your text?
