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
# A multilayer perceptron gets more flexible by adding layers. A recurrent network already has depth in time, so the
# first question is *where* to add more non-linearity. Two answers:
#
# * inside a step: give the gates hidden layers of their own, and leave the mechanism of the LSTM as it is;
# * between steps: put several recurrent layers on top of each other. Each layer stays simple, their combination does
#   not, and different layers can keep what matters on different time scales.
#
# This page is about the second. It takes about ten minutes on two CPU cores; set the environment variable
# `TUTORIAL_SCALE=0.01` to run through it in a few seconds, with figures that mean nothing.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

from deeprnn_keras import DeepRNN, LanguageModel, Recipe, count_params, king_james, token_windows, zoo
from deeprnn_keras.training import CosineDecay

SCALE = float(os.environ.get("TUTORIAL_SCALE", "1"))
keras.utils.set_random_seed(0)

# %% [markdown]
# ## The equations
#
# At step $t$ there is a mini-batch $\mathbf{X}_t \in \mathbb{R}^{n \times d}$: $n$ examples, $d$ inputs. Hidden layer
# $l = 1, \dots, L$ has the state $\mathbf{H}_t^{(l)} \in \mathbb{R}^{n \times h}$: $h$ hidden units. With
# $\mathbf{H}_t^{(0)} = \mathbf{X}_t$,
#
# $$\mathbf{H}_t^{(l)} = f_l\left(\mathbf{H}_t^{(l-1)} \mathbf{W}_{xh}^{(l)} + \mathbf{H}_{t-1}^{(l)}
# \mathbf{W}_{hh}^{(l)} + \mathbf{b}_h^{(l)}\right), \qquad \mathbf{O}_t = g\left(\mathbf{H}_t^{(L)}\right).$$
#
# A hidden state goes two ways: to the next step of its own layer, and to the same step of the next layer. Only the
# top layer feeds the output. In place of $f_l(\dots)$ there may be a GRU or an LSTM.
#
# ## In five lines

# %%
inputs = keras.Input((None, 3))  # T is open, d = 3
hidden = DeepRNN(units=16, num_layers=2, cell="rnn", return_sequences=True)(inputs)  # H^(L), all steps
outputs = keras.layers.Dense(1)(hidden)  # g
model = keras.Model(inputs, outputs)
model.summary()

# %% [markdown]
# ## The same by hand
#
# `get_weights()` runs from the lowest layer up: kernel $\mathbf{W}_{xh}$, recurrent kernel $\mathbf{W}_{hh}$, bias.
# Two loops, over steps and over layers, are the whole of it.

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
# ## Which component, and the state
#
# `cell` is "rnn", "gru" or "lstm", or one of them per layer; `units` may differ by layer too. The state has one entry
# per layer: $\mathbf{H}$, or $[\mathbf{H}, \mathbf{C}]$ for an LSTM. It can be taken out and handed back, so a long
# sequence may come in pieces.

# %%
layer = DeepRNN([8, 6], cell=["gru", "lstm"], return_sequences=True, return_state=True)
whole, *state = layer(x)
first, *state = layer(x[:, :2])
second, *state = layer(x[:, 2:], initial_state=state)
pieces = np.concatenate([first, second], axis=1)
print("state:", keras.tree.map_structure(lambda tensor: tuple(tensor.shape), state))
assert np.allclose(whole, pieces, atol=1e-6)

# %% [markdown]
# ## A text to learn
#
# The King James Bible comes with the package. The model reads a character and gives a distribution of the next one.
# Its loss is the cross-entropy in nats per character; $e$ to that power is the *perplexity*, and divided by
# $\ln 2$ it is *bits per character*, which compares with the size of a compressed file. Held out is the last tenth of
# each of ten equal stretches of the text, since the end of this book is not like its beginning.

# %%
corpus = king_james()
split = corpus.split()
train_ids, validation_ids = corpus.encode(split.train), corpus.encode(split.validation)
print(f"{len(corpus):,} characters, vocabulary of {len(corpus.vocabulary)}: {corpus.text[:60]!r}...")

RECIPE = Recipe("adam", 5e-3, CosineDecay(), global_clipnorm=1.0, batch_size=32, bptt=32)
UPDATES = max(int(400 * SCALE), 2)
THIN = 24  # every 24th validation window is enough to compare


