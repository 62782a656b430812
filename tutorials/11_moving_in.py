# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Moving in: from keras.layers, PyTorch, Keras 2, and tensorflow-addons
#
# A trained network is work that nobody wants to repeat. At the end you have moved one network into this package from
# four places without training it again: from `keras.layers`, from a PyTorch state dict, from an HDF5 file of Keras 2
# for a GPU, and from a cell of tensorflow-addons. A number shows each time that it computes the same as before:
#
# ![Predictions of three copies of one network, and the largest difference of each](11_moving_in.png)
#
# The tutorial takes half a minute on two CPU cores (27 s of processor time, measured on two shared cores). It requires
# no package beyond this one; where PyTorch is installed, it is used for one more comparison. With `TUTORIAL_SCALE=0.01`
# it runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import json
import time
from importlib.util import find_spec

import h5py
import keras
import matplotlib.pyplot as plt
import numpy as np
from safetensors.numpy import save_file

from deeprnn_keras import convert, interop, lower

FULL = SCALE >= 1
UNITS = 64 if FULL else 5
EPOCHS = 8 if FULL else 1
STEPS = 100 if FULL else 10
errors: dict[str, float] = {}  # {where the network came from: largest error}

# %% [markdown]
# ## The network
#
# It predicts the next value of a signal, the sum of three tones with noise: two LSTM layers with dropout between them,
# and a dense layer, as in many a tutorial of Keras.

