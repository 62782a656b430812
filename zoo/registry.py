"""Registry of the zoo: list, describe, count, and create models by name. This module does not import Keras."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks import families
from deeprnn_keras.zoo import presets, trained
from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras

    from deeprnn_keras import Program

MODELS: Registry[Configuration] = Registry("model")  # use `models()`, which adds those of task families
_families_added: set[str] = set()


def register(*configs: Configuration) -> None:
    """Add configurations under their names.

    Raises:
        ValueError: If a name is taken.
    """
    for config in configs:
        MODELS.add(config.name, config)


def models() -> Registry[Configuration]:
    """Return all configurations by name, including those of task families in other packages."""
    for family in families():
        if family.name not in _families_added:
            _families_added.add(family.name)
            try:
                register(*cast("Iterable[Configuration]", family.entries()))
            except Exception as error:  # an error in another package must not affect the other models
                message = f"the entries of task family {family.name!r} could not be added to the zoo"
                warnings.warn(f"{message}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
    return MODELS


def list_models(pattern: str = "*", task: str | None = None, pretrained: bool | None = None) -> list[str]:
    """Return the names of models, sorted.

    Args:
        pattern: Pattern with the wildcards * and ?, for example "*lstm*".
        task: Task family, for example "language" or "music"; None for all.
        pretrained: True for models with trained weights, False for models without; None for all.

    Raises:
        ValueError: If no model has the task.

    >>> from deeprnn_keras import zoo
    >>> zoo.list_models("d2l_*")
    ['d2l_gru_2x32', 'd2l_lstm_2x256', 'd2l_rnn_2x32']
    """
    all_models = models()
    pretrained = None if pretrained is None else checks.flag("pretrained", pretrained)
    if task is not None:
        task = Registry("task", {config.task: config.task for config in all_models})[task]
    return [
        name
        for name in all_models.names(pattern)
        if task in (None, all_models[name].task) and pretrained in (None, all_models[name].weights is not None)
    ]


def info(name: str, **overrides: Any) -> Configuration:
    """Return the configuration of a model: architecture, recipe, paper, and differences from the paper.

    Args:
        name: One of `list_models()`.
        overrides: Other values for its fields, as in `create_model`.

    Raises:
        ValueError: If the name or a field is unknown; the closest name is suggested.

    >>> from deeprnn_keras import zoo
    >>> zoo.info("zaremba_small").recipe.bptt
    20
    """
    return models()[name].replace(**overrides)


def card(name: str, **overrides: Any) -> str:
    """Return the card of a model as text, equal to `str(info(name, **overrides))`.

    Args:
        name: One of `list_models()`.
        overrides: Other values for its fields, as in `create_model`.

    Raises:
        ValueError: If the name or a field is unknown; the closest name is suggested.

    >>> from deeprnn_keras import zoo
    >>> print(zoo.card("zaremba_small").splitlines()[0])
    zaremba_small: Unregularized LSTM, small
    """
    return str(info(name, **overrides))


def count_params(name: str, **overrides: Any) -> int:
    """Return the number of parameters of a model without building it.

    Equal to `create_model(name, **overrides).count_params()`.

    Args:
        name: One of `list_models()`.
        overrides: Other values for its fields, as in `create_model`.

    Raises:
        ValueError: If the name or a field is unknown; the closest name is suggested.
    """
    return info(name, **overrides).count_params()


def create_model(name: PathLike, pretrained: bool = False, **overrides: Any) -> keras.Model:
    """Return a model, compiled with the optimizer of its recipe and ready for `model.fit`.

    The learning rate schedule of the recipe is a callback: `zoo.info(name).recipe.callbacks()`.

    Args:
        name: One of `list_models()`, or the directory of a preset, whose weights are loaded.
        pretrained: If True, load the trained weights in the package, after verifying their SHA-256. Nothing is
            downloaded.
        overrides: Other values for fields of the configuration (`units`, `num_layers`, `cell`, `dropout`,
            `vocabulary`, …) or of its recipe (`learning_rate`, `global_clipnorm`, …).

    Raises:
        ValueError: If the name or a field is unknown (the closest name is suggested), if a value is out of range, or if
            the trained weights do not exist, are damaged, or do not fit the overrides.

    >>> from deeprnn_keras import zoo
    >>> zoo.create_model("d2l_gru_2x32").count_params()
    13212
    """
    pretrained = checks.flag("pretrained", pretrained)
    if not isinstance(name, str) or (name not in models() and presets.is_preset(name)):
        return presets.load_preset(name).build(overrides)
    config = info(name, **overrides)
    weights = trained_weights(config) if pretrained else None
    model = config.build()
    if weights is not None:
        weights.load(model)
    return model


def load_program(name: str) -> Program:
    """Return the trained model `name` as a `Program`, which runs without Keras; nothing is imported or downloaded.

    Args:
        name: One of `list_models(pretrained=True)`.

    Raises:
        ValueError: If the name is unknown (the closest name is suggested), or the model has no trained weights or no
            program, or its file is damaged.

    >>> from deeprnn_keras import zoo
    >>> program = zoo.load_program("kjv_gru_2x256")
    >>> program.attributes["kind"], program.looking_ahead
    ('language', None)
    """
    return trained_weights(info(name)).load_program()


def trained_weights(config: Configuration) -> trained.TrainedWeights:
    """Return the record of the trained weights of a configuration."""
    record = trained.read_record(config.name)
    if record is None:
        available = ", ".join(list_models(pretrained=True)) or "none"
        raise ValueError(f"{config.name} has no trained weights; models with trained weights: {available}")
    conflicts = [f"{key}={value!r} (trained with {stored!r})" for key, value, stored in record.differences(config)]
    if conflicts:
        raise ValueError(
            f"the trained weights of {config.name} do not fit {', '.join(conflicts)}; remove these overrides, or "
            "pretrained=True"
        )
    return record
