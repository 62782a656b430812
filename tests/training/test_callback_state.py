"""State of callbacks in a checkpoint: which attributes are restored, and what a crafted checkpoint may not set."""

import contextlib
import csv
import re
import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest

from deeprnn_keras import ArrayDataset, Recipe, Resume
from deeprnn_keras.reading import DamagedFileError
from deeprnn_keras.training import NTASGD, CosineDecay, LearningRate, NonFiniteGuard, checkpoint_files
from deeprnn_keras.training.callback_state import describe_state
from deeprnn_keras.training.callbacks import BestCheckpoint, LossHistory
from deeprnn_keras.training.run_description import describe_run, differences

pytestmark = pytest.mark.usefixtures("eager")
X = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")


class Interrupt(keras.callbacks.Callback):
    """Interrupt training after three updates of this process."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt


class Recorder(keras.callbacks.Callback):
    """Callback with one attribute of each kind, without a declaration."""

    defaults = (0,)

    def __init__(self):
        super().__init__()
        self.count, self.losses, self.sums, self.last = 0, [], {"loss": 0.0}, None
        self.array, self.path, self.phase, self.flag = np.zeros(2), "log.txt", "warm-up", False
        self._private = 0

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        self.count, self.last, self.array, self.flag = self.count + 1, loss, self.array + loss, True
        self._private += 1
        self.losses.append(loss)
        self.sums["loss"] += loss
        self.defaults = (batch,)


class Declared(Recorder):
    """Callback that declares a text as state, and excludes a number."""

    resumable_state: ClassVar = {"phase": str, "count": None}

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.phase = f"update {batch}"


def training(directory, callbacks, more=()):
    """Return a model and the arguments of `fit`: two epochs of four updates, a checkpoint after every second."""
    keras.utils.set_random_seed(0)
    data = ArrayDataset(X, X.sum(1), batch_size=3, seed=0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    callbacks = [Resume(directory, data, callbacks, every=2), *more]
    options = {"epochs": 2, "validation_data": data, "callbacks": callbacks, "shuffle": False, "verbose": 0}
    return model, {"x": data, **options}


def interrupt(directory, callbacks):
    model, fit = training(directory, callbacks, [Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(**fit)


def resumed_at_start(directory, callback):
    """Return the attributes of a callback right after they were restored."""
    state = {}

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            state.update(vars(callback))
            raise InterruptedError

    model, fit = training(directory, [callback], [Look()])
    with pytest.raises(InterruptedError):
        model.fit(**fit)
    return state


def craft(directory, change):
    """Replace the checkpoints by one with other content and a valid hash; return its path."""
    path, arrays, values = checkpoint_files.read_newest(directory)
    for old in checkpoint_files.newest_first(directory):
        old.unlink()
    change(arrays, values)
    return checkpoint_files.write(path.parent, 2, arrays, values)


# === What is restored ===


@pytest.mark.filterwarnings("ignore:Resume does not save")
def test_numbers_lists_dictionaries_and_arrays_are_restored(tmp_path):
    interrupt(tmp_path, [Recorder()])
    state = resumed_at_start(tmp_path, Recorder())
    assert state["count"] == 2 and len(state["losses"]) == 2 and state["last"] == state["losses"][-1]
    assert state["sums"] == {"loss": sum(state["losses"])} and state["flag"] is True and state["defaults"] == (1,)
    np.testing.assert_array_equal(state["array"], [sum(state["losses"])] * 2)


def test_texts_paths_and_private_attributes_stay_those_of_the_script(tmp_path):
    interrupt(tmp_path, [Recorder()])
    callback = Recorder()
    callback.path, callback.phase = "other.txt", "main"
    state = resumed_at_start(tmp_path, callback)
    assert (state["path"], state["phase"], state["_private"]) == ("other.txt", "main", 0)


def test_declared_types_take_precedence(tmp_path):
    interrupt(tmp_path, [Declared()])
    state = resumed_at_start(tmp_path, Declared())
    assert state["phase"] == "update 1" and state["count"] == 0


def test_warning_names_state_that_is_not_saved(tmp_path):
    class Late(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.seen = batch

    with pytest.warns(
        UserWarning, match=r"Resume does not save 'seen' of Late, .* resumable_state = {'seen': "
    ) as all_:
        interrupt(tmp_path, [Late()])
    assert len([warning for warning in all_ if "'seen'" in str(warning.message)]) == 1


@pytest.mark.parametrize(
    "make",
    [
        LossHistory,
        NonFiniteGuard,
        NTASGD,
        lambda: BestCheckpoint("model.keras"),
        lambda: keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        lambda: keras.callbacks.ReduceLROnPlateau(patience=1),
        lambda: keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True),
        keras.callbacks.TerminateOnNaN,
    ],
)
def test_state_of_known_callbacks_is_saved_without_warnings(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Resume does not save")
        model, fit = training(tmp_path / "checkpoints", [make()])
        model.fit(**fit)
    state = resumed_at_start(tmp_path / "checkpoints", make())
    declared = describe_state(make()).types
    assert all(name in state for name, kind in declared.items() if kind is not None)


def test_resumed_csv_log_has_one_header(tmp_path):
    class InterruptEpoch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    for more in ([InterruptEpoch()], []):
        model, fit = training(
            tmp_path / "checkpoints", [keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)], more
        )
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(**fit)
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["epoch", "0", "1"]


# === Settings ===


class Configured(keras.callbacks.Callback):
    """Callback that stores its arguments."""

    def __init__(self, rate=1, function=len, log_dir="here", count=0, schedule=None, verbose=0, names=("a",)):
        super().__init__()
        self.rate, self.function, self.log_dir, self.count = rate, function, log_dir, count
        self.schedule, self.verbose, self.names = schedule, verbose, names
        self.other = rate


class Inherited(Configured):
    """Callback whose arguments are those of its base class; `count` is state."""

    resumable_state: ClassVar = {"count": int}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)


EARLY, PLATEAU = keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau
CHANGED = {
    "patience": (EARLY(patience=3), EARLY(patience=2), "patience: 3 before, 2 now"),
    "metric": (EARLY(), EARLY(monitor="loss"), "monitor: 'val_loss' before, 'loss' now"),
    "least change": (EARLY(min_delta=0.1), EARLY(min_delta=0.2), "min_delta: 0.1 before, 0.2 now"),
    "flag": (EARLY(), EARLY(restore_best_weights=True), "restore_best_weights: False before, True now"),
    "factor": (PLATEAU(factor=0.1), PLATEAU(factor=0.5), "factor: 0.1 before, 0.5 now"),
    "averaging": (NTASGD(2), NTASGD(3), "nonmono: 2 before, 3 now"),
    "guard": (NonFiniteGuard(), NonFiniteGuard(action="skip"), "action: 'stop' before, 'skip' now"),
    "learning rate": (LearningRate(0.1), LearningRate(0.2), "base: 0.1 before, 0.2 now"),
    "recipe": (NonFiniteGuard(recipe=Recipe()), NonFiniteGuard(recipe=Recipe(epochs=9)), "recipe epochs: .* 9 now"),
    "schedule": (
        LearningRate(0.1, CosineDecay(0.1)),
        LearningRate(0.1, CosineDecay(0.2)),
        "schedule final: 0.1 before, 0.2 now",
    ),
    "function": (Configured(function=len), Configured(function=sum), "function: 'len' before, 'sum' now"),
    "list": (Configured(), Configured(names=["a", "b"]), r"names: \"\['a'\]\" before, \"\['a', 'b'\]\" now"),
    "inherited": (Inherited(rate=1), Inherited(rate=2), "rate: 1 before, 2 now"),
}


@pytest.mark.parametrize(("before", "now", "message"), CHANGED.values(), ids=CHANGED)
def test_changed_setting_is_reported(before, now, message):
    """Attributes that are not arguments, such as `other`, are state."""
    (difference,) = differences(_flat(before), _flat(now))
    assert re.fullmatch(rf"callback 0 \({type(now).__name__}\) {message}", difference)


def _flat(callback):
    model, fit = training("unused", [callback])
    return describe_run(model, fit["x"], [callback], {"epochs": 2, "steps": 4}, {})


UNCHANGED = {
    "NumPy number": (EARLY(patience=3), EARLY(patience=np.int64(3))),
    "path": (Configured(log_dir="here"), Configured(log_dir="there")),
    "verbosity": (EARLY(verbose=0), EARLY(verbose=1)),
    "declared state": (Inherited(count=0), Inherited(count=5)),
    "file": (BestCheckpoint("a.keras"), BestCheckpoint("b.keras")),
    "table": (keras.callbacks.CSVLogger("a.csv"), keras.callbacks.CSVLogger("b.csv")),
    "list or tuple": (Configured(names=("a",)), Configured(names=["a"])),
}


@pytest.mark.parametrize(("before", "now"), UNCHANGED.values(), ids=UNCHANGED)
def test_arguments_that_are_no_settings_may_change(before, now):
    assert differences(_flat(before), _flat(now)) == []


def test_changed_setting_is_refused_and_changes_nothing(tmp_path):
    interrupt(tmp_path, [EARLY(monitor="loss", patience=3)])
    model, fit = training(tmp_path, [EARLY(monitor="loss", patience=2)])
    weights = model.get_weights()
    with pytest.raises(
        ValueError, match=r"different run: callback 0 \(EarlyStopping\) patience: 3 before, 2 now\. Res"
    ):
        model.fit(**fit)
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_same_callback_resumes_in_the_same_process(tmp_path):
    """Keras changes the sign of min_delta when training begins."""
    callback = EARLY(monitor="loss", min_delta=0.1, patience=9)
    interrupt(tmp_path, [callback])
    model, fit = training(tmp_path, [callback])
    model.fit(**fit)
    assert fit["callbacks"][0].resumed_at == 2 and callback.min_delta == -0.1


# === Crafted checkpoints ===


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    from eagerly import eagerly

    directory = tmp_path_factory.mktemp("interrupted")
    with eagerly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interrupt(directory, [Recorder()])
    return directory


def set_state(**attributes):
    return lambda arrays, values: values["callbacks"][0].update(attributes)


CRAFTED = {
    "method": set_state(on_train_batch_end=5),
    "model": set_state(model="x"),
    "private name": set_state(_private=5),
    "path": set_state(path="/etc/passwd"),
    "new name": set_state(unknown=5),
    "declaration": set_state(resumable_state={}),
    "number to text": set_state(count="x"),
    "number to list": set_state(count=[]),
    "number to flag": set_state(count=True),
    "flag to number": set_state(flag=1),
    "list to number": set_state(losses=5),
    "dictionary to list": set_state(sums=[]),
    "none to text": set_state(last="/etc/passwd"),
    "array to number": set_state(array=1),
    "missing arrays": set_state(array={"arrays": 7}),
    "negative number of arrays": set_state(array={"arrays": -1}),
    "huge number of arrays": set_state(array={"arrays": 10**12}),
    "unknown function": set_state(last={"function": ["os", "system"]}),
    "function of NumPy": set_state(last={"function": ["numpy", "save"]}),
    "function that is a text": set_state(last={"function": "numpy.save"}),
    "callbacks left out": lambda arrays, values: values.update(callbacks=[]),
    "callback that is a list": lambda arrays, values: values.update(callbacks=[[]]),
    "random state": lambda arrays, values: values.update(python=[3, [1, 2], None]),
    "NumPy state": lambda arrays, values: arrays.update(numpy=np.zeros(3, "uint32")),
    "NumPy position": lambda arrays, values: values["numpy"].__setitem__(1, 10**9),
    "position": lambda arrays, values: values.update(position=[0, 10**9, 5]),
    "history": lambda arrays, values: values.update(history=5),
    "array left out": lambda arrays, values: arrays.pop("optimizer/0"),
    "array of another shape": lambda arrays, values: arrays.update({"model/0": np.zeros((3, 3), "float32")}),
    "array of another dtype": lambda arrays, values: arrays.update({"model/1": np.zeros(1, "int64")}),
}


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.filterwarnings("ignore:Resume does not save")
def test_crafted_checkpoint_changes_nothing(name, interrupted, tmp_path):
    checkpoint_files.write(tmp_path, 2, *checkpoint_files.read_newest(interrupted)[1:])
    path = craft(tmp_path, CRAFTED[name])
    callback = Recorder()
    model, fit = training(tmp_path, [callback])
    weights, attributes, random_state = model.get_weights(), repr(vars(callback)), np.random.get_state()[1]  # noqa: NPY002
    with pytest.raises(DamagedFileError, match=f"^{path}: not a checkpoint of this run, or damaged: "):
        model.fit(**fit)
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    model_and_params = {"_model", "params", "validation_data"}
    after = {name: value for name, value in vars(callback).items() if name not in model_and_params}
    assert all(f"{name!r}: {value!r}" in attributes for name, value in after.items())
    np.testing.assert_array_equal(np.random.get_state()[1], random_state)  # noqa: NPY002
