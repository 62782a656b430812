"""Training on several replicas of `tf.distribute` compared with training on one device."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, keras, numpy as np, tensorflow as tf
from deeprnn_keras import LanguageModel, TBPTTDataset
from deeprnn_keras.optimizers import GUARDED_OPTIMIZERS
from deeprnn_keras.training import NonFiniteGuard
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
# one strategy for all models: those of another one with other shapes would have the same keys of collective operations
ONE, TWO = (tf.distribute.MirroredStrategy(devices) for devices in (["CPU:0"], ["CPU:0", "CPU:1"]))
STREAM = np.random.default_rng(0).integers(7, size=121)

def run(name, options, strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = LanguageModel(7, 4, 2, "gru", stateful=True, embedding=3)
        optimizer = GUARDED_OPTIMIZERS[name](**options)
        model.compile(optimizer, model.loss_function())
    data = TBPTTDataset(STREAM, 4, 5)
    loss = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    clipped, norm = (float(keras.ops.convert_to_numpy(v)) for v in (optimizer.clipped, optimizer.last_norm))
    return model.get_weights(), loss, int(clipped), norm

for name, options in (("sgd", {"learning_rate": 1.0, "global_clipnorm": 0.05}),
                      ("adam", {"learning_rate": 0.01, "global_clipnorm": 0.05})):
    one, two = (run(name, options, strategy) for strategy in (ONE, TWO))
    error = max(np.abs(a - b).max() for a, b in zip(one[0], two[0], strict=True))
    print("RESULT", name, one[2], two[2], error < 1e-5, np.allclose(one[1], two[1], atol=1e-5),
          abs(one[3] - two[3]) < 1e-5, error)

class Overflow(keras.layers.Layer):
    def call(self, x):  # NaN in the gradient of a row with a negative sum, 0 otherwise
        return x + keras.ops.sqrt(keras.ops.sum(x, -1, keepdims=True)) * 0.0

def guarded(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), Overflow(), keras.layers.Dense(1)])
        model.compile(GUARDED_OPTIMIZERS["adam"](0.1, global_clipnorm=1.0, use_ema=True), "mse")
    model.layers[0].kernel.assign(np.eye(2))
    x = np.random.default_rng(0).uniform(1.0, 2.0, size=(12, 2)).astype("float32")
    x[6] = -2.0  # a row of the second replica in the second of three updates
    guard = NonFiniteGuard(action="skip")
    model.fit(x, np.ones(12), batch_size=4, shuffle=False, verbose=0, callbacks=[guard])
    optimizer = model.optimizer
    counters = (optimizer.skipped, optimizer.applied, optimizer.iterations, optimizer.faulty)
    counts = [int(keras.ops.convert_to_numpy(v)) for v in counters]
    return [*counts, guard.skipped], [keras.ops.convert_to_numpy(v) for v in [*model.weights, *optimizer.variables]]

one, two = (guarded(strategy) for strategy in (ONE, TWO))
print("RESULT guard", one[0], two[0], all(np.allclose(a, b, atol=1e-5) for a, b in zip(one[1], two[1])), 0)
"""


@pytest.mark.slow
def test_two_replicas_train_to_the_weights_of_one_device():
    """States are carried per row, all 12 gradients are clipped, and a non-finite gradient skips an update."""
    process = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    lines = [line.rsplit(maxsplit=1)[0] for line in process.stdout.splitlines() if line.startswith("RESULT")]
    expected = [f"RESULT {name} 12 12 True True True" for name in ("sgd", "adam")]
    expected.append("RESULT guard [1, 2, 2, 0, [2]] [1, 2, 2, 0, [2]] True")
    assert lines == expected, process.stdout + process.stderr[-2000:]
