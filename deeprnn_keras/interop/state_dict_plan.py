"""Plan of the Keras model for a PyTorch state dict: the layers that its names and shapes describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deeprnn_keras.interop.arrays import Arrays
from deeprnn_keras.interop.assignment import Assignment, Target
from deeprnn_keras.interop.source import Request
from deeprnn_keras.interop.torch_names import (
    OUTPUT_NAME,
    PROJECTED,
    Modules,
    PlainModule,
    RecurrentModule,
    Sizes,
    list_pattern,
    recurrent_sizes,
)
from deeprnn_keras.interop.torch_weights import (
    RecurrenceTarget,
    plain_assignment,
    planned_target,
    recurrence_assignments,
)

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.layers import DeepRNN


DEFAULT_NAME = "deep_rnn"


@dataclass(frozen=True)
class PlannedStack:
    """A `DeepRNN` for one recurrent module or several stacked ones.

    Attributes:
        name: Name of the layer.
        modules: The modules, lowest first.
        sizes: Sizes of each module.
        return_sequences: As in `DeepRNN`.
        activation: Activation of "rnn" cells.
    """

    name: str
    modules: tuple[RecurrentModule, ...]
    sizes: tuple[Sizes, ...]
    return_sequences: bool
    activation: str | None

    @property
    def cell(self) -> str:
        """Name of the cell of all layers."""
        return self.sizes[0].cell

    @property
    def layer_sizes(self) -> list[Sizes]:
        """Sizes of each layer; `input_dim` is that of its module."""
        return [size for size, module in zip(self.sizes, self.modules, strict=True) for _ in module.levels]

    @property
    def bidirectional(self) -> bool:
        """As in `DeepRNN`."""
        return self.modules[0].bidirectional

    @property
    def width(self) -> int:
        """Number of features of the output."""
        return self.layer_sizes[-1].width * (2 if self.bidirectional else 1)

    def targets(self) -> list[list[RecurrenceTarget]]:
        """Return the weights of each layer and direction of the `DeepRNN`."""
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        layers = self.layer_sizes
        input_dims = [layers[0].input_dim, *(sizes.width * len(directions) for sizes in layers[:-1])]
        cell = "simple_rnn" if self.cell == "rnn" else self.cell
        return [
            [
                planned_target(f"{self.name}/{direction}_{level}/{cell}_cell", sizes, d, self.modules[0].has_bias)
                for direction in directions
            ]
            for level, (sizes, d) in enumerate(zip(layers, input_dims, strict=True), start=1)
        ]

    def assignments(self) -> list[Assignment]:
        """Return how the weights of all layers are computed."""
        levels = [level for module in self.modules for level in module.levels]
        return [
            one
            for names, targets in zip(levels, self.targets(), strict=True)
            for direction, target in zip(names, targets, strict=True)
            for one in recurrence_assignments(direction, target)
        ]

    def arguments(self) -> dict[str, object]:
        """Return the arguments of the `DeepRNN` without its name."""
        units, cells = [sizes.units for sizes in self.layer_sizes], list(map(_cell, self.layer_sizes))
        equal = len(set(units)) == 1
        found: dict[str, object] = {"units": units[0] if equal else units}
        found |= {"num_layers": len(units)} if equal and len(units) > 1 else {}
        found["cell"] = cells[0] if all(one == cells[0] for one in cells) else cells
        found |= {"activation": self.activation} if self.activation is not None else {}
        found |= {"bidirectional": True} if self.bidirectional else {}
        found |= {} if self.modules[0].has_bias else {"use_bias": False}
        return found | {"return_sequences": self.return_sequences}

    def describe(self) -> str:
        """Return the layer as it is created in Python."""
        units, *others = self.arguments().items()
        return f"{self.name}: DeepRNN({', '.join([str(units[1]), *(f'{key}={value!r}' for key, value in others)])})"

    def build(self, name: str | None) -> DeepRNN:
        """Return the layer, which is not built."""
        from deeprnn_keras.layers import DeepRNN

        return DeepRNN(**self.arguments(), name=name)


def _cell(sizes: Sizes) -> str | dict[str, object]:
    """Return the cell as in `DeepRNN`."""
    return {"name": PROJECTED, "projection": sizes.width} if sizes.cell == PROJECTED else sizes.cell


@dataclass(frozen=True)
class PlannedModel:
    """Embedding, recurrent layers, and head, of which only the second must exist.

    Attributes:
        stacks: The recurrent layers, lowest first.
        embedding: The embedding, or None.
        head: The linear layer after the recurrent layers, or None.
        outputs: Number of features of the output of the head, q.
        tied: True if the weight of the head is that of the embedding.
    """

    stacks: tuple[PlannedStack, ...]
    embedding: PlainModule | None = None
    head: PlainModule | None = None
    outputs: int = 0
    tied: bool = False

    @property
    def is_bare(self) -> bool:
        """True if the model is one `DeepRNN`."""
        return self.embedding is None and self.head is None and len(self.stacks) == 1

    @property
    def is_language_model(self) -> bool:
        """True if the model is a `LanguageModel`: its outputs are logits of the symbols that it reads."""
        if self.embedding is None or self.head is None or not self.head.has_bias:
            return False
        stack = self.stacks[0]
        is_causal = len(self.stacks) == 1 and not stack.bidirectional
        return is_causal and stack.return_sequences and self.outputs == self.embedding.shape[0] > 1

    def assignments(self) -> list[Assignment]:
        """Return how the weights of all layers are computed."""
        found: list[Assignment] = []
        first, last = self.stacks[0], self.stacks[-1]
        if self.embedding is not None:
            embeddings = Target("embedding/embeddings", (self.embedding.shape[0], first.sizes[0].input_dim))
            found.append(plain_assignment(self.embedding, "weight", embeddings, is_transposed=False))
        for stack in self.stacks:
            found += stack.assignments()
        if self.head is not None and not self.tied:
            kernel = Target("head/kernel", (last.width, self.outputs))
            found.append(plain_assignment(self.head, "weight", kernel, is_transposed=True))
        if self.head is not None and self.head.has_bias:
            bias = Target("head/bias", (self.outputs,))
            found.append(plain_assignment(self.head, "bias", bias, is_transposed=False))
        return found

    def describe(self) -> list[str]:
        """Return one line per layer."""
        lines = [stack.describe() for stack in self.stacks]
        if self.embedding is not None:
            vocabulary, width = self.embedding.shape[0], self.stacks[0].sizes[0].input_dim
            lines.insert(0, f"embedding: Embedding({vocabulary}, {width})")
        if self.head is not None:
            bias = "" if self.head.has_bias else ", use_bias=False"
            lines.append(f"head: {'TiedHead' if self.tied else 'Dense'}({self.outputs}{bias})")
        return lines

    def build(self) -> keras.Layer:
        """Return the model, or the built `DeepRNN`, with initial weights."""
        import keras

        first = self.stacks[0]
        if self.is_bare:
            layer = first.build(None if first.name == DEFAULT_NAME else first.name)
            layer.build((None, None, first.sizes[0].input_dim))
            return layer
        if self.is_language_model:
            return self._language_model()
        layers = [stack.build(stack.name) for stack in self.stacks]
        x = inputs = keras.Input((None, first.sizes[0].input_dim))
        if self.embedding is not None:
            inputs = keras.Input((None,), dtype="int32")
            x = keras.layers.Embedding(self.embedding.shape[0], first.sizes[0].input_dim, name="embedding")(inputs)
        for layer in layers:
            x = layer(x)
        if self.head is not None:
            x = keras.layers.Dense(self.outputs, use_bias=self.head.has_bias, name="head")(x)
        return keras.Model(inputs, x)

    def _language_model(self) -> keras.Model:
        from deeprnn_keras.models import LanguageModel

        arguments = self.stacks[0].arguments()
        del arguments["return_sequences"]
        width = self.stacks[0].sizes[0].input_dim
        return LanguageModel(self.outputs, embedding=width, tied=self.tied, **arguments)


def plan_model(source: str, arrays: Arrays, modules: Modules, request: Request) -> PlannedModel:
    """Return the model that the modules of a state dict describe.

    Args:
        source: Path or description of the source, for messages.
        arrays: The arrays of the source.
        modules: Its modules.
        request: The request.

    Raises:
        ValueError: If there is no recurrent module, or the names do not say how several of them are connected.
    """
    _check_recurrent(source, modules)
    stacks = _stacks(source, arrays, modules.recurrent, request)
    embedding = _embedding(arrays, modules.plain, stacks[0].sizes[0].input_dim)
    width = stacks[-1].width
    others = [module for module in modules.plain if not module.is_embedding]
    head = _head(others, stacks, embedding is not None)
    if embedding is not None and stacks[0].sizes[0].input_dim == 0:  # the array that has it is missing
        stacks[0] = _with_input_dim(stacks[0], embedding.shape[1])
    outputs = 0 if head is None else _outputs(head, embedding)
    plan = PlannedModel(tuple(stacks), embedding, head, outputs)
    if plan.is_bare:
        return replace(plan, stacks=(_named(stacks[0]),))
    if embedding is None or head is None or not _is_tied(arrays, head, embedding):
        return plan
    if plan.is_language_model and stacks[0].sizes[0].input_dim == width:
        return replace(plan, tied=True)
    leaves = {**head.leaves, "weight": embedding.entry("weight")}
    return replace(plan, head=replace(head, leaves=leaves, shape=embedding.shape))


def _named(stack: PlannedStack) -> PlannedStack:
    """Return a stack of one module with the name of the module, as far as Keras supports it."""
    name = re.sub(r"\W", "_", stack.modules[0].name, flags=re.ASCII).strip("_")
    return replace(stack, name=name) if name and len(stack.modules) == 1 else stack


def _check_recurrent(source: str, modules: Modules) -> None:
    if not modules.recurrent:
        raise ValueError(
            f"{source}: no entry is named as a weight of torch.nn.LSTM, GRU, or RNN (weight_ih_l0, weight_hh_l0) or "
            "of their cells (weight_ih, weight_hh)"
        )
    if len({list_pattern(module.name) for module in modules.recurrent}) > 1:
        names = ", ".join(repr(module.name) for module in modules.recurrent)
        raise ValueError(
            f"{source} contains several recurrent networks, {names}, and a state dict does not say how they are "
            "connected; pass into=model, or only the entries of one of them"
        )


def _stacks(source: str, arrays: Arrays, modules: Sequence[RecurrentModule], request: Request) -> list[PlannedStack]:
    """Return one stack for each run of consecutive modules that a `DeepRNN` may contain."""
    groups: list[list[tuple[RecurrentModule, Sizes]]] = []
    for module in modules:
        sizes = recurrent_sizes(source, module, arrays)
        if groups:
            below, size_below = groups[-1][-1]
            sizes = replace(sizes, input_dim=size_below.width * len(below.levels[0]))
        if groups and _kind(*groups[-1][-1]) == _kind(module, sizes):
            groups[-1].append((module, sizes))
        else:
            groups.append([(module, sizes)])
    cells = {sizes.cell for group in groups for _, sizes in group}
    if request.activation is not None and "rnn" not in cells:
        raise ValueError(f"activation={request.activation!r} has no effect: {source} has a {cells.pop()} cell")
    return [
        PlannedStack(
            DEFAULT_NAME if number == 1 else f"{DEFAULT_NAME}_{number}",
            *map(tuple, zip(*group, strict=True)),
            return_sequences=request.return_sequences or number < len(groups),
            activation=(request.activation or "tanh") if group[0][1].cell == "rnn" else None,
        )
        for number, group in enumerate(groups, start=1)
    ]


def _kind(module: RecurrentModule, sizes: Sizes) -> tuple[str, bool, bool]:
    return sizes.cell, module.bidirectional, module.has_bias


def _with_input_dim(stack: PlannedStack, input_dim: int) -> PlannedStack:
    first, *others = stack.sizes
    return replace(stack, sizes=(replace(first, input_dim=input_dim), *others))


def _embedding(arrays: Arrays, modules: Sequence[PlainModule], input_dim: int) -> PlainModule | None:
    """Return the embedding: the only one by its name, or the only one whose rows the recurrent layers read."""
    found: list[PlainModule] = []
    for module in modules:
        if module.is_embedding and not any(_equal(arrays, module, one) for one in found):
            found.append(module)
    fitting = [module for module in found if module.shape[1] == input_dim]
    found = fitting if len(fitting) == 1 else found
    return found[0] if len(found) == 1 else None


def _head(modules: Sequence[PlainModule], stacks: Sequence[PlannedStack], has_embedding: bool) -> PlainModule | None:
    """Return the linear layer after the recurrent layers: the only one that there is, or that reads their output."""
    linear = [module for module in modules if module.is_matrix]
    fitting = [module for module in linear if module.shape[1] == stacks[-1].width]
    linear = fitting if len(fitting) == 1 else linear
    if not linear and has_embedding:  # its weight may be that of the embedding
        linear = [module for module in modules if module.weight is None]
    if len(linear) != 1 or (not has_embedding and _may_precede(linear[0], stacks[0].sizes[0].input_dim)):
        return None
    return linear[0]


def _may_precede(module: PlainModule, input_dim: int) -> bool:
    """Return True for a linear layer whose output the recurrent layers could read, unless order or name exclude it."""
    if module.shape[0] != input_dim:
        return False
    return OUTPUT_NAME.search(module.name) is None if module.is_after is None else not module.is_after


def _outputs(head: PlainModule, embedding: PlainModule | None) -> int:
    """Return the number of features of the output; a head without a weight has that of the embedding."""
    return embedding.shape[0] if head.weight is None and embedding is not None else head.shape[0]


def _is_tied(arrays: Arrays, head: PlainModule, embedding: PlainModule) -> bool:
    return head.weight is None or _equal(arrays, head, embedding)


def _equal(arrays: Arrays, first: PlainModule, second: PlainModule) -> bool:
    if first.weight is None or second.weight is None or first.shape != second.shape:
        return False
    return arrays.equal(first.weight, second.weight)
