"""Resumed runs on several replicas of `tf.distribute`, each of which carries its own states."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, keras, numpy as np, tensorflow as tf
from deeprnn_keras import DeepRNN, Resume, TBPTTDataset
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
STREAM = np.random.default_rng(0).normal(size=(49, 2)).astype("float32")
LAYERS = {
    "DeepRNN": lambda: DeepRNN(2, 2, "gru", stateful=True, return_sequences=True, dropout=0.3),
    "LSTM": lambda: keras.layers.LSTM(2, stateful=True, return_sequences=True),
}

class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 3:
            raise KeyboardInterrupt

def run(name, directory, more=(), devices=("CPU:0", "CPU:1")):
    keras.utils.set_random_seed(0)
    with tf.distribute.MirroredStrategy(devices).scope():
        layers = [LAYERS[name](), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
        model = keras.Sequential([keras.Input((3, 2), batch_size=2), *layers])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    data = TBPTTDataset(STREAM, 2 * len(devices), 3, reset_mask=False, seed=0)
    resume = Resume(directory, data, every=1)
    history = model.fit(data, epochs=2, callbacks=[resume, *more], shuffle=False, verbose=0).history
    return model.get_weights(), history, resume

name, directory = sys.argv[1:]
weights, history, _ = run(name, f"{directory}/whole")
try:
    run(name, f"{directory}/run", [Interrupt()])
except KeyboardInterrupt:
    pass
resumed, resumed_history, resume = run(name, f"{directory}/run")
same = all(np.array_equal(one, other) for one, other in zip(resumed, weights, strict=True))
print("RESULT", resume.resumed_at, same, resumed_history == history)
try:
    run(name, f"{directory}/run", devices=["CPU:0"])
except ValueError as error:
    print("RESULT", error)
"""


@pytest.mark.long
@pytest.mark.parametrize("name", ["DeepRNN", "LSTM"])
def test_resumed_run_on_two_replicas_is_bit_identical(name, tmp_path):
    process = subprocess.run([sys.executable, "-c", PROGRAM, name, tmp_path], capture_output=True, text=True)
    lines = [line for line in process.stdout.splitlines() if line.startswith("RESULT")]
    assert lines[:1] == ["RESULT 3 True True"], process.stderr[-2000:]
    assert "replicas: 2 before, 1 now" in lines[1]
