# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Capture an amplifier: from two recordings to a plugin file
#
# A guitar is recorded twice: dry, and through an amplifier. At the end you have a network of 1,169 weights that turns
# the one into the other, a file `amp.nam` that plugins of Neural Amp Modeler play live, recordings to compare by ear,
# and this picture:
#
# ![Amplifier, network, and their difference; error during training; spectrograms](15_capture_an_amplifier.png)
#
# The tutorial takes about one minute on two CPU cores. It requires the extra `audio`
# (`pip install 'deeprnn-keras[audio]'`). With `TUTORIAL_SCALE=0.01` it runs in seconds, and its results are
# meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial(audio=["scipy", "soundfile"])

# %%
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import soundfile

from deeprnn_keras import AudioEffect, Recipe, Stream, data, export, interop
from deeprnn_keras.training import CosineDecay

FULL = SCALE >= 1
SECONDS = 60.0 if FULL else 3.0
EPOCHS = 20 if FULL else 1
BATCH_SIZE, BPTT = (32, 1024) if FULL else (4, 1024)
OUTPUT = Path("capture")
OUTPUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Two recordings
#
# If you have an amplifier, record it: play a dry file of a few minutes through it, and record what comes out, at the
# same sample rate and without clipping. Here a simulated amplifier does this: its equations are in the documentation of
# `simulated_amplifier`. Its cables delay the signal by 3 ms, as those of an audio interface do.

# %%
amplifier = data.simulated_amplifier(SECONDS, latency=144)
RATE = amplifier.sample_rate
soundfile.write(OUTPUT / "dry.wav", amplifier.dry, RATE, subtype="PCM_24")
soundfile.write(OUTPUT / "wet.wav", amplifier.wet, RATE, subtype="PCM_24")

# %% [markdown]
# `audio_pair` reads the files, finds the delay and removes it, and refuses recordings that no network can learn from:
# clipped ones, silent ones, or those of another song.

# %%
pair = data.audio_pair(OUTPUT / "dry.wav", OUTPUT / "wet.wav")
print(f"{pair.seconds:.1f} s at {pair.sample_rate:,} Hz; the wet recording was {pair.latency} samples late")
train, validation, test = pair.split()

# %% [markdown]
# Listen to both. In a notebook, players appear; otherwise the files in `capture/` are for any player.


# %%
def listen(name: str, samples: np.ndarray) -> None:
    """Write a WAV file, and show a player in a notebook."""
    soundfile.write(OUTPUT / f"{name}.wav", samples, RATE, subtype="PCM_24")
    if "ipykernel" in sys.modules:
        from IPython.display import Audio, display

        print(name)
        display(Audio(samples, rate=RATE))


listen("test_dry", test.dry)
listen("test_amplifier", test.wet)

# %% [markdown]
# ## The network
#
# An LSTM with 16 units reads one sample and returns one, 48,000 times per second. The state of the LSTM takes the place
# of the capacitors and the transformer, which remember what was played. Plugin files have no connection from the input
# to the output around the network, therefore `skip=False`. `stateful=True` lets the network keep its states from one
# batch to the next in training.

# %%
keras.utils.set_random_seed(0)
model = AudioEffect(16, skip=False, stateful=True, sample_rate=RATE, name="amp")
model.summary()

# %% [markdown]
# ## Training
#
# A minute of sound has 2.9 million samples, too many for one backward pass. `audio_batches` cuts the recording into
# segments of half a second and reads 32 of them side by side, 1,024 samples per batch. The states are carried from
# batch to batch, the gradients are not: this is truncated backpropagation through time. A segment begins with 1,000
# samples that are not scored, in which the states settle.
#
# The loss is the energy of the error divided by the energy of the signal, after a filter that emphasizes high
# frequencies as the ear does. Progress shows the same ratio without the filter, the ESR: 1 is silence, 0 is perfect.

# %%
batches = data.audio_batches(train, BATCH_SIZE, BPTT, burn_in=1_000, seed=0)
recipe = Recipe("adam", 0.01, CosineDecay(final=0.02), global_clipnorm=1.0, epochs=EPOCHS)
recipe.compile(model, model.loss_function(), weighted_metrics=model.metric_functions())


