"""Flags and numbers of all public classes and functions, found by their signatures."""

import dataclasses
import functools
import importlib
import inspect
import json

import keras
import numpy as np
import pandas as pd
import pytest
from refusals import outcome
from source_files import SUBMODULES

from deeprnn_keras import (
    LSTM,
    DeepRNN,
    Equations,
    Forecaster,
    LanguageModel,
    Recipe,
    checks,
    data,
    limits,
    optimizers,
    training,
    zoo,
)
from deeprnn_keras.tuning import HyperDeepRNN

STREAM = np.arange(40) % 2
RECORDING = data.AudioPair(np.zeros(20), np.zeros(20), 48000)
SHORT_SERIES = pd.DataFrame({"ds": range(60), "y": np.sin(np.arange(60.0))})
SERIES = [np.zeros((3, 2)), np.ones((3, 2))]
CONFIG = {"name": "a", "title": "a", "task": "classification", "paper": "a", "data": "a", "units": 2, "num_layers": 1}
CONFIG["recipe"] = Recipe()


def adding_problem_of_4_steps():
    return functools.partial(data.adding_problem, steps=4)


@functools.cache
def hypermodel():
    return HyperDeepRNN(inputs=3, outputs=1, loss="mse")


@functools.cache
def zero_shot_network():
    return zoo.create_model("recurrent_forecaster_150k", units=2)


