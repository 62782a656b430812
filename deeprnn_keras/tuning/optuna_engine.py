"""The same search space under Optuna: its samplers, its storage, its pruning."""

from contextlib import contextmanager

import keras

from deeprnn_keras import extras
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner


class OptunaParameters:
    """An Optuna trial, asked as `keras_tuner.HyperParameters` are.

    A hyper-parameter in a scope that is not active is not asked for, and is None.
    """

    def __init__(self, trial):
        self._trial, self._active, self.values = trial, [True], {}

    @contextmanager
    def conditional_scope(self, parent_name, parent_values):
        """What is asked for inside counts only where the parent has one of the values."""
        self._active.append(self._active[-1] and self.values.get(parent_name) in parent_values)
        try:
            yield
        finally:
            self._active.pop()

    def _take(self, name, ask):
        if not self._active[-1]:
            return None
        self.values[name] = ask()
        return self.values[name]

    def Fixed(self, name, value):
        """One value."""
        return self._take(name, lambda: value)

    def Choice(self, name, values):
        """One of some values."""
        return self._take(name, lambda: self._trial.suggest_categorical(name, values))

    def Int(self, name, low, high, sampling="linear"):
        """A whole number from `low` to `high`."""
        return self._take(name, lambda: self._trial.suggest_int(name, low, high, log=sampling == "log"))

    def Float(self, name, low, high, sampling="linear"):
        """A real number from `low` to `high`."""
        return self._take(name, lambda: self._trial.suggest_float(name, low, high, log=sampling == "log"))


def suggested(hyper, trial):
    """The values that an Optuna trial draws, as `keras_tuner.HyperParameters` that `hyper.build` takes."""
    optuna = extras.import_optional("optuna", "optuna", "The Optuna engine")
    drawn = OptunaParameters(trial)
    found = hyper.resolve(hyper.declare(drawn))
    if found.problem is not None:
        raise optuna.TrialPruned(f"outside the budget: {found.problem}")
    hp = keras_tuner.HyperParameters()
    hp.values = dict(drawn.values)
    hyper.declare(hp)
    return hp


def optuna_objective(hyper, *args, objective="val_loss", direction="min", seed=0, **kwargs):
    """A function trial -> value for `optuna.Study.optimize`: draws, trains, reports each epoch, ends what is hopeless.

    Args:
        hyper: a `HyperDeepRNN`.
        args, kwargs: as of `HyperDeepRNN.fit`.
        objective: a figure of the history; the best epoch's counts.
        direction: "min" or "max", as of the study.
        seed: of weights, order and dropout of every trial.

    Raises:
        ImportError: without the extra `optuna`.

    >>> import numpy as np, optuna
    >>> from deeprnn_keras.tuning import HyperDeepRNN, optuna_objective
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> x, y = np.random.default_rng(0).normal(size=(32, 5, 2)), np.zeros((32, 1))
    >>> hyper = HyperDeepRNN(inputs=2, outputs=1, loss="mse", num_layers=1, units=(2, 4), cell="rnn")
    >>> study = optuna.create_study()       # storage="sqlite:///search.db" keeps it over a kill
    >>> study.optimize(optuna_objective(hyper, x, y, validation_data=(x, y), epochs=1), n_trials=1)
    >>> sorted(study.best_params)
    ['global_clipnorm', 'learning_rate', 'units']
    """
    optuna = extras.import_optional("optuna", "optuna", "The Optuna engine")
    best_of = min if direction == "min" else max

    def run(trial):
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        hp = hyper.suggest(trial)
        model = hyper.build(hp)
        trial.set_user_attr("weights", model.count_params())
        report = _Report(trial, objective)
        history = hyper.fit(hp, model, *args, seed=seed, callbacks=[report], **kwargs).history
        if report.hopeless:
            raise optuna.TrialPruned
        return best_of(history[objective])

    return run


class _Report(keras.callbacks.Callback):
    def __init__(self, trial, objective):
        super().__init__()
        self._trial, self._objective, self.hopeless = trial, objective, False

    def on_epoch_end(self, epoch, logs=None):
        self._trial.report(float(logs[self._objective]), epoch)
        if epoch + 1 < self.params["epochs"] and self._trial.should_prune():
            self.hopeless = self.model.stop_training = True
