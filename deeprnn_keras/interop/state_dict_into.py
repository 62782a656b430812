"""Matching of the modules of a PyTorch state dict with the layers of a Keras model that the caller passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

import keras

from deeprnn_keras._types import Layer
from deeprnn_keras.interop.arrays import Arrays
from deeprnn_keras.interop.assignment import Assignment, Target
from deeprnn_keras.interop.keras_targets import (
    RECURRENT_LAYERS,
    PlainTarget,
    RecurrentTarget,
    plain_target,
    recurrent_target,
    weight_layers,
)
from deeprnn_keras.interop.torch_names import Modules, PlainModule, RecurrentModule, list_pattern
from deeprnn_keras.interop.torch_weights import RecurrenceTarget, plain_assignment, recurrence_assignments

TargetType = TypeVar("TargetType", PlainTarget, RecurrentTarget)
AnyModule = RecurrentModule | PlainModule


@dataclass
class Match:
    """Computation of the weights of a model.

    Attributes:
        assignments: The computation of each weight that has a module.
        missing: Paths of the weights that have none.
        layers: One line per layer.
    """

    assignments: list[Assignment] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)


def match_layers(source: str, arrays: Arrays, modules: Modules, model: Layer, is_ordered: bool) -> Match:
    """Match modules and layers: by name, otherwise by shape, otherwise in order.

    Args:
        source: Path or description of the source, for messages.
        arrays: The arrays of the source.
        modules: Its modules.
        model: The model or layer of the caller.
        is_ordered: True if the modules have the order of the network.

    Raises:
        ValueError: If the model is not built, if a layer has no counterpart in PyTorch, or if several modules fit and
            the source has no order.
    """
    match, recurrent, plain = Match(), [], []
    for layer in weight_layers(model):
        if not layer.built:
            raise ValueError(f"into: layer {layer.name!r} has no weights yet; call the model on an input first")
        match.layers.append(f"{layer.name}: {type(layer).__name__}")
        if isinstance(layer, RECURRENT_LAYERS):
            recurrent.append(recurrent_target(layer))
        else:
            plain.append(_plain_target(layer))
    if not match.layers:
        raise ValueError(f"into={model.name!r} has no weights")
    _match_recurrent(source, match, modules.recurrent, recurrent, is_ordered)
    _match_plain(source, match, arrays, modules.plain, plain, is_ordered)
    return match


def _plain_target(layer: Layer) -> PlainTarget:
    target = plain_target(layer)
    if target is None:
        raise ValueError(
            f"into: a PyTorch state dict has no weights for layer {layer.name!r} ({type(layer).__name__}); "
            "pass a model without it, and set its weights with set_weights"
        )
    return target


def _has_name(module: AnyModule, layer: Layer) -> bool:
    return layer.name in (module.name.replace(".", "_"), module.name.rpartition(".")[2])


def _check_order(source: str, modules: Sequence[AnyModule], is_ordered: bool, layer: str) -> None:
    """Raise a ValueError if several modules fit a layer, and neither names nor order tell which one belongs to it."""
    if not is_ordered and len({list_pattern(module.name) for module in modules}) > 1:
        names = ", ".join(repr(module.name) for module in modules)
        raise ValueError(
            f"{source}: {names} fit {layer} of into, and this file does not store their order; give the layers of into "
            "the names of their modules"
        )


# === Recurrent layers ===


def _match_recurrent(
    source: str,
    match: Match,
    modules: Sequence[RecurrentModule],
    targets: Sequence[RecurrentTarget],
    is_ordered: bool,
) -> None:
    by_name = [next((one for one in modules if _has_name(one, target.layer)), None) for target in targets]
    if targets and all(by_name) and len({one.name for one in by_name if one is not None}) == len(modules):
        for module, target in zip(by_name, targets, strict=True):
            _match_levels(match, () if module is None else module.levels, target.levels)
        return
    if targets:
        _check_order(source, modules, is_ordered, f"layer {targets[0].layer.name!r}")
    names = [level for module in modules for level in module.levels]
    _match_levels(match, names, [level for target in targets for level in target.levels])


def _match_levels(
    match: Match,
    modules: Sequence[Sequence[Mapping[str, str]]],
    targets: Sequence[Sequence[RecurrenceTarget]],
) -> None:
    """Match layers one after the other, and in them the directions. Modules without a target remain unused."""
    for names, directions in zip_longest(modules, targets, fillvalue=()):
        for entry, target in zip_longest(names, directions):
            if target is None:
                continue
            if entry is None:
                match.missing += [f"an entry for {one.path}" for one in _weights(target)]
            else:
                match.assignments += recurrence_assignments(entry, target)


def _weights(target: RecurrenceTarget) -> list[Target]:
    weights = (target.kernel, target.recurrent_kernel, target.bias, target.projection)
    return [one for one in weights if one is not None]


# === Other layers ===


def _match_plain(
    source: str,
    match: Match,
    arrays: Arrays,
    modules: Sequence[PlainModule],
    targets: Sequence[PlainTarget],
    is_ordered: bool,
) -> None:
    remaining = list(modules)
    pairs: dict[int, PlainModule] = {}

    def pair(choose: Callable[[PlainTarget], PlainModule | None]) -> None:
        for index, target in enumerate(targets):
            module = None if index in pairs else choose(target)
            if module is not None:
                pairs[index] = module
                remaining.remove(module)

    def by_shape(target: PlainTarget) -> PlainModule | None:
        fitting = _fitting(arrays, remaining, target)
        _check_order(source, fitting, is_ordered, f"layer {target.layer.name!r}")
        return _first(fitting)

    pair(lambda target: _first(one for one in remaining if _has_name(one, target.layer)))
    pair(by_shape)
    pair(lambda target: _first(one for one in remaining if len(one.shape) == _rank(target)))
    for index, target in enumerate(targets):
        if index in pairs:
            match.assignments += [
                plain_assignment(pairs[index], leaf, weight, target.is_transposed and leaf == "weight")
                for leaf, weight in target.weights.items()
            ]
        else:
            match.missing += [f"an entry for {weight.path}" for weight in target.weights.values()]


def _first(modules: Iterable[PlainModule]) -> PlainModule | None:
    return next(iter(modules), None)


def _rank(target: PlainTarget) -> int:
    return len(target.weights["weight"].shape) if "weight" in target.weights else 2


def _fitting(arrays: Arrays, modules: Sequence[PlainModule], target: PlainTarget) -> list[PlainModule]:
    """Return the modules with the weights of a layer; for embeddings those with the name of one, if there are any."""
    found = [module for module in modules if _fits(arrays, module, target)]
    is_embedding = isinstance(target.layer, keras.layers.Embedding)
    return [module for module in found if module.is_embedding == is_embedding] or found


def _fits(arrays: Arrays, module: PlainModule, target: PlainTarget) -> bool:
    if "weight" in target.weights and module.has_bias != ("bias" in target.weights):
        return False
    for leaf, weight in target.weights.items():
        info = arrays.find(module.entry(leaf))
        shape = weight.shape[::-1] if target.is_transposed else weight.shape
        if info is None or info.shape != shape:
            return False
    return True