# Required arguments. Functions check flags and numbers before they use a model, which can therefore be missing.
REQUIRED = {
    "ArrayDataset": {"x": np.zeros((4, 2)), "y": np.zeros(4)},
    "AudioEffect": {"units": 2},
    "AudioEffectConfig": CONFIG,
    "AudioPair": {"dry": np.zeros(4), "wet": np.zeros(4), "sample_rate": 48000},
    "BayesianOptimization": {"hypermodel": hypermodel},
    "BucketedDataset": {"sequences": SERIES, "targets": [0, 1], "batch_size": 2},
    "ChronoBias": {"t_max": 5.0},
    "CustomModelConfig": {"inputs": 3, "head": 1, "loss": "mse"},
    "DeepInput": {"units": 2},
    "DeepOutput": {"units": 2},
    "DeepRNN": {"units": 2},
    "Forecaster": {"horizon": 3},
    "ForecasterConfig": {**CONFIG, "inputs": 1, "outputs": 1, "horizon": 3, "likelihood": "mae", "strategy": "direct"},
    "GeneratedDataset": {"generate": adding_problem_of_4_steps, "batch_size": 2, "steps": 1},
    "GeneratedSeries": {"generate": adding_problem_of_4_steps, "examples": 2},
    "GeometricDecay": {"ratio": 0.5, "after": 1},
    "GradientHealth": {"x": np.zeros((4, 3, 2)), "y": np.zeros(4)},
    "GridSearch": {"hypermodel": hypermodel},
    "HyperDeepRNN": {"inputs": 3, "outputs": 1, "loss": "mse"},
    "Hyperband": {"hypermodel": hypermodel},
    "LanguageModel": {"vocabulary": "abc", "units": 2},
    "LanguageModelConfig": {**CONFIG, "vocabulary": 5},
    "LearningRate": {"base": 0.1},
    "OneHot": {"size": 3},
    "load_model": {"path": "unused"},
    "inspect": {"source": {}},
    "load": {"source": {}},
    "lower": {"model": None},
    "PlateauDecay": {"ratio": 0.5},
    "RandomSearch": {"hypermodel": hypermodel},
    "Resume": {"directory": "unused", "data": lambda: data.TBPTTDataset(STREAM, 2, 3)},
    "SequenceModel": {"inputs": 3, "outputs": 2, "units": 2},
    "SeriesDataset": {"values": np.zeros(9), "length": 2, "batch_size": 2},
    "SequenceModelConfig": {**CONFIG, "inputs": 3, "outputs": 2},
    "StudyTuner": {"hypermodel": hypermodel, "storage": "sqlite://", "study": "unused"},
    "StepDecay": {"ratio": 0.5, "epochs": (1,)},
    "Stream": {"model": None},
    "TBPTTDataset": {"stream": STREAM, "batch_size": 2, "bptt": 3},
    "TunedForecaster": {"forecaster": lambda: Forecaster(3, season=4), "df": SHORT_SERIES},
    "Workers": {"command": ["true"], "count": 1, "directory": "unused"},
    "ZeroShotConfig": {**CONFIG, "inputs": 3, "outputs": 2},
    "ZeroShotForecaster": {"model": zero_shot_network},
    "adding_problem": {"examples": 2, "steps": 4},
    "audio_batches": {"pairs": RECORDING, "batch_size": 1, "bptt": 4, "segment": 4, "burn_in": 0},
    "audio_pair": {"dry": "unused.wav", "wet": "unused.wav"},
    "copy_memory": {"examples": 2, "steps": 4},
    "count_params": {"input_dim": 2, "units": 3},
    "create_forecaster": {"name": "deepar"},
    "create_model": {"name": "d2l_rnn_2x32"},
    "from_streams": {"streams": [STREAM, STREAM], "bptt": 3},
    "export": {"model": None, "path": "unused.py"},
    "from_text": {"text": "a b"},
    "generate": {"model": None, "prompt": "a"},
    "generate_notes": {"model": None, "start": np.zeros((2, 3))},
    "decode_ctc": {"logits": np.zeros((1, 2, 3), "float32")},
    "draw_strokes": {"strokes": np.zeros((2, 3)), "path": "unused.png"},
    "generate_strokes": {"model": None},
    "generate_stream": {"model": None, "prompt": "a"},
    "learning_rate_range_test": {"model": None, "data": []},
    "optuna_objective": {"hyper": hypermodel},
    "probe_levels": {"model": None, "x": np.zeros((4, 3, 2)), "target": np.zeros(4)},
    "process": {"model": None, "audio": np.zeros(4)},
    "process_file": {"model": None, "source": "unused.wav", "target": "unused.wav"},
    "series_windows": {"values": np.zeros(9), "length": 2, "batch_size": 2},
    "simulated_amplifier": {"seconds": 0.1},
    "synthetic_series": {"count": 2, "steps": 9},
    "token_windows": {"pieces": [STREAM], "length": 3, "batch_size": 2},
    "tuner": {"hypermodel": hypermodel},
    "verify": {"model": None, "reference": None},
    "write_midi": {"roll": np.zeros((2, 3)), "path": "unused"},
}
WITH_UNITS = ("Cell", "Equations", "deep_transition")  # in their names; `units` is their only required argument
# base classes, and values that the package creates
NOT_CALLED_BY_USERS = {"Equations", "RecurrentCell", "Configuration", "GradientGuard", "AffineMap", "DiagonalMap"}
NOT_CALLED_BY_USERS |= {"Blocks", "Evaluation", "ExportReport", "Linear", "Score", "Plan", "Program", "Run"}
NOT_CALLED_BY_USERS |= {"Certificate", "ConversionReport", "Entry", "Replacement", "Report"}
# a flag is a dependency of another argument
OTHER_ARGUMENTS = {
    ("Recipe", "random_bptt"): {"stateful": True},
    ("LanguageModel", "tied"): {"embedding": 2},
    ("LanguageModelConfig", "tied"): {"embedding": 2},
    ("Recipe", "train_windows"): {"validation_windows": 2},
    ("Recipe", "validation_windows"): {"train_windows": 2},
    ("DeepRNN", "num_layers"): {"block_size": 1},
}


def public_callables():
    """Yield (name, class, function, or class method) for all public names."""
    found = {}
    for module in ["", *sorted(SUBMODULES)]:
        imported = importlib.import_module(f"deeprnn_keras.{module}".rstrip("."))
        for name in getattr(imported, "__all__", ()):
            value = getattr(imported, name)
            if callable(value) and not inspect.ismodule(value) and name not in NOT_CALLED_BY_USERS:
                found[name if module != "zoo" or name != "count_params" else "zoo.count_params"] = value
    for name, value in found.items():
        yield name, value
        for method in vars(value) if inspect.isclass(value) else ():
            if inspect.ismethod(getattr(value, method)) and not method.startswith("_"):
                yield method, getattr(value, method)


