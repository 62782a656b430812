"""`Space`: the hyper-parameters of a search, and which of them mean something together."""

from contextlib import nullcontext

from deeprnn_keras.specs import registered_cell
from deeprnn_keras.tuning.ranges import KINDS, Choices, Fixed, as_range, cell_of, cell_text, rounded

RESIDUAL_FROM = 3  # layers: below it a shortcut passes over nothing that is hard to learn


class Space:
    """L, h and what else a search may choose, in conditional scopes.

    A hyper-parameter is active only where it does something: `units_3` with three layers and more, dropout between
    layers with two and more, connections with three and more, a forget bias in cells that have a gate to keep.

    Args:
        given: {name: what `as_range` takes, or None: left out}.
        tied: one h for all layers; else one for each.
        solved: h is worked out from a budget; `units` are then its bounds and no hyper-parameter.
        own: {"num_layers": L, "cell": cell} of the model that is tuned, for what is left out.

    Raises:
        ValueError: for empty or contradictory ranges.
    """

    def __init__(self, given, tied=True, solved=False, own=None):
        own = {"num_layers": 1, "cell": "lstm", **(own or {})}
        self.ranges = {name: as_range(name, value, KINDS[name]) for name, value in given.items() if value is not None}
        self.tied, self.solved = tied, solved
        self._own_cell = own["cell"]
        self.ranges.setdefault("num_layers", Fixed(own["num_layers"]))
        self._check(given)
        for name in list(self.ranges):
            if not self._active(name):  # it would never do anything
                del self.ranges[name]

    def _check(self, given):
        connection = self.ranges.get("connection")
        if not self.tied and self.solved:
            raise ValueError(
                "params solves one h for all layers; with one h per layer (tie_units=False) give max_params instead"
            )
        if not self.tied and "units" not in self.ranges:
            raise ValueError("tie_units=False searches one h per layer; give a range for units, not None")
        if not self.tied and connection is not None and "residual" in connection.options():
            kept = [value for value in connection.options() if value != "residual"]
            if not kept or given.get("connection") is not DEFAULTS["connection"]:
                raise ValueError(
                    "connection='residual' needs equal units in all layers, and tie_units=False draws them one by "
                    "one; leave 'residual' out, or tie the units"
                )
            self.ranges["connection"] = as_range("connection", kept, KINDS["connection"])

    def declare(self, hp):
        """Enters every hyper-parameter in `hp`; -> {name: value} of those that are active.

        Args:
            hp: `keras_tuner.HyperParameters`, or anything with its `Int`, `Float`, `Choice`, `Fixed` and
                `conditional_scope`.
        """
        values = {"num_layers": self._declare(hp, "num_layers")}
        if not self.solved and "units" in self.ranges:
            values |= self._declare_units(hp)
        for name in self.ranges:
            if name not in ("num_layers", "units"):
                with self._scope(hp, *self._condition(name)):
                    values[name] = self._declare(hp, name)
        return {name: rounded(value) for name, value in values.items() if value is not None}

    def _declare(self, hp, name):
        return self.ranges[name].declare(hp, name)

    def _declare_units(self, hp):
        if self.tied:
            return {"units": self._declare(hp, "units")}
        found = {}
        for level in range(1, self.ranges["num_layers"].high + 1):
            with self._scope(hp, "num_layers", lambda layers, level=level: layers >= level):
                found[f"units_{level}"] = self.ranges["units"].declare(hp, f"units_{level}")
        return found

    def _condition(self, name):
        """-> (the hyper-parameter that decides whether `name` is active, which of its values)."""
        if name == "dropout":
            return "num_layers", lambda layers: layers >= 2
        if name == "connection":
            return "num_layers", lambda layers: layers >= RESIDUAL_FROM
        if name == "forget_bias":
            return "cell", lambda cell: bool(registered_cell(cell_of(cell)).keep_gate)
        return None, None

    def _active(self, name):
        """The values of the deciding hyper-parameter for which `name` is active; True: always."""
        parent, allowed = self._condition(name)
        return True if parent is None else self._allowed(parent, allowed)

    def _allowed(self, parent, allowed):
        if parent not in self.ranges:  # a cell that is not searched
            return all(allowed(cell) for cell in self.own_cell().split("-"))
        options = self.ranges[parent].options()
        active = [value for value in options if allowed(value)]
        return True if len(active) == len(options) else active

    def _scope(self, hp, parent, allowed):
        active = True if parent is None else self._allowed(parent, allowed)
        return nullcontext() if active is True else hp.conditional_scope(parent, active)

    def overrides(self, values, units=None):
        """The arguments of a model that `values` stand for; `units` where they are solved.

        Args:
            values: {name: value}, as `declare` gives them.
        """
        found = {name: value for name, value in values.items() if name in KINDS}
        layers = found["num_layers"]
        if units is not None:
            found["units"] = units
        elif not self.tied:
            found["units"] = tuple(values[f"units_{level}"] for level in range(1, layers + 1))
        if "cell" in found:
            found["cell"] = cell_of(found["cell"])
        if "connection" in self.ranges:
            found.setdefault("connection", "stack")
        return found

    def corners(self):
        """{name: value} of every L and cell, the rest at its least: what a budget is tried on."""
        cells = self.ranges["cell"].options() if "cell" in self.ranges else [None]
        for layers in self.ranges["num_layers"].options():
            for cell in cells:
                values = {"num_layers": layers}
                if cell is not None:
                    values["cell"] = cell
                if not self.solved and "units" in self.ranges:
                    names = ["units"] if self.tied else [f"units_{level}" for level in range(1, layers + 1)]
                    values |= dict.fromkeys(names, self.ranges["units"].low)
                yield values

    def describe(self):
        """{name: its range in words}, for records and tables."""
        words = {name: str(self.ranges[name]) for name in sorted(self.ranges)}
        if "units" in words and not self.tied:
            words["units"] += " in each layer"
        if "units" in words and self.solved:
            words["units"] += ", solved from the budget"
        return words

    def own_cell(self):
        """The cell of the model that is tuned, as a text, where cells are not searched."""
        cells = self._own_cell if isinstance(self._own_cell, (list, tuple)) else [self._own_cell]
        return "-".join(cell_text(cell) for cell in cells)


DEFAULTS = {
    "num_layers": (1, 4),
    "units": (32, 512),
    "cell": ("lstm", "gru", "rnn"),
    "connection": ("stack", "residual"),
    "input_dropout": None,
    "dropout": (0.0, 0.7),
    "output_dropout": None,
    "learning_rate": (1e-4, 1e-2),
    "global_clipnorm": Choices((0.25, 1.0, 5.0, 10.0)),
    "forget_bias": Choices((0.0, 1.0, 5.0)),
    "batch_size": None,
    "bptt": None,
}
