"""What a hyper-parameter may be: one value, some values, or all between two."""

import ast
from dataclasses import dataclass

from deeprnn_keras import checks
from deeprnn_keras.specs import parse_cell
from deeprnn_keras.stack import CONNECTIONS

DIGITS = 4  # of a number that is drawn: what a reader can copy


@dataclass(frozen=True)
class Fixed:
    """One value."""

    value: object

    def declare(self, hp, name):
        """The value, entered in `hp`."""
        return hp.Fixed(name, self.value)

    def options(self):
        """All values, in order."""
        return [self.value]

    low = high = property(lambda self: self.value)

    def __str__(self):
        return str(self.value)


@dataclass(frozen=True)
class Choices:
    """Some values."""

    values: tuple

    def declare(self, hp, name):
        """The value drawn, entered in `hp`."""
        return hp.Choice(name, list(self.values))

    def options(self):
        """All values, in order."""
        return list(self.values)

    low = property(lambda self: min(self.values))
    high = property(lambda self: max(self.values))

    def __str__(self):
        return ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Between:
    """All values from `low` to `high`, both included; with `log` in equal ratios."""

    low: float
    high: float
    log: bool = False

    def declare(self, hp, name):
        """The value drawn, entered in `hp`."""
        make = hp.Int if isinstance(self.low, int) else hp.Float
        return make(name, self.low, self.high, sampling="log" if self.log else "linear")

    def options(self):
        """All values, in order, of whole numbers."""
        return list(range(self.low, self.high + 1))

    def __str__(self):
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}"


@dataclass(frozen=True)
class Kind:
    """What the values of a hyper-parameter are.

    Attributes:
        right: in words, for messages.
        check: value -> the value as it is used; raises ValueError.
        log: whether a range is drawn in equal ratios.
        numeric: whether (low, high) is a range.
    """

    right: str
    check: object
    log: bool = False
    numeric: bool = True


def _whole(name, value):
    return checks.positive_int(name, value)


def _positive(name, value):
    return checks.positive(name, value)


def _rate(name, value):
    return checks.rate(name, value)


def _bias(name, value):
    return checks.number(name, value)


def as_range(name, given, kind):
    """What a user gives for a hyper-parameter, as one of the three.

    Args:
        name: of the argument.
        given: a value, a list of values, or for numbers a tuple (low, high).
        kind: a `Kind`.

    Raises:
        ValueError: for no values, a value out of range, or low above high.

    >>> from deeprnn_keras.tuning.ranges import KINDS, as_range
    >>> as_range("units", (32, 512), KINDS["units"])
    Between(low=32, high=512, log=True)
    >>> as_range("cell", ["lstm", "gru"], KINDS["cell"]).options()
    ['lstm', 'gru']
    """
    if isinstance(given, (Fixed, Choices, Between)):
        return given
    if isinstance(given, tuple) and kind.numeric:
        if len(given) != 2:
            raise ValueError(f"{name} must be a value, a list of values or (low, high), got {given!r}")
        low, high = (kind.check(name, value) for value in given)
        if low > high:
            raise ValueError(f"{name} = {given!r} is an empty range: {low:g} is above {high:g}")
        return Fixed(low) if low == high else Between(low, high, kind.log)
    if isinstance(given, (list, tuple)):
        values = tuple(dict.fromkeys(kind.check(name, value) for value in given))
        if not values:
            raise ValueError(f"{name} must have at least one value, got an empty list; each must be {kind.right}")
        return Fixed(values[0]) if len(values) == 1 else Choices(values)
    return Fixed(kind.check(name, given))


def rounded(value):
    """A real number to four digits; anything else as it is.

    >>> from deeprnn_keras.tuning.ranges import rounded
    >>> rounded(0.0012345678), rounded(7)
    (0.001235, 7)
    """
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def cell_text(cell):
    """A cell as one text: its name, and its options behind it.

    >>> from deeprnn_keras.tuning.ranges import cell_of, cell_text
    >>> cell_text({"name": "rhn", "depth": 5}), cell_of("rhn depth=5")
    ('rhn depth=5', {'name': 'rhn', 'depth': 5})
    """
    spec, options = parse_cell(cell)
    return " ".join([spec.name, *(f"{name}={value}" for name, value in options.items())])


def cell_of(text):
    """The cell of a `cell_text`, as `DeepRNN` takes it."""
    name, *options = text.split(" ")
    if not options:
        return name
    pairs = (option.partition("=") for option in options)
    return {"name": name, **{key: _plain(value) for key, _, value in pairs}}


def _plain(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _cell(name, value):
    return cell_text(cell_of(value) if isinstance(value, str) else value)


def _connection(name, value):
    return checks.one_of(name, value, CONNECTIONS)


WHOLE = Kind("a positive integer", _whole)
KINDS = {
    "num_layers": WHOLE,
    "units": Kind("a positive integer", _whole, log=True),
    "cell": Kind("the name of a cell, or {name, **options}", _cell, numeric=False),
    "connection": Kind("stack, residual or skip", _connection, numeric=False),
    "input_dropout": Kind("a number in [0, 1)", _rate),
    "dropout": Kind("a number in [0, 1)", _rate),
    "output_dropout": Kind("a number in [0, 1)", _rate),
    "learning_rate": Kind("a positive number", _positive, log=True),
    "global_clipnorm": Kind("a positive number", _positive, log=True),
    "forget_bias": Kind("a finite number", _bias),
    "batch_size": Kind("a positive integer", _whole, log=True),
    "bptt": Kind("a positive integer", _whole, log=True),
}
