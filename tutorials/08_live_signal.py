# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A live signal: one step at a time
#
# A recurrent network is made for signals that arrive step by step: it needs only its state and the newest value. At the
# end you have a network that forecasts a sensor value by value without Keras, in microseconds, and survives a restart:
# its state is saved, and another process continues with the same results.
#
# ![A measured signal and its forecast one step ahead, with a restart in the middle](08_live_signal.png)
#
# The tutorial takes half a minute on two CPU cores (31 s of processor time, measured on two shared cores). It requires
# no package beyond this one. With `TUTORIAL_SCALE=0.01` it
# runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import subprocess
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

from deeprnn_keras import DeepRNN, Program, Stream, lower

FULL = SCALE >= 1
STEPS = 24_000 if FULL else 1_500
EPOCHS = 30 if FULL else 1
UNITS = 48 if FULL else 4
WINDOW = 96
SHOWN = 400 if FULL else 60  # steps of the live plot

# %% [markdown]
# ## The sensor
#
# The sensor measures a process with delayed feedback, the equation of Mackey and Glass (1977) for the production of
# blood cells, which is chaotic for a delay of 17:
#
#     dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)
#
# It reports a value once per unit of time, with measurement noise. The network sees the noisy values only.


# %%
def mackey_glass(steps: int, delay: float = 17.0, substeps: int = 10) -> np.ndarray:
    """Return values of the process at t = 1, 2, ..., computed by Euler's method with `substeps` per unit of time."""
    lag = round(delay * substeps)
    x = np.empty(lag + steps * substeps)
    x[:lag] = 1.2
    for i in range(lag, len(x)):
        past = x[i - lag]
        x[i] = x[i - 1] + (0.2 * past / (1 + past**10) - 0.1 * x[i - 1]) / substeps
    return x[lag + substeps - 1 :: substeps]


noise = 0.02
clean = mackey_glass(STEPS)
sensor = (clean + noise * np.random.default_rng(0).standard_normal(STEPS)).astype("float32")
train, test = sensor[: -2 * SHOWN], sensor[-2 * SHOWN :]
offset, scale = float(train.mean()), float(train.std())

# %% [markdown]
# ## Training
#
# The network reads x_t and predicts the change x_{t+1} - x_t, which is easier to learn than the value itself: without
# any training, a change of zero is already the persistence forecast. Each window is trained at all its steps at once.

