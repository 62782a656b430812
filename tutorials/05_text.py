# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Text: GRU instead of LSTM, more text, and two authors in one model
#
# At the end you have trained character models that answer three questions. What changes in accuracy and speed with a
# GRU or a simple RNN instead of an LSTM? How much does more text reduce the perplexity? And should texts of different
# authors be mixed?
#
# ![Bits per character by the amount of training text](05_more_text.png)
#
# Each model is trained for 500 updates, and the tutorial takes about seven minutes on two CPU cores. It requires no
# package beyond this one. With `TUTORIAL_SCALE=0.01` it runs in a minute, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import time
from collections.abc import Sequence
from pydoc_data import topics
from typing import Any

import keras
import matplotlib.pyplot as plt

from deeprnn_keras import LanguageModel, TextCorpus, king_james, token_windows, zoo
from deeprnn_keras.data import Vocabulary

FULL = SCALE >= 1
UNITS, UPDATES = (128, 500) if FULL else (8, 4)
HELD_OUT = 60_000 if FULL else 2_000  # characters to score

# %% [markdown]
# ## Training function
#
# All models are trained by one function. It creates a model of the zoo with some fields of its configuration replaced,
# divides the text into windows of 64 characters, which are shuffled in every epoch, and calls `fit` with the
# learning-rate schedule of the recipe. It returns the model, which is then scored on held-out text in bits per
# character, and the milliseconds per update.

