"""Searches that train models: seeds, promotions, the best model, and all forms of data."""

import contextlib
import json
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from eagerly import eagerly

from deeprnn_keras import Recipe, TBPTTDataset, token_windows, zoo
from deeprnn_keras.training import CosineDecay
from deeprnn_keras.training.step_time import first_batch, step_ms
from deeprnn_keras.tuning import Hyperband, HyperDeepRNN, RandomSearch, Workers
from deeprnn_keras.tuning.trial_records import read_trials

pytestmark = pytest.mark.usefixtures("eager")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3, 2)).astype("float32"), RNG.normal(size=(20, 1)).astype("float32")
SMALL = {"num_layers": 1, "units": [2, 3, 4, 5, 6, 7], "cell": "rnn", "global_clipnorm": 1.0}
RECIPE = Recipe("adam", 1e-2, CosineDecay(), batch_size=8)
LOOP = {"implementation": "loop"}  # no compilation


def hyper(**changes):
    return HyperDeepRNN(
        inputs=(3, 2),
        outputs=1,
        loss="mse",
        recipe=RECIPE,
        **{**SMALL, "learning_rate": (1e-3, 1e-2), "options": LOOP, **changes},
    )


def searched(tmp_path, kind=RandomSearch, trials=2, epochs=None, name="search", hyper=hyper, **options):
    tuner = kind(hyper(), "val_loss", trials, directory=tmp_path, project_name=name, **options)
    fit_options = {} if epochs is None else {"epochs": epochs}
    tuner.search(X, Y, validation_data=(X, Y), verbose=0, **fit_options)
    return tuner


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """Return a tuner that has run two trials of two epochs, and its directory."""
    directory = tmp_path_factory.mktemp("search")
    with eagerly():
        return searched(directory, epochs=2), directory / "search"


@pytest.mark.slow
def test_search_is_repeatable(search, tmp_path):
    first, _ = search
    again = searched(tmp_path, epochs=2)
    assert [t.score for t in first.oracle.trials.values()] == [t.score for t in again.oracle.trials.values()]


def test_seeds_are_recorded_and_trials_repeated(search, tmp_path):
    first, _ = search
    seeds = searched(tmp_path, trials=1, name="seeds", epochs=2, executions_per_trial=2)
    (record,) = read_trials(tmp_path / "seeds", "val_loss")
    values = dict(record.seeds)
    assert values[0] == first.oracle.trials["0"].score and values[0] != values[1]
    assert record.score == pytest.approx(np.mean(list(values.values())))
    assert record.metrics["num_params"] == hyper().resolve(record.values).num_params
    assert record.metrics["ms_per_step"] > 0
    seeds.repeat("0", 5, X, Y, validation_data=(X, Y), epochs=1)
    (record,) = read_trials(tmp_path / "seeds", "val_loss")
    assert [seed for seed, _ in record.seeds] == [0, 1, 5]


def test_best_model_has_the_weights_of_its_best_epoch(search):
    tuner, _ = search
    (best,) = tuner.oracle.get_best_trials(1)
    (model,) = tuner.get_best_models(1)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(best.score, rel=1e-5)


def test_files_are_complete_json(search):
    _, directory = search
    for path in directory.rglob("*.json"):
        json.loads(path.read_text())
    assert {path.name for path in directory.rglob(".*")} == {".lock"}  # no temporary files


@pytest.mark.slow
def test_promoted_trial_is_bit_identical_to_an_uninterrupted_one(tmp_path):
    """Weights, optimizer state, dropout seeds, and learning rate schedule are restored."""

    def hyper_with_dropout():
        return hyper(num_layers=2, dropout=0.3)

    tuner = searched(tmp_path, Hyperband, 3, max_epochs=2, factor=2, hyper=hyper_with_dropout)
    promoted = [t for t in tuner.oracle.trials.values() if t.hyperparameters.values["tuner/initial_epoch"] == 1]
    assert len(promoted) == 1
    for trial in promoted:
        record = next(r for r in read_trials(tmp_path / "search", "val_loss") if r.trial_id == trial.trial_id)
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = tuner.hypermodel.build(trial.hyperparameters)
        uninterrupted = tuner.hypermodel.fit(
            trial.hyperparameters, model, X, Y, validation_data=(X, Y), epochs=2, seed=0
        ).history["val_loss"]
        assert [value for _, value in record.epochs] == uninterrupted[1:]