def error_ratio(target: np.ndarray, output: np.ndarray) -> float:
    """Return the ESR."""
    return float(np.sum((target - output) ** 2) / np.sum(target**2))


class Validate(keras.callbacks.Callback):
    """ESR on the validation part after each epoch, in one pass over all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.ratios: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Process the validation part."""
        self.ratios.append(error_ratio(validation.wet, self.model.process(validation.dry)))


validate, start = Validate(), time.perf_counter()
history = model.fit(batches, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[*recipe.callbacks(batches), validate])
print(f"{EPOCHS} epochs of {len(batches)} updates in {time.perf_counter() - start:.0f} s")
print("ESR on the validation part: " + ", ".join(f"{ratio:.3f}" for ratio in validate.ratios[::4]))

# %% [markdown]
# ## Does it sound like the amplifier?
#
# `process` sends a whole recording through the network, in blocks, so that its length does not matter. The test part
# was neither trained on nor used to choose anything.

# %%
output = model.process(test.dry, RATE)
listen("test_network", output)
listen("test_difference", test.wet - output)
print(f"ESR on the test part: {error_ratio(test.wet, output):.4f}")

# %% [markdown]
# The ESR is 0.045 after 960 updates: 96% of the energy is right. The difference is a recording, too: what the network
# does not do. More minutes and more updates make it quieter.
#
# ## A plugin file
#
# `export` writes the file of Neural Amp Modeler, runs it, and compares the outputs. Plugins start in the states after
# one second of silence, which are part of the file. `interop.load` reads such files, also those that others trained.

