# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # From scratch: a deep LSTM in `keras.ops`
#
# At the end you have written a deep LSTM with its backward pass in about 50 lines of `keras.ops`, and know that it
# computes what the layer computes: the same outputs, the same gradients of all weights, and the same losses in
# training.
#
# ![Losses of both implementations, and the largest difference of each gradient](14_from_scratch.png)
#
# The tutorial takes half a minute on two CPU cores (22 s of processor time, measured on two shared cores). It requires
# no package beyond this one. With `TUTORIAL_SCALE=0.01` it
# runs in seconds, and its results are meaningless.

# %%
from __future__ import annotations

from deeprnn_keras.tutorial import start_tutorial

SCALE = start_tutorial()

# %%
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops

from deeprnn_keras import DeepRNN

FULL = SCALE >= 1
Tensor = tf.Tensor
n, T, d, h, L = (16, 30, 3, 24, 3) if FULL else (2, 3, 2, 3, 2)
UPDATES = 60 if FULL else 2
keras.utils.set_random_seed(0)

# %% [markdown]
# ## One step
#
# With $\mathbf{Z}_t = \mathbf{X}_t \mathbf{W} + \mathbf{H}_{t-1} \mathbf{U} + \mathbf{b}$, which has four blocks of h
# columns, an LSTM computes
#
# $$\mathbf{I}_t, \mathbf{F}_t, \mathbf{O}_t = \sigma(\mathbf{Z}_t^{i}), \sigma(\mathbf{Z}_t^{f}),
# \sigma(\mathbf{Z}_t^{o}), \qquad \mathbf{G}_t = \tanh(\mathbf{Z}_t^{g}),$$
# $$\mathbf{C}_t = \mathbf{F}_t \odot \mathbf{C}_{t-1} + \mathbf{I}_t \odot \mathbf{G}_t, \qquad
# \mathbf{H}_t = \mathbf{O}_t \odot \tanh(\mathbf{C}_t).$$
#
# The order of the blocks is that of Keras: i, f, g, o.


