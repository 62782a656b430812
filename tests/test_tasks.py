"""Task families: the inherited training run, and the registry."""

import csv
import functools
import inspect
import io
import json
import warnings
from importlib.metadata import EntryPoint

import keras
import numpy as np
import pytest
from refusals import outcome
from rich.console import Console

from deeprnn_keras import Recipe, SequenceModel, data, tasks, zoo
from deeprnn_keras.tasks import registry
from deeprnn_keras.training.callbacks import EpochHistory

# === Inherited training run ===


class Sums(tasks.Family):
    """Sums of four numbers; defines only the data and the loss."""

    name = "sums"

    def load_data(self, config, path=None):
        x = np.random.default_rng(0).random((60, 4), "float32")
        parts = [(part, part.sum(1, keepdims=True)) for part in np.split(x, [40, 50])]
        return tasks.Split(train=parts[0], validation=parts[1], test=parts[2], name="sums")

    def loss(self, model):
        return "mse"


RECIPE = Recipe("sgd", 0.1, batch_size=10, epochs=4)


def train(directory, recipe=RECIPE, **options):
    """Train a linear model; return (run, model)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    return Sums().train(model, Sums().load_data(None), recipe, directory, console=Console(quiet=True), **options), model


def test_model_that_cannot_be_lowered_is_saved_without_a_program(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    run = Sums().train(model, Sums().load_data(None), Recipe("sgd", 0.1, epochs=1), tmp_path / "run", console=console)
    assert run.ending == "finished" and not run.program_path.exists()
    assert "The model is saved without a program: " in console.file.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(tmp_path_factory.mktemp("finished") / "run", settings={"model": "sums"})


def test_finished_run_has_the_best_epoch_and_its_files(finished):
    run, model = finished
    files = {path.name for path in run.directory.glob("[!.]*")}
    assert files == {"model.keras", "history.csv", "result.json", "run.json"}
    x, y = Sums().load_data(None).test
    assert run.score["loss"] == pytest.approx(np.mean((model.predict(x, verbose=0) - y) ** 2), rel=1e-5)
    with (run.directory / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    x, y = Sums().load_data(None).validation
    assert np.mean((model.predict(x, verbose=0) - y) ** 2) == pytest.approx(min(losses), rel=1e-5)
    assert json.loads((run.directory / "run.json").read_text()) == {"model": "sums"}


def test_resumed_run_is_bit_identical(finished, monkeypatch, tmp_path):
    def interrupt(self, epoch, logs=None, log=EpochHistory.on_epoch_end):
        log(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochHistory, "on_epoch_end", interrupt)
        run, _ = train(tmp_path / "run")
    assert run.ending == "interrupted" and run.score is None and (run.directory / "model.keras").is_file()
    run, model = train(tmp_path / "run", resume=True)
    assert run.ending == "finished" and run.resumed_at == 4
    for weight, expected in zip(model.get_weights(), finished[1].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_diverging_run_keeps_finite_weights_and_suggests_changes(tmp_path):
    run, model = train(tmp_path / "run", Recipe("sgd", 3e38, batch_size=10, epochs=2))
    assert run.ending == "not finite" and "learning_rate" in run.advice
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_quick_run_is_not_supported_by_default(tmp_path):
    with pytest.raises(ValueError, match="task family 'sums' does not support quick and updates"):
        train(tmp_path / "run", quick=True)
    assert not (tmp_path / "run").exists()


def flags_of_methods(family):
    """Yield (method, flag) of all methods with arguments whose annotation is bool."""
    for name in ("train", "plan", "evaluate", "evaluate_data"):
        for parameter in inspect.signature(getattr(family, name)).parameters.values():
            if parameter.annotation == "bool":
                yield name, parameter.name


FAMILIES = {"sums": Sums()} | {name: tasks.families()[name] for name in tasks.families().names()}


@pytest.mark.parametrize("family", FAMILIES)
def test_flags_of_methods_are_bools(family):
    """Flags are checked before the other arguments are used, which can therefore be missing."""
    flags, wrong = list(flags_of_methods(FAMILIES[family])), []
    for method, flag in flags:
        function = getattr(FAMILIES[family], method)
        parameters = inspect.signature(function).parameters.values()
        required = [None for one in parameters if one.kind == one.POSITIONAL_OR_KEYWORD]
        seed = {"seed": 0} if method == "plan" else {}
        for value in ("False", 0, 1, [], None):
            call = functools.partial(function, *required, **seed, **{flag: value})
            found = outcome(call, f"^{flag} must be True or False, got ")
            wrong += [f"{method}, {flag}={value!r}: {found}"] if found else []
    assert flags and not wrong, "\n".join(wrong)


@pytest.mark.parametrize("family", [Sums(), tasks.SequenceFamily()], ids=["arrays", "series"])
def test_shuffle_is_a_bool(family):
    model = SequenceModel(2, 2, units=2)
    part = (
        data.LabeledSeries([np.zeros((3, 2))], np.array([0]))
        if hasattr(family, "kinds")
        else Sums().load_data(None).train
    )
    with pytest.raises(ValueError, match=r"^shuffle must be True or False, got 1"):
        family.batches(model, part, 5, shuffle=1)


@pytest.mark.parametrize("updates", [0, 1.5, True, "3"], ids=repr)
def test_updates_is_a_positive_integer(updates, tmp_path):
    with pytest.raises(ValueError, match=r"^updates must be a positive integer, got "):
        train(tmp_path / "run", updates=updates)


# === Registry ===


@pytest.fixture
def temporary_registry(monkeypatch):
    """Registries whose additions are removed after the test."""
    tasks.families()
    monkeypatch.setattr(registry._FAMILIES, "_entries", dict(registry._FAMILIES._entries))
    monkeypatch.setattr(zoo.registry.MODELS, "_entries", dict(zoo.registry.MODELS._entries))
    monkeypatch.setattr(zoo.registry, "_families_added", set(zoo.registry._families_added))


def test_families_of_this_package_are_registered():
    assert {"language", "classification", "regression", "music"} <= set(tasks.families().names())


def test_registered_family_adds_its_models(temporary_registry):
    class WithEntries(Sums):
        def entries(self):
            return [zoo.SequenceModelConfig(**SUMS)]

    tasks.register(WithEntries())
    assert zoo.list_models(task="sums") == ["sums_gru_1x4"]
    assert zoo.info("sums_gru_1x4").family.name == "sums"
    with pytest.raises(ValueError, match="a task named 'sums' exists already"):
        tasks.register(Sums)
    with pytest.raises(TypeError, match="must be a Family or a subclass of it, got str"):
        tasks.register("sums")


SUMS = {
    "name": "sums_gru_1x4",
    "title": "sums",
    "task": "sums",
    "paper": "none",
    "data": "random numbers",
    "inputs": 1,
    "outputs": 1,
    "kind": "numbers",
    "units": 4,
    "num_layers": 1,
    "cell": "gru",
    "recipe": zoo.info("digits_gru_2x64").recipe,
}


@pytest.mark.parametrize("value", ["deeprnn_keras.tasks:Familie", "json:dumps", "deeprnn_keras.tasks:Family"])
def test_entry_point_without_family_is_a_warning(temporary_registry, value):
    before = tasks.families().names()
    with pytest.warns(RuntimeWarning, match=f"task family 'odd' .entry point '{value}'. could not be loaded"):
        registry._load(EntryPoint("odd", value, registry.GROUP))
    assert tasks.families().names() == before


def test_invalid_entries_are_a_warning(temporary_registry):
    class Odd(tasks.Family):
        name = "odd"

        def entries(self):
            return [zoo.info("d2l_rnn_2x32")]

    tasks.register(Odd)
    with pytest.warns(
        RuntimeWarning, match=r"entries of task family 'odd' .* a model named 'd2l_rnn_2x32' exists already"
    ):
        zoo.list_models()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "kjv_lstm_2x256" in zoo.list_models()


def test_configuration_of_an_unknown_task_is_an_error(temporary_registry):
    zoo.register(zoo.SequenceModelConfig(**{**SUMS, "task": "langage"}))
    with pytest.raises(ValueError, match="unknown task 'langage'; did you mean 'language'"):
        zoo.card("sums_gru_1x4")