@pytest.mark.slow
def test_keras_tuner_resets_the_optimizer_of_a_promoted_trial(tmp_path):
    iterations = []

    class RecordIterations(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            iterations.append(int(self.model.optimizer.iterations))

    tuner = keras_tuner.Hyperband(
        hyper(), "val_loss", max_epochs=2, factor=2, directory=tmp_path, project_name="keras_tuner", seed=1
    )
    tuner.search(X, Y, validation_data=(X, Y), callbacks=[RecordIterations()], verbose=0)
    assert any("tuner/trial_id" in t.hyperparameters.values for t in tuner.oracle.trials.values())
    assert set(iterations) == {0}


@pytest.mark.slow
def test_data_function_receives_the_sampled_batch_size_and_bptt(tmp_path):
    text = np.asarray(RNG.integers(5, size=400), "int32")
    received = []

    def data(recipe):
        received.append((recipe.batch_size, recipe.bptt))
        if recipe.stateful:
            return TBPTTDataset([text], recipe.batch_size, recipe.bptt, steps=2), TBPTTDataset([text[:80]], 4, 8)
        train = token_windows([text], recipe.bptt, recipe.batch_size, seed=0, steps=2)
        return train, token_windows([text[:80]], 8, 4, shuffle=False)

    for stateful in (False, True):
        config = zoo.info("kjv_lstm_2x256", vocabulary="abcde", embedding=4, stateful=stateful)
        hypermodel = HyperDeepRNN(
            config, **{**SMALL, "cell": "gru"}, batch_size=[4, 8], bptt=(6, 9), learning_rate=1e-2, options=LOOP
        )
        tuner = RandomSearch(hypermodel, "val_loss", 1 + stateful, directory=tmp_path, project_name=str(stateful))
        tuner.search(data, epochs=1, verbose=0)
        sampled = [
            (t.hyperparameters.values["batch_size"], t.hyperparameters.values["bptt"])
            for t in tuner.oracle.trials.values()
        ]
        assert received[-len(sampled) :] == sampled
        assert all(np.isfinite(t.score) for t in tuner.oracle.trials.values())


def test_zoo_model_of_series_with_variable_length(tmp_path):
    series = [RNG.normal(size=(length, 12)).astype("float32") for length in (3, 5, 4, 3)]
    config = zoo.info("vowels_bigru_2x64")
    data = config.build().dataset(series, [1, 2, 9, 1], 2, num_buckets=1, seed=0)
    hypermodel = HyperDeepRNN(config, **SMALL, dropout=None, learning_rate=1e-2, options=LOOP)
    tuner = RandomSearch(hypermodel, "val_loss", 1, directory=tmp_path)
    tuner.search(lambda recipe: (data, data), epochs=1, verbose=0)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "COMPLETED", trial.message
    assert tuner.get_best_models()[0].get_layer("deep_rnn").bidirectional


def test_arrays_are_reshuffled_in_every_epoch():
    """Keras repeats the same order in every epoch after `set_random_seed`."""
    from deeprnn_keras.tuning.trial_training import training_data

    data, *_ = training_data(np.arange(20.0)[:, None], np.arange(20.0), None, None, 0, RECIPE)
    one, two = (np.concatenate([y for _, y in data]) for _ in range(2))
    assert sorted(one) == sorted(two) and list(one) != list(two)


@pytest.mark.parametrize("structure", [lambda x: x, lambda x: {"a": x, "b": x}, lambda x: [x, x]])
def test_held_out_rows_are_the_last_ones_as_in_keras(structure):
    from deeprnn_keras.tuning.trial_training import hold_out

    rows = np.arange(20.0)
    (x, y, weight), validation = hold_out(structure(rows[:, None]), rows, rows / 2, 0.25)
    for part in keras.tree.flatten(x):
        np.testing.assert_array_equal(part[:, 0], rows[:15])
    np.testing.assert_array_equal(y, rows[:15])
    np.testing.assert_array_equal(weight, rows[:15] / 2)
    for part in keras.tree.flatten(validation[0]):
        np.testing.assert_array_equal(part[:, 0], rows[15:])
    assert [list(part) for part in validation[1:]] == [list(rows[15:]), list(rows[15:] / 2)]
    assert [part is None for part in hold_out(rows, None, None, 0.5)[0]] == [False, True, True]


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("validation_split must be a number in", {"validation_split": 1.5}),
        ("validation_split=0.99999 leaves no rows", {"validation_split": 0.99999}),
        ("batch_size must be a positive integer, got 0", {"batch_size": 0}),
        ("validation_split is supported for arrays only", {"x": lambda recipe: (X, None), "validation_split": 0.5}),
        ("batch_size is supported for arrays only", {"x": lambda recipe: (X, None), "batch_size": 4}),
    ],
)
def test_unsupported_values_of_fit_arguments_are_rejected(message, arguments):
    from deeprnn_keras.tuning.trial_training import fit

    model = hyper().config.replace(units=2).build()
    with pytest.raises(ValueError, match=message):
        fit(model, RECIPE, **{"x": X, "y": Y, **arguments})