# %%
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
t = np.arange(20_000 if FULL else 600)
signal = sum(np.sin(t / period) for period in (3.1, 7.7, 19.3)) + 0.1 * rng.standard_normal(len(t))
signal = (signal / signal.std()).astype("float32")
starts = np.arange(0, len(t) - STEPS - 1, STEPS // 2)
x = np.stack([signal[s : s + STEPS] for s in starts])[..., None]
y = np.stack([signal[s + 1 : s + STEPS + 1] for s in starts])[..., None]

model = keras.Sequential(
    [
        keras.Input((None, 1)),
        keras.layers.LSTM(UNITS, return_sequences=True, name="lower"),
        keras.layers.Dropout(0.1, name="dropout"),
        keras.layers.LSTM(UNITS, return_sequences=True, name="upper"),
        keras.layers.Dense(1, name="head"),
    ],
    name="tones",
)
model.compile(keras.optimizers.Adam(3e-3), "mse")
history = model.fit(x, y, batch_size=32, epochs=EPOCHS, verbose=0)
print(f"mean square error {history.history['loss'][-1]:.4f}")
predictions = model.predict(x[:32], verbose=0)

# %% [markdown]
# ## From keras.layers
#
# `convert` replaces the two LSTM layers and the dropout between them by one `DeepRNN`, which runs in a single call. It
# compares old and new layers on random input, with and without masks, before it returns. The report says what became
# what, and that training continues with the state of the optimizer.

# %%
ours = convert(model)
print(ours.conversion_report)
errors["keras.layers"] = ours.conversion_report.max_abs_error
print(f"\nlargest difference of the predictions: {np.abs(ours.predict(x[:32], verbose=0) - predictions).max():.1e}")

# %% [markdown]
# The time of one step of training, the median of some, after the first, which compiles:


# %%
def milliseconds_per_step(trained: keras.Model) -> float:
    """Return the median time of a training step of 32 sequences."""
    trained.train_on_batch(x[:32], y[:32])
    times = []
    for _ in range(20 if FULL else 2):
        start = time.perf_counter()
        trained.train_on_batch(x[:32], y[:32])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


for name, one in (("keras.layers", convert(ours, to="keras")), ("deeprnn_keras", convert(ours))):
    print(f"{name:14} {milliseconds_per_step(one):6.1f} ms per step of training")

# %% [markdown]
# The way out is open: `convert(model, to="keras")`, used above, returns a model without a class of this package.
#
# ## From PyTorch
#
# A PyTorch module is stored as a state dict: arrays with names such as `lstm.weight_ih_l0`. The layout differs:
# matrices are transposed, and there are two biases, whose sum counts. The function below writes the network in that
# form, without PyTorch; it stands for a file that somebody sent. `load` recognizes the names and the shapes.


# %%
def state_dict(lstm_layers: list[keras.layers.LSTM], head: keras.layers.Dense) -> dict[str, np.ndarray]:
    """Return the arrays of a PyTorch module with the attributes `lstm` and `linear`."""
    arrays = {"linear.weight": head.kernel.numpy().T, "linear.bias": head.bias.numpy()}
    for level, layer in enumerate(lstm_layers):
        kernel, recurrent_kernel, bias = layer.get_weights()
        arrays |= {f"lstm.weight_ih_l{level}": kernel.T, f"lstm.weight_hh_l{level}": recurrent_kernel.T}
        arrays |= {f"lstm.bias_ih_l{level}": 0.25 * bias, f"lstm.bias_hh_l{level}": 0.75 * bias}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


head = model.get_layer("head")
save_file(state_dict([model.get_layer("lower"), model.get_layer("upper")], head), "tones.safetensors")

print(interop.inspect("tones.safetensors"))
from_torch = interop.load("tones.safetensors")
errors["PyTorch"] = float(np.abs(from_torch.predict(x[:32], verbose=0) - predictions).max())

# %% [markdown]
# Where PyTorch is installed, `verify` runs the arrays in its own layers; otherwise in an interpreter of its documented
# equations. The certificate states which, and the largest difference. `interop.to_torch` goes back.

# %%
print(interop.verify(from_torch, "tones.safetensors"))
if find_spec("torch") is not None:
    import torch

    module = interop.to_torch(ours.get_layer("upper"))
    with torch.no_grad():
        hidden = module(torch.from_numpy(x[:32]))[0].numpy()
    print(module, f"differs from the Keras model by {np.abs(head(hidden).numpy() - predictions).max():.1e}")

# %% [markdown]
# ## From a file of Keras 2
#
# Before 2020, fast training on a GPU meant `CuDNNLSTM`, whose weights have the layout of cuDNN: each gate's matrix is
# transposed in place, and there are two biases. Keras 3 loads no such file. The function below writes the network in
# that form, as Keras 2 did; it stands for a file from an old disk.


# %%
def write_keras2(path: str, layers: list[dict], weights: dict[str, dict[str, np.ndarray]]) -> None:
    """Write a Sequential model as an HDF5 file of Keras 2: its configuration as JSON, and one group per layer."""
    config = {"class_name": "Sequential", "config": {"name": "tones", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4", b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        root = file.create_group("model_weights")
        root.attrs["keras_version"], root.attrs["backend"] = b"2.2.4", b"tensorflow"
        root.attrs["layer_names"] = [name.encode() for name in weights]
        for layer, arrays in weights.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(f"{layer}/{name}:0", data=array)


def cudnn_layout(layer: keras.layers.LSTM) -> dict[str, np.ndarray]:
    """Return the weights of an LSTM as `CuDNNLSTM` stores them."""
    kernel, recurrent_kernel, bias = layer.get_weights()
    blocks = [block.ravel("F").reshape(block.shape) for block in np.split(kernel, 4, axis=1)]
    recurrent = [block.T for block in np.split(recurrent_kernel, 4, axis=1)]
    both = np.concatenate([0.25 * bias, 0.75 * bias])
    arrays = {"kernel": np.concatenate(blocks, 1), "recurrent_kernel": np.concatenate(recurrent, 1), "bias": both}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def old_layer(kind: str, name: str, **config: object) -> dict:
    """Return a layer in a configuration of Keras 2."""
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}}


input_shape = {"batch_input_shape": [None, None, 1], "dtype": "float32"}
dense = {"dense": {"kernel": head.kernel.numpy(), "bias": head.bias.numpy()}}
write_keras2(
    "tones_2018.h5",
    [
        old_layer("CuDNNLSTM", "cu_dnnlstm_1", units=UNITS, return_sequences=True, **input_shape),
        old_layer("Dropout", "dropout_1", rate=0.1, noise_shape=None, seed=None),
        old_layer("CuDNNLSTM", "cu_dnnlstm_2", units=UNITS, return_sequences=True),
        old_layer("Dense", "dense", units=1, activation="linear", use_bias=True),
    ],
    {
        "cu_dnnlstm_1": cudnn_layout(model.get_layer("lower")),
        "dropout_1": {},
        "cu_dnnlstm_2": cudnn_layout(model.get_layer("upper")),
        **dense,
    },
)

# %% [markdown]
# `load` reads the architecture and the weights, without running anything that is in the file, and `convert` makes one
# stack of the two layers.

# %%
print(interop.inspect("tones_2018.h5"))
rescued = convert(interop.load("tones_2018.h5"))
errors["Keras 2"] = float(np.abs(rescued.predict(x[:32], verbose=0) - predictions).max())
print(rescued.conversion_report)

# %% [markdown]
# ## From tensorflow-addons
#
# Its cells are not part of Keras. `load` maps `PeepholeLSTMCell` and `LayerNormLSTMCell` to the cells "peephole_lstm"
# and "layer_norm_lstm" of this package, which run on all implementations, and can be streamed and exported; other cells
# are refused by name. Here it is the LSTM with peepholes, whose gates also read the cell state (Gers & Schmidhuber
# 2000). Its peepholes are three arrays in the file, and one weight here.
#
# The file holds one layer of the network above, with peepholes of zero. The cell is then an LSTM: the result is known.

# %%
cell = {"units": UNITS, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
cell_config = {"class_name": "Addons>PeepholeLSTMCell", "config": {"name": "peephole", "trainable": True, **cell}}
names = ("kernel", "recurrent_kernel", "bias")
arrays = dict(zip(names, model.get_layer("lower").get_weights(), strict=True))
arrays |= {f"{gate}_gate_peephole_weights": np.zeros(UNITS, "float32") for gate in ("input", "forget", "output")}
layers = [old_layer("RNN", "rnn", cell=cell_config, return_sequences=True, **input_shape)]
write_keras2("peephole.h5", layers, {"rnn": arrays})

print(interop.inspect("peephole.h5"))
peephole = convert(interop.load("peephole.h5"))
hidden = keras.Model(model.inputs, model.get_layer("lower").output).predict(x[:32], verbose=0)
errors["tensorflow-addons"] = float(np.abs(peephole.predict(x[:32], verbose=0) - hidden).max())
print(lower(peephole))  # a program: it streams, and runs without Keras

# %% [markdown]
# ## The result
#
# Rounding errors of float32 are all that remains of the move.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained", width_ratios=(2, 1))
left.plot(y[0, :, 0], ".", color="0.6", markersize=4, label="signal")
for name, one, width in (("keras.layers", model, 5), ("Keras 2 file", rescued, 3), ("PyTorch file", from_torch, 1)):
    left.plot(one.predict(x[:1], verbose=0)[0, :, 0], linewidth=width, label=name)  # each line covers the one before
left.set(xlabel="t", ylabel="next value")
left.legend(frameon=False, fontsize=8, ncols=2)
right.barh(list(errors), list(errors.values()), color="tab:orange")
right.axvline(1e-5, color="0.5", linestyle=":")
right.set(xscale="log", xlim=(1e-9, 1e-3), xlabel="largest difference")
figure.savefig("moving_in.png", dpi=110)
for name, error in errors.items():
    print(f"{name:18} {error:.1e}")

# %% [markdown]
# ## Exercises
#
# 1. Move out and in again: convert the network to `keras.layers` and back. Which number shows that nothing was lost?
# 2. A file was damaged: one weight of the PyTorch file has another sign. Does `interop.verify` notice?
# 3. Somebody sent a state dict without the bias of the head. What does `load` say?
#
# ## Solutions
#
# ### 1. Out and in again

# %%
there = convert(ours, to="keras")
back = convert(there)
print([type(layer).__name__ for layer in there.layers], "->", [type(layer).__name__ for layer in back.layers])
lost = max(float(np.abs(a - b).max()) for a, b in zip(ours.get_weights(), back.get_weights(), strict=True))
print(f"largest difference of a weight: {lost}")

# %% [markdown]
# The weights are copied, not computed: the difference is exactly 0.
#
# ### 2. One weight with another sign

# %%
damaged = state_dict([model.get_layer("lower"), model.get_layer("upper")], head)
damaged["lstm.weight_hh_l0"][0, 0] *= -1
save_file(damaged, "damaged.safetensors")
try:
    print(interop.verify(from_torch, "damaged.safetensors"))
except ValueError as error:
    print(error)

# %% [markdown]
# `verify` runs both networks on random input, so that a single weight is enough.
#
# ### 3. A missing array

# %%
incomplete = {name: array for name, array in damaged.items() if name != "linear.bias"}
try:
    print(interop.load(incomplete))
except ValueError as error:
    print(error)

# %% [markdown]
# A weight without its bias is not recognized as a dense layer, so that `load` reports it as unused instead of leaving
# it out.
