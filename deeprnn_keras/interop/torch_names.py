"""Names in a PyTorch state dict, grouped into the modules to which they belong.

Names of weights that are wrapped by weight dropping (fastai, salesforce's AWD-LSTM) are reduced to those of the wrapped
module: "rnns.0.module.weight_hh_l0_raw" becomes "rnns.0.weight_hh_l0".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from deeprnn_keras.interop.arrays import Arrays
from deeprnn_keras.interop.report import Shape

RECURRENT = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(_l\d{1,3})?(_reverse)?")
RAW = "_raw"  # appended by weight dropping to the weights before dropping
WRAPPER = "module"  # attribute of the wrapper that holds the wrapped module
EMBEDDING = re.compile(r"(^|[._])(emb|embed|embedding|embeddings|encoder|lookup|wte)([._]?\d+)?$", re.IGNORECASE)
OUTPUT_NAME = re.compile(r"(decoder|dense|fc|head|hidden2|linear|logits?|out|output|classif\w*)\d*$", re.IGNORECASE)
CELLS = {1: "rnn", 3: "gru", 4: "lstm"}  # by the number of blocks of rows
PROJECTED = "projected_lstm"  # the LSTM with proj_size
TITLES = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", PROJECTED: "LSTM"}
BLOCKS = {cell: count for count, cell in CELLS.items()} | {PROJECTED: 4}
LEAVES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # whose rows are those of the gates
PROJECTION = "weight_hr"


@dataclass(frozen=True)
class RecurrentModule:
    """An LSTM, GRU, or RNN, or a cell of one of them, by the names of its weights.

    Attributes:
        name: Name of the module; "" if the state dict is its own.
        levels: For each layer and direction, {leaf: name in the state dict}; a missing weight has the name that it
            should have.
    """

    name: str
    levels: tuple[tuple[Mapping[str, str], ...], ...]

    @property
    def bidirectional(self) -> bool:
        """True if its layers have a backward direction."""
        return len(self.levels[0]) == 2

    @property
    def has_bias(self) -> bool:
        """True if its layers have biases."""
        return "bias_ih" in self.levels[0][0]

    @property
    def has_projection(self) -> bool:
        """True if its layers project their states."""
        return PROJECTION in self.levels[0][0]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a recurrent module.

    Attributes:
        cell: "lstm", "projected_lstm", "gru", or "rnn".
        units: Number of hidden units, h.
        width: Number of features of the output of a layer per direction: h, or p of a projection.
        input_dim: Number of features that its lowest layer reads, d; 0 if no array has it.
    """

    cell: str
    units: int
    width: int
    input_dim: int


@dataclass(frozen=True)
class PlainModule:
    """A module with a `weight` or a `bias`: an embedding, a linear layer, a normalization, a convolution.

    Attributes:
        name: Name of the module.
        leaves: {leaf: name in the state dict} of its weights.
        shape: Shape of its `weight`; () without one.
        is_after: True if it follows a recurrent module; None if the order of the modules is unknown.
    """

    name: str
    leaves: Mapping[str, str]
    shape: Shape
    is_after: bool | None

    @property
    def weight(self) -> str | None:
        """Name of its `weight`, or None."""
        return self.leaves.get("weight")

    @property
    def has_bias(self) -> bool:
        """True if it has a bias."""
        return "bias" in self.leaves

    @property
    def is_matrix(self) -> bool:
        """True if its weight is a matrix."""
        return len(self.shape) == 2

    @property
    def is_embedding(self) -> bool:
        """True if it has the name of an embedding, and a matrix without a bias."""
        return self.is_matrix and not self.has_bias and EMBEDDING.search(self.name) is not None

    def entry(self, leaf: str) -> str:
        """Return the name of a weight, or the name that a missing one should have."""
        return self.leaves.get(leaf) or f"{self.name}.{leaf}".lstrip(".")


@dataclass(frozen=True)
class Modules:
    """The modules of a state dict.

    Attributes:
        recurrent: The recurrent modules, in order.
        plain: The other modules with a `weight` or a `bias`, in order.
        repeated: {name of an array that weight dropping stores twice: the name of the array before dropping}.
    """

    recurrent: tuple[RecurrentModule, ...]
    plain: tuple[PlainModule, ...]
    repeated: Mapping[str, str]


def find_modules(arrays: Arrays, is_ordered: bool) -> Modules:
    """Group the names of a state dict.

    Args:
        arrays: The arrays of the source.
        is_ordered: True if the arrays have the order of the modules; otherwise, names are sorted.
    """
    canonical, repeated = _canonical_names(arrays)
    by_module: dict[str, dict[str, str]] = {}
    for name in canonical if is_ordered else sorted(canonical, key=_natural_key):
        module, _, leaf = name.rpartition(".")
        by_module.setdefault(module, {})[leaf] = canonical[name]
    recurrent, plain = [], []
    for module, leaves in by_module.items():
        if any(RECURRENT.fullmatch(leaf) for leaf in leaves):
            recurrent.append(_recurrent_module(module, leaves))
        elif leaves.keys() & {"weight", "bias"}:
            weight = leaves.get("weight")
            shape = arrays.info(weight).shape if weight else ()
            plain.append(PlainModule(module, leaves, shape, bool(recurrent) if is_ordered else None))
    return Modules(tuple(recurrent), tuple(plain), repeated)


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which "rnns.10" follows "rnns.9"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _canonical_names(arrays: Arrays) -> tuple[dict[str, str], dict[str, str]]:
    """Return {name without wrappers: name}, and {repeated name: name of the array before dropping}."""
    canonical: dict[str, str] = {}
    repeated: dict[str, str] = {}
    names = [*arrays.infos, *arrays.aliases]
    for name in sorted(names, key=lambda name: name.endswith(RAW), reverse=True):  # those before dropping first
        unwrapped = _without_wrapper(name)
        kept = canonical.setdefault(unwrapped, name)
        if kept != name and kept.endswith(RAW):
            repeated[name] = kept
    order = {_without_wrapper(name): None for name in names}
    return {unwrapped: canonical[unwrapped] for unwrapped in order}, repeated


