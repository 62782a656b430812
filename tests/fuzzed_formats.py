"""Formats that the package reads, and a program that reads damaged files of one format.

`python -m fuzzed_formats FORMAT FIRST COUNT DIRECTORY` prints one JSON line per file. It reads each file in a directory
of its own and reports, besides the outcome, every file changed elsewhere, every name resolved outside the registries of
names, every process started other than a reader of this package, and the memory used.
"""

import base64
import contextlib
import hashlib
import io
import json
import marshal
import os
import random
import resource
import shutil
import signal
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np

SECONDS_PER_FILE = 60  # of processor time
MEMORY = 2**30  # bytes that reading may take in addition
ADDRESS_SPACE = 8 * 2**30  # bytes; an allocation beyond it fails instead of slowing the machine down
NESTED = "[" * 100_000
ARRAY = (np.arange(4 * 88).reshape(4, 88) % 7 == 0).astype(float)

FUNCTIONS = ("keras.utils.set_random_seed", "keras.config.set_epsilon", "keras.applications.VGG16", "os.system")
FUNCTIONS += ("keras.utils.get_file", "keras.datasets.mnist.load_data", "keras.distribution.set_distribution")


def crafted(rng):
    """Return a JSON value that calls a function, or that no reader expects."""
    module, _, name = rng.choice(FUNCTIONS).rpartition(".")
    return rng.choice(
        [
            *[{"class_name": "function", "module": module, "config": name, "registered_name": name}] * 3,
            {"class_name": name, "module": module, "config": {}, "registered_name": None},
            {"cell_class": name},
            {"function": [module, name]},
            {"arrays": 3},
            *(None, True, False, "", "x", "/etc/hostname", "../victim", [], {}, [[]], {"": {}}),
            *(0, -1, 1, 3, 60_000, 10**9, 10**30, -(10**30), 0.5, -0.5, 1e300, float("nan"), float("inf")),
        ]
    )


