"""What every configuration of the zoo has in common: it is counted, described, changed and built."""

import textwrap
from dataclasses import fields, replace
from itertools import pairwise

from deeprnn_keras import Recipe, Registry, cell_spec, checks, count_params, explain_kernels, layer_units, output_width
from deeprnn_keras.zoo import results, trained
from deeprnn_keras.zoo.diagram import diagram

USES = {
    "language": "to score and to continue text of the kind it was trained on; to compare recurrent networks",
    "classification": "to tell the classes of sequences like those of its data; to compare recurrent networks",
    "regression": "to see how far back a recurrent network remembers",
    "music": "to score and to continue pieces of the kind it was trained on; to compare recurrent networks",
}
LIMITS = {
    "language": "What it writes is likely and not true, and repeats what its training text thinks of people.",
    "classification": "It answers with one of its classes whatever it is given, also what belongs to none.",
    "regression": "The task is made up.",
    "music": "It gives each note of a frame a probability by itself: of chords it knows what came before.",
}
CARD_WIDTH = 100  # characters of a line
FIXED = ("name", "task", "recipe", "params")


class Configuration:
    """A frozen dataclass of a stack, with a `recipe`.

    Kinds of models have the fields units, num_layers, cell, activation, connection, embedding, head_units,
    input_dropout, dropout, output_dropout, initialization; inputs (V or d) and outputs (q), as fields or properties;
    and `made`, `task_words`, `reads`, `answers`, `each_step`.
    """

    bidirectional, tied, projection = False, False, None  # fields where a kind has them

    def __post_init__(self):
        for name in ("input_dropout", "dropout", "output_dropout"):
            checks.rate(name, getattr(self, name))
        for width in self.head_units:
            checks.positive_int("head_units", width)
        if self.embedding is not None:
            checks.positive_int("embedding", self.embedding)

    @property
    def weights(self):
        """The `Trained` weights that come with it, or None; a changed configuration has none, but for its rates."""
        found = trained.record(self.name)
        return None if found is None or found.contradictions(self) else found

    def build(self):
        """The compiled model; its attribute `configuration` is this."""
        model = self.made()
        model.configuration = self
        return model

    def changed(self, **overrides):
        """This configuration with other values for its fields, or for those of its recipe.

        `forget_bias` is a field of the initialization.

        Raises:
            ValueError: for an unknown field; it suggests the nearest.
        """
        homes = Registry("override", {field.name: "recipe" for field in fields(Recipe)})
        for field in fields(self):
            if field.name not in FIXED:
                homes.add(field.name, "config")
        homes.add("forget_bias", "initialization")
        changed = {"recipe": {}, "config": {}, "initialization": {}}
        for key, value in overrides.items():
            changed[homes[key]][key] = value
        if changed["initialization"]:
            start = changed["config"].get("initialization", self.initialization)
            changed["config"]["initialization"] = replace(start, **changed["initialization"])
        return replace(self, recipe=self.recipe.changed(**changed["recipe"]), **changed["config"])

    def count_params(self):
        """Embedding, recurrent layers and head, from the numbers alone."""
        units = layer_units(self.units, self.num_layers)
        shape = {"connection": self.connection, "bidirectional": self.bidirectional}
        recurrent = count_params(self.embedding or self.inputs, units, cell=self.cell, **shape)
        width = output_width(units, **shape)
        below = self.inputs * (self.embedding or 0) + recurrent + width * (self.projection or 0)
        if self.tied:
            return below + self.outputs
        widths = (self.projection or width, *self.head_units, self.outputs)
        return below + sum((read + 1) * width for read, width in pairwise(widths))

    def architecture(self):
        """Such as 'bidirectional LSTM 2 x 256, embedding 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        text = (
            f"{'bidirectional ' if self.bidirectional else ''}{self.cell_name().upper()} {self.num_layers} x {widths}"
        )
        options = self.cell.items() if isinstance(self.cell, dict) else []
        text += "".join(f", {name.replace('_', ' ')} {value}" for name, value in options if name != "name")
        text += f", activation {self.activation}" if self.activation else ""
        text += f", embedding {self.embedding}" if self.embedding else ""
        text += ", one-hot input" if self.one_hot else ""
        text += "" if self.connection == "stack" else f", {self.connection} connections"
        text += f", projection {self.projection}" if self.projection else ""
        text += f", hidden layers {'-'.join(map(str, self.head_units))} in the head" if self.head_units else ""
        return text + (", tied" if self.tied else "")

    def cell_name(self):
        """Such as 'lstm', or 'gru-lstm'."""
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        return "-".join(cell_spec(cell).name for cell in cells)

    def recurrences(self):
        """[(path in the model, cell, activation)] of the recurrent layers, what `explain_kernels` needs of them."""
        num_layers = len(layer_units(self.units, self.num_layers))
        cells = checks.per_layer("cell", self.cell, num_layers)
        activations = checks.per_layer("activation", self.activation, num_layers)
        ways = ("forward", "backward") if self.bidirectional else ("forward",)
        return [
            (f"deep_rnn/{way}_{level}", cell, activation)
            for level, (cell, activation) in enumerate(zip(cells, activations, strict=True), start=1)
            for way in ways
        ]

    def diagram(self):
        """The stack as a picture in text, with shapes and weights."""
        return diagram(self)

    def card(self):
        """[(what, value)] for people to read."""
        rates = (("input", self.input_dropout), ("between layers", self.dropout), ("output", self.output_dropout))
        dropout = ", ".join(f"{where} {rate:g}" for where, rate in rates if rate)
        rows = [
            ("task", self.task_words()),
            ("architecture", f"{self.architecture()}; reads {self.reads}"),
            ("weights count", f"{self.count_params():,}"),
            ("kernels", explain_kernels(self).summary()),
            ("dropout", dropout or "none"),
            ("initialization", str(self.initialization)),
            *self.recipe.describe(),
            ("data", self.data),
            ("intended use", USES[self.task]),
            ("limits", " ".join(filter(None, [LIMITS[self.task], self.limits]))),
            ("published result", self.published or "none"),
            *self._results(),
            ("trained weights", str(self.weights or "none")),
            ("source", f"{self.paper}{' <' + self.url + '>' if self.url else ''}"),
        ]
        return rows + ([("differs from it", self.differs)] if self.differs else [])

    def __str__(self):
        """The card, for `print(zoo.info(name))`."""
        rows = self.card()
        widest = max(len(what) for what, _ in rows)
        lines = [f"{self.name}: {self.title}", "", self.diagram(), ""]
        for what, value in rows:
            first, *more = textwrap.wrap(value, CARD_WIDTH - widest - 2)
            lines += [f"{what:{widest}}  {first}", *(" " * (widest + 2) + line for line in more)]
        return "\n".join(lines)

    def _results(self):
        """The row of what the entry, as it stands, reached here."""
        found = results.results_of(self.name) if self.params == self.count_params() else []
        return [("results here", "; ".join(map(results.shown, found)))] if found else []