def _without_wrapper(name: str) -> str:
    parts = name.split(".")
    leaf = parts.pop().removesuffix(RAW)
    if RECURRENT.fullmatch(leaf) is None:
        return name
    if parts and parts[-1] == WRAPPER:
        parts.pop()
    return ".".join([*parts, leaf])


def _recurrent_module(module: str, leaves: Mapping[str, str]) -> RecurrentModule:
    matches = [match for leaf in leaves if (match := RECURRENT.fullmatch(leaf))]
    has_bias = any(match[1].startswith("bias") for match in matches)
    kinds = [leaf for leaf in LEAVES if has_bias or leaf.startswith("weight")]
    kinds += [PROJECTION] if any(match[1] == PROJECTION for match in matches) else []
    numbers = [int(match[2].removeprefix("_l")) for match in matches if match[2]]
    suffixes = [f"_l{number}" for number in range(max(numbers) + 1)] if numbers else [""]  # no suffix in a cell
    directions = ("", "_reverse") if any(match[3] for match in matches) else ("",)
    prefix = f"{module}." if module else ""

    def names(end: str) -> dict[str, str]:
        return {kind: leaves.get(kind + end, prefix + kind + end) for kind in kinds}

    levels = tuple(tuple(names(suffix + direction) for direction in directions) for suffix in suffixes)
    return RecurrentModule(module, levels)


def recurrent_sizes(source: str, module: RecurrentModule, arrays: Arrays) -> Sizes:
    """Return the sizes of a recurrent module. If arrays contradict each other, the majority decides.

    Args:
        source: Path or description of the source, for messages.
        module: The module.
        arrays: The arrays of the source.

    Raises:
        ValueError: If its arrays are empty, or a projection is wider than the states.
    """
    shapes = {leaf: _shapes(module, leaf, arrays) for leaf in LEAVES}
    rows = Counter(shape[0] for leaf in LEAVES for shape in shapes[leaf]).most_common(1)
    if not rows or rows[0][0] == 0:
        raise ValueError(f"{source}: the weights of the recurrent module {module.name!r} are empty")
    input_dims = [shape[1] for shape in _shapes(module, "weight_ih", arrays, levels=1)]
    input_dim = input_dims[0] if input_dims else 0
    if module.has_projection:
        return _projected_sizes(source, module, arrays, rows[0][0], input_dim)
    votes = Counter(
        (CELLS[height // width], width)
        for height, width in shapes["weight_hh"]
        if width and height % width == 0 and height // width in CELLS and (height == rows[0][0])
    )
    cell, units = votes.most_common(1)[0][0] if votes else _guess(rows[0][0])
    return Sizes(cell, units, units, input_dim)


def _projected_sizes(source: str, module: RecurrentModule, arrays: Arrays, rows: int, input_dim: int) -> Sizes:
    """Return the sizes of an LSTM with proj_size, which is the number of rows of weight_hr and of columns of weight_hh.

    Args:
        source: As in `recurrent_sizes`.
        module: The module.
        arrays: As in `recurrent_sizes`.
        rows: Number of rows of the other weights, 4 h.
        input_dim: d.
    """
    units = rows // BLOCKS[PROJECTED]
    votes = Counter(shape[0] for shape in _shapes(module, PROJECTION, arrays))
    votes += Counter(shape[1] for shape in _shapes(module, "weight_hh", arrays))
    width = votes.most_common(1)[0][0] if votes else 0
    if not 1 <= width <= units:
        raise ValueError(
            f"{source}: {module.levels[0][0][PROJECTION]} must project the h hidden units of an LSTM, whose other "
            f"weights have 4 h rows, to at most h features, got {width} features and {rows} rows"
        )
    return Sizes(PROJECTED, units, width, input_dim)


def _shapes(module: RecurrentModule, leaf: str, arrays: Arrays, levels: int | None = None) -> list[Shape]:
    """Return the shapes of the arrays of a kind that have the expected rank."""
    rank = 2 if leaf.startswith("weight") else 1
    names = [direction[leaf] for level in module.levels[:levels] for direction in level if leaf in direction]
    infos = [arrays.find(name) for name in names]
    return [info.shape for info in infos if info is not None and len(info.shape) == rank]


def _guess(rows: int) -> tuple[str, int]:
    """Return a cell and a number of units for a number of rows, if no recurrent matrix has a supported shape."""
    blocks = next((count for count in (4, 3) if rows % count == 0), 1)
    return CELLS[blocks], rows // blocks


def list_pattern(name: str) -> str:
    """Return a name without its numbers; modules of one list have the same pattern."""
    return re.sub(r"\d+", "#", name)
