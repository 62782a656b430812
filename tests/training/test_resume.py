"""Resumed runs: compared with uninterrupted ones, damaged checkpoints, and unsupported arguments."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from eagerly import eagerly
from resumable import resumable_run

from deeprnn_keras import ArrayDataset, DeepRNN, Resume, token_windows
from deeprnn_keras.locking import DirectoryInUseError
from deeprnn_keras.training import checkpoint_files
from deeprnn_keras.training.checkpoint_files import newest_first, read_newest

UPDATES_PER_EPOCH = 6  # in `resumable_run`
pytestmark = pytest.mark.usefixtures("eager")


class Interrupt(keras.callbacks.Callback):
    """Interrupt training after a number of updates of this process."""

    def __init__(self, at):
        super().__init__()
        self._at, self._updates = at, 0

    def on_train_batch_end(self, batch, logs=None):
        self._updates += 1
        if self._updates == self._at:
            raise KeyboardInterrupt


class HookHistory(keras.callbacks.Callback):
    """Arguments of `on_train_batch_end` and `on_epoch_end`, and the learning rate."""

    def __init__(self):
        super().__init__()
        self.batches, self.epochs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append([batch, float(logs["loss"]), float(self.model.optimizer.learning_rate)])

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append([epoch, *(float(logs[key]) for key in sorted(logs))])


def run(directory, interrupt_at=None, **options):
    """Return the weights, the history, and the hook arguments of a run, or None if it was interrupted."""
    history_of_hooks = HookHistory()
    model, fit = resumable_run(directory, callbacks=[history_of_hooks], **options)
    assert len(fit["x"]) == UPDATES_PER_EPOCH
    if interrupt_at:
        fit["callbacks"].append(Interrupt(interrupt_at))
    try:
        history = model.fit(**fit).history
    except KeyboardInterrupt:
        return None
    averaging = fit["callbacks"][0].callbacks[1]
    assert averaging.averaged and any(np.any(variable) for variable in averaging.raw)
    return model.get_weights(), history, history_of_hooks.batches, history_of_hooks.epochs


def assert_same(one, other):
    for weight, wanted in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert one[1:] == other[1:]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Result of the uninterrupted run: 3 epochs, averaged from the second on."""
    with eagerly():
        return run(tmp_path_factory.mktemp("uninterrupted"))


# === Bit-identical results ===


@pytest.mark.slow
@pytest.mark.parametrize("interruptions", [[UPDATES_PER_EPOCH - 1], [1, 5, 2, 6, 5]], ids=str)
def test_resumed_run_is_bit_identical(tmp_path, uninterrupted, interruptions):
    """Checkpoints are written every 4 updates and at the end of an epoch, which has 6.

    The first run is interrupted late in epoch 1. The second is interrupted after its first update, without a
    checkpoint; again from the start, late in epoch 1; with that checkpoint, in the last update of epoch 1; in the
    middle of epoch 2, with averaging; and in epoch 3.
    """
    for at in interruptions:
        assert run(tmp_path, at) is None
    assert_same(run(tmp_path), uninterrupted)


@pytest.mark.slow
def test_resumed_exponential_average_is_bit_identical(tmp_path):
    wanted = run(tmp_path / "uninterrupted", averaging="ema")
    for at in (8, 5):
        assert run(tmp_path / "interrupted", at, averaging="ema") is None
    assert_same(run(tmp_path / "interrupted", averaging="ema"), wanted)


@pytest.mark.slow
def test_resumed_compiled_run_is_bit_identical(tmp_path):
    """Functions are traced and kernels compiled, as by default."""
    tf.config.run_functions_eagerly(False)  # the fixture resets it
    wanted = run(tmp_path / "uninterrupted", implementation="auto")
    assert run(tmp_path / "interrupted", 8, implementation="auto") is None
    assert_same(run(tmp_path / "interrupted", implementation="auto"), wanted)


def small_run(directory, seed=0, **options):
    """Return a stateless model with dropout and Adam, shuffled arrays, and a `Resume` with ReduceLROnPlateau."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(0).normal(size=(50, 2, 2)).astype("float32")
    data = ArrayDataset(x, x.sum((1, 2)), batch_size=8, seed=1)
    layers = [keras.Input((2, 2)), keras.layers.LSTM(5, dropout=0.3), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0)
    return model, data, Resume(directory, data, [plateau], every=3, **options)


@pytest.mark.slow
def test_resumed_keras_layers_and_callbacks_are_bit_identical(tmp_path):
    """The run uses Keras' LSTM, Adam, and ReduceLROnPlateau, whose counter Keras itself does not restore."""
    results = []
    for interruption in (None, 11):
        directory = tmp_path / str(interruption)
        for at in [interruption, None] if interruption else [None]:
            model, data, resume = small_run(directory)
            callbacks = [resume] if at is None else [resume, Interrupt(at)]
            try:
                history = model.fit(data, epochs=4, callbacks=callbacks, shuffle=False, verbose=0).history
            except KeyboardInterrupt:
                continue
        results.append((model.get_weights(), history))
    assert resume.resumed_at == 9
    assert_same(*results)


