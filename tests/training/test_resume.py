"""Interrupted training runs that are resumed: against uninterrupted ones, and what is refused."""

import json
import resource
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from eagerly import eagerly
from resumable import training

from deeprnn_keras import ArrayDataset, Resume, token_windows
from deeprnn_keras.training import checkpoint_files
from deeprnn_keras.training.checkpoint_files import newest_first, read_newest

EPOCH = 6  # updates per epoch of `training`
pytestmark = pytest.mark.usefixtures("eager")


class Kill(keras.callbacks.Callback):
    """Interrupt after a number of updates of this process."""

    def __init__(self, at):
        super().__init__()
        self._at, self._seen = at, 0

    def on_train_batch_end(self, batch, logs=None):
        self._seen += 1
        if self._seen == self._at:
            raise KeyboardInterrupt


class Note(keras.callbacks.Callback):
    """Record what other callbacks receive, by update."""

    def __init__(self):
        super().__init__()
        self.rows, self.ends = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append([batch, float(logs["loss"]), float(self.model.optimizer.learning_rate)])

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append([epoch, *(float(logs[key]) for key in sorted(logs))])


def run(directory, kill_at=None, **options):
    """Return the weights, the history, and the notes of a run, or None if it was interrupted."""
    note = Note()
    model, fit = training(directory, callbacks=[note], **options)
    assert len(fit["x"]) == EPOCH
    if kill_at:
        fit["callbacks"].append(Kill(kill_at))
    try:
        history = model.fit(**fit).history
    except KeyboardInterrupt:
        return None
    averaging = fit["callbacks"][0].callbacks[1]
    assert averaging.averaged and any(np.any(variable) for variable in averaging.raw)
    return model.get_weights(), history, note.rows, note.ends


def assert_same(one, other):
    for weight, wanted in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert one[1:] == other[1:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run: 3 epochs, averaged from the second on."""
    with eagerly():
        return run(tmp_path_factory.mktemp("whole"))


# === Bit for bit ===


SLOW_KILLS = [pytest.param(kills, marks=pytest.mark.slow) for kills in ([1], [EPOCH])]


@pytest.mark.parametrize("kills", [[EPOCH - 1], [8, 2, 5], *SLOW_KILLS], ids=str)
def test_resumed_run_is_bit_identical(tmp_path, whole, kills):
    """Between the last save and an epoch's end, thrice in averaged epochs, before the first save, at an epoch's end."""
    for at in kills:
        assert run(tmp_path, at) is None
    assert_same(run(tmp_path), whole)


@pytest.mark.slow
def test_resumed_exponential_average_is_bit_identical(tmp_path):
    wanted = run(tmp_path / "whole", averaging="ema")
    for at in (8, 5):
        assert run(tmp_path / "cut", at, averaging="ema") is None
    assert_same(run(tmp_path / "cut", averaging="ema"), wanted)


@pytest.mark.slow
def test_resumed_compiled_run_is_bit_identical(tmp_path):
    """As users run it: traced, with compiled kernels."""
    tf.config.run_functions_eagerly(False)  # until the fixture ends
    wanted = run(tmp_path / "whole", implementation="auto")
    for at in (8, 5):
        assert run(tmp_path / "cut", at, implementation="auto") is None
    assert_same(run(tmp_path / "cut", implementation="auto"), wanted)


def small(directory, seed=0, **options):
    """Return a stateless model with dropout and Adam, its shuffled arrays, and a `Resume` with a plateau."""
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(0).normal(size=(50, 2, 2)).astype("float32")
    data = ArrayDataset(x, x.sum((1, 2)), batch_size=8, seed=1)
    layers = [keras.Input((2, 2)), keras.layers.LSTM(5, dropout=0.3), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, min_delta=10.0)
    return model, data, Resume(directory, data, [plateau], every=3, **options)


@pytest.mark.slow
def test_stock_layers_and_callbacks_resume(tmp_path):
    """Keras' own LSTM, Adam, and ReduceLROnPlateau, whose count Keras does not restore."""
    results = []
    for kill in (None, 11):
        directory = tmp_path / str(kill)
        for at in [kill, None] if kill else [None]:
            model, data, resume = small(directory)
            callbacks = [resume] if at is None else [resume, Kill(at)]
            try:
                history = model.fit(data, epochs=4, callbacks=callbacks, shuffle=False, verbose=0).history
            except KeyboardInterrupt:
                continue
        results.append((model.get_weights(), history))
    assert resume.resumed_at == 9
    assert_same(*results)


def test_early_stopping_survives_a_resume(tmp_path):
    model, data, resume = small(tmp_path)
    resume.callbacks = [keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)]
    with pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=9, callbacks=[resume, Kill(11)], shuffle=False, verbose=0)
    model, data, resume = small(tmp_path)
    resume.callbacks = [keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)]
    assert len(model.fit(data, epochs=9, callbacks=[resume], shuffle=False, verbose=0).history["loss"]) == 2


def test_finished_run_is_not_trained_again(tmp_path):
    weights = []
    for _ in range(2):
        model, data, resume = small(tmp_path)
        history = model.fit(data, epochs=2, callbacks=[resume], shuffle=False, verbose=0)
        weights.append(model.get_weights())
    assert resume.resumed_at == 14 and len(history.history["loss"]) == 2
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