# %%
def lstm_step(x: Tensor, H: Tensor, C: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return H_t and C_t, (n, h)."""
    W, U, b = weights
    i, f, g, o = ops.split(x @ W + H @ U + b, 4, axis=1)
    C = ops.sigmoid(f) * C + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(C), C


# %% [markdown]
# ## L layers and T steps
#
# The state of a layer is read by the next step of the layer and by the next layer of the step. The loop over the layers
# is inside the loop over the steps; the other order would give the same result.


# %%
def deep_lstm(x: Tensor, layers: list[list[Tensor]]) -> Tensor:
    """Return H^(L) at all steps, (n, T, h), from x (n, T, d) and the weights of each layer."""
    states = [(ops.zeros((x.shape[0], h)), ops.zeros((x.shape[0], h))) for _ in layers]
    outputs = []
    for t in range(x.shape[1]):
        below = x[:, t]
        for level, weights in enumerate(layers):
            states[level] = lstm_step(below, *states[level], weights)
            below = states[level][0]
        outputs.append(below)
    return ops.stack(outputs, axis=1)


# %% [markdown]
# ## Values and gradients
#
# The layer and the loops read the same weights, and TensorFlow differentiates both. The layer has a backward pass of
# its own, so that this is a comparison of two derivations.

# %%
layer = DeepRNN(h, num_layers=L, cell="lstm", return_sequences=True)
rng = np.random.default_rng(0)
x = ops.convert_to_tensor(rng.normal(size=(n, T, d)).astype("float32"))
layer.build(x.shape)
variables = [weight.value for weight in layer.weights]
grouped = [variables[3 * level : 3 * level + 3] for level in range(L)]
upstream = ops.convert_to_tensor(rng.normal(size=(n, T, h)).astype("float32"))  # gradient of the loss at each output

with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    from_layer, from_loops = layer(x), deep_lstm(x, grouped)
    loss_of_layer, loss_of_loops = (ops.sum(upstream * output) for output in (from_layer, from_loops))
sources = [x, *variables]
names = ["X", *(f"{name} ({level + 1})" for level in range(L) for name in ("W", "U", "b"))]
layer_gradients = dict(zip(names, tape.gradient(loss_of_layer, sources), strict=True))
loop_gradients = dict(zip(names, tape.gradient(loss_of_loops, sources), strict=True))


def relative_difference(a: Tensor, b: Tensor) -> float:
    """Return max |a - b| / max |b|."""
    a, b = np.asarray(a), np.asarray(b)
    return float(np.abs(a - b).max() / np.abs(b).max())


differences = {"output": relative_difference(from_layer, from_loops)}
differences |= {
    f"gradient of {name}": relative_difference(layer_gradients[name], loop_gradients[name]) for name in names
}
for name, value in differences.items():
    print(f"{name:20} {value:.1e}")
assert max(differences.values()) < 1e-4

# %% [markdown]
# ## The backward pass by hand
#
# Back-propagation through time visits the steps in reverse order. With $\delta\mathbf{H}_t$, the gradient with respect
# to $\mathbf{H}_t$ from above and from the next step, and $\delta\mathbf{C}_t$ from the next step,
#
# $$\delta\mathbf{C}_t \mathrel{+}= \delta\mathbf{H}_t \odot \mathbf{O}_t \odot (1 - \tanh^2 \mathbf{C}_t),$$
# $$\delta\mathbf{Z}_t = \left[\delta\mathbf{C}_t \mathbf{G}_t \mathbf{I}_t (1 - \mathbf{I}_t),\;
# \delta\mathbf{C}_t \mathbf{C}_{t-1} \mathbf{F}_t (1 - \mathbf{F}_t),\;
# \delta\mathbf{C}_t \mathbf{I}_t (1 - \mathbf{G}_t^2),\;
# \delta\mathbf{H}_t \tanh(\mathbf{C}_t) \mathbf{O}_t (1 - \mathbf{O}_t)\right],$$
# $$\delta\mathbf{X}_t = \delta\mathbf{Z}_t \mathbf{W}^\top, \qquad \delta\mathbf{H}_{t-1} \mathrel{+}=
# \delta\mathbf{Z}_t \mathbf{U}^\top, \qquad \delta\mathbf{C}_{t-1} = \delta\mathbf{C}_t \odot \mathbf{F}_t,$$
#
# and the weights receive the sums over the steps of $\mathbf{X}_t^\top \delta\mathbf{Z}_t$,
# $\mathbf{H}_{t-1}^\top \delta\mathbf{Z}_t$, and $\delta\mathbf{Z}_t$. In a stack, $\delta\mathbf{X}_t$ of a layer is
# the gradient from above for the layer below it.


# %%
def forward(x: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[tuple]]:
    """Return the outputs of one layer, (n, T, h), and what its backward pass needs of each step."""
    W, U, b = weights
    H = C = ops.zeros((x.shape[0], h))
    outputs, saved = [], []
    for t in range(x.shape[1]):
        z_i, z_f, z_g, z_o = ops.split(x[:, t] @ W + H @ U + b, 4, axis=1)
        i, f, g, o = ops.sigmoid(z_i), ops.sigmoid(z_f), ops.tanh(z_g), ops.sigmoid(z_o)
        new_C = f * C + i * g
        saved.append((x[:, t], H, C, i, f, g, o, ops.tanh(new_C)))
        H, C = o * ops.tanh(new_C), new_C
        outputs.append(H)
    return ops.stack(outputs, axis=1), saved


def backward(upstream: Tensor, saved: list[tuple], weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the gradients with respect to the inputs, (n, T, d), and to W, U, and b."""
    W, U, b = weights
    dH = dC = ops.zeros((upstream.shape[0], h))
    dW, dU, db, dX = ops.zeros_like(W), ops.zeros_like(U), ops.zeros_like(b), []
    for t in reversed(range(len(saved))):
        x_t, H, C, i, f, g, o, tanh_C = saved[t]
        dH = dH + upstream[:, t]
        dC = dC + dH * o * (1 - tanh_C**2)
        gates = [dC * g * i * (1 - i), dC * C * f * (1 - f), dC * i * (1 - g**2), dH * tanh_C * o * (1 - o)]
        dZ = ops.concatenate(gates, axis=1)
        dW, dU, db = dW + ops.transpose(x_t) @ dZ, dU + ops.transpose(H) @ dZ, db + ops.sum(dZ, axis=0)
        dX.append(dZ @ ops.transpose(W))
        dH, dC = dZ @ ops.transpose(U), dC * f
    return ops.stack(dX[::-1], axis=1), [dW, dU, db]


below, all_saved = x, []
for weights in grouped:
    below, saved = forward(below, weights)
    all_saved.append(saved)
from_above, by_hand = upstream, {}
for level in reversed(range(L)):
    from_above, gradients = backward(from_above, all_saved[level], grouped[level])
    by_hand |= {f"{name} ({level + 1})": one for name, one in zip(("W", "U", "b"), gradients, strict=True)}
by_hand["X"] = from_above
hand_differences = {name: relative_difference(layer_gradients[name], by_hand[name]) for name in names}
print(f"largest relative difference of a gradient by hand: {max(hand_differences.values()):.1e}")
assert max(hand_differences.values()) < 1e-4

# %% [markdown]
# ## Training
#
# Two copies of one network are trained with the same updates: one calls the layer, the other one the loops. The task is
# the running mean of the first input.

# %%
targets = ops.cumsum(x[..., :1], axis=1) / ops.reshape(ops.arange(1.0, T + 1), (1, T, 1))


def train(use_layer: bool) -> tuple[list[float], float]:
    """Return the losses of UPDATES steps of gradient descent and the milliseconds per update."""
    trained = [tf.Variable(value) for value in variables]
    head = tf.Variable(ops.ones((h, 1)) / h)
    losses, times = [], []
    for _ in range(UPDATES):
        start = time.perf_counter()
        with tf.GradientTape() as tape:
            if use_layer:
                hidden, _ = layer.stateless_call(trained, layer.non_trainable_variables, x)
            else:
                hidden = deep_lstm(x, [trained[3 * level : 3 * level + 3] for level in range(L)])
            loss = ops.mean(ops.square(hidden @ head - targets))
        for variable, gradient in zip([*trained, head], tape.gradient(loss, [*trained, head]), strict=True):
            variable.assign_sub(0.5 * gradient)
        times.append(time.perf_counter() - start)
        losses.append(float(loss))
    return losses, 1e3 * float(np.median(times))


losses = {}
for name, use_layer in (("DeepRNN", True), ("keras.ops", False)):
    losses[name], milliseconds = train(use_layer)
    print(f"{name:10} loss {losses[name][0]:.4f} -> {losses[name][-1]:.4f}, {milliseconds:.1f} ms per update")
print("largest difference of the losses:", np.abs(np.subtract(*losses.values())).max())

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(losses["DeepRNN"], color="#e0a184", linewidth=5, label="DeepRNN")
left.plot(losses["keras.ops"], color="#22303c", linewidth=1.2, label="from scratch")
left.set(xlabel="update", ylabel="loss")
left.legend(frameon=False)
rows = np.arange(len(names))
right.barh(rows, [differences[f"gradient of {name}"] for name in names], color="#9db8d2")
right.plot([hand_differences[name] for name in names], rows, "o", color="#c2410c", markersize=4, label="by hand")
right.set_yticks(rows, names)
right.invert_yaxis()
right.set(xscale="log", xlim=(1e-9, 1e-3), xlabel="relative difference of the gradient")
right.legend(frameon=False)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig("from_scratch.png", dpi=120)

# %% [markdown]
# In our run, all relative differences are at most 1.1e-6, the rounding errors of float32, and the losses differ by at
# most 2e-5 after 60 updates, also over the two peaks, at which a learning rate of 0.5 is almost too high. The layer
# needs one call for all steps and layers, where the loops need thousands of small operations.
#
# ## Exercises
#
# 1. Replace the LSTM by a GRU, and compare its outputs with `DeepRNN(cell="gru")`.
# 2. Truncated back-propagation: stop the gradient every k steps. How far is the gradient of the weights from the
#    complete one?
# 3. Add residual connections, $\mathbf{H}_t^{(l)} + \mathbf{H}_t^{(l-1)}$ as the input of layer l + 1, and compare with
#    `connection="residual"`.
#
# ## Solutions
#
# ### 1. A GRU
#
# The blocks of Keras' GRU are z, r, and the candidate. With `reset_after=True`, the default, the reset gate acts after
# the product with the recurrent matrix, and there are two biases.

# %%
gru = DeepRNN(h, num_layers=1, cell="gru", return_sequences=True)
gru_output = gru(x)
W_gru, U_gru, biases = gru.get_weights()
H_gru = np.zeros((n, h))
for t in range(T):
    x_z, x_r, x_c = np.split(x[:, t].numpy() @ W_gru + biases[0], 3, axis=1)
    h_z, h_r, h_c = np.split(H_gru @ U_gru + biases[1], 3, axis=1)
    z, r = 1 / (1 + np.exp(-x_z - h_z)), 1 / (1 + np.exp(-x_r - h_r))
    H_gru = z * H_gru + (1 - z) * np.tanh(x_c + r * h_c)
print(f"relative difference: {relative_difference(gru_output[:, -1], H_gru):.1e}")

# %% [markdown]
# ### 2. Truncation

# %%
for k in (1, 5, 10, T) if FULL else (1, T):
    with tf.GradientTape() as tape:
        states = [(ops.zeros((n, h)), ops.zeros((n, h))) for _ in range(L)]
        truncated_loss = 0.0
        for t in range(T):
            if t % k == 0:
                states = [tuple(map(ops.stop_gradient, pair)) for pair in states]
            below = x[:, t]
            for level in range(L):
                states[level] = lstm_step(below, *states[level], grouped[level])
                below = states[level][0]
            truncated_loss += ops.sum(upstream[:, t] * below)
    complete, truncated = loop_gradients["U (1)"].numpy(), tape.gradient(truncated_loss, grouped[0][1]).numpy()
    error = np.linalg.norm(truncated - complete) / np.linalg.norm(complete)
    print(f"k = {k:2}: relative error of the gradient of U (1) {error:.3f}")

# %% [markdown]
# Our results are 0.99, 1.00, 0.94, and 0. Almost nothing of this gradient stays within ten steps: each of the three
# layers has a forget gate that starts near 0.73 and spreads gradients over several steps, and the spreads add up. How
# much truncation costs depends on the task; here the gradient from above is random at every step.
#
# ### 3. Residual connections

# %%
residual_layer = DeepRNN(h, num_layers=L, connection="residual", return_sequences=True)
residual_output = residual_layer(x)
residual_weights = [weight.value for weight in residual_layer.weights]
below = x
for level in range(L):
    above, _ = forward(below, residual_weights[3 * level : 3 * level + 3])
    below = above + below if level else above
print(f"relative difference: {relative_difference(residual_output, below):.1e}")

# %% [markdown]
# The first layer has no residual connection here, because d and h differ.
