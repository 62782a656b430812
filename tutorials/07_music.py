# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Music: which notes sound next
#
# A chorale of Bach's as a piano roll: 88 keys, a frame each eighth note, 1 where a key sounds. A deep LSTM reads the
# frames so far and gives for each key the probability that it sounds in the next. This page looks at the data, at how
# good a prediction is in nats a frame, trains a model, takes the trained one of the zoo, and lets it go on where Bach
# is held back, into a MIDI file. Three minutes on two CPU cores; `TUTORIAL_SCALE=0.01` runs through it in one, with
# figures that mean nothing. It needs the extras `data` and `music`.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

from deeprnn_keras import zoo
from deeprnn_keras.data import bach_chorales, write_midi

SCALE = float(os.environ.get("TUTORIAL_SCALE", "1"))
FULL = SCALE >= 1
UPDATES = 300 if FULL else 3
PIECES = None if FULL else 2

data = bach_chorales(keys=12 if FULL else 1)
frames = np.concatenate(data.train.targets)
print(f"{len(data.train)} rolls to learn from, {len(frames):,} frames, {frames.sum(1).mean():.2f} notes in each")

# %% [markdown]
# ## How good is a prediction?
#
# The negative log-likelihood of a frame, summed over its notes: -sum_k [y_k log p_k + (1 - y_k) log(1 - p_k)]. Two
# simple predictors to compare with: each key as often as it sounds at all, and each key as often as it does after the
# frame before had it, or had it not.


# %%
def nats(probabilities, rolls):
    """Nats a frame of predictions for rolls."""
    p = np.clip(np.concatenate(probabilities), 1e-6, 1 - 1e-6)
    y = np.concatenate(rolls)
    return float(-(np.where(y > 0, np.log(p), np.log1p(-p))).sum() / len(y))


test_x, test_y = data.test.series[:PIECES], data.test.targets[:PIECES]
often = frames.mean(0)
before = np.concatenate(data.train.series)
after = {on: ((before == on) * frames).sum(0) / np.maximum((before == on).sum(0), 1) for on in (0, 1)}
print(f"each key as often as it sounds: {nats([np.tile(often, (len(y), 1)) for y in test_y], test_y):.2f} nats a frame")
held = [np.where(x > 0, after[1], after[0]) for x in test_x]
print(f"given the same key before:      {nats(held, test_y):.2f}")

# %% [markdown]
# ## Training
#
# `SequenceModel` with kind="notes" has the loss; `dataset` pads pieces of like length, and frames behind a piece's end
# do not count. A few updates of a smaller model than the zoo's; the biases of its head begin where each key sounds as
# often as it does, so that it need not learn that first:

# %%
keras.utils.set_random_seed(0)
model = zoo.create_model("bach_lstm_2x256", units=128 if FULL else 4, learning_rate=5e-3)
model.get_layer("head").bias.assign(np.log((often + 1e-4) / (1 - often + 1e-4)))
batches = model.dataset(data.train.series, data.train.targets, 16, num_buckets=4, seed=0, steps=UPDATES)
model.fit(batches, epochs=1, shuffle=False, verbose=0)
print(f"a smaller LSTM after {UPDATES} updates: {nats(model.predict_proba(test_x), test_y):.2f} nats a frame")

# %% [markdown]
# ## The one in the zoo
#
# Trained on the chorales in all twelve keys; its weights come with the package.

# %%
composer = zoo.create_model("bach_lstm_2x256", pretrained=True)
print(f"bach_lstm_2x256: {nats(composer.predict_proba(test_x), test_y):.2f} nats a frame")

# %% [markdown]
# On the 32 chorales held out, one run:
#
# | | nats a frame |
# |---|---|
# | each key as often as it sounds | 11.93 |
# | given whether it sounded before | 8.92 |
# | LSTM 2 x 128 after 300 updates | 7.15 |
# | `bach_lstm_2x256` | 5.68 |
#
# These are eighths: many frames only repeat the one before, which the second row knows already. On the quarters of the
# JSB chorales, another cut of the same music, `music_lstm_jsb` gets the 8.45 nats of its paper.

# %% [markdown]
# ## Letting it go on
#
# The first two bars of a chorale that the model has never seen, then 14 bars of its own. The model gives each key a
# probability by itself, and drawn so, a frame has as many notes as it happens to get: where it wavers between two
# keys, both may sound, or neither. `notes=4` draws from the same distribution given that four sound, as Bach's
# voices do.

# %%
start = test_x[0][:16]
ways = {"as many notes as are drawn": {}, "four notes": {"notes": 4, "temperature": 0.8}}
written = {}
for way, options in ways.items():
    written[way] = composer.generate(start, length=112 if FULL else 4, seed=3, **options)
    write_midi(written[way], f"chorale_{way.replace(' ', '_')}.mid")

panels = {"Bach": np.concatenate([test_x[0][:1], test_y[0]])[:128]}
panels |= {f"two bars of Bach's, then {way}": roll for way, roll in written.items()}
figure, axes = plt.subplots(3, 1, figsize=(9, 6.4), dpi=110, sharex=True, layout="constrained")
for (title, roll), panel in zip(panels.items(), axes, strict=True):
    panel.imshow(1 - roll.T[12:64], cmap="gray", aspect="auto", origin="lower", extent=(0, len(roll), 33, 85))
    if title != "Bach":
        panel.axvline(16, color="#c2410c", linewidth=1)
    panel.set_title(title, loc="left", fontsize=10)
    panel.set_ylabel("MIDI note")
axes[-1].set_xlabel("frame, eighth notes")
figure.savefig("chorale.png")

voices = {title: roll[16:].sum(1) for title, roll in panels.items()}
for title, notes in voices.items():
    print(f"{title:52}{notes.mean():.2f} notes in a frame, {np.mean(notes == 4):.0%} of frames with four")

# %% [markdown]
# Bach's frames have four notes nearly all the time, the free draw 3.5 on average and four in one of five frames. Given
# that four sound, frames stay full and most voices move by steps, but they crowd in the middle and the bass is missing
# for bars: the model knows what follows the last frames, not who sings it, and has no plan of a whole piece.
#
# The command line does the same: `deeprnn generate bach_lstm_2x256 --notes 4 --output chorale.mid --seed 3`.