# === Files ===


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The directory of a run interrupted after update 11 of 28, with checkpoints of updates 7 and 9."""
    directory = tmp_path_factory.mktemp("interrupted")
    model, data, resume = small(directory)
    with eagerly(), pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=4, callbacks=[resume, Kill(11)], shuffle=False, verbose=0)
    return directory


@pytest.fixture
def begun(interrupted, tmp_path):
    """A copy of it."""
    return shutil.copytree(interrupted, tmp_path / "run")


def test_last_two_checkpoints_are_kept(begun):
    assert [path.name for path in newest_first(begun)] == [f"updates-{k:09d}.safetensors" for k in (9, 7)]


@pytest.mark.parametrize("damage", ["cut short", "one byte", "empty"])
def test_damaged_checkpoint_falls_back_with_a_warning(begun, damage):
    newest, before = newest_first(begun)
    content = bytearray(newest.read_bytes())
    content[-100] ^= 1
    newest.write_bytes({"cut short": content[:-200], "one byte": content, "empty": b""}[damage])
    (begun / ".updates-000000010.safetensors.part").write_bytes(b"half")
    model, data, resume = small(begun)
    with pytest.warns(UserWarning, match=rf"damaged: {newest.name} .*; going on from {before.name} instead"):
        model.fit(data, epochs=4, callbacks=[resume], shuffle=False, verbose=0)
    assert resume.resumed_at == 7 and not list(begun.glob(".updates*"))


def test_damaged_checkpoints_only_are_an_error(begun):
    for path in newest_first(begun):
        path.write_bytes(b"")
    model, data, resume = small(begun)
    with pytest.raises(
        ValueError, match=r"all checkpoints in .* are damaged: updates-000000009.*begin in a new directory"
    ):
        model.fit(data, callbacks=[resume], shuffle=False, verbose=0)


def test_failed_write_keeps_earlier_checkpoints(begun):
    """A limit on the size of files fails in the middle of a write, as a full disk does."""
    kept = {path.name: path.read_bytes() for path in newest_first(begun)}
    model, data, resume = small(begun)
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
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == kept


def test_bfloat16_bool_and_empty_arrays_round_trip(tmp_path):
    import ml_dtypes

    arrays = {"half": np.arange(3).astype(ml_dtypes.bfloat16), "flag": np.array(True), "none": np.zeros((0, 2), "int8")}
    checkpoint_files.write(tmp_path, 5, arrays, {"list": [1, None, "x"]})
    _, read, plain = read_newest(tmp_path)
    assert plain == {"list": [1, None, "x"]}
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        np.testing.assert_array_equal(read[name], array)


# === Refused ===


def other_model(directory):
    model, data, resume = small(directory)
    model.layers[0].units = 5
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.LSTM(6, dropout=0.3), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model, data, resume


def other_optimizer(directory):
    model, data, resume = small(directory)
    model.compile(keras.optimizers.Adam(0.5), "mse")
    return model, data, resume


def other_data(directory):
    model, data, resume = small(directory)
    data.about["seed"] = 2
    return model, data, resume


def other_recipe(directory):
    return small(directory, about={"global_clipnorm": 2.0})


@pytest.mark.parametrize(
    ("make", "epochs", "message"),
    [
        (other_model, 4, r"layer \d \(LSTM\) units: 5 there, 6 here"),
        (other_optimizer, 4, r"optimizer \(Adam\) learning_rate: 0\.001.* there, 0\.5 here"),
        (other_data, 4, "data, seed: 1 there, 2 here"),
        (other_recipe, 4, "global_clipnorm: absent there, 2.0 here"),
        (small, 5, "epochs: 4 there, 5 here"),
    ],
)
def test_different_run_is_refused_with_the_differences(begun, make, epochs, message):
    model, data, resume = make(begun)
    with pytest.raises(ValueError, match=f"holds another training: .*{message}"):
        model.fit(data, epochs=epochs, callbacks=[resume], shuffle=False, verbose=0)


def test_dataset_without_position_is_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"data must be a dataset with a settable position \(TBPTTDataset.* got list"):
        Resume(tmp_path, [1, 2])


def test_part_of_a_dataset_is_rejected(tmp_path):
    data = token_windows([np.arange(90) % 7], 8, 2, seed=0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Embedding(7, 7)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="needs to know the updates per epoch; give fit the data itself"):
        model.fit(data.take(2), callbacks=[Resume(tmp_path, data)], shuffle=False, verbose=0)


def test_unwritable_directory_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    model, data, resume = small(tmp_path / "file" / "run")
    with pytest.raises(ValueError, match="cannot be created: Not a directory; give another"):
        model.fit(data, callbacks=[resume], shuffle=False, verbose=0)


def test_checkpoints_contain_no_code(begun):
    """Arrays and JSON: nothing in them is run when they are read."""
    size = int.from_bytes(newest_first(begun)[0].read_bytes()[:8], "little")
    head = json.loads(newest_first(begun)[0].read_bytes()[8 : 8 + size])
    assert set(json.loads(head["__metadata__"]["deeprnn_keras"])) == {"format", "kinds", "plain"}
