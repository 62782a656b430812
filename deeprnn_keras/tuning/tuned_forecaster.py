"""`TunedForecaster`: a forecaster with its training data, whose arguments a search varies."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, cast

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, CellSpec, Config, Logs
from deeprnn_keras.data.batches import fingerprint
from deeprnn_keras.forecasting.arguments import recipe_to_json
from deeprnn_keras.forecasting.forecaster import VALIDATION_BATCH_SIZE, Forecaster
from deeprnn_keras.forecasting.likelihoods import get_likelihood
from deeprnn_keras.initializers import ForgetBias
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.stack import count_head_params, count_params, layer_widths, output_width
from deeprnn_keras.training.recipe import Recipe
from deeprnn_keras.tuning.custom_model_config import RECIPE_FIELDS, cell_label
from deeprnn_keras.tuning.hyperparameters import HyperParameter, Range
from deeprnn_keras.tuning.trial_training import fit

if TYPE_CHECKING:
    from deeprnn_keras.forecasting.frames import Frame
    from deeprnn_keras.forecasting.panel import Panel
    from deeprnn_keras.forecasting.windows import WindowCutter

OF_DATA = {"x", "y", "sample_weight", "validation_data", "validation_split", "batch_size"}


class Data:
    """Training data, which all configurations of a search share.

    Args:
        panel: The series.

    Attributes:
        panel: The series.
        cutters: Cutters of their windows by context.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.cutters: dict[int | None, WindowCutter] = {}