def train(model, recipe=RECIPE, seed=0):
    """Validation bits per character after UPDATES updates."""
    data = token_windows(train_ids, recipe.bptt, recipe.batch_size, seed=seed).take(UPDATES)
    held_out = token_windows(validation_ids, recipe.bptt, 256, stride=THIN * recipe.bptt, shuffle=False)
    recipe.compile(model, model.loss_function())
    model.fit(data, epochs=1, steps_per_epoch=UPDATES, callbacks=recipe.callbacks(), verbose=0, shuffle=False)
    return model.evaluate(held_out, verbose=0) / np.log(2)


# %% [markdown]
# ## Initialization requires care
#
# The same network, the same updates, two ways to start. Keras' defaults draw the embedding from U(-.05, .05), so
# that the first layer hardly feels its input, and treat the four gates of an LSTM as one matrix. This library's draw
# the embedding from N(0, 1), each gate's kernel by its own fan, and each gate's recurrent matrix orthogonal.

# %%
KERAS = {
    "embeddings_initializer": "uniform",
    "kernel_initializer": "glorot_uniform",
    "recurrent_initializer": "orthogonal",
}
for name, start in (("Keras' defaults", KERAS), ("this library's", {})):
    keras.utils.set_random_seed(0)
    bits = train(LanguageModel(corpus.vocabulary, units=128, num_layers=2, embedding=32, **start))
    print(f"{name:16} {bits:.3f} bits per character after {UPDATES} updates")

# %% [markdown]
# Ours gave 2.940 and 2.382 (seed 0, two CPU cores, Keras 3.15.1, TensorFlow 2.21.0).
#
# ## What L and h change
#
# The two hyperparameters of a deep RNN. Every cell of the table had the same number of updates, so the larger
# networks had more arithmetic, and a longer training might order them differently.

# %%
DEPTHS, WIDTHS = ((1, 2, 3), (32, 64, 128)) if SCALE >= 1 else ((1, 2), (32,))
results = np.zeros((len(DEPTHS), len(WIDTHS)))
for i, L in enumerate(DEPTHS):
    for j, h in enumerate(WIDTHS):
        keras.utils.set_random_seed(0)
        results[i, j] = train(LanguageModel(corpus.vocabulary, units=h, num_layers=L, embedding=32))
        weights = count_params(input_dim=32, units=h, num_layers=L)
        print(f"L = {L}, h = {h:3}: {weights:7,} recurrent weights, {results[i, j]:.3f} bits per character")

# %%
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
picture = axes.imshow(results, cmap="viridis_r")
axes.set(xlabel="hidden units h", ylabel="hidden layers L", title=f"bits per character after {UPDATES} updates")
axes.set_xticks(range(len(WIDTHS)), WIDTHS)
axes.set_yticks(range(len(DEPTHS)), DEPTHS)
for i, j in np.ndindex(results.shape):
    ink = "black" if picture.norm(results[i, j]) < 0.5 else "white"
    axes.text(j, i, f"{results[i, j]:.2f}", ha="center", va="center", color=ink, fontweight="bold")
figure.savefig(os.environ.get("TUTORIAL_FIGURE", "l_and_h.png"), dpi=120)

# %% [markdown]
# In our run (as above) more units helped at every depth. Two layers beat one at h = 64 and 128, not at 32, and three
# came last in every column. That is one seed, and about a ninth of the updates of the zoo's recipe: it says how these
# networks begin, not which is best in the end.
#
# ## From the zoo
#
# Published configurations come by name, with their recipe and exact weight count, compiled and ready for `fit`.

# %%
for name in zoo.list_models():
    print(f"{name:16} {zoo.count_params(name):>11,} weights  {zoo.info(name).paper}")

# %% [markdown]
# On the command line, `deeprnn train kjv_lstm_2x256` trains the model of this page by its whole recipe.
#
# ## Exercises
#
# 1. Replace the LSTM by a GRU (`cell="gru"`): compare bits per character and seconds per epoch.
# 2. Residual connections (`connection="residual"`) at L = 4: do they help after so few updates?
# 3. Take `TextCorpus.from_file("your.txt")` for the King James Bible. What is a fair yardstick for your text?