# %%
model.save(OUTPUT / "amp.keras")
report = export(model, OUTPUT / "amp.nam", overwrite=True)
print(report)
loaded = interop.load(OUTPUT / "amp.nam")
difference = np.abs(loaded.process(test.dry) - output)[RATE // 10 :].max()  # after the different start
print(f"read back: {loaded.count_params():,} weights, largest difference {difference:.1e}")

# %% [markdown]
# Load `capture/amp.nam` in a plugin of Neural Amp Modeler, and play. `export(model, "amp.json")` writes a file for
# plugins with RTNeural, and `export(model, "amp.c")` a C file without dependencies.
#
# On the command line, `deeprnn process capture/amp.nam capture/dry.wav capture/wet_again.wav` does what `process` does,
# and `deeprnn train amp_lstm_1x16 --dry dry.wav --wet wet.wav` all of the above.

# %% [markdown]
# ## The picture

# %%
BLUE, ORANGE, GRAY = "#22303c", "#c2410c", "#9aa5b1"
loudest = int(np.argmax(np.abs(test.wet)))
first = min(max(loudest - RATE // 100, 0), max(len(test.wet) - RATE // 50, 0))
shown = slice(first, first + RATE // 50)  # 20 ms
milliseconds = 1000 * np.arange(len(test.wet[shown])) / RATE
figure = plt.figure(figsize=(9, 5), dpi=90, layout="constrained")
top, bottom = figure.add_gridspec(2, 1, height_ratios=(1.1, 1))
bottom = bottom.subgridspec(1, 3, width_ratios=(1, 1, 1))
wave, curve, *spectra = (figure.add_subplot(place) for place in (top, *bottom))
wave.plot(milliseconds, test.dry[shown], color=GRAY, linewidth=1, label="dry")
wave.plot(milliseconds, test.wet[shown], color=BLUE, linewidth=2.4, label="amplifier")
wave.plot(milliseconds, output[shown], color=ORANGE, linewidth=1.2, label="network")
wave.plot(milliseconds, (test.wet - output)[shown], color=ORANGE, linewidth=1, linestyle=":", label="difference")
wave.set(xlabel="milliseconds", ylabel="sample", xlim=(0, milliseconds[-1]))
wave.set_ylim(top=1.35 * max(np.abs(test.wet[shown]).max(), np.abs(test.dry[shown]).max()))
wave.legend(loc="upper center", ncols=4, frameon=False)

curve.plot(range(1, EPOCHS + 1), validate.ratios, color=ORANGE, linewidth=1.8, label="validation part")
curve.plot(range(1, EPOCHS + 1), history.history["esr"], color=GRAY, linewidth=1.2, label="training")
curve.set(xlabel="epoch", ylabel="ESR", yscale="log")
curve.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
curve.minorticks_off()
curve.legend(frameon=False)
excerpt = slice(0, min(len(test.wet), 5 * RATE))
for axes, name, signal in ((spectra[0], "amplifier", test.wet), (spectra[1], "network", output)):
    options = {"NFFT": 2048, "noverlap": 0, "Fs": RATE / 1000, "vmin": -110, "vmax": -20}
    axes.specgram(signal[excerpt] + 1e-9, cmap=plt.get_cmap("magma", 6), **options)
    axes.set(title=name, xlabel="milliseconds", ylim=(0, 8))
spectra[0].set_ylabel("kHz")
spectra[1].set_yticks([])
for axes in (wave, curve):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("capture_an_amplifier.png")

# %% [markdown]
# ## Exercises
#
# 1. Real time: a plugin gets blocks of 64 samples, 1.33 ms of sound. Send the test part through a `Stream` in such
#    blocks. Is the result the same, and what part of the 1.33 ms does a block take?
# 2. A recurrent network is a filter of one sample rate. What is its ESR on recordings at 44,100 Hz, with and without
#    `resample=True`?
# 3. Amplifiers have knobs. Record three positions of `drive`, train one network that reads the position as a second
#    input, and try a position in between.
#
# ## Solutions
#
# ### 1. Blocks
#
# With `out=`, a block allocates no memory.

# %%
stream, sound = Stream(model), test.dry[None, :, None]
blocks, block = np.empty_like(sound), 64
begin = time.perf_counter()
for position in range(0, sound.shape[1], block):
    part = slice(position, position + block)
    stream.push(sound[:, part], out=blocks[:, part])
per_block = (time.perf_counter() - begin) / (sound.shape[1] / block)
print(f"largest difference {np.abs(blocks[0, :, 0] - output).max():.1e}")
print(f"{1e6 * per_block:.0f} microseconds per block, {block / RATE / per_block:.0f} times faster than real time")

# %% [markdown]
# ### 2. Another sample rate
#
# A recording at 44,100 Hz is refused unless `resample=True`, which converts it to 48,000 Hz and the result back. To
# hear what the network does at the wrong rate, we do not tell it the rate.

# %%
other = data.simulated_amplifier(min(SECONDS, 10.0), sample_rate=44_100, seed=1)
print(f"at the wrong rate: ESR {error_ratio(other.wet, model.process(other.dry)):.3f}")
print(f"resampled: ESR {error_ratio(other.wet, model.process(other.dry, 44_100, resample=True)):.3f}")

# %% [markdown]
# 0.039 and 0.033: the two rates are close, and most of what this amplifier does is its curve, which has no memory. A
# device with narrow filters suffers more.
#
# ### 3. A knob
#
# The knob is a second channel of the input, constant in each recording.

# %%
DRIVES, UNSEEN = (2.0, 4.0, 8.0), 6.0
positions = [data.simulated_amplifier(SECONDS / 3, drive=drive, knobs=(drive / 10,), seed=2) for drive in DRIVES]
keras.utils.set_random_seed(0)
with_knob = AudioEffect(16, inputs=2, skip=False, stateful=True, sample_rate=RATE)
knob_batches = data.audio_batches(
    positions, BATCH_SIZE, BPTT, segment=24_000 if FULL else 12_000, burn_in=1_000, seed=0
)
recipe.compile(with_knob, with_knob.loss_function(), weighted_metrics=with_knob.metric_functions())
with_knob.fit(knob_batches, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=recipe.callbacks(knob_batches))
for drive in (4.0, UNSEEN):
    recording = data.simulated_amplifier(min(SECONDS, 5.0), drive=drive, seed=3)
    with_effect = with_knob.process(recording.dry, RATE, knobs=(drive / 10,))
    print(f"drive {drive:g}: ESR {error_ratio(recording.wet, with_effect):.3f}")

# %% [markdown]
# 0.021 at a position of the training data, and 0.033 at one in between, which no recording has.