def mutated_json(data, rng):
    """Return JSON with one to three values replaced, removed, or moved; sometimes with damaged text."""
    if rng.random() < 0.1:
        return NESTED.encode() if rng.random() < 0.3 else mutated_bytes(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        places = list(_places(value))
        if not places:
            return json.dumps(crafted(rng)).encode()
        container, key = rng.choice(places)
        action = rng.random()
        if action < 0.15:
            del container[key]
        elif action < 0.3:
            other, other_key = rng.choice(places)
            container[key] = json.loads(json.dumps(other[other_key]))
        else:
            container[key] = crafted(rng)
    return json.dumps(value).encode()


def _places(value):
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def mutated_bytes(data, rng):
    """Return bytes that are flipped, replaced, cut, or repeated in places."""
    data = bytearray(data)
    if rng.random() < 0.15:
        return bytes(data[: rng.randrange(len(data))])
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if not data:
            break
        start = rng.randrange(len(data))
        end = start + rng.choice([1, 1, 1, 4, 8, 64])
        action = rng.random()
        if action < 0.5:
            data[start] ^= 1 << rng.randrange(8)
        elif action < 0.8:
            data[start:end] = bytes(rng.choice([0, 255, 127, rng.randrange(256)]) for _ in range(end - start))
        elif action < 0.9:
            del data[start:end]
        else:
            data[start:start] = data[start:end]
    return bytes(data)


class Format:
    """One format: `create` writes whole files into a directory, `read` reads them and returns what was read."""

    file = ""  # the file that is changed
    mutate = staticmethod(mutated_bytes)

    def create(self, directory):
        raise NotImplementedError

    def change(self, directory, rng):
        path = directory / self.file
        path.write_bytes(self.mutate(path.read_bytes(), rng))

    def read(self, directory):
        raise NotImplementedError

    def same(self, result, original):
        """Return False if a file that loads must not have another content, and has."""
        return True


class PresetConfig(Format):
    """Configuration of a preset."""

    file = "config.json"
    mutate = staticmethod(mutated_json)

    def create(self, directory):
        from deeprnn_keras import zoo

        directory.rmdir()
        zoo.save_preset(zoo.create_model("d2l_rnn_2x32", units=4), directory)

    def read(self, directory):
        from deeprnn_keras import zoo

        return zoo.create_model(str(directory)).get_weights()


class PresetWeights(PresetConfig):
    """Weights of a preset, of which the hash fits."""

    file = "model.safetensors"
    mutate = staticmethod(mutated_bytes)

    def change(self, directory, rng):
        super().change(directory, rng)
        config = json.loads((directory / "config.json").read_text())
        config["sha256"] = hashlib.sha256((directory / self.file).read_bytes()).hexdigest()
        (directory / "config.json").write_text(json.dumps(config))


class PresetHash(PresetConfig):
    """Weights of a preset, of which the hash does not fit."""

    file = "model.safetensors"
    mutate = staticmethod(mutated_bytes)

    def same(self, result, original):
        return _equal(result, original)


class ProgramFile(Format):
    """File of a program, run after it was loaded."""

    file = "model.program.safetensors"

    def create(self, directory):
        from deeprnn_keras import LanguageModel, lower

        options = {"embedding": 3, "head_units": [5], "dilation": [1, 2], "activation": ["tanh", "elu"]}
        lower(LanguageModel("abc ", 4, 2, ["gru", "mlp_gate_lstm"], **options)).save(directory / self.file)

    def read(self, directory):
        from deeprnn_keras import Program
        from deeprnn_keras.program.interpreter import run

        program = Program.load(directory / self.file)
        steps = np.zeros((1, 2), "int32")
        inputs = [steps if one.ids else np.zeros((1, 2, one.width), "float32") for one in program.inputs]
        with np.errstate(all="ignore"):
            return run(program, inputs)[0]


class ProgramListing(ProgramFile):
    """List of operations of a program, of which the weights are whole."""

    mutate = staticmethod(mutated_json)

    def change(self, directory, rng):
        from safetensors.numpy import load, save

        from deeprnn_keras.program.files import KEY

        data = (directory / self.file).read_bytes()
        length = int.from_bytes(data[:8], "little")
        stored = json.loads(data[8 : 8 + length])["__metadata__"][KEY]
        listing = self.mutate(stored.encode(), rng).decode("utf-8", "replace")
        (directory / self.file).write_bytes(save(load(data), {KEY: listing}))


class ModelFile(Format):
    """`.keras` file."""

    file = "model.keras"

    def create(self, directory):
        from deeprnn_keras import LanguageModel, Recipe

        model = LanguageModel("abc ", units=4, num_layers=2, cell=["gru", "lstm"], embedding=3, head_units=[5])
        Recipe().compile(model, model.loss_function()).save(directory / self.file)

    def read(self, directory):
        from deeprnn_keras.models import load_model

        return load_model(directory / self.file).get_weights()

    def same(self, result, original):
        return _equal(result, original)


class ModelConfig(ModelFile):
    """Configuration in a `.keras` file."""

    member = "config.json"
    mutate = staticmethod(mutated_json)

    def change(self, directory, rng):
        path = directory / self.file
        with zipfile.ZipFile(path) as source:
            members = {name: source.read(name) for name in source.namelist()}
        members[self.member] = self.mutate(members[self.member], rng)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    def same(self, result, original):
        return True


class ModelWeights(ModelConfig):
    """Weights in a `.keras` file."""

    member = "model.weights.h5"
    mutate = staticmethod(mutated_bytes)


class SequenceModelConfig(ModelConfig):
    """Configuration of a functional model with a bidirectional `DeepRNN`."""

    def create(self, directory):
        import keras

        from deeprnn_keras import DeepRNN

        layer = DeepRNN(3, 2, "rhn", "relu", bidirectional=True, kernel_regularizer="l2")
        keras.Sequential([keras.Input((None, 2)), layer, keras.layers.Dense(1)]).save(directory / self.file)


class Checkpoint(Format):
    """Checkpoint of a training run, of which the hash does not fit."""

    file = "updates-000000003.safetensors"

    def create(self, directory):
        self._fit(directory)
        for path in directory.glob("updates-*"):
            if path.name != self.file:
                path.unlink()

    def _fit(self, directory):
        import keras

        from deeprnn_keras import LanguageModel, Resume, token_windows

        class Interrupt(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 2:
                    raise KeyboardInterrupt

        keras.utils.set_random_seed(0)
        data = token_windows([np.random.default_rng(0).integers(0, 7, 120)], length=8, batch_size=4, seed=0)
        model = LanguageModel(7, units=4, name="language_model")
        model.compile("adam", model.loss_function(), run_eagerly=True)
        resume = Resume(directory, data, [keras.callbacks.TerminateOnNaN()], every=1)
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(data, epochs=1, callbacks=[resume, Interrupt()], shuffle=False, verbose=0)
        return model.get_weights()

    def read(self, directory):
        return self._fit(directory)

    def same(self, result, original):
        return _equal(result, original)


class CheckpointContent(Checkpoint):
    """Checkpoint whose hash fits; only values that the training state consists of are loaded."""

    def change(self, directory, rng):
        from deeprnn_keras.training import checkpoint_files

        checkpoint = checkpoint_files.read_newest(directory)
        values = mutated_json(json.dumps(checkpoint.values).encode(), rng)
        arrays = dict(checkpoint.arrays)
        if rng.random() < 0.3:
            name = rng.choice(sorted(arrays))
            arrays[name] = rng.choice(
                [np.zeros(3, "uint32"), arrays[name].astype("float64"), np.ravel(arrays[name])[:0]]
            )
        with contextlib.suppress(ValueError, RecursionError):  # no JSON at all
            checkpoint_files.write(directory, 3, arrays, json.loads(values))

    def same(self, result, original):
        return True


class RunSettings(Format):
    """run.json of an unfinished run."""

    file = "run.json"
    mutate = staticmethod(mutated_json)

    def create(self, directory):
        (directory / "checkpoints").mkdir()
        settings = {"model": "d2l_rnn_2x32", "data": "/none/text.txt", "quick": False, "seed": 0, "units": [3, 4]}
        (directory / self.file).write_text(json.dumps({**settings, "learning_rate": 0.5}))

    def read(self, directory):
        from deeprnn_keras.cli.resume_options import TrainOptions, stored_options
        from deeprnn_keras.data.data_files import DataFiles

        return stored_options("d2l_rnn_2x32", TrainOptions(directory, DataFiles(), False, None, {}))


class FinishedRun(Format):
    """result.json of a run."""

    file = "result.json"
    mutate = staticmethod(mutated_json)

    def create(self, directory):
        from dataclasses import asdict

        from deeprnn_keras import zoo

        config = zoo.info("d2l_rnn_2x32")
        recipe = {**asdict(config.recipe), "schedule": None}
        result = {"model": config.name, "ending": "finished", "recipe": recipe, "num_params": config.count_params()}
        result |= {"seed": 0, "updates": 3, "seconds": 2.5, "device": "x", "versions": {"keras": "3"}, "python": "3"}
        (directory / self.file).write_text(json.dumps(result))
        (directory / "run.json").write_text(json.dumps({"model": config.name, "data": None}))

    def read(self, directory):
        from deeprnn_keras.zoo.publish import read_finished_run

        return read_finished_run(directory)


class TrialRecord(Format):
    """Record of a complete trial in the directory of an interrupted search, which is resumed."""

    file = "search/trial_0/trial.json"
    mutate = staticmethod(mutated_json)
    tuner = "RandomSearch"

    def create(self, directory):
        with contextlib.suppress(KeyboardInterrupt):
            self._search(directory, interrupted_trial="3")

    def read(self, directory):
        return list(self._search(directory).results())

    def _search(self, directory, interrupted_trial=None):
        import keras_tuner

        from deeprnn_keras import tuning

        class Planted(getattr(tuning, self.tuner)):
            def run_trial(self, trial, *args, **kwargs):
                if trial.trial_id == interrupted_trial:
                    raise KeyboardInterrupt
                return {"score": float(trial.hyperparameters.values["units"])}

        ranges = {"num_layers": (1, 3), "units": (2, 9), "dropout": None, "learning_rate": 0.01}
        hyper = tuning.HyperDeepRNN(inputs=3, outputs=1, loss="mse", **ranges)
        objective = keras_tuner.Objective("score", "min")
        where = {"directory": str(directory), "project_name": "search"}
        options = {"max_epochs": 4, "factor": 2} if self.tuner == "Hyperband" else {}
        tuner = Planted(hyper, objective, 5, prune=False, **options, **where)
        tuner.search(verbose=0)
        return tuner


class GridTrialRecord(TrialRecord):
    """Record of a trial of a grid search."""

    file = "search/trial_2/trial.json"
    tuner = "GridSearch"


class HyperbandTrialRecord(TrialRecord):
    """Record of a trial of Hyperband."""

    tuner = "Hyperband"


class OracleState(TrialRecord):
    """State of the search algorithm."""

    file = "search/oracle.json"


class BayesianOracleState(OracleState):
    """State of Bayesian optimization."""

    tuner = "BayesianOptimization"


class HyperbandOracleState(OracleState):
    """State of Hyperband."""

    tuner = "Hyperband"


class SearchDescription(TrialRecord):
    """Description of a search."""

    file = "search/search.json"


class PianoRolls(Format):
    """MATLAB file."""

    file = "rolls.mat"
    compressed = False

    def create(self, directory):
        import scipy.io

        pieces = np.empty((1, 2), object)
        pieces[0, 0], pieces[0, 1] = ARRAY, ARRAY[:3]
        sides = dict.fromkeys(("traindata", "validdata", "testdata"), pieces)
        scipy.io.savemat(directory / self.file, sides, do_compression=self.compressed)

    def read(self, directory):
        from deeprnn_keras.data import piano_rolls

        return piano_rolls(directory / self.file)


class CompressedPianoRolls(PianoRolls):
    """Compressed MATLAB file."""

    compressed = True


class Digits(Format):
    """Archive of images."""

    file = "mnist.npz"
    save = staticmethod(np.savez)

    def create(self, directory):
        images, labels = np.arange(3 * 28 * 28).reshape(3, 28, 28).astype("uint8"), np.array([1, 2, 3])
        arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
        self.save(directory / self.file, **arrays)

    def read(self, directory):
        from deeprnn_keras.data import sequential_mnist

        return sequential_mnist(directory / self.file)


class CompressedDigits(Digits):
    """Compressed archive of images."""

    save = staticmethod(np.savez_compressed)


class Text(Format):
    """Text file."""

    file = "text.txt"

    def create(self, directory):
        (directory / self.file).write_text("the cat saw the dog\n" * 50)

    def read(self, directory):
        from deeprnn_keras.data import TextCorpus

        return TextCorpus.from_file(directory / self.file)


class OnnxFile(Format):
    """ONNX file."""

    file = "model.onnx"

    def create(self, directory):
        from onnx_graphs import classifier

        classifier(directory / self.file)

    def read(self, directory):
        from deeprnn_keras import interop

        return interop.load(directory / self.file).get_weights()


class OnnxGraph(OnnxFile):
    """ONNX file whose messages are whole, and whose nodes and tensors are changed."""

    def change(self, directory, rng):
        import onnx

        model = onnx.load(directory / self.file)
        for _ in range(rng.choice([1, 1, 2, 4])):
            self._change(model.graph, rng)
        onnx.save(model, directory / self.file)

    def _change(self, graph, rng):
        node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
        names = [name for one in graph.node for name in (*one.input, *one.output)] + ["", "nothing"]
        actions = [
            lambda: node.input.__setitem__(rng.randrange(len(node.input)), rng.choice(names)),
            lambda: node.output.__setitem__(rng.randrange(len(node.output)), rng.choice(names)),
            lambda: setattr(node, "op_type", rng.choice([*(one.op_type for one in graph.node), "If", "Scan", "PyOp"])),
            lambda: setattr(node, "domain", "com.example"),
            lambda: self._change_attribute(node, rng),
            lambda: graph.node.remove(node),
            lambda: graph.node.append(node),
            lambda: graph.initializer.remove(tensor),
            lambda: setattr(tensor, "data_type", rng.randrange(24)),
            lambda: tensor.dims.__setitem__(
                slice(None), [rng.choice([0, 1, 3, -1, 10**9, 2**62]) for _ in tensor.dims]
            ),
            lambda: self._move_data(tensor, rng),
        ]
        rng.choice(actions)()

    def _change_attribute(self, node, rng):
        from onnx import helper

        keys = ["hidden_size", "direction", "layout", "axis", "perm", "transB", "alpha", "activations", "clip", "value"]
        values = [0, 1, -1, 2**40, 0.5, float("nan"), "reverse", "", [0, 1, 2], [5], ["Tanh"], [0.5]]
        node.attribute.append(helper.make_attribute(rng.choice(keys), rng.choice(values)))

    def _move_data(self, tensor, rng):
        paths = ["../victim", "/etc/hostname", "model.onnx", "/dev/zero", "/proc/self/mem", ".", "none", ""]
        tensor.ClearField("raw_data")
        tensor.data_location = tensor.EXTERNAL
        tensor.external_data.add(key="location", value=rng.choice(paths))
        tensor.external_data.add(key=rng.choice(["offset", "length"]), value=rng.choice(["0", "-1", "x", "9" * 30]))


class StateDict(Format):
    """Weights of a PyTorch module in a safetensors file."""

    file = "weights.safetensors"

    def create(self, directory):
        from safetensors.numpy import save_file

        shapes = {"embedding.weight": (7, 3), "head.weight": (2, 8), "head.bias": (2,)}
        for end in ("", "_reverse"):
            shapes |= {f"rnn.weight_ih_l0{end}": (16, 3), f"rnn.weight_hh_l0{end}": (16, 4)}
            shapes |= {f"rnn.bias_{part}_l0{end}": (16,) for part in ("ih", "hh")}
        save_file({name: np.full(shape, 0.5, "float32") for name, shape in shapes.items()}, directory / self.file)

    def read(self, directory):
        from deeprnn_keras import interop

        return interop.load(directory / self.file).get_weights()


class StateDictHeader(StateDict):
    """Header of a safetensors file with other names, shapes, types, and places."""

    def change(self, directory, rng):
        data = (directory / self.file).read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = mutated_json(data[8 : 8 + length], rng)
        (directory / self.file).write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])