@dataclass(frozen=True)
class TunedForecaster:
    """Forecaster and its training data, for `HyperDeepRNN`, which then also searches over `context` and `likelihood`.

    `val_loss` is that of the last windows of each series, which `Forecaster.fit` also holds out. For a density, it is
    stated in the units of the data, so that contexts are comparable, although their scales s differ:

        -log p(y) = -log p(z) + log s,  y = r + s z

    Attributes:
        forecaster: The forecaster. Its arguments that are not searched are kept.
        df: The series, as for `Forecaster.fit`.
        holdout: Number of steps at the end of each series that are not read, for `Forecaster.evaluate`.

    Raises:
        ValueError: If the data are not valid, or no window can be held out.

    >>> import numpy as np
    >>> from deeprnn_keras import Forecaster
    >>> from deeprnn_keras.tuning import HyperDeepRNN, TunedForecaster
    >>> tuned = TunedForecaster(Forecaster(3, season=12), 10 + np.sin(np.arange(90) * np.pi / 6))
    >>> hyper = HyperDeepRNN(tuned, units=(4, 8), num_layers=(1, 2), cell="gru", context=[12, 24])
    >>> hyper.resolve({"num_layers": 1, "units": 4, "cell": "gru", "context": 12}).config.forecaster
    Forecaster(horizon=3, cell='gru', units=4, num_layers=1, likelihood='student_t', strategy='recursive'): not trained
    """

    forecaster: Forecaster
    df: Frame | ArrayLike
    holdout: int = 0
    _data: Data = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the series."""
        if not isinstance(self.forecaster, Forecaster):
            raise ValueError(f"forecaster must be a Forecaster, got {self.forecaster!r}")
        checks.store(self, holdout=checks.non_negative_int("holdout", self.holdout))
        panel, _ = self.forecaster._training_panel(self.df, self.holdout)
        object.__setattr__(self, "_data", Data(panel))
        self._held_out()

    # === Configuration ===

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.forecaster.arguments.network.get("name", "forecaster")

    @property
    def units(self) -> int | tuple[int, ...]:
        """Hidden units h, or one number per layer."""
        units = self.forecaster.arguments.units
        return tuple(units) if isinstance(units, list) else units

    @property
    def num_layers(self) -> int:
        """Number of recurrent layers, L."""
        number = self.forecaster.arguments.num_layers
        return len(self.forecaster.arguments.units) if number is None else number

    @property
    def cell(self) -> CellSpec | tuple[CellSpec, ...]:
        """Cell of all layers, or one per layer."""
        cell = self.forecaster.arguments.cell
        return tuple(cell) if isinstance(cell, list) else cell

    @property
    def recipe(self) -> Recipe:
        """Training recipe."""
        return self.forecaster.recipe

    def replace(self, **overrides: Any) -> Self:
        """Return a copy with other values for arguments of the forecaster, of its network, or of its recipe."""
        recipe = self.recipe.replace(**{name: overrides.pop(name) for name in RECIPE_FIELDS & overrides.keys()})
        likelihood = get_likelihood(overrides.pop("likelihood", self.forecaster.likelihood))
        given = self.forecaster.arguments
        arguments = {one.name: getattr(given, one.name) for one in fields(given) if one.name != "network"}
        arguments |= {**given.network, **_bias(overrides.pop("forget_bias", None), overrides.get("cell", given.cell))}
        changed = copy.copy(self)  # shares the data
        forecaster = Forecaster(likelihood=likelihood, recipe=recipe, **{**arguments, **overrides})
        object.__setattr__(changed, "forecaster", forecaster)
        return changed

    def count_params(self) -> int:
        """Return the number of parameters without building the model."""
        network, cutter = self.forecaster.arguments.network, self._cutter()
        layers = (self.units, self.num_layers, self.cell)
        geometry = {name: network[name] for name in ("connection", "bidirectional") if name in network}
        outputs = cutter.layout.output_width(self.forecaster.likelihood.num_parameters)
        width = output_width(layer_widths(*layers), **geometry)
        head = count_head_params(cutter.input_width(), outputs, width, head_units=network.get("head_units", ()))
        return count_params(cutter.input_width(), *layers, **geometry) + head

    def architecture(self) -> str:
        """Return a short description of the architecture, for example 'LSTM 2 x 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        return f"{cell_label(self.cell)} {self.num_layers} x {widths}"

    def describe(self) -> Config:
        """Return the arguments and a fingerprint of the data as JSON values; a search with others is not resumed."""
        panel, forecaster = self._data.panel, self.forecaster
        values = {
            **forecaster.arguments.to_json(),
            "likelihood": keras.losses.serialize(forecaster.likelihood),
            "recipe": recipe_to_json(forecaster.recipe),
            "data": fingerprint(panel.y, panel.past, panel.known, panel.bounds),
        }
        return {name: json.dumps(value, sort_keys=True) for name, value in values.items()}

    def check_search(self, hyperparameters: Mapping[str, HyperParameter]) -> None:
        """Raise a ValueError if the values of `val_loss` of a search would not be comparable.

        Args:
            hyperparameters: The hyperparameters of the search, by name.
        """
        if "bptt" in hyperparameters:
            raise ValueError("bptt is not supported with a TunedForecaster, whose windows have context steps")
        likelihoods = [self.forecaster.likelihood]
        if "likelihood" in hyperparameters:
            likelihoods = [get_likelihood(str(name)) for name in hyperparameters["likelihood"].options()]
        if len(likelihoods) > 1 and not all(one.density for one in likelihoods):
            names = ", ".join(one.name for one in likelihoods)
            raise ValueError(
                "likelihood must be a choice among 'student_t' and 'gaussian', whose losses are comparable, got "
                f"{names}"
            )
        contexts = hyperparameters.get("context")
        if contexts is None:
            return
        values = [contexts.low, contexts.high] if isinstance(contexts, Range) else contexts.options()
        if len(values) > 1 and not (likelihoods[0].density or likelihoods[0].counts):
            raise ValueError(
                f"context is not supported as a hyperparameter with likelihood {likelihoods[0].name!r}, whose loss has "
                "the units of the scaled context; use 'student_t', 'gaussian', or 'negative_binomial'"
            )
        first, *others = (self.replace(context=int(value))._held_out() for value in values)
        if any(not np.array_equal(first, other) for other in others):
            raise ValueError(
                "context changes which windows are held out, because a series is short or has a long gap; pass a "
                "Forecaster with smaller validation_windows, or contexts of more equal lengths"
            )

    # === Data and training ===

    def _cutter(self) -> WindowCutter:
        context = self.forecaster.arguments.context
        if context not in self._data.cutters:
            self._data.cutters[context] = self.forecaster._training_cutter(self._data.panel)[1]
        return self._data.cutters[context]

    def _held_out(self) -> np.ndarray:
        """Return the origins of the held-out windows."""
        _, _, held_out = self.forecaster._datasets(self._cutter())
        if not len(held_out):
            raise ValueError(
                "a search requires held-out windows, for val_loss; pass longer series, or a Forecaster with "
                "validation_windows of at least 1"
            )
        return held_out

    def build(self) -> keras.Model:
        """Return the compiled network."""
        return self.recipe.compile(self.forecaster._build(self._cutter()), self.forecaster.likelihood)

    def fit(
        self,
        model: keras.Model,
        *data: object,
        seed: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        **options: Any,
    ) -> keras.callbacks.History:
        """Train a result of `build`.

        Args:
            model: The network.
            *data: Not supported; the data are those of `df`.
            seed: Random seed of the order of the windows.
            callbacks: Further callbacks.
            **options: Further arguments of `model.fit`, except data.

        Raises:
            ValueError: If data are passed.
        """
        passed = sorted(({"x"} if data else set()) | OF_DATA & options.keys())
        if passed:
            raise ValueError(f"{passed[0]} is not supported with a TunedForecaster, which holds its data; leave it out")
        train, validation, held_out = self.replace(seed=seed).forecaster._datasets(self._cutter())
        own = [InUnitsOfData(self._log_unit(held_out))] if self.forecaster.likelihood.density else []
        return fit(model, self.recipe, lambda recipe: (train, validation), callbacks=[*own, *callbacks], **options)

    def _log_unit(self, held_out: np.ndarray) -> float:
        """Return the mean of log s over the held-out values, with the weights that Keras gives to batches."""
        cutter = self._cutter()
        log_unit = np.log(cutter.scales(cutter.raw(held_out, 0), held_out - 1).target)
        observed = (~np.isnan(cutter.panel.y[held_out[:, None] + np.arange(cutter.horizon)])).sum(axis=1)
        first = np.arange(0, len(held_out), VALIDATION_BATCH_SIZE)
        means = np.add.reduceat(log_unit * observed, first) / np.add.reduceat(observed, first)
        return float(np.average(means, weights=np.add.reduceat(np.ones(len(held_out)), first)))


class InUnitsOfData(keras.callbacks.Callback):
    """State `val_loss`, the negative logarithm of a density of scaled values, for a density of the data.

    Args:
        log_unit: Mean of log s.
    """

    def __init__(self, log_unit: float) -> None:
        super().__init__()
        self._log_unit = log_unit

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None and "val_loss" in logs:
            logs["val_loss"] += self._log_unit


def _bias(forget_bias: float | None, cell: CellSpec | Sequence[CellSpec]) -> Config:
    """Return the initializer of an initial bias of the keep gate, as JSON values, if all cells have one."""
    cells = cast("Sequence[CellSpec]", cell if isinstance(cell, (list, tuple)) else [cell])
    if forget_bias is None or not all(registered_cell(one).keep_gate for one in cells):
        return {}
    return {"bias_initializer": keras.initializers.serialize(ForgetBias(forget_bias))}