# %%
bible = king_james()
split = bible.split()
test_text = [piece[: HELD_OUT // 10] for piece in split.validation]  # from ten places in the book


class EpochTimer(keras.callbacks.Callback):
    """Callback that measures the duration of the last epoch; the first epoch includes compilation."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the timer."""
        self.start_time = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the timer."""
        self.seconds = time.perf_counter() - self.start_time


def train(pieces: Sequence[str], vocabulary: Vocabulary, **overrides: Any) -> tuple[LanguageModel, float]:
    """Train a model and return it and the milliseconds per update."""
    keras.utils.set_random_seed(0)
    options = {"units": UNITS, "vocabulary": vocabulary.symbols, **overrides}
    model, recipe = zoo.create_model("kjv_lstm_2x256", **options), zoo.info("kjv_lstm_2x256").recipe
    data = token_windows(
        [vocabulary.encode(piece) for piece in pieces], recipe.bptt, recipe.batch_size, steps=UPDATES // 2
    )
    timer = EpochTimer()
    model.fit(data, epochs=2, callbacks=[*recipe.callbacks(), timer], shuffle=False, verbose=0)
    return model, 1e3 * timer.seconds / len(data)


# %% [markdown]
# ## GRU instead of LSTM
#
# With the same L and h, the number of parameters differs: a GRU has three pairs of weight matrices, an LSTM
# has four, and a simple RNN has one.

# %%
cells = {}
print(f"{'cell':6}{'params':>10}{'bits/char':>11}{'perplexity':>12}{'ms/update':>11}")
for cell in ("rnn", "gru", "lstm"):
    model, ms = train(split.train, bible.vocabulary, cell=cell)
    score = model.score(test_text)
    cells[cell] = model, score.bits_per_character
    print(f"{cell:6}{model.count_params():>10,}{score.bits_per_character:>11.3f}{score.perplexity:>12.2f}{ms:>11.1f}")

# %% [markdown]
# One run, seed 0, 2 cores:
#
# | | parameters | bits per character | perplexity | ms per update |
# |---|---|---|---|---|
# | RNN | 70,338 | 1.972 | 3.92 | 35 |
# | GRU | 186,306 | 1.831 | 3.56 | 65 |
# | LSTM | 243,138 | 2.037 | 4.10 | 74 |
#
# After so few updates, the GRU is best, and the LSTM is worse than the simple RNN: it has the most parameters, and
# neither the learning rate nor the number of updates is tuned for it. After 3,638 updates, as in the zoo, the two gated
# cells have nearly the same result: 1.439 for the LSTM and 1.427 for the GRU.

# %% [markdown]
# ## More text
#
# Models are trained on the first 20,000, 100,000, and 500,000 characters and on the whole training text, with the same
# number of updates. The held-out text is taken from ten places in the book. With little text, the model sees the same
# windows repeatedly and memorizes them, and its score on held-out text does not improve.

# %%
whole = "".join(split.train)
amounts = [20_000, 100_000, 500_000, len(whole)] if FULL else [3_000, len(whole)]
train_bits, test_bits = [], []
for amount in amounts:
    piece = whole[:amount]
    if amount == len(whole):
        model = cells["lstm"][0]
    else:
        model, _ = train([piece], bible.vocabulary)
    train_bits.append(model.score(piece[:HELD_OUT]).bits_per_character)
    test_bits.append(model.score(test_text).bits_per_character)
    print(f"{amount:>9,} characters: {train_bits[-1]:.3f} bits on training text, {test_bits[-1]:.3f} on held-out text")

figure, axes = plt.subplots(figsize=(7, 4), dpi=110, layout="constrained")
axes.semilogx(amounts, test_bits, "o-", color="#c2410c", label="held-out text")
axes.semilogx(amounts, train_bits, "o--", color="#9db8d2", label="training text")
axes.set(xlabel="characters of training text", ylabel="bits per character")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
figure.savefig("more_text.png")

# %% [markdown]
# | characters of training text | bits on training text | bits on held-out text |
# |---|---|---|
# | 20,000 | 0.869 | 3.397 |
# | 100,000 | 1.651 | 2.319 |
# | 500,000 | 1.933 | 2.143 |
# | 3,725,077 | 2.063 | 2.037 |
#
# With 20,000 characters, the model has seen each of them about 50 times and memorized them; on held-out text it is
# worse than gzip, which needs 2.39 bits. With all of the text, both scores are nearly equal.
#
# Lower scores require more updates and a larger model as well. The following models were trained for 3,638 and 9,090
# updates; their weights are included in the package:

# %%
for name in ("kjv_lstm_2x256", "kjv_lstm_2x512") if FULL else ("kjv_lstm_2x256",):
    pretrained = zoo.create_model(name, pretrained=True)
    score = pretrained.score(test_text)
    print(f"{name}: {score.bits_per_character:.3f} bits per character, perplexity {score.perplexity:.2f}")

# %% [markdown]
# The results on this held-out text are 1.431 and 1.269 bits per character, or perplexities of 2.70 and 2.41.

# %% [markdown]
# ## Two authors in one model
#
# The two texts are the Bible and the reference of the Python language, which is part of the standard library. One
# vocabulary is used for both. One model is trained on each text and one on both, all with the same number of updates,
# so that the mixed model sees half as much of each.

# %%
python_text = "\n".join(text for _, text in sorted(topics.topics.items()))
shared_vocabulary = Vocabulary.from_text(bible.text + python_text)
python_split = TextCorpus(python_text, "Python", shared_vocabulary).split()
tests = {"Bible": test_text, "Python": [piece[: HELD_OUT // 10] for piece in python_split.validation]}
share = sum(map(len, python_split.train))  # the mixture has the same amount of each
sources = {
    "Bible": split.train,
    "Python": python_split.train,
    "both": [*python_split.train, whole[:share]],
}
models = {}
print(f"{'trained on':12}" + "".join(f"{'bits on ' + name:>16}" for name in tests))
for name, pieces in sources.items():
    models[name], _ = train(pieces, shared_vocabulary)
    bits = [models[name].score(text).bits_per_character for text in tests.values()]
    print(f"{name:12}" + "".join(f"{value:>16.3f}" for value in bits))

# %% [markdown]
# | trained on | bits on the Bible | bits on Python |
# |---|---|---|
# | Bible | 2.096 | 5.535 |
# | Python | 3.385 | 2.020 |
# | both | 2.313 | 2.368 |
#
# A model trained on one text fails on the other, which contains characters and words that it has never seen, for
# example a backquote or "thou". The mixed model handles both, but is worse by 0.22 bits on the Bible and by 0.35 bits
# on Python.

# %%
for prompt in ("And the LORD said", "The function returns"):
    print(models["both"].generate(prompt, length=160, temperature=0.5, seed=1), end="\n\n")

# %% [markdown]
# After 500 updates, the model generates neither text well and switches between them within a phrase:
# "class of Isel". This is a risk of mixed sources. The table shows the cost: with the same number of parameters and
# updates, the mixed model needs more bits per character. Mixing is useful if the texts have something in common, if
# there is little of one of them, or if the model is large enough and trained long enough for both.
#
# ## Exercises
#
# 1. Whose text is it? Build a classifier of text from the two models that were trained on one text each.
# 2. Does dropout help if there is little text?
# 3. Sample from the mixed model at temperatures of 0.3 and 1.2. What changes?
#
# ## Solutions
#
# ### 1. A classifier from two language models
#
# The model that needs fewer bits is the better explanation. This is Bayes' rule with equal prior probabilities.

# %%
PIECE = 80  # characters
correct, count = 0, 0
for author, pieces in tests.items():
    text = pieces[0][: 20 * PIECE if FULL else 2 * PIECE]
    for start in range(0, len(text) - PIECE + 1, PIECE):
        piece = text[start : start + PIECE]
        bits = {name: models[name].score(piece).bits_per_character for name in ("Bible", "Python")}
        correct, count = correct + (min(bits, key=bits.get) == author), count + 1
print(f"{correct} of {count} pieces of {PIECE} characters were assigned to the right text")

# %% [markdown]
# ### 2. Dropout
#
# `dropout` acts between the layers and `output_dropout` before the logits.

# %%
for rate in (0.0, 0.4) if FULL else (0.4,):
    small_text_model, _ = train([whole[: amounts[0]]], bible.vocabulary, dropout=rate, output_dropout=rate)
    print(f"dropout {rate}: {small_text_model.score(test_text).bits_per_character:.3f} bits on held-out text")

# %% [markdown]
# ### 3. Temperature

# %%
for temperature in (0.3, 1.2):
    print(f"temperature {temperature}:", models["both"].generate("The ", length=120, temperature=temperature, seed=2))

# %% [markdown]
# A low temperature repeats the most frequent words; a high one invents words.
