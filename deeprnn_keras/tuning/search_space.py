"""Search space: the hyperparameters of a search and the conditions under which each is active."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from deeprnn_keras._types import CellSpec
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.tuning.hyperparameters import (
    TYPES,
    Choice,
    Fixed,
    HyperParameter,
    HyperParameters,
    HyperParameterSpec,
    as_hyperparameter,
    cell_from_text,
    cell_to_text,
    round_value,
)

MIN_CONNECTION_LAYERS = 3  # a shallower stack trains well without shortcut connections


class SearchSpace:
    """L, h, and other hyperparameters of a search.

    A hyperparameter is active only where it has an effect: `units_3` with at least three layers, dropout between
    layers with at least two, connections with at least three, and a forget bias in cells that have a keep gate.
    keras-tuner calls such a condition a conditional scope.

    Args:
        specs: Specifications by name, as accepted by `as_hyperparameter`; None omits a hyperparameter.
        tie_units: True if all layers have the same h.
        solve_units: True if h is chosen to match a budget; `units` are then its bounds and not a hyperparameter.
        num_layers: L of the tuned model, used if the number of layers is not searched.
        cell: Cell of the tuned model, used if the cell is not searched.

    Attributes:
        hyperparameters: The hyperparameters that can be active, by name.

    Raises:
        ValueError: If a specification is empty or contradicts another.
    """

    def __init__(
        self,
        specs: Mapping[str, HyperParameterSpec],
        tie_units: bool = True,
        solve_units: bool = False,
        *,
        num_layers: int = 1,
        cell: CellSpec | tuple[CellSpec, ...] = "lstm",
    ) -> None:
        self.hyperparameters: dict[str, HyperParameter] = {
            name: as_hyperparameter(name, spec, TYPES[name]) for name, spec in specs.items() if spec is not None
        }
        self.tie_units, self.solve_units = tie_units, solve_units
        self._default_cell = cell
        self.hyperparameters.setdefault("num_layers", Fixed(num_layers))
        self._check(specs)
        for name in list(self.hyperparameters):
            if not self._active_values(*self._condition(name)):  # it could never have an effect
                del self.hyperparameters[name]

    def _check(self, specs: Mapping[str, HyperParameterSpec]) -> None:
        connection = self.hyperparameters.get("connection")
        if self.tie_units:
            return
        if self.solve_units:
            raise ValueError(
                "params is not supported with tie_units=False: it sets one h for all layers; pass max_params instead"
            )
        if "units" not in self.hyperparameters:
            raise ValueError("tie_units=False searches one h per layer; pass a range for units, got None")
        if connection is not None and "residual" in connection.options():
            others = [value for value in connection.options() if value != "residual"]
            if not others or specs.get("connection") is not DEFAULTS["connection"]:
                raise ValueError(
                    "connection='residual' is not supported with tie_units=False: it requires equal units in all "
                    "layers; remove 'residual' from connection, or pass tie_units=True"
                )
            self.hyperparameters["connection"] = as_hyperparameter("connection", others, TYPES["connection"])

    # === Declaration ===
    def declare(self, hp: HyperParameters) -> dict[str, Any]:
        """Declare every hyperparameter in `hp` and return the values of the active ones, by name.

        Args:
            hp: A `keras_tuner.HyperParameters`, or an object with the same interface.
        """
        values: dict[str, Any] = {"num_layers": self.hyperparameters["num_layers"].declare(hp, "num_layers")}
        if not self.solve_units and "units" in self.hyperparameters:
            values |= self._declare_units(hp)
        for name, hyperparameter in self.hyperparameters.items():
            if name not in ("num_layers", "units"):
                with self._scope(hp, *self._condition(name)):
                    values[name] = hyperparameter.declare(hp, name)
        return {name: round_value(value) for name, value in values.items() if value is not None}

    def _declare_units(self, hp: HyperParameters) -> dict[str, Any]:
        units = self.hyperparameters["units"]
        if self.tie_units:
            return {"units": units.declare(hp, "units")}
        values = {}
        for layer in range(1, int(self.hyperparameters["num_layers"].high) + 1):
            with self._scope(hp, "num_layers", lambda num_layers, layer=layer: num_layers >= layer):
                values[f"units_{layer}"] = units.declare(hp, f"units_{layer}")
        return values

    # === Conditions ===
    @staticmethod
    def _condition(name: str) -> tuple[str | None, Callable[[Any], bool]]:
        """Return the parent on which `name` depends, or None, and a predicate that selects the parent's values."""
        if name == "dropout":
            return "num_layers", lambda num_layers: num_layers >= 2
        if name == "connection":
            return "num_layers", lambda num_layers: num_layers >= MIN_CONNECTION_LAYERS
        if name == "forget_bias":
            return "cell", lambda cell: bool(registered_cell(cell_from_text(cell)).keep_gate)
        return None, lambda _: True

    def _active_values(self, parent: str | None, predicate: Callable[[Any], bool]) -> list[Any] | Literal[True]:
        """Return the values of the parent for which a hyperparameter is active; True for all values."""
        if parent is None:
            return True
        if parent not in self.hyperparameters:  # the cell is not searched
            return True if all(predicate(cell) for cell in self.default_cell().split("-")) else []
        options = self.hyperparameters[parent].options()
        active = [value for value in options if predicate(value)]
        return True if len(active) == len(options) else active

    def _scope(
        self, hp: HyperParameters, parent: str | None, predicate: Callable[[Any], bool]
    ) -> AbstractContextManager[None]:
        active = self._active_values(parent, predicate)
        return nullcontext() if parent is None or active is True else hp.conditional_scope(parent, active)

    # === Values ===
    def overrides(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a model configuration for `values`, a result of `declare`."""
        fields = {name: value for name, value in values.items() if name in TYPES}
        if not self.tie_units:
            fields["units"] = tuple(values[f"units_{layer}"] for layer in range(1, fields["num_layers"] + 1))
        if "cell" in fields:
            fields["cell"] = cell_from_text(fields["cell"])
        if "connection" in self.hyperparameters:
            fields.setdefault("connection", "stack")
        return fields

    def smallest_values(self) -> Iterator[dict[str, Any]]:
        """Yield values for every combination of L and cell, with the smallest h."""
        cell = self.hyperparameters.get("cell")
        for num_layers in self.hyperparameters["num_layers"].options():
            for option in [None] if cell is None else cell.options():
                values = {"num_layers": num_layers}
                if option is not None:
                    values["cell"] = option
                if not self.solve_units and "units" in self.hyperparameters:
                    names = ["units"] if self.tie_units else [f"units_{layer}" for layer in range(1, num_layers + 1)]
                    values |= dict.fromkeys(names, self.hyperparameters["units"].low)
                yield values

    # === Description ===
    def describe(self) -> dict[str, str]:
        """Return a description of each hyperparameter, by name, for records and tables."""
        descriptions = {name: str(self.hyperparameters[name]) for name in sorted(self.hyperparameters)}
        if "units" in descriptions and not self.tie_units:
            descriptions["units"] += " in each layer"
        if "units" in descriptions and self.solve_units:
            descriptions["units"] += ", solved from the budget"
        return descriptions

    def default_cell(self) -> str:
        """Return the cell of the tuned model as text."""
        cells = self._default_cell if isinstance(self._default_cell, (list, tuple)) else [self._default_cell]
        return "-".join(cell_to_text(cell) for cell in cells)


DEFAULTS: dict[str, HyperParameterSpec] = {
    "num_layers": (1, 4),
    "units": (32, 512),
    "cell": ("lstm", "gru", "rnn"),
    "connection": ("stack", "residual"),
    "input_dropout": None,
    "dropout": (0.0, 0.7),
    "output_dropout": None,
    "learning_rate": (1e-4, 1e-2),
    "global_clipnorm": Choice((0.25, 1.0, 5.0, 10.0)),
    "forget_bias": Choice((0.0, 1.0, 5.0)),
    "batch_size": None,
    "bptt": None,
    "context": None,
    "likelihood": None,
}