def test_early_stopping_is_restored(tmp_path):
    model, data, resume = small_run(tmp_path)
    resume.callbacks = [keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=9, callbacks=[resume, Interrupt(11)], shuffle=False, verbose=0)
    model, data, resume = small_run(tmp_path)
    resume.callbacks = [keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)]
    assert len(model.fit(data, epochs=9, callbacks=[resume], shuffle=False, verbose=0).history["loss"]) == 2


def test_finished_run_is_not_trained_again(tmp_path):
    weights = []
    for _ in range(2):
        model, data, resume = small_run(tmp_path)
        history = model.fit(data, epochs=2, callbacks=[resume], shuffle=False, verbose=0)
        weights.append(model.get_weights())
    assert resume.resumed_at == 14 and len(history.history["loss"]) == 2
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_resuming_with_another_implementation_warns(tmp_path):
    """The rounding differs: the run continues, but its bits are not those of an uninterrupted run."""
    data = ArrayDataset(np.ones((8, 2, 2), "float32"), np.ones(8, "float32"), batch_size=2, seed=0)

    def fit(implementation, *callbacks):
        stack = DeepRNN(2, num_layers=2, cell="rnn", implementation=implementation)
        model = keras.Sequential([keras.Input((2, 2)), stack, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        resume = Resume(tmp_path, data, every=1)
        model.fit(data, callbacks=[resume, *callbacks], shuffle=False, verbose=0)
        return resume.resumed_at

    with pytest.raises(KeyboardInterrupt):
        fit("loop", Interrupt(2))
    message = (
        r"updates-000000002.safetensors was written with other versions or implementations "
        r"\(recurrent layers: 'loop' before, 'xla' now\), so that the resumed run is not bit-identical"
    )
    with pytest.warns(UserWarning, match=message):
        assert fit("xla") == 2


# === Files ===


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Directory of a run interrupted after update 11 of 28, with checkpoints of updates 7 and 9."""
    directory = tmp_path_factory.mktemp("interrupted")
    model, data, resume = small_run(directory)
    with eagerly(), pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=4, callbacks=[resume, Interrupt(11)], shuffle=False, verbose=0)
    return directory


@pytest.fixture
def interrupted_copy(interrupted, tmp_path):
    """Copy of the directory of an interrupted run."""
    return shutil.copytree(interrupted, tmp_path / "run")


def test_last_two_checkpoints_are_kept(interrupted_copy):
    assert [path.name for path in newest_first(interrupted_copy)] == [f"updates-{k:09d}.safetensors" for k in (9, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "one byte", "empty"])
def test_damaged_checkpoint_falls_back_with_a_warning(interrupted_copy, damage):
    newest, previous = newest_first(interrupted_copy)
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes({"truncated": content[:-200], "one byte": content, "empty": b""}[damage])
    (interrupted_copy / ".updates-000000010.safetensors.part").write_bytes(b"half")
    model, data, resume = small_run(interrupted_copy)
    message = rf"damaged checkpoint: .*{newest.name}: .*; resuming from {previous.name} instead"
    with pytest.warns(UserWarning, match=message), pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=4, callbacks=[resume, Interrupt(1)], shuffle=False, verbose=0)
    assert resume.resumed_at == 7 and not list(interrupted_copy.glob(".updates*"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="requires named pipes")
def test_pipe_among_the_checkpoints_is_skipped(interrupted_copy):
    os.mkfifo(interrupted_copy / "updates-000000099.safetensors")
    with pytest.warns(UserWarning, match=r"updates-000000099.safetensors: not a regular file; resuming from updates-"):
        assert read_newest(interrupted_copy).path.name == "updates-000000009.safetensors"


def test_error_if_all_checkpoints_are_damaged(interrupted_copy):
    for path in newest_first(interrupted_copy):
        path.write_bytes(b"")
    model, data, resume = small_run(interrupted_copy)
    with pytest.raises(
        ValueError, match=r"all checkpoints in .* are damaged: .*updates-000000009.*start a run in a new directory"
    ):
        model.fit(data, callbacks=[resume], shuffle=False, verbose=0)


def test_failed_write_keeps_earlier_checkpoints(interrupted_copy):
    """A limit on the file size makes a write fail halfway, as a full disk does."""
    earlier = {path.name: path.read_bytes() for path in newest_first(interrupted_copy)}
    model, data, resume = small_run(interrupted_copy)
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(
            OSError, match=r"could not write the checkpoint of update 12 to .*; the checkpoint of update 9 is kept"
        ):
            model.fit(data, epochs=4, callbacks=[resume], shuffle=False, verbose=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in interrupted_copy.glob("[!.]*")} == earlier


def test_bfloat16_bool_and_empty_arrays_round_trip(tmp_path):
    import ml_dtypes

    arrays = {"half": np.arange(3).astype(ml_dtypes.bfloat16), "flag": np.array(True), "none": np.zeros((0, 2), "int8")}
    checkpoint_files.write(tmp_path, 5, arrays, {"list": [1, None, "x"]})
    _, restored, values = read_newest(tmp_path)
    assert values == {"list": [1, None, "x"]}
    for name, array in arrays.items():
        assert restored[name].dtype == array.dtype and restored[name].shape == array.shape
        np.testing.assert_array_equal(restored[name], array)


# === Errors ===


def other_model(directory):
    model, data, resume = small_run(directory)
    model.layers[0].units = 5
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.LSTM(6, dropout=0.3), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model, data, resume


def other_optimizer(directory):
    model, data, resume = small_run(directory)
    model.compile(keras.optimizers.Adam(0.5), "mse")
    return model, data, resume


def other_data(directory):
    model, data, resume = small_run(directory)
    data.about["seed"] = 2
    return model, data, resume


def other_recipe(directory):
    return small_run(directory, about={"global_clipnorm": 2.0})


@pytest.mark.parametrize(
    ("make", "epochs", "message"),
    [
        (other_model, 4, r"layer \d \(LSTM\) units: 5 before, 6 now"),
        (other_optimizer, 4, r"optimizer \(Adam\) learning_rate: 0\.001.* before, 0\.5 now"),
        (other_data, 4, "data, seed: 1 before, 2 now"),
        (other_recipe, 4, "global_clipnorm: absent before, 2.0 now"),
        (small_run, 5, "epochs: 4 before, 5 now"),
    ],
)
def test_directory_of_a_different_run_is_an_error(interrupted_copy, make, epochs, message):
    model, data, resume = make(interrupted_copy)
    with pytest.raises(ValueError, match=f"holds a different run: .*{message}"):
        model.fit(data, epochs=epochs, callbacks=[resume], shuffle=False, verbose=0)


def test_dataset_without_position_is_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"data must be a dataset with a settable position \(TBPTTDataset.* got list"):
        Resume(tmp_path, [1, 2])


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("directory must be a path .*, got 5", {"directory": 5}),
        ("directory must be a path .*, got None", {"directory": None}),
        ("callbacks must be a list of .*, got 'abc'", {"callbacks": "abc"}),
        ("callbacks must be a list of .*TerminateOnNaN", {"callbacks": keras.callbacks.TerminateOnNaN()}),
        ("callbacks must be a list of ", {"callbacks": [len]}),
        (r"about must be a dictionary of settings or None, got \[1\]", {"about": [1]}),
        ("every must be a positive integer, got 0", {"every": 0}),
    ],
)
def test_unsupported_arguments_are_rejected_by_name(message, arguments, tmp_path):
    data = ArrayDataset(np.zeros((4, 2)), np.zeros(4), batch_size=2)
    with pytest.raises(ValueError, match=message):
        Resume(**{"directory": tmp_path, "data": data, **arguments})


def test_fit_with_other_data_is_rejected(tmp_path):
    model, _, resume = small_run(tmp_path)
    other = ArrayDataset(np.zeros((50, 2, 2)), np.zeros(50), batch_size=8)
    with pytest.raises(ValueError, match="fit trains on other data than the argument data of Resume"):
        model.fit(other, callbacks=[resume], shuffle=False, verbose=0)


HOLD = "import sys, time; from deeprnn_keras.locking import DirectoryLock; DirectoryLock(sys.argv[1]).__enter__(); "


def test_run_of_another_process_is_rejected(interrupted_copy):
    """The lock is released when `fit` ends, also by Ctrl-C, and when the other process is killed."""
    code = HOLD + "print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, interrupted_copy], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        model, data, resume = small_run(interrupted_copy)
        with pytest.raises(DirectoryInUseError, match=f"{interrupted_copy}' is in use by process {other.pid} "):
            model.fit(data, epochs=4, callbacks=[resume], shuffle=False, verbose=0)
        other.kill()
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=4, callbacks=[resume, Interrupt(1)], shuffle=False, verbose=0)
    subprocess.run([sys.executable, "-c", HOLD, interrupted_copy], check=True)


def test_dataset_of_unknown_length_is_rejected(tmp_path):
    data = token_windows([np.arange(90) % 7], 8, 2, seed=0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Embedding(7, 7)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=r"needs the number of updates per epoch.*; pass data itself to fit"):
        model.fit(data.take(2), callbacks=[Resume(tmp_path, data)], shuffle=False, verbose=0)


def test_directory_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    model, data, resume = small_run(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="could not be created: Not a directory; pass another directory"):
        model.fit(data, callbacks=[resume], shuffle=False, verbose=0)


def test_checkpoints_contain_only_arrays_and_json(interrupted_copy):
    """Reading a checkpoint executes no code, unlike a pickle."""
    size = int.from_bytes(newest_first(interrupted_copy)[0].read_bytes()[:8], "little")
    header = json.loads(newest_first(interrupted_copy)[0].read_bytes()[8 : 8 + size])
    assert set(json.loads(header["__metadata__"]["deeprnn_keras"])) == {"format", "dtypes", "values"}