class Keras2File(Format):
    """HDF5 file of Keras 2."""

    file = "model.h5"

    def create(self, directory):
        import keras2_files as keras2

        layers = [
            keras2.layer("Embedding", "e", input_dim=7, output_dim=3, batch_input_shape=[None, None]),
            keras2.layer("Bidirectional", "b", layer=keras2.recurrent("LSTM", "l", 4, return_sequences=True)),
            keras2.recurrent("CuDNNGRU", "g", 4),
            keras2.layer("Dense", "d", units=2, activation="softmax"),
        ]
        weights = {"e": {"embeddings": (7, 3)}, "g": keras2.recurrent_shapes(3, 8, 4, (24,))}
        weights["b"] = {
            name: shape
            for direction in ("forward", "backward")
            for name, shape in keras2.recurrent_shapes(4, 3, 4, prefix=f"{direction}_l/").items()
        }
        weights = {name: weights[name] for name in "ebg"} | {"d": keras2.dense_shapes(4, 2)}
        keras2.save(directory / self.file, weights, keras2.sequential(*layers))

    def read(self, directory):
        from deeprnn_keras import interop

        return interop.load(directory / self.file).get_weights()


class Keras2Config(Keras2File):
    """Architecture in an HDF5 file of Keras 2; some contain code."""

    def change(self, directory, rng):
        import h5py

        with h5py.File(directory / self.file, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            if rng.random() < 0.3:
                layers = config["config"]["layers"]
                layers[rng.randrange(len(layers))] = _layer_with_code()
            changed = mutated_json(json.dumps(config).encode(), rng)
            file.attrs["model_config"] = changed.decode("utf-8", "replace").replace("\0", "")[:60_000]


def _layer_with_code():
    """Return the Lambda layer of a file that overwrites another file when it is loaded by Keras 2."""

    def overwrite(x):
        return Path("victim").write_text("") and x

    code = base64.b64encode(marshal.dumps(overwrite.__code__)).decode()
    config = {"name": "code", "function": [code, None, None], "function_type": "lambda", "arguments": {}}
    return {"class_name": "Lambda", "config": {**config, "module": "__main__", "output_shape_type": "raw"}}


FORMATS = {
    format_class.__name__: format_class
    for format_class in (
        *(PresetConfig, PresetWeights, PresetHash, ModelFile, ModelConfig, ModelWeights, SequenceModelConfig),
        *(ProgramFile, ProgramListing),
        *(Checkpoint, CheckpointContent, RunSettings, FinishedRun, SearchDescription),
        *(TrialRecord, GridTrialRecord, HyperbandTrialRecord, OracleState, BayesianOracleState, HyperbandOracleState),
        *(OnnxFile, OnnxGraph, StateDict, StateDictHeader, Keras2File, Keras2Config),
        *(PianoRolls, CompressedPianoRolls, Digits, CompressedDigits, Text),
    )
}


def _equal(result, original):
    return len(result) == len(original) and all(map(np.array_equal, result, original))


# === The program ===


class Watch:
    """Record of what reading a file must not do.

    Attributes:
        directory: Directory in which files may change.
        violations: Descriptions of the violations.
    """

    def __init__(self):
        self.directory, self.violations = None, []
        sys.addaudithook(self._event)
        self._watch_names()

    def _event(self, event, arguments):
        if self.directory is None:
            return
        if (event == "open" and self._writes(arguments[1], arguments[2])) or event in (
            "os.rename",
            "os.remove",
            "os.rmdir",
            "os.mkdir",
            "os.truncate",
            "os.link",
            "os.symlink",
        ):
            self._check_path(event, arguments[0])
        elif event == "subprocess.Popen" and not any("deeprnn_keras." in str(part) for part in arguments[1]):
            self.violations.append(f"{event} {arguments[1]}")
        elif event in ("os.system", "os.exec", "pickle.find_class", "socket.connect", "urllib.Request"):
            self.violations.append(f"{event} {arguments}")

    def _writes(self, mode, flags):
        if mode is not None:
            return any(letter in mode for letter in "wax+")
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def _check_path(self, event, path):
        if isinstance(path, int) or str(path) == os.devnull or "__pycache__" in str(path):
            return
        if not Path(os.fsdecode(path)).resolve().is_relative_to(self.directory.resolve()):
            self.violations.append(f"{event} {path}")

    def _watch_names(self):
        """Record every name that Keras resolves for a file and that is not in the registries."""
        from keras.src.saving import serialization_lib

        from deeprnn_keras.keras_objects import keras_functions

        resolve = serialization_lib._retrieve_class_or_fn

        def watched(name, registered_name, module, obj_type, *args, **kwargs):
            found = resolve(name, registered_name, module, obj_type, *args, **kwargs)
            if self.directory is not None and not isinstance(found, type) and (module, name) not in keras_functions():
                self.violations.append(f"name {module}.{name}")
            return found

        serialization_lib._retrieve_class_or_fn = watched


class TooSlowError(BaseException):
    """Reading a file takes too long; no reader catches this."""


def outcome(reader, directory, original):
    """Return "loaded", "refused", "recovered", or a description of what is wrong.

    A file is recovered if a warning names it and reading continues without it.
    """
    with warnings.catch_warnings(record=True) as issued, contextlib.redirect_stdout(io.StringIO()), _time_limit():
        warnings.simplefilter("always")
        found = _read(reader, directory, original)
    named = any(f"{reader.file}: " in str(warning.message) for warning in issued)
    return "recovered" if found == "loaded" and named else found


def _read(reader, directory, original):
    from deeprnn_keras.reading import DamagedFileError

    try:
        result = reader.read(directory)
    except (DamagedFileError, FileNotFoundError, ValueError) as error:
        named = reader.file in str(error) or str(directory) in str(error)
        return "refused" if named else f"{type(error).__name__} without the file: {error}"
    except (Exception, TooSlowError) as error:
        return f"{type(error).__name__}: {error}"
    return "loaded" if reader.same(result, original) else "loaded with other content"


@contextlib.contextmanager
def _time_limit():
    def stop(signal_number, frame):
        raise TooSlowError(f"more than {SECONDS_PER_FILE} s")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_FILE)  # of processor time, since other processes may be running
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def main(name, first, count, base):
    """Read `count` damaged files; print a JSON line before and after each."""
    reader, base = FORMATS[name](), Path(base)
    whole, victim = base / "whole", base / "victim"
    whole.mkdir()
    victim.write_text("precious")
    reader.create(whole)
    watch = Watch()
    directory = base / "file"
    shutil.copytree(whole, directory)
    original = reader.read(directory)
    assert outcome(reader, directory, original) == "loaded", "the file that is not damaged must load"
    _limit_address_space()
    baseline = _peak_memory()
    for seed in range(first, first + count):
        print(json.dumps({"seed": seed}), flush=True)
        shutil.rmtree(directory)
        shutil.copytree(whole, directory)
        reader.change(directory, random.Random(f"{name} {seed}"))
        watch.directory, watch.violations = directory, []
        found = outcome(reader, directory, original)
        watch.directory = None
        _collect()
        problems = [*watch.violations, *([] if victim.read_text() == "precious" else ["victim changed"])]
        if _peak_memory() > baseline + MEMORY:
            problems.append(f"{(_peak_memory() - baseline) / 2**20:.0f} MB more")
            baseline = _peak_memory()
        print(json.dumps({"seed": seed, "outcome": found, "problems": problems}), flush=True)


def _limit_address_space():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))


def _peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _collect():
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
