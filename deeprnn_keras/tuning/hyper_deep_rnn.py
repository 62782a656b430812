"""`HyperDeepRNN`: a deep recurrent network whose L, h and the rest keras-tuner chooses."""

import dataclasses
import functools
from dataclasses import dataclass

from deeprnn_keras.training.step_time import step_ms
from deeprnn_keras.tuning.budget import Budget, solve_units
from deeprnn_keras.tuning.fitting import fit
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.own_model import OwnModel
from deeprnn_keras.tuning.ranges import rounded
from deeprnn_keras.tuning.space import DEFAULTS, Space
from deeprnn_keras.tuning.step_times import StepTimes


@dataclass(frozen=True)
class Resolved:
    """What a draw stands for: the configuration, its weights (None where not known unbuilt), or why it is none."""

    config: object
    weights: int | None
    overrides: dict
    problem: str | None = None


class HyperDeepRNN(keras_tuner.HyperModel):
    """L hidden layers of h units, to be found: a `keras_tuner.HyperModel`.

    Each hyper-parameter is given as (low, high), as a list of values, as one value, which fixes it, or as None, which
    leaves it to the model. Defaults are the ranges of the literature (Reimers & Gurevych 2017, Melis et al. 2018,
    Bai et al. 2018).

    Args:
        model: a configuration of the zoo, `zoo.info(name)`; None: a model of one's own, described by
        inputs, outputs, loss, metrics, return_sequences, recipe, options: see `OwnModel`; `outputs` is its head.
        num_layers: L.
        units: h, of all layers, or with tie_units=False of each (`units_1`, ...).
        cell: names, or {"name": name, **options}.
        connection: where L is at least 3.
        input_dropout, dropout, output_dropout: on X, between layers, on H^(L).
        learning_rate, global_clipnorm, batch_size, bptt: of the recipe. `batch_size` and `bptt` reach the data if
            `search` is given a function (see `fit`).
        forget_bias: of cells with a gate that keeps.
        tie_units: one h for all layers.
        params: every model has this number of weights, within 3 %: h is solved, `units` are its bounds.
        max_params: weights that no model exceeds.
        max_step_ms: milliseconds that no training step exceeds, measured here.

    A draw outside the budget is drawn again by the tuners of this package, before anything is built; with
    keras-tuner's own it is a failed trial.

    Raises:
        ImportError: without the extra `tune`.
        ValueError: for empty or contradictory ranges, and for a budget that nothing fits, saying what would.

    >>> from deeprnn_keras.tuning import HyperDeepRNN
    >>> hyper = HyperDeepRNN(inputs=8, outputs=1, loss="mse", num_layers=(1, 3), cell=["lstm", "gru"], params=20_000)
    >>> hyper.resolve({"num_layers": 3, "cell": "gru"}).overrides["units"]
    35
    """

    def __init__(
        self,
        model=None,
        *,
        inputs=None,
        outputs=None,
        loss=None,
        metrics=(),
        return_sequences=False,
        recipe=None,
        options=None,
        num_layers=DEFAULTS["num_layers"],
        units=DEFAULTS["units"],
        cell=DEFAULTS["cell"],
        connection=DEFAULTS["connection"],
        input_dropout=DEFAULTS["input_dropout"],
        dropout=DEFAULTS["dropout"],
        output_dropout=DEFAULTS["output_dropout"],
        learning_rate=DEFAULTS["learning_rate"],
        global_clipnorm=DEFAULTS["global_clipnorm"],
        forget_bias=DEFAULTS["forget_bias"],
        batch_size=DEFAULTS["batch_size"],
        bptt=DEFAULTS["bptt"],
        tie_units=True,
        params=None,
        max_params=None,
        max_step_ms=None,
    ):
        super().__init__(name=getattr(model, "name", "deep_rnn_model"))
        own = {"inputs": inputs, "outputs": outputs, "loss": loss}
        self.model = _described(model, own, metrics, return_sequences, recipe, options)
        self.budget = Budget(params, max_params, max_step_ms)
        given = {
            "num_layers": num_layers,
            "units": units,
            "cell": cell,
            "connection": connection,
            "input_dropout": input_dropout,
            "dropout": dropout,
            "output_dropout": output_dropout,
            "learning_rate": learning_rate,
            "global_clipnorm": global_clipnorm,
            "forget_bias": forget_bias,
            "batch_size": batch_size,
            "bptt": bptt,
        }
        own = {"num_layers": self.model.num_layers, "cell": self.model.cell}
        self.space = Space(given, tie_units, params is not None, own)
        self._known, self._step_times = {}, None
        self._check_budget()

    # === The space ===
    def declare(self, hp):
        """Enters all hyper-parameters in `hp`, nothing is built; -> {name: value} of the active ones."""
        return self.space.declare(hp)

    def declare_hyperparameters(self, hp):
        """What keras-tuner asks before it builds anything."""
        self.declare(hp)

    def feasible(self, values):
        """Whether a draw, {name: value}, is within the budget."""
        return self.resolve(values).problem is None

    def resolve(self, values):
        """The `Resolved` of a draw, {name: value}."""
        key = tuple(sorted((name, rounded(value)) for name, value in values.items() if "/" not in name))
        if key not in self._known:
            self._known[key] = self._resolve(dict(key))
        return self._known[key]

    def _resolve(self, values):
        overrides = self.space.overrides(values)
        if self.budget.params is not None:
            low, high = self._bounds()
            overrides["units"] = solve_units(self._counter(overrides), self.budget.params, low, high)
        config = self.model.replace(**overrides)
        weights = self._weights(config)
        if self.budget.counts() and not self.budget.allows(weights):
            return Resolved(config, weights, overrides, f"{config.architecture()} has {weights:,} weights")
        if self._step_times is not None and not self._step_times.allows(overrides):
            return Resolved(config, weights, overrides, f"a step takes more than {self.budget.max_step_ms:g} ms")
        return Resolved(config, weights, overrides)

    def _weights(self, config):
        if self.budget.counts():
            return config.count_params()
        try:
            return config.count_params()
        except ValueError:  # the cell has no equations: count the weights of the built model
            return None

    def _bounds(self):
        units = self.space.ranges.get("units")
        return (1, WIDEST_SOLVED) if units is None else (units.low, units.high)

    def _counter(self, overrides):
        return functools.lru_cache(1024)(lambda h: self.model.replace(**{**overrides, "units": h}).count_params())

    def _check_budget(self):
        if not self.budget.counts():
            return
        drawn = [self.resolve(values) for values in self.space.corners()]
        if any(one.problem is None for one in drawn):
            return
        sizes = sorted((one.weights, one.config.architecture()) for one in drawn)
        (least, smallest), (most, largest) = sizes[0], sizes[-1]
        limit = next(iter(self.budget.describe().items()))
        text = (
            f"{limit[0]} = {limit[1]:,} fits no model of these ranges: the smallest, {smallest}, has {least:,} weights"
        )
        if self.budget.params is not None:
            text += f", the largest, {largest}, {most:,}"
        raise ValueError(text)

    # === What keras-tuner asks for ===
    def build(self, hp):
        """The compiled model of the values in `hp`."""
        found = self.resolve(self.declare(hp))
        if found.problem is None:
            return found.config.build()
        # keras-tuner's own tuners build while they look through the space; `fit` then fails the trial
        model = next(self.resolve(values) for values in self.space.corners()).config.build()
        model.outside_budget = found.problem
        return model

    def fit(self, hp, model, *args, **kwargs):
        """Trains the model; arrays in an order that is new in every epoch.

        Args:
            args, kwargs: as of `keras.Model.fit`. In place of x a function may be given: it is called with the
                model's recipe (`batch_size`, `bptt`, ...) and returns (training data, validation data).
        """
        if getattr(model, "outside_budget", None):
            raise keras_tuner.errors.FailedTrialError(f"outside the budget: {model.outside_budget}")
        return fit(model, self.resolve(self.declare(hp)).config.recipe, *args, **kwargs)

    # === The other engine ===
    def suggest(self, trial):
        """The values that an Optuna trial draws from the same space, as `keras_tuner.HyperParameters`.

        `build` and `fit` take them.

        Raises:
            ImportError: without the extra `optuna`.
            optuna.TrialPruned: for a draw outside the budget.

        >>> import optuna
        >>> from deeprnn_keras.tuning import HyperDeepRNN
        >>> hyper = HyperDeepRNN(inputs=8, outputs=1, loss="mse", units=(4, 8))
        >>> hp = hyper.suggest(optuna.trial.FixedTrial({"num_layers": 1, "units": 8, "cell": "rnn",
        ...                                             "learning_rate": 0.01, "global_clipnorm": 1.0}))
        >>> hyper.build(hp).count_params()
        145
        """
        from deeprnn_keras.tuning.optuna_engine import suggested

        return suggested(self, trial)

    def time_steps(self, batch, file=None):
        """From here on `max_step_ms` holds: steps on a batch like this one are measured where needed."""
        if self.budget.max_step_ms is None:
            return
        self._known.clear()
        self._step_times = StepTimes(self.budget.max_step_ms, functools.partial(self._step_ms, batch), file)

    def _step_ms(self, batch, overrides):
        return step_ms(self.model.replace(**overrides).build(), batch)

    def describe(self):
        """{what: plain values}: the model, its ranges and limits, by which one search is told from another."""
        return {
            "model": self.name,
            "own": _plain(self.model),
            "space": self.space.describe(),
            "budget": self.budget.describe(),
        }


WIDEST_SOLVED = 1 << 14


def _described(model, own, metrics, return_sequences, recipe, options):
    given = [name for name, value in own.items() if value is not None]
    if model is not None:
        if given:
            raise ValueError(f"give a model of the zoo, or {', '.join(own)} for one of your own; got both")
        return model
    if len(given) < len(own):
        missing = [name for name in own if name not in given]
        raise ValueError(f"a model of one's own needs inputs, outputs and loss; {', '.join(missing)} is missing")
    more = {} if recipe is None else {"recipe": recipe}
    return OwnModel(
        own["inputs"],
        own["outputs"],
        own["loss"],
        tuple(metrics),
        return_sequences=return_sequences,
        options=dict(options or {}),
        **more,
    )


def _plain(config):
    """Return the fields of a configuration as text, functions and objects by their names."""
    return {field.name: _text(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _text(value):
    if isinstance(value, (list, tuple)):
        return [_text(part) for part in value]
    if type(value).__repr__ is object.__repr__ or callable(value):  # their texts hold an address
        return getattr(value, "__qualname__", type(value).__qualname__)
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