NOT_ONE_NUMBER = ["3", True, 1j, [1], float("nan"), np.array([1])]
WRONG_VALUES = {
    "bool": ["False", 0, 1, 2.5, [], float("nan"), np.array(True)],
    "int": [*NOT_ONE_NUMBER, 1.5],
    "float": NOT_ONE_NUMBER,
}


def checked_parameters(function):
    """Return (parameter, key of WRONG_VALUES) of the flags and numbers of a function, found by their annotations."""
    for parameter in inspect.signature(function).parameters.values():
        kind = str(getattr(parameter.annotation, "__name__", parameter.annotation)).removesuffix(" | None")
        if kind in WRONG_VALUES:
            yield parameter, kind


# one case per callable: thousands of cases, one per argument and value, take longer than their calls
CASES = [(name, function, list(checked_parameters(function))) for name, function in public_callables()]
CALLABLES = [pytest.param(*case, id=getattr(case[1], "__qualname__", case[0])) for case in CASES if case[2]]


def call(name, function, **arguments):
    """Call a function with its required arguments and others."""
    required = {"units": 3} if any(part in name for part in WITH_UNITS) else REQUIRED.get(name, {})
    required = {key: value() if callable(value) else value for key, value in required.items()}
    extra = {}
    for argument in arguments:
        extra |= OTHER_ARGUMENTS.get((name, argument), {})
    return function(**{**required, **extra, **arguments})


def test_signatures_are_found():
    """A misspelled annotation would remove an argument from the tests below."""
    kinds = [kind for _, _, parameters in CASES for _, kind in parameters]
    assert kinds.count("bool") > 40 and kinds.count("int") > 80 and kinds.count("float") > 40


@pytest.mark.parametrize(("name", "function", "parameters"), CALLABLES)
def test_flags_are_bools_and_numbers_are_numbers(name, function, parameters):
    """Text is neither a flag nor a number, 0 and 1 are not flags, flags are not numbers, 1.5 is not rounded."""
    wrong = []
    for parameter, kind in parameters:
        expected = f"^{parameter.name} must be True or False, got "
        expected = expected if kind == "bool" else rf"{parameter.name}\S* must be "
        for value in WRONG_VALUES[kind]:
            found = outcome(functools.partial(call, name, function, **{parameter.name: value}), expected)
            wrong += [f"{parameter.name}={value!r}: {found}"] if found else []
    assert not wrong, "\n".join(wrong)


# === NumPy numbers are stored as Python's ===


def numpy_value(name, parameter):
    """Return a NumPy number or flag that is supported for a parameter: its default, its required value, or 2."""
    value = REQUIRED.get(name, {}).get(parameter.name, parameter.default)
    if "bool" in str(parameter.annotation):
        return np.bool_(value)
    kind = np.float32 if "float" in str(parameter.annotation) else np.int64
    return kind(value if isinstance(value, (int, float)) else 2)