def test_search_respects_validation_split_and_shuffle(tmp_path, monkeypatch):
    fits, fit = [], keras.Model.fit

    def recorded(self, x=None, y=None, **options):
        fits.append((np.concatenate([batch[1] for batch in x]), options["validation_data"]))
        return fit(self, x, y, **options)

    monkeypatch.setattr(keras.Model, "fit", recorded)
    tuner = RandomSearch(hyper(), "val_loss", 1, directory=tmp_path)
    tuner.search(X, Y, validation_split=0.25, shuffle=False, batch_size=4, epochs=1, verbose=0)
    np.testing.assert_array_equal(fits[0][0], Y[:15])
    np.testing.assert_array_equal(fits[0][1][1], Y[15:])


@pytest.mark.parametrize("name", ["workers", "epoch", "seed"])
def test_unknown_argument_is_rejected_before_the_first_trial(name, tmp_path):
    tuner = RandomSearch(hyper(), "val_loss", 1, directory=tmp_path)
    with pytest.raises(TypeError, match=f"search got an unexpected argument '{name}'"):
        tuner.search(X, Y, epochs=1, verbose=0, **{name: 2})
    assert not tuner.oracle.trials


def test_step_time_is_measured_on_the_training_data():
    model = hyper().config.replace(units=3).build()
    batch = first_batch(X, Y, batch_size=8)
    assert [part.shape for part in batch] == [(8, 3, 2), (8, 1)]
    assert 0 < step_ms(model, batch) < 10_000


@pytest.mark.parametrize("head", ["layer", "layers", "function", "number"])
def test_user_defined_heads(head):
    """The parameter count is that of the built model, and models share no weights."""
    heads = {
        "layer": keras.layers.Dense(3),
        "layers": [keras.layers.Dense(5, "relu"), keras.layers.Dense(3)],
        "function": lambda hidden: keras.layers.Dense(3)(hidden),
        "number": 3,
    }
    hypermodel = HyperDeepRNN(inputs=2, outputs=heads[head], loss="mse", **SMALL, return_sequences=True)
    config = hypermodel.resolve({"num_layers": 1, "units": 4, "cell": "rnn"}).config
    one, two = config.build(), config.build()
    assert one.count_params() == config.count_params() == two.count_params()
    assert one.output_shape == (None, None, 3)
    assert not {id(w) for w in one.weights} & {id(w) for w in two.weights}


def test_missing_objective_fails_the_trial(tmp_path):
    tuner = RandomSearch(hyper(), keras_tuner.Objective("val_acc", "max"), 1, directory=tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)all trials failed; .*objective must be one of .*, got 'val_acc'"):
        tuner.search(X, Y, validation_data=(X, Y), epochs=1, verbose=0)


def test_diverging_trial_has_no_infinite_score(tmp_path):
    def diverging():
        return hyper(learning_rate=1e30, global_clipnorm=None)

    with contextlib.suppress(RuntimeError):  # if the trial fails, the search does
        searched(tmp_path, trials=1, epochs=2, hyper=diverging)
    (trial,) = read_trials(tmp_path / "search", "val_loss")
    assert trial.status in ("FAILED", "COMPLETED")
    if trial.status == "COMPLETED":
        assert np.isfinite(trial.score)


def test_cores_are_divided_among_the_native_code_of_workers(tmp_path):
    code = "from deeprnn_keras.kernels.native import library; print('threads:', library.threads())"
    with Workers([sys.executable, "-c", code], 2, tmp_path, cores=2) as workers:
        workers.wait()
    for name in ("worker0", "worker1"):
        assert (tmp_path / f"{name}.log").read_text() == "threads: 1\n"