# %%
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((None, 1)),
        keras.layers.Rescaling(1 / scale, -offset / scale),
        DeepRNN(UNITS, num_layers=2, return_sequences=True, name="deep_rnn"),
        keras.layers.Dense(1, kernel_initializer="zeros", name="change"),
    ],
    name="sensor",
)
changes = np.append(np.diff(train), 0.0).astype("float32")
windows = np.stack([train[s : s + WINDOW] for s in range(0, len(train) - WINDOW, WINDOW // 2)])[..., None]
targets = np.stack([changes[s : s + WINDOW] for s in range(0, len(train) - WINDOW, WINDOW // 2)])[..., None]
model.compile(keras.optimizers.Adam(4e-3), "mse")
history = model.fit(windows, targets, batch_size=32, epochs=EPOCHS, verbose=0)
print(f"{model.count_params():,} parameters, root mean square error {history.history['loss'][-1] ** 0.5:.4f}")

# %% [markdown]
# ## Lowering
#
# `lower` turns the model into a list of operations with named weights and states. Its file is all that a device needs
# to run the model: NumPy and the native library of this package, no Keras and no TensorFlow.

# %%
program = lower(model)
program.save("sensor.program.safetensors")
print(program)
print(f"file: {Path('sensor.program.safetensors').stat().st_size / 1024:.0f} KB")

# %% [markdown]
# ## Streaming
#
# A `Stream` holds the states of one or several signals. Each call reads one value per signal and returns the output.
# The sum of the current value and the predicted change is the forecast for the next moment.

# %%
stream = Stream(Program.load("sensor.program.safetensors"))
stream.push(train[None, -1_000:, None])  # warm up: the network has to see where in its cycle the process is
first_half, second_half = test[:SHOWN], test[SHOWN:]
forecasts, seconds = [], []
for value in first_half:
    start = time.perf_counter()
    (change,) = stream(np.full((1, 1), value, "float32"))[0]
    seconds.append(time.perf_counter() - start)
    forecasts.append(value + change)
print(f"one step: {1e6 * np.median(seconds):.1f} microseconds (median of {len(seconds)})")

# %% [markdown]
# ## A restart in the middle
#
# The state of the stream is a dictionary of arrays. Saved, it is all that another process needs to continue. The second
# process below reads the second half of the signal; it imports neither Keras nor TensorFlow.

# %%
np.savez("sensor.state.npz", **stream.state)
np.save("second_half.npy", second_half)
CONTINUE = """
import sys
import numpy as np
from deeprnn_keras import Program, Stream
stream = Stream(Program.load("sensor.program.safetensors"))
stream.state = dict(np.load("sensor.state.npz"))
values = np.load("second_half.npy")
np.save("changes.npy", np.array([stream(np.full((1, 1), value))[0, 0] for value in values]))
print("imported Keras or TensorFlow:", any(name in sys.modules for name in ("keras", "tensorflow")))
"""
start = time.perf_counter()
process = subprocess.run([sys.executable, "-c", CONTINUE], capture_output=True, text=True)
if process.returncode:
    raise RuntimeError(process.stderr)
print(process.stdout.strip(), f"({time.perf_counter() - start:.1f} s in all)")

continued = np.load("changes.npy")
uninterrupted = np.array([stream(np.full((1, 1), value))[0, 0] for value in second_half])
print("equal to a stream without a restart:", bool((continued == uninterrupted).all()))
all_forecasts = np.array([*forecasts, *(second_half + continued)])

# %% [markdown]
# ## How good are the forecasts?
#
# The measure is the root mean square error of the forecast for the next moment, beside two references: persistence
# (the next value is the current one), and the noise of the sensor, which no forecast can avoid.

# %%
actual = test[1:]
errors = {
    "persistence": actual - test[:-1],
    "deep LSTM": actual - all_forecasts[:-1],
    "noise of the sensor": test[1:] - clean[-2 * SHOWN + 1 :],
}
for name, error in errors.items():
    print(f"{name:20} {np.sqrt(np.mean(error**2)):.4f}")

# %% [markdown]
# ## The growing plot
#
# On a screen, `plt.pause` in the loop above would show each new point. Here the frames are saved as an animation.

# %%
figure, axis = plt.subplots(figsize=(9, 3.2), layout="constrained")
axis.set(xlim=(0, 2 * SHOWN), ylim=(test.min() - 0.1, test.max() + 0.1), xlabel="t", ylabel="sensor")
axis.axvline(SHOWN, color="0.6", linestyle=":", linewidth=1)
axis.annotate("restart", (SHOWN, test.min() - 0.07), xytext=(4, 0), textcoords="offset points", color="0.4", fontsize=9)
(measured,) = axis.plot([], [], ".", color="0.45", markersize=3, label="measured")
(forecast,) = axis.plot([], [], color="tab:orange", linewidth=1.3, label="forecast one step ahead")
axis.legend(loc="upper right", ncols=2, frameon=False)


def draw(count: int) -> None:
    """Show the first `count` values and the forecasts that were made from them."""
    measured.set_data(np.arange(count), test[:count])
    forecast.set_data(np.arange(1, count + 1), all_forecasts[:count])


animation = FuncAnimation(figure, draw, frames=np.linspace(2, 2 * SHOWN, 40 if FULL else 3, dtype=int))
animation.save("live_signal.gif", PillowWriter(fps=12))
draw(2 * SHOWN)
figure.savefig("live_signal.png", dpi=110)

# %% [markdown]
# ## Exercises
#
# 1. Two sensors report at the same time. Run both in one stream, and start the second one again while the first
#    continues.
# 2. Forecast ten moments ahead: feed the forecasts back. How does the error grow?
# 3. How much faster is one call for many steps, `push`, than one call per step?
#
# ## Solutions
#
# ### 1. Two sensors
#
# A stream has one state per row. `reset(rows=[1])` resets the state of the second row only.

# %%
two = Stream(program, batch_size=2)
for value in first_half[:20]:
    both = two(np.full((2, 1), value, "float32"))
print("the rows agree:", bool((both[0] == both[1]).all()))
two.reset(rows=[1])
both = two(np.full((2, 1), second_half[0], "float32"))
fresh = Stream(program)(np.full((1, 1), second_half[0], "float32"))
print("the second row starts again:", bool(np.allclose(both[1], fresh[0])), bool(both[0] != both[1]))

# %% [markdown]
# ### 2. Ten moments ahead
#
# The state is copied before each look ahead, so that the stream itself reads measured values only.

# %%
AHEAD, STARTS = (10, 200) if FULL else (3, 5)
observer = Stream(program)
observer.push(train[None, -1_000:, None])
squares = np.zeros((STARTS, AHEAD, 2))
for start_index in range(STARTS):
    (change,) = observer(np.full((1, 1), test[start_index], "float32"))[0]
    kept = {name: array.copy() for name, array in observer.state.items()}
    value = test[start_index] + change
    for k in range(AHEAD):
        truth = test[start_index + 1 + k]
        squares[start_index, k] = (value - truth) ** 2, (test[start_index] - truth) ** 2
        (change,) = observer(np.full((1, 1), value, "float32"))[0]
        value = value + change
    observer.state = kept
for k in range(AHEAD):
    network_error, naive_error = np.sqrt(squares[:, k].mean(0))
    print(f"{k + 1:2} ahead: deep LSTM {network_error:.4f}, persistence {naive_error:.4f}")

# %% [markdown]
# In our run, the error of the network grows from 0.021 to 0.023 over ten moments, and that of persistence from 0.043 to
# 0.290. The noise of the sensor alone is 0.020: the network has learned the process and not only its last values.
#
# ### 3. One call for many steps

# %%
chunk = np.ascontiguousarray(train[None, -1_000:, None])
start = time.perf_counter()
stream.push(chunk)
per_step = (time.perf_counter() - start) / chunk.shape[1]
print(f"push: {1e6 * per_step:.1f} microseconds per step; a call per step: {1e6 * np.median(seconds):.1f}")

# %% [markdown]
# In our run, 1.1 in place of 4.5 microseconds: a call from Python costs more than the arithmetic of this small network.