def scalars(value):
    """Yield the entries of nested lists, tuples, dictionaries, and dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, dict)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from scalars(entry)
    else:
        yield value


STORED = [case for case in CALLABLES if inspect.isclass(case.values[1])]
STORED = [case for case in STORED if dataclasses.is_dataclass(case.values[1]) or hasattr(case.values[1], "get_config")]


@pytest.mark.parametrize(("name", "function", "parameters"), STORED)
def test_configurations_hold_python_numbers(name, function, parameters):
    for parameter, _ in parameters:
        made = call(name, function, **{parameter.name: numpy_value(name, parameter)})
        config = made if dataclasses.is_dataclass(made) else made.get_config()
        kept = [value for value in scalars(config) if isinstance(value, (np.generic, np.ndarray))]
        kept = [value for value in kept if not value.ndim]  # the samples of a recording are an array
        assert not kept, f"{parameter.name}: {kept}"
        if isinstance(config, dict):
            json.dumps(config)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.array])
@pytest.mark.parametrize("drop_in", ["LSTM", "GRU", "SimpleRNN"])
def test_drop_ins_take_numpy_numbers(drop_in, kind):
    layer = getattr(importlib.import_module("deeprnn_keras.layers"), drop_in)(
        kind(3), dropout=np.float32(0.5), seed=kind(7), return_sequences=np.bool_(True)
    )
    assert layer(np.ones((2, 3, 4), "float32"), training=True).shape == (2, 3, 3)
    json.dumps(layer.get_config())


def test_units_and_options_of_cells_take_numpy_numbers():
    cell = {"name": "rhn", "depth": np.int64(2), "coupled": np.bool_(True), "recurrent_dropout": np.float64(0.0)}
    layer = DeepRNN([np.int64(3), np.array(2)], cell=cell)
    assert layer.units == [3, 2] and layer(np.ones((1, 2, 4), "float32")).shape == (1, 2)
    json.dumps(layer.get_config())
    with pytest.raises(ValueError, match="coupled must be True or False, got 'False'"):
        DeepRNN(2, cell={"name": "rhn", "coupled": "False"})
    with pytest.raises(ValueError, match="recurrent_dropout must be a number"):
        DeepRNN(2, cell={"name": "lstm", "recurrent_dropout": "0.1"})


def test_numpy_seed_draws_the_numbers_of_the_same_seed():
    x = np.ones((4, 5, 2), "float32")
    layers = [DeepRNN(3, 2, dropout=0.5, seed=seed) for seed in (7, np.int64(7))]
    for layer in layers:
        layer(x)
    layers[1].set_weights(layers[0].get_weights())
    np.testing.assert_array_equal(*(np.asarray(layer(x, training=True)) for layer in layers))


@pytest.mark.parametrize("make", [optimizers.GuardedAdam, optimizers.GuardedSGD, optimizers.GuardedRMSprop])
@pytest.mark.parametrize("rate", [1, np.float32(0.5), np.int64(1), np.array(0.5)], ids=repr)
def test_learning_rate_is_any_number(make, rate):
    assert float(make(rate).learning_rate) == float(make(learning_rate=rate).learning_rate) == float(rate)
    model = LanguageModel(3, 2)
    Recipe("sgd", learning_rate=rate, optimizer_options={"momentum": np.float32(0.5)}).compile(model, "mse")
    assert float(model.optimizer.learning_rate) == float(rate) and model.optimizer.momentum == 0.5


@pytest.mark.parametrize("make", [lambda schedule: Recipe(schedule=schedule), lambda s: training.LearningRate(0.1, s)])
@pytest.mark.parametrize(
    "schedule",
    ["cosine", 3, True, [1], training.CosineDecay, keras.optimizers.schedules.CosineDecay(0.1, 5)],
    ids=lambda value: str(value)[:20],
)
def test_schedules_have_a_factor(make, schedule):
    with pytest.raises(ValueError, match="schedule must be a CosineDecay, GeometricDecay"):
        make(schedule)


# === Sizes and seeds ===


@pytest.mark.parametrize(
    "make",
    [
        lambda number: DeepRNN(2, number),
        lambda number: LanguageModel("abc", 2, number),
        lambda number: zoo.count_params("d2l_rnn_2x32", num_layers=number),
    ],
    ids=["DeepRNN", "LanguageModel", "zoo"],
)
@pytest.mark.parametrize("number", [10_001, 10**17, 10**30])
def test_number_of_layers_is_limited(make, number):
    limits.set_memory_limit("1G")
    try:
        with pytest.raises(
            ValueError, match=r"num_layers(=.* takes .*, more than the limit| must be .* below 2\*\*63)"
        ):
            make(number)
    finally:
        limits.set_memory_limit(None)


@pytest.mark.parametrize(("name", "check"), [("size", checks.positive_int), ("seed", checks.seed)])
def test_numbers_beyond_64_bits_are_refused(name, check):
    with pytest.raises(ValueError, match=f"{name} must be "):
        check(name, 2**70)


def test_flags_of_user_defined_equations_are_bools():
    @dataclasses.dataclass(frozen=True)
    class Leaky(Equations):
        leaky: bool = True

        def maps(self, input_dim):
            return []

        def step(self, x, states, linear, f):
            return states

    assert Leaky(3, np.bool_(False)).leaky is False
    with pytest.raises(ValueError, match="leaky must be True or False, got 'yes'"):
        Leaky(3, "yes")


def test_drop_ins_follow_keras():
    """Arguments of Keras' layers are checked by Keras."""
    assert LSTM(3, use_bias=False).get_config()["use_bias"] is False
